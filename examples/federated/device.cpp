// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace {

constexpr std::size_t kEvents = 12, kListed = 3;

// Everybody walks through the catalogue in the same steps, from a place of his own.
std::vector<attune::ItemHandle> walk(std::uint32_t user, std::size_t num_items) {
  std::vector<attune::ItemHandle> items;
  for (std::size_t i = 0; i < kEvents; ++i) {
    items.push_back(static_cast<attune::ItemHandle>((user + 7 * i) % num_items));
  }
  return items;
}

class Device {
 public:
  explicit Device(const DeviceOptions& options)
      : options_(options), client_(shared_plan()), events_(walk(options.number, client_.plan().num_items)) {}

  void run() {
    Connection server = connect_to(options_.port);
    server.send(std::as_bytes(std::span(&options_.number, 1)));
    while (const std::optional<Bytes> message = server.receive()) {
      if (message->empty() || message->front() == static_cast<std::byte>(Kind::end)) return;
      if (message->front() != static_cast<std::byte>(Kind::stage)) begin(*message);
      if (client_.round() == options_.leaves_in_round && stage_ == options_.leaves_in_stage) return;
      server.send(answer(std::span(*message).subspan(1)));
    }
  }

 private:
  void begin(const Bytes& message) {
    const Invitation invitation = to_invitation(message);
    client_.begin(invitation.model);
    const auto place = std::ranges::find(invitation.clients, options_.number) - invitation.clients.begin();
    sum_.emplace(aggregation_round(invitation, client_.plan(), options_.keys), static_cast<std::size_t>(place),
                 options_.identity);
    kind_ = invitation.kind;
    stage_ = 0;
  }

  Bytes answer(std::span<const std::byte> message) {
    switch (stage_++) {
      case 0: return sum_->advertise();
      case 1: return sum_->share(message);
      case 2: return sum_->mask(message, kind_ == Kind::train ? update() : hit());
      case 3: return sum_->confirm(message);
      default: return sum_->unmask(message);
    }
  }

  std::vector<std::int64_t> update() {
    const std::uint64_t seed = std::random_device()() * 0x1'0000'0001ull;
    const std::span<const attune::ItemHandle> all_but_newest(events_.data(), events_.size() - 1);
    return client_.contribution({.client = options_.number, .history = {.items = all_but_newest}, .seed = seed});
  }

  // Whether the newest event, which it has not learned from, is among the best answers to those before.
  std::vector<std::int64_t> hit() const {
    const attune::SequenceEncoder<float>& encoder = client_.encoder();
    attune::Workspace workspace;
    std::vector<float> user_vector(encoder.dim());
    encoder.encode(user_vector, {.items = std::span(events_).first(events_.size() - 1)}, {}, workspace);
    const auto score = [&](attune::ItemHandle item) {
      float dot = 0, squares = 0;
      const std::span<const float> row = encoder.items().row(item);
      for (std::size_t d = 0; d < row.size(); ++d) {
        dot += row[d] * user_vector[d];
        squares += row[d] * row[d];
      }
      return dot / std::sqrt(squares);
    };
    std::size_t better = 0;
    const float target = score(events_.back());
    for (attune::ItemHandle item = 0; item < encoder.items().rows(); ++item) better += score(item) > target;
    return {better < kListed};
  }

  const DeviceOptions& options_;
  attune::FederatedClient client_;
  const std::vector<attune::ItemHandle> events_;
  std::optional<attune::AggregationClient> sum_;
  Kind kind_ = Kind::train;
  int stage_ = 0;
};

}  // namespace

void run_device(const DeviceOptions& options) { Device(options).run(); }
