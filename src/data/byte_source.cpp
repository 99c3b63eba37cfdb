// SPDX-License-Identifier: Apache-2.0
#include "data/byte_source.hpp"

#include <lzma.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t kInputBytes = std::size_t{1} << 16;
constexpr std::uint64_t kXzMemoryLimit = std::uint64_t{256} << 20;

// A file and the part of it that was read but not yet used.
class Input {
 public:
  explicit Input(const std::filesystem::path& path) : name_(display_name(path)), file_(path), buffer_(kInputBytes) {}

  std::span<const std::byte> unused() const noexcept { return std::span(buffer_).subspan(begin_, end_ - begin_); }
  void use(std::size_t bytes) noexcept { begin_ += bytes; }
  // Call when all is used. False at the end of the file.
  bool refill() {
    begin_ = 0;
    end_ = file_.read(buffer_);
    return end_ > 0;
  }
  std::size_t read_directly(std::span<std::byte> out) { return file_.read(out); }
  std::uint64_t file_size() const noexcept { return file_.size(); }
  const std::string& name() const noexcept { return name_; }

  [[noreturn]] void corrupt(const std::string& problem) const {
    throw Error(ErrorCode::corrupt_file, name_ + ": " + problem);
  }

 private:
  std::string name_;
  platform::InputFile file_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(Input input) : input_(std::move(input)) {}

  std::size_t read(std::span<std::byte> out) override {
    const std::size_t buffered = std::min(out.size(), input_.unused().size());
    std::copy_n(input_.unused().begin(), buffered, out.begin());
    input_.use(buffered);
    return buffered + (buffered < out.size() ? input_.read_directly(out.subspan(buffered)) : 0);
  }
  std::string_view compression() const noexcept override { return "none"; }
  std::uint64_t expected_bytes() const noexcept override { return input_.file_size(); }

 private:
  Input input_;
};

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(Input input) : input_(std::move(input)) {
    constexpr int kGzipWithLargestWindow = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzipWithLargestWindow) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  std::size_t read(std::span<std::byte> out) override {
    std::size_t filled = 0;
    while (filled < out.size() && (in_member_ ? has_input() : next_member()))
      filled += inflate_some(out.subspan(filled));
    return filled;
  }
  std::string_view compression() const noexcept override { return "gzip"; }

 private:
  bool has_input() {
    if (input_.unused().empty() && !input_.refill()) input_.corrupt("the gzip stream is cut off");
    return true;
  }

  // Members follow one another; zeros may pad the end.
  bool next_member() {
    do {
      const auto bytes = input_.unused();
      const auto begin = std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; });
      input_.use(static_cast<std::size_t>(begin - bytes.begin()));
    } while (input_.unused().empty() && input_.refill());
    if (input_.unused().empty()) return false;
    inflateReset(&stream_);
    in_member_ = true;
    return true;
  }

  std::size_t inflate_some(std::span<std::byte> out) {
    const auto in = input_.unused();
    const std::size_t room = std::min<std::size_t>(out.size(), std::numeric_limits<uInt>::max());
    stream_.next_in = reinterpret_cast<z_const Bytef*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      input_.corrupt(std::string("the gzip stream is damaged") + (stream_.msg ? std::string(": ") + stream_.msg : ""));
    }
    if (status == Z_STREAM_END) in_member_ = false;
    input_.use(in.size() - stream_.avail_in);
    return room - stream_.avail_out;
  }

  Input input_;
  z_stream stream_{};
  bool in_member_ = true;
};

