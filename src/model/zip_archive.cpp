// SPDX-License-Identifier: Apache-2.0
#include "model/zip_archive.hpp"

#include <zlib.h>

#include <limits>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Signatures, and bytes of what is fixed, of the three kinds of records.
constexpr std::uint32_t kLocal = 0x04034B50, kCentral = 0x02014B50, kEnd = 0x06054B50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr unsigned kStored = 0, kDeflated = 8;
constexpr std::uint64_t kMostInflation = 1032;                                   // what a byte of deflate can become
constexpr std::uint32_t kElsewhere = std::numeric_limits<std::uint32_t>::max();  // in a record for more than 4 GiB

}  // namespace

ZipArchive::ZipArchive(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {
  const std::size_t end = find_end();
  std::size_t at = number<std::uint32_t>(end + 16);
  for (unsigned left = number<std::uint16_t>(end + 10); left > 0; --left) {
    if (number<std::uint32_t>(at) != kCentral) fail("expected a member in its directory, found something else");
    const std::size_t name = number<std::uint16_t>(at + 28), extra = number<std::uint16_t>(at + 30),
                      comment = number<std::uint16_t>(at + 32);
    const auto text = part(at + kCentralBytes, name);
    const Member member{.name = {reinterpret_cast<const char*>(text.data()), text.size()},
                        .method = number<std::uint16_t>(at + 10),
                        .checksum = number<std::uint32_t>(at + 16),
                        .packed = number<std::uint32_t>(at + 20),
                        .size = number<std::uint32_t>(at + 24),
                        .header = number<std::uint32_t>(at + 42)};
    if (member.packed == kElsewhere || member.size == kElsewhere || member.header == kElsewhere) {
      throw Error(ErrorCode::unsupported, file_ + ": expected members of at most 4 GiB, found a larger one");
    }
    members_.push_back(member);
    at += kCentralBytes + name + extra + comment;
  }
}

std::vector<std::byte> ZipArchive::unpack(const Member& member) const {
  if (number<std::uint32_t>(member.header) != kLocal) fail("expected a member, found something else");
  const std::size_t name = number<std::uint16_t>(member.header + 26), extra = number<std::uint16_t>(member.header + 28);
  const bool encrypted = (number<std::uint16_t>(member.header + 6) & 1u) != 0;
  if (encrypted || (member.method != kStored && member.method != kDeflated)) {
    throw Error(ErrorCode::unsupported, file_ + ": " + in_quotes(member.name, '"') +
                                            ": expected a member that is stored or deflated, found another");
  }
  const auto packed = part(member.header + kLocalBytes + name + extra, member.packed);
  std::vector<std::byte> bytes =
      member.method == kStored ? std::vector<std::byte>(packed.begin(), packed.end()) : inflate(packed, member.size);
  const auto checksum = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  if (bytes.size() != member.size || checksum != member.checksum) {
    fail(in_quotes(member.name, '"') + ": expected the bytes that its checksum is of, found others");
  }
  return bytes;
}

template <class Number>
Number ZipArchive::number(std::size_t at) const {
  return load_number<Number>(part(at, sizeof(Number)).data());
}

std::span<const std::byte> ZipArchive::part(std::size_t at, std::size_t size) const {
  if (at > bytes_.size() || size > bytes_.size() - at) fail("expected more bytes, found its end");
  return bytes_.subspan(at, size);
}

// The last record, which a comment may follow.
std::size_t ZipArchive::find_end() const {
  constexpr std::size_t kMostComment = std::numeric_limits<std::uint16_t>::max();
  for (std::size_t comment = 0; comment <= kMostComment && comment + kEndBytes <= bytes_.size(); ++comment) {
    const std::size_t at = bytes_.size() - kEndBytes - comment;
    if (number<std::uint32_t>(at) == kEnd && number<std::uint16_t>(at + 20) == comment) return at;
  }
  fail("expected the directory of a zip archive at its end, found none");
}

std::vector<std::byte> ZipArchive::inflate(std::span<const std::byte> packed, std::size_t size) const {
  if (size / kMostInflation > packed.size()) fail("expected bytes that can be unpacked, found too few");
  std::vector<std::byte> bytes(size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    throw Error(ErrorCode::limit_exceeded, file_ + ": no memory to unpack");
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = ::inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!whole) fail("expected deflated bytes of the size that they say, found others");
  return bytes;
}

void ZipArchive::fail(const std::string& what) const { throw Error(ErrorCode::corrupt_file, file_ + ": " + what); }

}  // namespace attune::inline v0_1::detail
