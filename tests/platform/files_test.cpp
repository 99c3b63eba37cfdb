// SPDX-License-Identifier: Apache-2.0
#include "platform/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <map>
#include <optional>

#include "attune/error.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "platform/failing_calls.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using attune::test::error_of;
using attune::test::Faults;
using attune::test::read_text;
using attune::test::TemporaryDirectory;
using attune::test::write_text;
namespace fs = std::filesystem;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

using Content = std::map<std::string, std::string>;

// Names (relative) and texts of everything below a directory.
Content content_of(const fs::path& directory) {
  Content content;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    content[entry.path().lexically_relative(directory).string()] = entry.is_directory() ? "/" : read_text(entry);
  }
  return content;
}

const std::string kMarker = "manifest.json";
const Content kOld{{"manifest.json", "old"}, {"histories.bin", "old histories"}};
const Content kNew{{"manifest.json", "new"}, {"weights", std::string(100'000, 'w')}};

void replace(const fs::path& directory, const Content& content, platform::Swap swap = platform::Swap::exchange) {
  std::vector<platform::NamedBytes> files;
  for (const auto& [name, text] : content) files.push_back({name, std::as_bytes(std::span(text))});
  platform::replace_directory(directory, files, kMarker, swap);
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void append(platform::AppendFile& file, const std::string& record) { file.append(std::as_bytes(std::span(record))); }

Content inside(const std::string& name, const Content& content) {
  Content all{{name, "/"}};
  for (const auto& [file, text] : content) all[name + "/" + file] = text;
  return all;
}

}  // namespace

TEST_CASE("A file is read whole", "[platform][files]") {
  const TemporaryDirectory directory;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{70'001}}) {
    const std::string text(size, 'x');
    write_text(directory / "file", text);
    const auto bytes = platform::read_file(directory / "file");
    REQUIRE(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == text);
  }
}

TEST_CASE("Interrupted and short reads are continued", "[platform][files]") {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i);
  write_text(directory / "file", text);

  std::vector<std::byte> whole, streamed(text.size() + 10);
  std::size_t count = 0;
  {
    Faults faults;
    faults.interrupted = true;
    faults.most_bytes = 7;
    whole = platform::read_file(directory / "file");
    platform::InputFile input(directory / "file");
    count = input.read(streamed);
  }
  REQUIRE(std::string(reinterpret_cast<const char*>(whole.data()), whole.size()) == text);
  REQUIRE(std::string(reinterpret_cast<const char*>(streamed.data()), count) == text);
}

TEST_CASE("What is not a regular file is refused without waiting for it", "[platform][files]") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  fs::create_symlink("loop", directory / "loop");
  const std::map<fs::path, std::string> refused{
      {directory.path(), "Is a directory"},    {directory / "fifo", "Not a regular file"},
      {"/dev/zero", "Not a regular file"},     {directory / "loop", "symbolic links"},
      {directory / "missing", "No such file"},
  };
  for (const auto& [path, reason] : refused) {
    INFO(path);
    const auto error = error_of([&file = path] { platform::read_file(file); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(contains(error->what(), path.string()));
    CHECK(contains(error->what(), reason));
  }
}

TEST_CASE("A directory is no input file", "[platform][files]") {
  const TemporaryDirectory directory;
  const auto error = error_of([&] { platform::InputFile{directory.path()}; });
  REQUIRE(error);
  REQUIRE(contains(error->what(), "Is a directory"));
}

TEST_CASE("A file without read permission gives the system's reason", "[platform][files]") {
  if (::geteuid() == 0) {
    WARN("skipped: permissions do not bind the superuser");
    return;
  }
  const TemporaryDirectory directory;
  write_text(directory / "file", "secret");
  fs::permissions(directory / "file", fs::perms::none);
  const auto error = error_of([&] { platform::read_file(directory / "file"); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::io_error);
  CHECK(contains(error->what(), "Permission denied"));
}

TEST_CASE("A file that is longer than allowed is not read", "[platform][files]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "0123456789");
  CHECK(platform::read_file(directory / "file", 10).size() == 10);
  const auto error = error_of([&] { platform::read_file(directory / "file", 9); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::limit_exceeded);
}

TEST_CASE("A file that is shortened while it is read gives an error", "[platform][files]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", std::string(10'000, 'x'));
  platform::RegularFile file(directory / "file");
  REQUIRE(file.read(4000).size() == 4000);
  fs::resize_file(directory / "file", 5000);
  const auto error = error_of([&] { file.read(6000); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::io_error);
  CHECK(contains(error->what(), "shortened"));
}

TEST_CASE("More bytes than there is memory for give an error", "[platform][files]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "x");
  platform::RegularFile file(directory / "file");
  const auto error = error_of([&] { file.read(std::uint64_t{1} << 63); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::limit_exceeded);
}

TEST_CASE("A directory is created, with its parents, and replaced as a whole", "[platform][files]") {
  const TemporaryDirectory directory;
  const auto swap = GENERATE(platform::Swap::exchange, platform::Swap::two_renames);
  replace(directory / "a/b/model", kOld, swap);
  REQUIRE(content_of(directory / "a/b") == inside("model", kOld));
  replace(directory / "a/b/model/", kNew, swap);
  REQUIRE(content_of(directory / "a/b") == inside("model", kNew));
}

TEST_CASE("A file system that cannot exchange is served with two renames", "[platform][files]") {
  const TemporaryDirectory directory;
  replace(directory / "model", kOld);
  {
    Faults faults;
    faults.no_exchange = true;
    replace(directory / "model", kNew);
  }
  REQUIRE(content_of(directory.path()) == inside("model", kNew));
}

TEST_CASE("Interrupted and short writes are continued", "[platform][files]") {
  const TemporaryDirectory directory;
  {
    Faults faults;
    faults.interrupted = true;
    faults.most_bytes = 4096;
    replace(directory / "model", kNew);
  }
  REQUIRE(content_of(directory.path()) == inside("model", kNew));
}

TEST_CASE("An empty directory and the target of a link are replaced, permissions stay", "[platform][files]") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "real");
  fs::permissions(directory / "real", fs::perms::owner_all);
  fs::create_symlink("real", directory / "link");
  replace(directory / "link", kNew);
  CHECK(fs::is_symlink(directory / "link"));
  CHECK(content_of(directory / "real") == kNew);
  CHECK(fs::status(directory / "real").permissions() == fs::perms::owner_all);
}

TEST_CASE("What is no model is not replaced", "[platform][files]") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "photos");
  write_text(directory / "photos/cat.jpg", "cat");
  write_text(directory / "file", "text");
  const Content before = content_of(directory.path());

  const auto foreign = error_of([&] { replace(directory / "photos", kNew); });
  REQUIRE(foreign);
  CHECK(foreign->code() == ErrorCode::invalid_argument);
  CHECK(contains(foreign->what(), "manifest.json"));
  const std::string path = GENERATE("file", "file/model", "file/deep/model");
  const auto file = error_of([&] { replace(directory / path, kNew); });
  REQUIRE(file);
  CHECK(file->code() == ErrorCode::io_error);
  CHECK(contains(file->what(), "Not a directory"));
  CHECK(content_of(directory.path()) == before);
}

TEST_CASE("Where nothing can be made is found out without writing", "[platform][files]") {
  const TemporaryDirectory directory;
  fs::create_symlink("nowhere", directory / "dangling");
  const Content before = content_of(directory.path());
  for (const fs::path& path : {directory / "dangling", directory / "dangling/model", fs::path("/proc/model")}) {
    INFO(path);
    const auto error = error_of([&] { platform::check_replaceable(path, kMarker); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(contains(error->what(), "No such file or directory"));
  }
  platform::check_replaceable(directory / "a/b/model", kMarker);
  CHECK(content_of(directory.path()) == before);
}

TEST_CASE("Whether a file can be put somewhere is found out without writing", "[platform][files]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "old");
  fs::create_symlink("nowhere", directory / "dangling");
  const Content before = content_of(directory.path());
  const std::vector<std::pair<fs::path, std::string>> refused{{directory.path(), "Is a directory"},
                                                              {directory / "new/", "Is a directory"},
                                                              {directory / "dangling", "Not a regular file"},
                                                              {directory / "file/report", "Not a directory"},
                                                              {directory / "file/deep/report", "Not a directory"},
                                                              {"/dev/null", "Not a regular file"},
                                                              {"/proc/report", "No such file or directory"}};
  for (const auto& [path, reason] : refused) {
    INFO(path);
    const auto error = error_of([path = path] { platform::check_file_replaceable(path); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(contains(error->what(), reason));
  }
  platform::check_file_replaceable(directory / "file");
  platform::check_file_replaceable(directory / "a/b/report");
  CHECK(content_of(directory.path()) == before);
}

TEST_CASE("What killed processes have left is removed, and what others are writing stays", "[platform][files]") {
  const TemporaryDirectory directory;
  for (const char* name : {".model.saving-4711-0", ".model.saving-4711-1.aside", ".model.saving-12-0",
                           ".model.saving-notes", ".other.saving-4711-0", "model.saving-4711-0"}) {
    fs::create_directory(directory / name);
    write_text(directory / name / "weights", "w");
  }
  const int other = ::open((directory / ".model.saving-12-0").c_str(), O_RDONLY | O_DIRECTORY);
  REQUIRE(::flock(other, LOCK_EX | LOCK_NB) == 0);
  const auto swap = GENERATE(platform::Swap::exchange, platform::Swap::two_renames);
  if (GENERATE(true, false)) replace(directory / "model", kOld, swap);
  replace(directory / "model", kNew, swap);
  ::close(other);

  Content expected = inside("model", kNew);
  for (const char* name : {".model.saving-12-0", ".model.saving-notes", ".other.saving-4711-0", "model.saving-4711-0"})
    expected.merge(inside(name, {{"weights", "w"}}));
  CHECK(content_of(directory.path()) == expected);
}

TEST_CASE("A failed save removes nothing that others have left", "[platform][files]") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / ".model.saving-4711-0");
  const Content before = content_of(directory.path());
  {
    Faults faults;
    faults.fail_at = 3;
    faults.error = EIO;
    CHECK(error_of([&] { replace(directory / "model", kNew); }));
  }
  CHECK(content_of(directory.path()) == before);
}

TEST_CASE("Wherever a call fails, the old directory is intact and nothing is left beside it", "[platform][files]") {
  const auto swap = GENERATE(platform::Swap::exchange, platform::Swap::two_renames);
  const bool replaces = GENERATE(true, false);
  const int code = GENERATE(ENOSPC, EIO);
  const TemporaryDirectory directory;
  if (replaces) replace(directory / "model", kOld);
  const Content before = content_of(directory.path());

  int failures = 0;
  for (;; ++failures) {
    std::optional<Error> error;
    {
      Faults faults;
      faults.fail_at = failures;
      faults.error = code;
      error = error_of([&] { replace(directory / "model", kNew, swap); });
    }
    if (!error) break;
    INFO("call " << failures);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(contains(error->what(), code == ENOSPC ? "No space left on device" : "Input/output error"));
    CHECK(content_of(directory.path()) == before);
  }
  // mkdir; write and fsync of two files; fsync of their directory; at least one rename; fsync of the parent.
  CHECK(failures >= 8);
  CHECK(content_of(directory.path()) == inside("model", kNew));
}

TEST_CASE("Some files of a directory are replaced together or not at all, the others stay the same files",
          "[platform][files]") {
  const bool no_links = GENERATE(false, true);
  const TemporaryDirectory directory;
  const fs::path model = directory / "model";
  replace(model, kOld);
  write_text(model / "weights", "w");
  fs::create_hard_link(model / "weights", directory / "witness");
  const Content before = content_of(directory.path());
  const std::string text = "new";
  const std::vector<platform::NamedBytes> files{{"manifest.json", std::as_bytes(std::span(text))},
                                                {"histories.bin", std::as_bytes(std::span(text))}};
  int failures = 0;
  for (;; ++failures) {
    std::optional<Error> error;
    {
      Faults faults;
      faults.fail_at = failures;
      faults.error = EIO;
      faults.no_links = no_links;
      error = error_of([&] { platform::replace_files(model, files, kMarker); });
    }
    if (!error) break;
    INFO("call " << failures);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(content_of(directory.path()) == before);
  }
  // mkdir; write and fsync of two files; a link, or writing a copy; fsync of their directory; rename; fsync of the
  // parent.
  CHECK(failures == (no_links ? 10 : 9));
  Content expected = inside("model", {{"manifest.json", "new"}, {"histories.bin", "new"}, {"weights", "w"}});
  expected["witness"] = "w";
  CHECK(content_of(directory.path()) == expected);
  CHECK(fs::equivalent(directory / "witness", model / "weights") == !no_links);
  CHECK(error_of([&] { platform::replace_files(directory / "none", files, kMarker); }));
}

TEST_CASE("A file is replaced durably, as a whole or not at all", "[platform][files]") {
  const bool replaces = GENERATE(true, false);
  const TemporaryDirectory directory;
  if (replaces) write_text(directory / "state", "old");
  const Content before = content_of(directory.path());
  const std::string text(100'000, 'n');
  int failures = 0;
  for (;; ++failures) {
    std::optional<Error> error;
    {
      Faults faults;
      faults.fail_at = failures;
      faults.error = EIO;
      error = error_of([&] { platform::replace_file(directory / "state", std::as_bytes(std::span(text))); });
    }
    if (!error) break;
    INFO("call " << failures);
    CHECK(error->code() == ErrorCode::io_error);
    const Content after = content_of(directory.path());
    // Only the sync of the directory comes behind the replacement.
    if (failures < 4) CHECK(after == before);
    CHECK(after.size() <= 1);
  }
  CHECK(failures == 5);  // mkdir, write, fsync, rename, fsync of the directory
  CHECK(content_of(directory.path()) == Content{{"state", text}});
}

TEST_CASE("What only its user may see nobody else does, and what fails while it is written leaves nothing",
          "[platform][files]") {
  const TemporaryDirectory directory;
  const auto mode = [&](const std::string& name) {
    return fs::status(directory / name).permissions() & fs::perms::all;
  };
  const std::string text = "new";
  const auto write = [&](platform::OutputFile& file) {
    file.write(std::as_bytes(std::span(text)));
    file.write(std::as_bytes(std::span(text)));
  };
  const auto fail = [](const auto&) { throw Error(ErrorCode::corrupt_file, "half"); };
  platform::replace_file(directory / "file", platform::Access::owner_only, write);
  CHECK(mode("file") == (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(read_text(directory / "file") == "newnew");
  CHECK(error_of([&] { platform::replace_file(directory / "file", platform::Access::owner_only, fail); }));

  const auto fill = [&](const fs::path& fresh) {
    platform::OutputFile file(fresh / kMarker, platform::Access::owner_only);
    write(file);
    file.finish();
  };
  platform::replace_directory(directory / "model", kMarker, platform::Access::owner_only, fill);
  CHECK(mode("model") == fs::perms::owner_all);
  const auto fill_and_fail = [&](const fs::path& fresh) {
    fill(fresh);
    fail(fresh);
  };
  CHECK(error_of(
      [&] { platform::replace_directory(directory / "model", kMarker, platform::Access::owner_only, fill_and_fail); }));
  CHECK(content_of(directory.path()) == Content{{"file", "newnew"}, {"model", "/"}, {"model/manifest.json", "newnew"}});
}

TEST_CASE("A file that is there is not created, and one that cannot be written leaves nothing", "[platform][files]") {
  const TemporaryDirectory directory;
  const std::string text = "key";
  const auto create = [&] {
    platform::create_file(directory / "deeper/key", std::as_bytes(std::span(text)), platform::Access::owner_only);
  };
  create();
  CHECK(error_of(create)->code() == ErrorCode::io_error);
  CHECK(read_text(directory / "deeper/key") == text);
  fs::remove(directory / "deeper/key");
  for (int call = 0;; ++call) {
    INFO(call);
    std::optional<Error> error;
    {
      Faults faults;
      faults.fail_at = call;
      faults.error = ENOSPC;
      error = error_of(create);
      if (faults.calls <= call) break;
    }
    CHECK(error);
    CHECK_FALSE(fs::exists(directory / "deeper/key"));
  }
}

TEST_CASE("What an interrupted replacement left goes with the next one, and with the file", "[platform][files]") {
  const TemporaryDirectory directory;
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  const auto leave = [&] {
    fs::create_directory(directory / ".state.saving-1-0");
    write_text(directory / ".state.saving-1-0/state", "half");
  };
  leave();
  const std::string text = "whole";
  platform::replace_file(directory / "state", bytes(text));
  CHECK(content_of(directory.path()) == Content{{"state", text}});
  leave();
  platform::remove_file(directory / "state");
  CHECK(content_of(directory.path()).empty());
  platform::remove_file(directory / "state");
  platform::replace_file(directory / "a/b/state", bytes(text));
  CHECK(read_text(directory / "a/b/state") == text);
}

TEST_CASE("A file is replaced beside others of any name, and while somebody else replaces it", "[platform][files]") {
  const TemporaryDirectory directory;
  const std::string text = "whole";
  Content expected;
  for (const std::string name : {"state.new", "state.tmp", ".state", ".state.saving-", ".state.saving-1-0x"}) {
    write_text(directory / name, expected[name] = "of somebody else");
  }
  platform::replace_file(directory / "state", platform::Access::by_umask, [&](platform::OutputFile& outer) {
    platform::replace_file(directory / "state", std::as_bytes(std::span(text)));
    outer.write(std::as_bytes(std::span(text)));
    outer.write(std::as_bytes(std::span(text)));
  });
  expected["state"] = text + text;
  CHECK(content_of(directory.path()) == expected);
  platform::remove_file(directory / "state");
  expected.erase("state");
  CHECK(content_of(directory.path()) == expected);
}

TEST_CASE("A file that is replaced leaves its permissions, and a link to it stays one", "[platform][files]") {
  const TemporaryDirectory directory;
  const std::string text = "new";
  fs::create_directory(directory / "deeper");
  write_text(directory / "deeper/file", "old");
  const fs::perms own = fs::perms::owner_read | fs::perms::owner_write;
  fs::permissions(directory / "deeper/file", own);
  fs::create_symlink("deeper/file", directory / "link");
  platform::replace_file(directory / "link", std::as_bytes(std::span(text)));
  CHECK(fs::is_symlink(directory / "link"));
  CHECK(read_text(directory / "deeper/file") == text);
  CHECK(fs::status(directory / "deeper/file").permissions() == own);
  fs::permissions(directory / "deeper/file", own | fs::perms::others_read);
  const auto write = [&](platform::OutputFile& file) { file.write(std::as_bytes(std::span(text))); };
  platform::replace_file(directory / "deeper/file", platform::Access::owner_only, write);
  CHECK(fs::status(directory / "deeper/file").permissions() == own);
}

TEST_CASE("What is no regular file is not replaced, and nothing is written for it", "[platform][files]") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  fs::create_directory(directory / "directory");
  fs::create_symlink("missing", directory / "link");
  const std::map<std::string, std::string> refused{{"fifo", "Not a regular file"},
                                                   {"directory", "Is a directory"},
                                                   {"directory/", "Is a directory"},
                                                   {"new/", "Is a directory"},
                                                   {"link", "Not a regular file"}};
  for (const auto& [name, reason] : refused) {
    INFO(name);
    int written = 0;
    const fs::path path = directory / name;
    const auto error = error_of(
        [&] { platform::replace_file(path, platform::Access::by_umask, [&](platform::OutputFile&) { ++written; }); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::io_error);
    CHECK(contains(error->what(), path.string()));
    CHECK(contains(error->what(), reason));
    CHECK(written == 0);
  }
  CHECK(fs::is_fifo(directory / "fifo"));
  CHECK(fs::is_symlink(directory / "link"));
}

TEST_CASE("A full disk leaves the old directory intact", "[platform][files]") {
  const TemporaryDirectory directory;
  replace(directory / "model", kOld);

  struct rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 50'000, before.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto error = error_of([&] { replace(directory / "model", kNew); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);

  REQUIRE(error);
  CHECK(error->code() == ErrorCode::io_error);
  CHECK(contains(error->what(), "weights"));
  CHECK(content_of(directory.path()) == inside("model", kOld));
}

TEST_CASE("An unwritable parent gives an error before anything is written", "[platform][files]") {
  if (::geteuid() == 0) {
    WARN("skipped: permissions do not bind the superuser");
    return;
  }
  const TemporaryDirectory directory;
  fs::permissions(directory.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const auto error = error_of([&] { platform::check_replaceable(directory / "model", kMarker); });
  fs::permissions(directory.path(), fs::perms::owner_all);
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::io_error);
  CHECK(contains(error->what(), "Permission denied"));
}

TEST_CASE("A file grows by records, is shortened, and keeps what it had when it is opened again", "[platform][files]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "new" / "folder" / "journal";
  {
    platform::AppendFile file(path);
    CHECK(file.read().empty());
    append(file, "one\n");
    append(file, "two\nto");
    CHECK(read_text(path) == "one\ntwo\nto");
  }
  platform::AppendFile file(path);
  CHECK(text_of(file.read()) == "one\ntwo\nto");
  file.shorten(8);
  append(file, "three\n");
  CHECK(text_of(file.read()) == "one\ntwo\nthree\n");
}

TEST_CASE("Interrupted and short writes of a record are continued", "[platform][files]") {
  const TemporaryDirectory directory;
  platform::AppendFile file(directory / "journal");
  Faults faults;
  faults.interrupted = true;
  faults.most_bytes = 7;
  append(file, std::string(100, 'x'));
  CHECK(text_of(file.read()) == std::string(100, 'x'));
}

TEST_CASE("A file that grows belongs to one at a time", "[platform][files]") {
  const TemporaryDirectory directory;
  std::optional<platform::AppendFile> first(std::in_place, directory / "journal");
  const auto error = error_of([&] { platform::AppendFile second(directory / "journal"); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::io_error);
  CHECK(contains(error->what(), "another process is writing it"));
  first.reset();
  platform::AppendFile third(directory / "journal");
}

TEST_CASE("After a write or a sync that failed a growing file stays failed", "[platform][files]") {
  const TemporaryDirectory directory;
  for (const int call : {0, 1}) {  // write, fsync
    platform::AppendFile file(directory / ("journal-" + std::to_string(call)));
    append(file, "one\n");
    {
      Faults faults;
      faults.fail_at = call;
      faults.error = ENOSPC;
      const auto error = error_of([&] { append(file, "two\n"); });
      REQUIRE(error);
      CHECK(error->code() == ErrorCode::io_error);
      CHECK(contains(error->what(), "No space left"));
    }
    const auto error = error_of([&] { append(file, "three\n"); });
    REQUIRE(error);
    CHECK(contains(error->what(), "an earlier write failed"));
  }
}

TEST_CASE("What cannot grow is refused", "[platform][files]") {
  const TemporaryDirectory directory;
  CHECK(error_of([&] { platform::AppendFile file(directory.path()); }));
  write_text(directory / "file", "");
  CHECK(error_of([&] { platform::AppendFile file(directory / "file" / "journal"); }));
}