class XzSource final : public ByteSource {
 public:
  explicit XzSource(Input input) : input_(std::move(input)) {
    if (lzma_stream_decoder(&stream_, kXzMemoryLimit, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  ~XzSource() override { lzma_end(&stream_); }
  XzSource(const XzSource&) = delete;
  XzSource& operator=(const XzSource&) = delete;

  std::size_t read(std::span<std::byte> out) override {
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    while (stream_.avail_out > 0 && !finished_) {
      const bool more = !input_.unused().empty() || input_.refill();
      const auto in = input_.unused();
      stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
      stream_.avail_in = in.size();
      check(lzma_code(&stream_, more ? LZMA_RUN : LZMA_FINISH));
      input_.use(in.size() - stream_.avail_in);
    }
    return out.size() - stream_.avail_out;
  }
  std::string_view compression() const noexcept override { return "xz"; }

 private:
  void check(lzma_ret status) {
    switch (status) {
      case LZMA_OK: return;
      case LZMA_STREAM_END: finished_ = true; return;
      case LZMA_MEM_ERROR: throw std::bad_alloc();
      case LZMA_BUF_ERROR: input_.corrupt("the xz stream is cut off");
      case LZMA_MEMLIMIT_ERROR:
        throw Error(ErrorCode::limit_exceeded, input_.name() + ": expected an xz stream that needs at most " +
                                                   std::to_string(kXzMemoryLimit >> 20) + " MiB, found one for " +
                                                   std::to_string(lzma_memusage(&stream_) >> 20) + " MiB");
      default: input_.corrupt("the xz stream is damaged or followed by other bytes");
    }
  }

  Input input_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool finished_ = false;
};

class Latin1Source final : public ByteSource {
 public:
  explicit Latin1Source(std::unique_ptr<ByteSource> source) : source_(std::move(source)), buffer_(kInputBytes) {}

  std::size_t read(std::span<std::byte> out) override {
    std::size_t filled = 0;
    while (filled < out.size() && (begin_ < end_ || refill())) {
      const auto byte = std::to_integer<unsigned>(buffer_[begin_]);
      if (byte < 0x80) {
        out[filled++] = buffer_[begin_++];
      } else if (!std::exchange(half_way_, !half_way_)) {
        out[filled++] = static_cast<std::byte>(0xC0 | byte >> 6);
      } else {
        out[filled++] = static_cast<std::byte>(0x80 | (byte & 0x3F));
        ++begin_;
      }
    }
    return filled;
  }
  std::string_view compression() const noexcept override { return source_->compression(); }
  std::uint64_t expected_bytes() const noexcept override { return source_->expected_bytes(); }

 private:
  bool refill() {
    begin_ = 0;
    end_ = source_->read(buffer_);
    return end_ > 0;
  }

  std::unique_ptr<ByteSource> source_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool half_way_ = false;  // the first of the two bytes is out
};

// A source whose first bytes were read before.
class PeekedSource final : public ByteSource {
 public:
  PeekedSource(std::string start, std::unique_ptr<ByteSource> rest)
      : start_(std::move(start)), rest_(std::move(rest)) {}

  std::size_t read(std::span<std::byte> out) override {
    const auto known = std::as_bytes(std::span(start_)).subspan(given_);
    const std::size_t count = std::min(known.size(), out.size());
    std::copy_n(known.begin(), count, out.begin());
    given_ += count;
    return count + (count < out.size() ? rest_->read(out.subspan(count)) : 0);
  }
  std::string_view compression() const noexcept override { return rest_->compression(); }
  std::uint64_t expected_bytes() const noexcept override { return rest_->expected_bytes(); }

 private:
  std::string start_;
  std::unique_ptr<ByteSource> rest_;
  std::size_t given_ = 0;
};

void refuse_unreadable(const Input& input, std::string_view start) {
  constexpr std::array<std::pair<std::string_view, const char*>, 4> kUnreadable{{{"PK\3\4"sv, "a zip archive"},
                                                                                 {"\x28\xB5\x2F\xFD"sv, "zstd"},
                                                                                 {"\xFF\xFE"sv, "UTF-16 text"},
                                                                                 {"\xFE\xFF"sv, "UTF-16 text"}}};
  for (const auto& [magic, name] : kUnreadable) {
    if (!start.starts_with(magic)) continue;
    throw Error(ErrorCode::unsupported,
                input.name() + ": expected UTF-8 text, plain or compressed with gzip or xz; found " + name);
  }
}

}  // namespace

std::string display_name(const std::filesystem::path& path) { return path == "-" ? "standard input" : path.string(); }

std::string peek(std::unique_ptr<ByteSource>& source, std::size_t count) {
  std::string start(count, '\0');
  start.resize(source->read(std::as_writable_bytes(std::span(start))));
  source = std::make_unique<PeekedSource>(start, std::move(source));
  return start;
}

std::unique_ptr<ByteSource> from_latin_1(std::unique_ptr<ByteSource> source) {
  return std::make_unique<Latin1Source>(std::move(source));
}

std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path) {
  Input input(path);
  input.refill();
  const std::string_view start(reinterpret_cast<const char*>(input.unused().data()), input.unused().size());
  if (start.starts_with("\x1F\x8B"sv)) return std::make_unique<GzipSource>(std::move(input));
  if (start.starts_with("\xFD"
                        "7zXZ\0"sv))
    return std::make_unique<XzSource>(std::move(input));
  refuse_unreadable(input, start);
  return std::make_unique<PlainSource>(std::move(input));
}

}  // namespace attune::inline v0_1::detail
