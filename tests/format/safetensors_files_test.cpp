// SPDX-License-Identifier: Apache-2.0
// Safetensors files as the file system gives them: S09, S10 at full size, S59 to S61, and what a file on disk has in
// common with one in memory.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "format/allocation_meter.hpp"
#include "format/safetensors_bytes.hpp"
#include "platform/failing_calls.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

std::optional<Error> error_of_opening(const std::filesystem::path& path) {
  try {
    SafetensorsFile::open(path);
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

void require_error(const std::optional<Error>& error, ErrorCode code, const std::string& part) {
  REQUIRE(error);
  INFO(error->what());
  CHECK(error->code() == code);
  CHECK(std::string(error->what()).find(part) != std::string::npos);
}

std::filesystem::path file_to_shorten;

}  // namespace

TEST_CASE("A file on disk holds what the same bytes hold in memory", "[format][safetensors]") {
  const TemporaryDirectory directory;
  const Bytes bytes = small_file();
  write_bytes(directory / "small.safetensors", bytes);
  const auto on_disk = SafetensorsFile::open(directory / "small.safetensors");
  const auto in_memory = SafetensorsFile::parse(bytes, "small");
  read_everything(on_disk);
  CHECK(on_disk.metadata() == in_memory.metadata());
  REQUIRE(on_disk.tensors().size() == in_memory.tensors().size());
  for (std::size_t i = 0; i < on_disk.tensors().size(); ++i) {
    const auto a = on_disk.bytes(on_disk.tensors()[i]), b = in_memory.bytes(in_memory.tensors()[i]);
    CHECK(on_disk.tensors()[i].name == in_memory.tensors()[i].name);
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

TEST_CASE("Safetensors cases S09, S10: a long header is refused before memory is taken for it",
          "[format][safetensors]") {
  const TemporaryDirectory directory;
  const std::uint64_t length = GENERATE(100'000'000u, 100'000'001u);
  write_text(directory / "sparse", length_prefix(length));
  std::filesystem::resize_file(directory / "sparse", 8 + length);
  std::optional<Error> error;
  std::size_t peak = 0;
  {
    const AllocationMeter meter;
    error = error_of_opening(directory / "sparse");
    peak = meter.peak();
  }
  CHECK(peak < 1 << 20);
  if (length == 100'000'000) require_error(error, ErrorCode::limit_exceeded, "the limit is 16777216");
  if (length == 100'000'001) require_error(error, ErrorCode::corrupt_file, "header too large");
}

TEST_CASE("Safetensors case S59: a file that is shortened while it is read", "[format][safetensors]") {
  const TemporaryDirectory directory;
  file_to_shorten = directory / "file";
  const int at_read = GENERATE(0, 1, 2);  // of the length, the header, the data
  write_bytes(file_to_shorten, small_file());
  std::optional<Error> error;
  {
    Faults faults;
    faults.before_read = at_read == 0   ? [](int number) { if (number == 0) std::filesystem::resize_file(file_to_shorten, 4); }
                         : at_read == 1 ? [](int number) { if (number == 1) std::filesystem::resize_file(file_to_shorten, 20); }
                                        : [](int number) { if (number == 2) std::filesystem::resize_file(file_to_shorten, 1000); };
    error = error_of_opening(file_to_shorten);
  }
  require_error(error, ErrorCode::io_error, "shortened");
}

TEST_CASE("Safetensors case S60: what is not a regular file", "[format][safetensors]") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  std::filesystem::create_symlink("loop", directory / "loop");
  require_error(error_of_opening(directory.path()), ErrorCode::io_error, "Is a directory");
  require_error(error_of_opening(directory / "fifo"), ErrorCode::io_error, "Not a regular file");
  require_error(error_of_opening("/dev/zero"), ErrorCode::io_error, "Not a regular file");
  require_error(error_of_opening(directory / "loop"), ErrorCode::io_error, "symbolic links");
}

TEST_CASE("Safetensors case S61: missing, and without permission", "[format][safetensors]") {
  const TemporaryDirectory directory;
  require_error(error_of_opening(directory / "missing"), ErrorCode::io_error, "No such file or directory");
  if (::geteuid() == 0) {
    WARN("the second half is skipped: permissions do not bind the superuser");
    return;
  }
  write_bytes(directory / "secret", small_file());
  std::filesystem::permissions(directory / "secret", std::filesystem::perms::none);
  require_error(error_of_opening(directory / "secret"), ErrorCode::io_error, "Permission denied");
}
