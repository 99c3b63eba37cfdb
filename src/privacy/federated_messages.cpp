// SPDX-License-Identifier: Apache-2.0
#include "privacy/federated_messages.hpp"

#include <algorithm>
#include <array>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "data/sum64.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{'A'}, std::byte{'T'}, std::byte{'F'}, std::byte{'L'}};
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4, kKindAt = 5, kZerosAt = 6, kPlanAt = 8, kRoundAt = 16;

const char* to_string(FederatedKind kind) noexcept {
  return kind == FederatedKind::round ? "round" : kind == FederatedKind::update ? "update" : "state";
}

}  // namespace

void refuse_message(FederatedKind kind, const std::string& problem) {
  throw Error(ErrorCode::invalid_data,
              std::string("federated training, message of kind '") + to_string(kind) + "': expected " + problem);
}

std::vector<std::byte> new_message(FederatedKind kind, std::uint64_t fingerprint, std::uint64_t round,
                                   std::size_t body_bytes) {
  std::vector<std::byte> message;
  message.reserve(kFederatedHeaderBytes + body_bytes + kFederatedSumBytes);
  append_array(message, std::span<const std::byte>(kMagic));
  append_number(message, kVersion);
  append_number(message, kind);
  append_number(message, std::uint16_t{0});
  append_number(message, fingerprint);
  append_number(message, round);
  return message;
}

std::uint64_t seal_message(std::vector<std::byte>& message, const FederatedAuthentication& authentication) {
  const std::uint64_t sum = sum64_of(message);
  append_number(message, sum);
  if (!authentication.sign) return sum;
  const std::vector<std::byte> tag = authentication.sign(message);
  if (tag.size() > FederatedAuthentication::kMostTagBytes) {
    throw Error(ErrorCode::limit_exceeded, "FederatedAuthentication::sign: expected a tag of at most " +
                                               std::to_string(FederatedAuthentication::kMostTagBytes) +
                                               " bytes, found " + std::to_string(tag.size()));
  }
  append_array(message, std::span<const std::byte>(tag));
  return sum;
}

OpenedMessage open_message(std::span<const std::byte> message, FederatedKind kind, std::uint64_t fingerprint,
                           std::size_t body_bytes) {
  const std::size_t summed = kFederatedHeaderBytes + body_bytes, least = summed + kFederatedSumBytes;
  const auto sized = [&] {
    return std::to_string(least) + " bytes and a tag, found " + std::to_string(message.size());
  };
  if (message.size() < kFederatedHeaderBytes) refuse_message(kind, sized());
  if (!std::ranges::equal(message.first(kMagic.size()), kMagic)) refuse_message(kind, "\"ATFL\" at the beginning");
  if (const auto version = std::to_integer<unsigned>(message[kVersionAt]); version != kVersion) {
    const std::string problem = "version 1, found " + std::to_string(version);
    if (version < kVersion) refuse_message(kind, problem);
    throw Error(ErrorCode::unsupported_version, "federated training: expected a message of " + problem);
  }
  if (message[kKindAt] != static_cast<std::byte>(kind)) refuse_message(kind, "this kind, found another");
  if (load_number<std::uint16_t>(message.data() + kZerosAt) != 0) refuse_message(kind, "zeros in the header");
  if (load_number<std::uint64_t>(message.data() + kPlanAt) != fingerprint) {
    refuse_message(kind, "the plan of this side, found another");
  }
  if (message.size() < least || message.size() > least + FederatedAuthentication::kMostTagBytes) {
    refuse_message(kind, sized());
  }
  const auto sum = load_number<std::uint64_t>(message.data() + summed);
  if (sum != sum64_of(message.first(summed))) refuse_message(kind, "its checksum, found another");
  return {.round = load_number<std::uint64_t>(message.data() + kRoundAt),
          .sum = sum,
          .body = message.subspan(kFederatedHeaderBytes, body_bytes),
          .authenticated = message.first(least),
          .tag = message.subspan(least)};
}

void check_tag(const OpenedMessage& message, FederatedKind kind, std::uint64_t sender,
               const FederatedAuthentication& authentication) {
  const bool authentic =
      authentication.verify ? authentication.verify(sender, message.authenticated, message.tag) : message.tag.empty();
  if (!authentic) refuse_message(kind, "the tag of who sends it");
}

void append_words(std::vector<std::byte>& message, std::span<const std::int64_t> values) {
  const std::size_t before = message.size();
  message.resize(before + values.size() * kWordBytes);
  std::byte* out = message.data() + before;
  for (const std::int64_t value : values) {
    const auto word = static_cast<std::int32_t>(value);
    std::memcpy(out, &word, kWordBytes);
    out += kWordBytes;
  }
}

void add_words(std::span<std::int64_t> sums, std::span<const std::byte> words) noexcept {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += load_number<std::int32_t>(words.data() + i * kWordBytes);
}

}  // namespace attune::inline v0_1::detail
