// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/sealing.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <new>
#include <optional>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "catch.hpp"
#include "data/little_endian.hpp"
#include "errors.hpp"
#include "model/model_files.hpp"
#include "privacy/hexadecimal.hpp"
#include "privacy/sealed_stream.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using test::error_of;
using test::from_hex;
using test::read_text;
using test::TemporaryDirectory;
using test::write_bytes;
using test::write_text;
namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

namespace {

constexpr std::size_t kPrefix = 8 + 24, kPart = detail::kPartBytes, kSealedPart = kPart + detail::kTagBytes;

HostKey key_of(unsigned char first) {
  Bytes bytes(HostKey::kSize);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte{static_cast<unsigned char>(first + i)};
  return HostKey::from_bytes(bytes);
}

const HostKey kKey = key_of(0), kOther = key_of(1);

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

Bytes noise(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = std::byte{static_cast<unsigned char>(i * 131 + i / 251)};
  return bytes;
}

bool refused(const Bytes& sealed, const HostKey& key = kKey) {
  const auto error = error_of([&] { unseal(sealed, key); });
  return error && error->code() == ErrorCode::corrupt_file;
}

Bytes concatenated(std::initializer_list<std::span<const std::byte>> parts) {
  Bytes all;
  for (const auto part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

bool owner_only(const fs::path& path) {
  using enum fs::perms;
  return (fs::status(path).permissions() & (group_all | others_all)) == none;
}

std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory))
    files[entry.path().filename().string()] = read_text(entry);
  return files;
}

struct Listed {
  std::string name;
  std::uint64_t size;
};

// Sealed with the right key, by somebody who is free to say what is in it.
Bytes forged_model(const std::vector<Listed>& files, std::string_view content) {
  Bytes plain, sealed;
  detail::append_number(plain, static_cast<std::uint32_t>(files.size()));
  for (const Listed& file : files) {
    detail::append_number(plain, static_cast<std::uint32_t>(file.name.size()));
    detail::append_array(plain, std::span<const char>(file.name));
    detail::append_number(plain, file.size);
  }
  detail::append_array(plain, std::span<const char>(content.data(), content.size()));
  detail::Sealer sealer(SealedContent::model, kKey, [&](std::span<const std::byte> part) {
    sealed.insert(sealed.end(), part.begin(), part.end());
  });
  sealer.add(plain);
  sealer.finish();
  return sealed;
}

}  // namespace

TEST_CASE("What was sealed comes back, whatever its length", "[privacy][sealing]") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kPart - 1, kPart, kPart + 1, 3 * kPart}) {
    INFO(size);
    const Bytes bytes = noise(size), sealed = seal(bytes, kKey);
    CHECK(unseal(sealed, kKey) == bytes);
    const std::size_t parts = size == 0 ? 1 : (size - 1) / kPart + 1;
    CHECK(sealed.size() == kPrefix + size + parts * detail::kTagBytes);
  }
}

TEST_CASE("What is sealed twice looks different, and shows nothing of what it is", "[privacy][sealing]") {
  const std::string text = R"({"user":"planted-user-7f3a","item":"i1"})";
  const Bytes first = seal(bytes_of(text), kKey), second = seal(bytes_of(text), kKey);
  CHECK_FALSE(std::equal(first.begin() + 8, first.begin() + kPrefix, second.begin() + 8));
  const Bytes planted = bytes_of("planted");
  for (const Bytes& sealed : {first, second}) {
    CHECK(std::search(sealed.begin(), sealed.end(), planted.begin(), planted.end()) == sealed.end());
  }
}

// From an implementation of the format of its own, in Python: HChaCha20, ChaCha20, Poly1305 and hashlib.blake2b.
TEST_CASE("What this version has sealed is opened by all later ones", "[privacy][sealing]") {
  const Bytes sealed = from_hex(
      "4154534c010100006465666768696a6b6c6d6e6f707172737475767778797a7b9d8e750da17cb7962a9f4c3ede5a225756fddedbb684248f"
      "6cea41e94e97415d13");
  CHECK(unseal(sealed, kKey) == bytes_of("what was sealed\n"));
}

