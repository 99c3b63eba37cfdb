// SPDX-License-Identifier: Apache-2.0
#pragma once

// One field of many events. Not synchronised: const members are safe from any number of threads.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// A vector, or the values of a mapped file where they are. Read through const it is the same for both, and copies of a
// mapped one share the file; whatever could change a mapped one makes a vector of it first, which copies the values.
template <class T>
class Column {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using iterator = T*;
  using const_iterator = const T*;

  Column() = default;
  Column(std::vector<T> values) : own_(std::move(values)) {}
  Column(std::initializer_list<T> values) : own_(values) {}
  // `owner` keeps the values alive.
  static Column view(std::span<const T> values, std::shared_ptr<const void> owner) {
    Column column;
    column.mapped_ = values;
    column.owner_ = std::move(owner);
    return column;
  }
  bool is_mapped() const noexcept { return owner_ != nullptr; }

  std::size_t size() const noexcept { return is_mapped() ? mapped_.size() : own_.size(); }
  bool empty() const noexcept { return size() == 0; }
  const T* data() const noexcept { return is_mapped() ? mapped_.data() : own_.data(); }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size(); }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  const T& front() const noexcept { return data()[0]; }
  const T& back() const noexcept { return data()[size() - 1]; }

  T* data() { return own().data(); }
  T* begin() { return data(); }
  T* end() { return data() + size(); }
  T& operator[](std::size_t i) { return own()[i]; }
  T& front() { return own().front(); }
  T& back() { return own().back(); }

  void reserve(std::size_t count) { own().reserve(count); }
  void resize(std::size_t count, T value = {}) { own().resize(count, value); }
  void clear() { *this = Column(); }
  void push_back(T value) { own().push_back(value); }
  void pop_back() { own().pop_back(); }
  void assign(std::size_t count, T value) { own().assign(count, value); }
  // Precondition: `place` is of begin() or end() of a column that may be changed.
  template <class Iterator>
  void insert(const T* place, Iterator first, Iterator last) {
    own_.insert(own_.begin() + (place - own_.data()), first, last);
  }
  void insert(const T* place, std::initializer_list<T> values) { insert(place, values.begin(), values.end()); }

  friend bool operator==(const Column& a, const Column& b) { return std::ranges::equal(a, b); }

 private:
  std::vector<T>& own() {
    if (is_mapped()) *this = Column(std::vector<T>(mapped_.begin(), mapped_.end()));
    return own_;
  }

  std::vector<T> own_;
  std::span<const T> mapped_;
  std::shared_ptr<const void> owner_;  // null: a vector
};

}  // namespace attune::inline v0_1
