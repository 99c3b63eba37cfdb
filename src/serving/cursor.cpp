// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cursor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "data/sum64.hpp"

// A token is base64url (RFC 4648, without padding) of: version (1 byte), whether the list ended (1 byte), position and
// number of items, the items, the lower half of sum64 of all that (4 bytes). Numbers are LEB128. An item is 0 and a
// zigzag number, or the length of a text and the text.

namespace attune::inline v0_1 {
namespace {

constexpr unsigned char kVersion = 1;
constexpr std::size_t kSumBytes = sizeof(std::uint32_t), kLeastBytes = 4 + kSumBytes;
constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<Id> take_id(std::string_view& bytes) {
  const auto size = take_varint(bytes);
  if (!size || *size > bytes.size()) return std::nullopt;
  if (*size == 0) {
    const auto number = take_varint(bytes);
    if (!number) return std::nullopt;
    return Id(static_cast<std::int64_t>(*number >> 1 ^ (0 - (*number & 1))));
  }
  const Id id(bytes.substr(0, *size));
  bytes.remove_prefix(*size);
  return id;
}

std::uint32_t sum_of(std::string_view bytes) noexcept {
  return static_cast<std::uint32_t>(detail::sum64_of(std::as_bytes(std::span(bytes.data(), bytes.size()))));
}

std::string encoded(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text += kLetters[bits >> (held - 6) & 63];
  }
  if (held != 0) text += kLetters[bits << (6 - held) & 63];
  return text;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string bytes;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char letter : text) {
    const std::size_t value = kLetters.find(letter);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xFF);
  }
  return bytes;
}

[[noreturn]] void refuse(const std::string& found) {
  throw Error(ErrorCode::invalid_argument, "cursor: expected a token that Cursor::token gave, found " + found);
}

}  // namespace

std::string Cursor::token() const {
  if (position_ == 0 && !ended_) return {};
  std::string bytes{static_cast<char>(kVersion), static_cast<char>(ended_)};
  append_varint(bytes, position_);
  append_varint(bytes, num_shown_);
  bytes += shown_;
  const std::uint32_t sum = sum_of(bytes);
  for (std::size_t i = 0; i < kSumBytes; ++i) bytes += static_cast<char>(sum >> 8 * i & 0xFF);
  return encoded(bytes);
}

Cursor Cursor::from_token(std::string_view token) {
  Cursor cursor;
  if (token.empty()) return cursor;
  const std::string size = std::to_string(token.size());
  if (token.size() > kMostTokenBytes) refuse(size + " bytes, of which there are never more than 32768");
  const auto bytes = decoded(token);
  if (!bytes) refuse(size + " bytes with one that is no letter, digit, '-' or '_'");
  if (bytes->empty()) refuse("a single letter");
  const unsigned version = static_cast<unsigned char>(bytes->front());
  if (version > kVersion) {
    throw Error(ErrorCode::unsupported_version,
                "cursor: expected a token of version 1, found one of version " + std::to_string(version));
  }
  const std::string damaged = size + " letters that are cut or changed";
  if (bytes->size() < kLeastBytes) refuse(damaged);
  std::string_view rest(*bytes);
  const auto* const sum = reinterpret_cast<const std::byte*>(rest.data() + rest.size() - kSumBytes);
  rest.remove_suffix(kSumBytes);
  if (version != kVersion || detail::load_number<std::uint32_t>(sum) != sum_of(rest)) refuse(damaged);
  cursor.ended_ = rest[1] == 1;
  rest.remove_prefix(2);
  const auto position = take_varint(rest), count = take_varint(rest);
  if (!position || *position > kMostPosition || !count || *count > kMostItems) refuse(damaged);
  cursor.position_ = *position;
  cursor.num_shown_ = *count;
  cursor.shown_ = rest;
  for (std::size_t i = 0; i < *count; ++i) {
    if (!take_id(rest)) refuse(damaged);
  }
  if (!rest.empty() || cursor.token() != token) refuse(damaged);  // one token for one cursor
  return cursor;
}

std::vector<Id> Cursor::shown() const {
  std::vector<Id> ids;
  ids.reserve(num_shown_);
  std::string_view rest(shown_);
  for (std::size_t i = 0; i < num_shown_; ++i) ids.push_back(*take_id(rest));
  return ids;
}

void Cursor::advance(std::size_t k) noexcept {
  position_ = std::min(kMostPosition, position_ + std::min(k, kMostPosition));
}

void Cursor::add(const Id& item) {
  if (ended_ || item.empty()) return;
  constexpr std::size_t kMostOfNumber = 10;
  shown_.reserve(shown_.size() + 2 * kMostOfNumber + item.text().size());  // what follows cannot fail half-way
  if (item.is_number()) {
    const auto number = static_cast<std::uint64_t>(item.number());
    append_varint(shown_, 0);
    append_varint(shown_, number << 1 ^ (0 - (number >> 63)));
  } else {
    append_varint(shown_, item.text().size());
    shown_ += item.text();
  }
  ++num_shown_;
  constexpr std::size_t kFixed = 2 + 2 * 10 + kSumBytes;  // the most that is not items
  constexpr std::size_t kMostBytes = kMostTokenBytes / 4 * 3 - kFixed;
  if (num_shown_ <= kMostItems && shown_.size() <= kMostBytes) return;
  ended_ = true;
  num_shown_ = 0;
  shown_.clear();
}

}  // namespace attune::inline v0_1