TEST_CASE("Every changed byte, every missing one and every further one is refused", "[privacy][sealing]") {
  const Bytes sealed = seal(noise(300), kKey);
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    for (const std::byte change : {std::byte{0x01}, std::byte{0x80}, std::byte{0xFF}}) {
      Bytes changed = sealed;
      changed[at] ^= change;
      const auto error = error_of([&] { unseal(changed, kKey); });
      const bool newer = error && error->code() == ErrorCode::unsupported_version;
      if (!(newer && at == 4) && !refused(changed)) FAIL_CHECK("a change of byte " << at << " is not noticed");
    }
    if (!refused({sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(at)})) {
      FAIL_CHECK("a cut at byte " << at << " is not noticed");
    }
  }
  for (const std::size_t further : {std::size_t{1}, std::size_t{17}, kSealedPart}) {
    CHECK(refused(concatenated({sealed, noise(further)})));
  }
  CHECK(refused(concatenated({sealed, sealed})));
  CHECK(refused(concatenated({seal(noise(kPart), kKey), noise(1)})));  // behind a last part of full length
  CHECK(refused({}));
}

TEST_CASE("Parts that are left out, repeated, put in another order or taken from elsewhere are refused",
          "[privacy][sealing]") {
  const Bytes sealed = seal(noise(2 * kPart + 100), kKey), other = seal(noise(2 * kPart + 100), kKey);
  const auto part = [](const Bytes& whole, std::size_t i) {
    const auto rest = std::span(whole).subspan(kPrefix + i * kSealedPart);
    return rest.first(std::min(rest.size(), kSealedPart));
  };
  const auto prefix = std::span(sealed).first(kPrefix);
  const auto with = [&](std::initializer_list<std::span<const std::byte>> parts) {
    Bytes all(prefix.begin(), prefix.end());
    for (const auto p : parts) all.insert(all.end(), p.begin(), p.end());
    return all;
  };
  REQUIRE(with({part(sealed, 0), part(sealed, 1), part(sealed, 2)}) == sealed);
  CHECK(refused(with({})));
  CHECK(refused(with({part(sealed, 0)})));
  CHECK(refused(with({part(sealed, 0), part(sealed, 1)})));
  CHECK(refused(with({part(sealed, 0), part(sealed, 2)})));
  CHECK(refused(with({part(sealed, 1), part(sealed, 0), part(sealed, 2)})));
  CHECK(refused(with({part(sealed, 0), part(sealed, 0), part(sealed, 1), part(sealed, 2)})));
  CHECK(refused(with({part(sealed, 0), part(other, 1), part(sealed, 2)})));
  CHECK(refused(with({part(other, 0), part(other, 1), part(other, 2)})));
  CHECK(refused(with({part(sealed, 0), part(sealed, 1), part(sealed, 2), part(sealed, 2)})));
}

TEST_CASE("Another key opens nothing and the error says so without content", "[privacy][sealing]") {
  const Bytes sealed = seal(bytes_of("planted-user-7f3a"), kKey);
  const auto error = error_of([&] { unseal(sealed, kOther); });
  REQUIRE(error);
  CHECK(std::string(error->what()) == "sealed bytes: it was sealed with another key, or changed since");
  const auto newer = error_of([&] {
    Bytes changed = sealed;
    changed[4] = std::byte{2};
    unseal(changed, kKey);
  });
  REQUIRE(newer);
  CHECK(newer->code() == ErrorCode::unsupported_version);
  CHECK(refused(bytes_of("user,item\nplanted-user-7f3a,i1\n")));
}

