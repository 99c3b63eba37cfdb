// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/pseudonyms.hpp"

#include <set>

#include "catch.hpp"
#include "privacy/hexadecimal.hpp"

using namespace attune;

namespace {

const HostKey kKey =
    HostKey::from_bytes(test::from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));

}  // namespace

// From Python: hashlib.blake2b(id.encode(), key=bytes(range(32)), digest_size=16).hexdigest()
TEST_CASE("A pseudonym is the keyed BLAKE2b of the id", "[privacy][pseudonyms]") {
  const Pseudonyms pseudonyms(kKey);
  CHECK(pseudonyms.of("u42") == "677b25a3b42dda30832281ce6ef11dd9");
  CHECK(pseudonyms.of("42") == "27bec4c653ba56906e0b3ea3e5811bf4");
  CHECK(pseudonyms.of("planted-user-7f3a") == "3f78a13a8e27bd91fab62c6cb1fc6466");
  CHECK(pseudonyms.of("J\xc3"
                      "\xbc"
                      "rgen \xe2"
                      "\x98"
                      "\x83"
                      "") == "b556a966a41c91d55d5b7fdde90bed94");
  CHECK(pseudonyms.of(std::string(1'000, 'x')) == "47a3dc8cb084a2596adb50fe48869f8c");
  CHECK(pseudonyms.of(42) == pseudonyms.of("42"));
}

TEST_CASE("The same id has one pseudonym under a key and others under others", "[privacy][pseudonyms]") {
  const Pseudonyms pseudonyms(kKey), others(HostKey::generate());
  std::set<std::string> all;
  for (int user = 0; user < 1'000; ++user) {
    const std::string pseudonym = pseudonyms.of(user);
    CHECK(pseudonym.size() == 32);
    CHECK(pseudonym.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(pseudonym == Pseudonyms(kKey).of(std::to_string(user)));
    all.insert(pseudonym);
    all.insert(others.of(user));
  }
  CHECK(all.size() == 2'000);
}

TEST_CASE("No id has no pseudonym, so that it is refused as ever", "[privacy][pseudonyms]") {
  CHECK(Pseudonyms(kKey).of("").empty());
  CHECK(Pseudonyms(kKey).of(Id()).empty());
}
