// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks that are threads.

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <exception>
#include <span>
#include <thread>
#include <vector>

#include "attune/training/communicator.hpp"

namespace attune::test {

class ThreadRanks {
 public:
  explicit ThreadRanks(std::size_t size) : meeting_(static_cast<std::ptrdiff_t>(size)), given_(size), terms_(size) {}

  // Calls body(communicator) at every rank. Returns what each has thrown, by rank.
  template <class Body>
  std::vector<std::exception_ptr> run(const Body& body) {
    std::vector<std::exception_ptr> errors(given_.size());
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < errors.size(); ++r) {
      threads.emplace_back([&, r] {
        Rank rank(*this, r);
        try {
          body(rank);
        } catch (...) {
          errors[r] = std::current_exception();
        }
        meeting_.arrive_and_drop();  // whoever waits for it goes on, to a failure and not for ever
      });
    }
    for (std::thread& thread : threads) thread.join();
    return errors;
  }

 private:
  class Rank final : public Communicator {
   public:
    Rank(ThreadRanks& all, std::size_t rank) : all_(all), rank_(rank) {}
    std::size_t rank() const noexcept override { return rank_; }
    std::size_t size() const noexcept override { return all_.given_.size(); }
    void broadcast(std::span<std::byte> values) override {
      const auto all = gather(values);
      std::ranges::copy(all[0], values.begin());
    }
    std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) override {
      all_.given_[rank_].assign(own.begin(), own.end());
      all_.meeting_.arrive_and_wait();
      std::vector<std::vector<std::byte>> given = all_.given_;
      all_.meeting_.arrive_and_wait();
      return given;
    }
    void sum(std::span<float> values) override {
      all_.terms_[rank_].assign(values.begin(), values.end());
      all_.meeting_.arrive_and_wait();
      std::vector<std::vector<float>> terms = all_.terms_;
      all_.meeting_.arrive_and_wait();
      add_by_neighbours(terms.size(), [&](std::size_t into, std::size_t from) {
        for (std::size_t i = 0; i < values.size(); ++i) terms[into][i] += terms[from][i];
      });
      std::ranges::copy(terms[0], values.begin());
    }

   private:
    ThreadRanks& all_;
    std::size_t rank_;
  };

  std::barrier<> meeting_;
  std::vector<std::vector<std::byte>> given_;
  std::vector<std::vector<float>> terms_;
};

}  // namespace attune::test