TEST_CASE("A file is sealed and opened, also in its own place, for its user alone", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const Bytes bytes = noise(200'000);
  const std::string plain = (directory / "plain").string(), sealed = (directory / "sealed").string();
  write_bytes(plain, bytes);
  seal_file(plain, sealed, kKey);
  CHECK(sealed_content(sealed) == SealedContent::bytes);
  const std::string opened = (directory / "deeper/opened").string();
  unseal_file(sealed, opened, kKey);
  CHECK(read_text(opened) == read_text(plain));
  CHECK(owner_only(opened));
  CHECK(unseal(bytes_of(read_text(sealed)), kKey) == bytes);

  seal_file(plain, plain, kKey);
  CHECK(read_text(plain) != read_text(opened));
  unseal_file(plain, plain, kKey);
  CHECK(read_text(plain) == read_text(opened));
}

TEST_CASE("What cannot be opened leaves what was there and nothing beside it", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string sealed = (directory / "sealed").string(), opened = (directory / "opened").string();
  write_text(opened, "old");
  write_text(opened + ".new", "of somebody else");
  Bytes bytes = seal(noise(200'000), kKey);
  bytes.back() ^= std::byte{1};  // the last part alone
  write_bytes(sealed, bytes);
  const auto error = error_of([&] { unseal_file(sealed, opened, kKey); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::corrupt_file);
  CHECK(std::string(error->what()) == '"' + sealed + "\": it was sealed with another key, or changed since");
  CHECK(files_of(directory.path()) == std::map<std::string, std::string>{{"opened", "old"},
                                                                         {"opened.new", "of somebody else"},
                                                                         {"sealed", read_text(sealed)}});
  CHECK(error_of([&] { unseal_file(opened, sealed, kKey); })->code() == ErrorCode::corrupt_file);
  CHECK(error_of([&] { unseal_file((directory / "none").string(), opened, kKey); })->code() == ErrorCode::io_error);
  CHECK(error_of([&] { sealed_content(opened); })->code() == ErrorCode::corrupt_file);
}

TEST_CASE("A model is sealed as one file and opened again, to the last byte", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string model = (directory / "model").string(), opened = (directory / "opened").string();
  const std::string sealed = (directory / "sealed").string();
  test::make_model({.items = 2'000, .dim = 32}).save(model);  // of several parts
  seal_model(model, sealed, kKey);
  CHECK(sealed_content(sealed) == SealedContent::model);
  CHECK(read_text(sealed).find("manifest") == std::string::npos);
  for (int again = 0; again < 2; ++again) {
    unseal_model(sealed, opened, kKey);
    CHECK(files_of(opened) == files_of(model));
    for (const auto& [name, content] : files_of(opened)) CHECK(owner_only(fs::path(opened) / name));
  }
  CHECK(owner_only(opened));
  CHECK_FALSE(Recommender::open(opened).recommend({.user = "u1", .k = 3}).items.empty());
  CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 3);
}

TEST_CASE("A sealed model that is not right leaves the old one", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string model = (directory / "model").string(), sealed = (directory / "sealed").string();
  test::make_model({.items = 2'000, .dim = 32}).save(model);
  seal_model(model, sealed, kKey);
  const auto before = files_of(model);
  const Bytes right = bytes_of(read_text(sealed));
  REQUIRE(right.size() > 2 * kSealedPart);
  const auto refuses = [&](const Bytes& bytes) {
    write_bytes(sealed, bytes);
    const auto error = error_of([&] { unseal_model(sealed, model, kKey); });
    CHECK(files_of(model) == before);
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 2);
    return error && error->code() == ErrorCode::corrupt_file;
  };
  for (const std::size_t at : {std::size_t{5}, kPrefix, kPrefix + kSealedPart, right.size() - 1}) {
    Bytes changed = right;
    changed[at] ^= std::byte{3};
    CHECK(refuses(changed));
  }
  CHECK(refuses({right.begin(), right.begin() + kPrefix + kSealedPart}));
  CHECK(refuses({right.begin(), right.end() - 1}));
  CHECK(refuses(concatenated({right, noise(1)})));
  CHECK(refuses(seal(noise(100), kKey)));  // is no model
  write_bytes(sealed, right);
  CHECK(error_of([&] { unseal_model(sealed, model, kOther); })->code() == ErrorCode::corrupt_file);
  CHECK(error_of([&] { unseal_file(sealed, model + "/x", kKey); })->code() == ErrorCode::corrupt_file);
  CHECK(files_of(model) == before);
  write_text(directory / "model/notes.txt", "of somebody else");
  CHECK(error_of([&] { unseal_model(sealed, model, kKey); })->code() == ErrorCode::invalid_argument);
}

TEST_CASE("Whatever the holder of the key has sealed, only files of a model are written", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string sealed = (directory / "sealed").string(), model = (directory / "model").string();
  const auto refuses = [&](const Bytes& bytes) {
    write_bytes(sealed, bytes);
    const auto error = error_of([&] { unseal_model(sealed, model, kKey); });
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 1);
    return error && error->code() == ErrorCode::corrupt_file;
  };
  CHECK(refuses(forged_model({}, "")));
  CHECK(refuses(forged_model({{"histories.bin", 1}}, "x")));
  CHECK(refuses(forged_model({{"manifest.json", 1}, {"../escaped", 1}}, "xx")));
  CHECK(refuses(forged_model({{"manifest.json", 1}, {"", 1}}, "xx")));
  CHECK(refuses(forged_model({{"manifest.json", 1}, {"manifest.json", 1}}, "xx")));
  CHECK(refuses(forged_model({{"manifest.json", 2}}, "x")));
  CHECK(refuses(forged_model({{"manifest.json", 1}}, "xx")));
  CHECK(refuses(forged_model({{"manifest.json", UINT64_MAX}}, "x")));
  CHECK(refuses(forged_model({{std::string(1'000, 'm'), 1}, {"manifest.json", 1}}, "xx")));
  CHECK(refuses(forged_model(std::vector<Listed>(9, {"manifest.json", 1}), "xxxxxxxxx")));
  write_bytes(sealed, forged_model({{"manifest.json", 2}}, "{}"));
  unseal_model(sealed, model, kKey);
  CHECK(files_of(model) == std::map<std::string, std::string>{{"manifest.json", "{}"}});
}

TEST_CASE("A damaged model is not sealed", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string model = (directory / "model").string(), sealed = (directory / "sealed").string();
  test::make_model().save(model);
  const auto refuses = [&] {
    const auto error = error_of([&] { seal_model(model, sealed, kKey); });
    CHECK_FALSE(fs::exists(sealed));
    return error && error->code() == ErrorCode::corrupt_file;
  };
  const std::string right = read_text(directory / "model/histories.bin");
  std::string wrong = right;
  wrong[right.size() / 2] ^= 1;
  write_text(directory / "model/histories.bin", wrong);
  CHECK(refuses());
  write_text(directory / "model/histories.bin", right + "x");
  CHECK(refuses());
  write_text(directory / "model/histories.bin", right);
  std::string manifest = read_text(directory / "model/manifest.json");
  manifest.replace(manifest.find("histories.bin"), 13, "other-one.bin");
  write_text(directory / "model/manifest.json", manifest);
  write_text(directory / "model/other-one.bin", right);
  CHECK(refuses());
}

TEST_CASE("A key is kept in a file that its user alone reads, and is never written over", "[privacy][sealing]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "key").string();
  const HostKey key = HostKey::generate();
  key.save(path);
  CHECK(owner_only(path));
  CHECK(std::ranges::equal(HostKey::from_file(path).bytes(), key.bytes()));
  CHECK_FALSE(std::ranges::equal(HostKey::generate().bytes(), key.bytes()));
  const std::string text = read_text(path);
  CHECK(error_of([&] { kKey.save(path); })->code() == ErrorCode::io_error);
  CHECK(read_text(path) == text);

  const std::string digits = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
  for (const char* end : {"", "\n", "\r\n"}) {
    write_text(path, digits + end);
    CHECK(std::ranges::equal(HostKey::from_file(path).bytes(), kKey.bytes()));
  }
  for (const std::string& wrong : {std::string(), digits.substr(2), digits + "20", digits + " ", digits + "\n\n",
                                   "g" + digits.substr(1), std::string(32, 'x'), digits.substr(0, 63) + "\n"}) {
    write_text(path, wrong);
    const auto error = error_of([&] { HostKey::from_file(path); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::invalid_data);
    CHECK(std::string(error->what()).find("0001") == std::string::npos);
  }
  CHECK(error_of([] { HostKey::from_bytes(noise(31)); })->code() == ErrorCode::invalid_argument);
}

TEST_CASE("A host's key is wiped when it goes", "[privacy][sealing]") {
  alignas(HostKey) std::byte memory[sizeof(HostKey)];
  auto* const key = new (memory) HostKey(kOther);
  REQUIRE(std::ranges::equal(memory, kOther.bytes()));
  key->~HostKey();
  CHECK(std::ranges::all_of(memory, [](std::byte byte) { return byte == std::byte{0}; }));
}
