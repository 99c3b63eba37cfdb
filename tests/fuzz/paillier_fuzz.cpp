// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "attune/error.hpp"
#include "attune/privacy/paillier.hpp"
#include "fuzz/verdict.hpp"

namespace {

using namespace attune;
using test::accepted;
using test::require;

using Message = std::vector<std::byte>;

// A message with bytes of it changed, or the bytes alone.
Message forged(Message message, bool whole, std::span<const std::uint8_t> bytes) {
  if (whole) {
    const auto* const from = reinterpret_cast<const std::byte*>(bytes.data());
    return {from, from + bytes.size()};
  }
  for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
    message[(bytes[i] * 256u + bytes[i + 1]) % message.size()] ^= std::byte{bytes[i + 2]};
  }
  return message;
}

}  // namespace

// The first byte chooses what the rest is: a key, or the message of a client or of an aggregator.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const PaillierPrivateKey key = PaillierPrivateKey::generate(2'048);
  static const PaillierRound round{.num_values = 3, .max_magnitude = 1'000};
  static const Message values = PaillierClient(key.public_key(), round).encrypt(std::vector<std::int64_t>{1, -2, 3});
  if (size == 0) return 0;
  const std::span<const std::uint8_t> rest(data + 1, size - 1);
  const bool whole = data[0] / 4 % 2 == 0;
  PaillierAggregator aggregator(key.public_key(), round);
  switch (data[0] % 4) {
    case 0:
      accepted([&] {
        const Message bytes = forged(key.public_key().to_bytes(), whole, rest);
        require(PaillierPublicKey::from_bytes(bytes).to_bytes() == bytes);
      });
      break;
    case 1:
      accepted([&] {
        const Message bytes = forged(key.to_bytes(), whole, rest);
        require(PaillierPrivateKey::from_bytes(bytes).to_bytes() == bytes);
      });
      break;
    case 2:
      if (accepted([&] { aggregator.add(forged(values, whole, rest)); })) {
        accepted([&] { key.decrypt(round, aggregator.sum()); });
      }
      break;
    default:
      aggregator.add(values);
      accepted([&] {
        for (const std::int64_t value : key.decrypt(round, forged(aggregator.sum(), whole, rest)).values) {
          require(value >= -1'000'000 && value <= 1'000'000);
        }
      });
  }
  return 0;
}
