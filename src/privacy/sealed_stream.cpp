// SPDX-License-Identifier: Apache-2.0
#include "privacy/sealed_stream.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{'A'}, std::byte{'T'}, std::byte{'S'}, std::byte{'L'}};
constexpr std::byte kVersion{1};
constexpr std::size_t kStreamHeaderBytes = crypto_secretstream_xchacha20poly1305_HEADERBYTES;

Secret stream_key(const HostKey& key) { return Hasher(key.bytes()).add("attune/sealing/v1").secret(); }

const char* described(SealedContent content) {
  return content == SealedContent::model ? "a sealed model" : "sealed bytes";
}

}  // namespace

SealedContent content_of(std::span<const std::byte> prefix, const std::string& name) {
  const auto fail = [&](ErrorCode code, const char* problem) { throw Error(code, name + ": " + problem); };
  if (prefix.size() < std::tuple_size_v<SealPrefix> || !std::ranges::equal(prefix.first(kMagic.size()), kMagic)) {
    fail(ErrorCode::corrupt_file, "expected what attune has sealed, found something else");
  }
  if (prefix[4] > kVersion) fail(ErrorCode::unsupported_version, "sealed by a newer attune");
  const auto content = static_cast<SealedContent>(prefix[5]);
  const bool known = content == SealedContent::bytes || content == SealedContent::model;
  if (prefix[4] != kVersion || !known || prefix[6] != std::byte{0} || prefix[7] != std::byte{0}) {
    fail(ErrorCode::corrupt_file, "expected what attune has sealed, found its name alone");
  }
  return content;
}

Sealer::Sealer(SealedContent content, const HostKey& key, Sink sink)
    : prefix_{kMagic[0], kMagic[1], kMagic[2], kMagic[3], kVersion, std::byte{static_cast<unsigned char>(content)}},
      sink_(std::move(sink)) {
  prepare_sodium();
  std::array<std::byte, kStreamHeaderBytes> header;
  crypto_secretstream_xchacha20poly1305_init_push(&state_, raw(header.data()), stream_key(key).data());
  part_.reserve(kPartBytes);
  sealed_.resize(kPartBytes + kTagBytes);
  sink_(prefix_);
  sink_(header);
}

Sealer::~Sealer() {
  sodium_memzero(&state_, sizeof state_);
  sodium_memzero(part_.data(), part_.size());
}

void Sealer::add(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (part_.size() == kPartBytes) push(crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    const std::size_t count = std::min(bytes.size(), kPartBytes - part_.size());
    part_.insert(part_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
}

void Sealer::finish() { push(crypto_secretstream_xchacha20poly1305_TAG_FINAL); }

void Sealer::push(unsigned char tag) {
  crypto_secretstream_xchacha20poly1305_push(&state_, raw(sealed_.data()), nullptr, raw(part_.data()), part_.size(),
                                             raw(prefix_.data()), prefix_.size(), tag);
  sink_(std::span(sealed_).first(part_.size() + kTagBytes));
  part_.clear();
}

Unsealer::Unsealer(SealedContent expected, const HostKey& key, Source source, const std::string& name)
    : source_(std::move(source)), name_(name), sealed_(kPartBytes + kTagBytes), part_(kPartBytes) {
  prepare_sodium();
  const SealedContent content = content_of(std::span(prefix_).first(source_(prefix_)), name_);
  if (content != expected) fail(std::string("expected ") + described(expected) + ", found " + described(content));
  std::array<std::byte, kStreamHeaderBytes> header;
  if (source_(header) < header.size()) fail("it is cut off");
  crypto_secretstream_xchacha20poly1305_init_pull(&state_, raw(header.data()), stream_key(key).data());
}

Unsealer::~Unsealer() {
  sodium_memzero(&state_, sizeof state_);
  sodium_memzero(part_.data(), part_.size());
}

std::span<const std::byte> Unsealer::next(std::size_t most) {
  while (left_.empty() && !ended_) pull();
  const auto bytes = left_.first(std::min(most, left_.size()));
  left_ = left_.subspan(bytes.size());
  return bytes;
}

void Unsealer::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = next(bytes.size());
    if (part.empty()) fail("what is sealed in it ends too early");
    std::ranges::copy(part, bytes.begin());
    bytes = bytes.subspan(part.size());
  }
}

void Unsealer::fail(const std::string& problem) const { throw Error(ErrorCode::corrupt_file, name_ + ": " + problem); }

void Unsealer::pull() {
  const std::size_t count = source_(sealed_);
  if (count < kTagBytes) fail("it is cut off");
  unsigned char tag = 0;
  const int refused = crypto_secretstream_xchacha20poly1305_pull(
      &state_, raw(part_.data()), nullptr, &tag, raw(sealed_.data()), count, raw(prefix_.data()), prefix_.size());
  if (refused != 0) fail("it was sealed with another key, or changed since");
  left_ = std::span(part_).first(count - kTagBytes);
  ended_ = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
  std::byte further;
  if (ended_ && source_({&further, 1}) != 0) fail("something was added behind its end");
}

}  // namespace attune::inline v0_1::detail
