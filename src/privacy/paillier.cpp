// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/paillier.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "privacy/paillier_messages.hpp"

namespace attune::inline v0_1 {

using namespace detail;

PaillierClient::PaillierClient(PaillierPublicKey key, PaillierRound round) : key_(std::move(key)), round_(round) {
  prepare_sodium();
  check_round(round_);
}

std::vector<std::byte> PaillierClient::encrypt(std::span<const std::int64_t> values, Executor* executor) const {
  if (values.size() != round_.num_values) {
    throw Error(ErrorCode::invalid_argument, "PaillierClient: expected " + std::to_string(round_.num_values) +
                                                 " values, found " + std::to_string(values.size()));
  }
  const std::int64_t largest = round_.max_magnitude;
  if (!std::ranges::all_of(values, [&](std::int64_t value) { return value >= -largest && value <= largest; })) {
    throw Error(ErrorCode::invalid_argument, "PaillierClient: expected values within max_magnitude, found one beyond");
  }
  const PaillierModulus& modulus = key_.parts_->modulus;
  const PaillierLayout layout(*key_.parts_, round_);
  std::vector<std::uint64_t> integers{1};
  integers.reserve(layout.num_integers());
  for (const std::int64_t value : values) integers.push_back(static_cast<std::uint64_t>(value + largest));
  std::vector<BigNumber> ciphertexts(layout.num_ciphertexts());
  InlineExecutor here;
  (executor != nullptr ? *executor : here).run(ciphertexts.size(), [&](std::size_t i, std::size_t) {
    const auto slots = std::span<const std::uint64_t>(integers).subspan(layout.first(i), layout.slots(i));
    ciphertexts[i] = modulus.encrypt(packed(slots, round_.slot_bits), random_below(modulus.n));
  });
  sodium_memzero(integers.data(), integers.size() * sizeof(std::uint64_t));
  return layout.message_of(PaillierKind::values, ciphertexts);
}

struct PaillierAggregator::Impl {
  Impl(std::shared_ptr<const PaillierKeyParts> the_key, const PaillierRound& the_round)
      : key(std::move(the_key)), round(the_round), layout(*key, the_round) {}

  const std::shared_ptr<const PaillierKeyParts> key;
  const PaillierRound round;
  const PaillierLayout layout;
  std::vector<BigNumber> sums;
  std::set<Bytes32> added;  // hashes of messages
};

PaillierAggregator::PaillierAggregator(PaillierPublicKey key, PaillierRound round) {
  check_round(round);
  impl_ = std::make_unique<Impl>(std::move(key.parts_), round);
}
PaillierAggregator::PaillierAggregator(PaillierAggregator&&) noexcept = default;
PaillierAggregator& PaillierAggregator::operator=(PaillierAggregator&&) noexcept = default;
PaillierAggregator::~PaillierAggregator() = default;

void PaillierAggregator::add(std::span<const std::byte> message) {
  Impl& self = *impl_;
  std::vector<BigNumber> ciphertexts = self.layout.ciphertexts_in(message, PaillierKind::values);
  const Bytes32 hash = Hasher().add(message).hash();
  if (self.added.contains(hash)) refuse_paillier("each message once, found one again");
  if (self.added.size() == self.round.max_clients) {
    throw Error(ErrorCode::limit_exceeded, "homomorphic aggregation: expected at most " +
                                               std::to_string(self.round.max_clients) + " clients, found another");
  }
  self.added.insert(hash);
  if (self.sums.empty()) {
    self.sums = std::move(ciphertexts);
    return;
  }
  for (std::size_t i = 0; i < self.sums.size(); ++i) self.sums[i] = self.key->modulus.add(self.sums[i], ciphertexts[i]);
}

std::size_t PaillierAggregator::clients() const noexcept { return impl_->added.size(); }

std::vector<std::byte> PaillierAggregator::sum() const {
  if (impl_->sums.empty()) {
    throw Error(ErrorCode::invalid_argument, "PaillierAggregator: expected the values of a client, found none");
  }
  return impl_->layout.message_of(PaillierKind::sum, impl_->sums);
}

}  // namespace attune::inline v0_1
