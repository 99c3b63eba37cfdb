// SPDX-License-Identifier: Apache-2.0
#include "c/boundary.hpp"

#include <stdexcept>
#include <string>

#include "catch.hpp"

namespace attune {
namespace {

// A struct as it was, and as it will be.
struct Older {
  std::size_t struct_size;
  const char* name;
};
struct Newer {
  std::size_t struct_size;
  const char* name;
  double weight;
};

TEST_CASE("Whatever is thrown becomes a status and a message") {
  const auto status_when_thrown = [](const auto& thrown) { return c::guarded([&] { throw thrown; }); };
  CHECK(status_when_thrown(Error(ErrorCode::non_finite, "weights")) == ATTUNE_NON_FINITE);
  CHECK(attune_last_error() == std::string("weights"));
  CHECK(status_when_thrown(c::BufferTooSmall{"short"}) == ATTUNE_BUFFER_TOO_SMALL);
  CHECK(attune_last_error() == std::string("short"));
  CHECK(status_when_thrown(std::bad_alloc()) == ATTUNE_OUT_OF_MEMORY);
  CHECK(status_when_thrown(std::logic_error("defect")) == ATTUNE_INTERNAL_ERROR);
  CHECK(attune_last_error() == std::string("defect"));
  CHECK(status_when_thrown(7) == ATTUNE_INTERNAL_ERROR);
  CHECK(c::guarded([] {}) == ATTUNE_OK);
}

TEST_CASE("Every code of an error has the status of its name") {
  for (int code = 0; code <= static_cast<int>(ErrorCode::cancelled); ++code) {
    const auto known = static_cast<ErrorCode>(code);
    CHECK(attune_status_name(c::status_of(known)) == std::string(to_string(known)));
  }
}

TEST_CASE("A long message is cut between two characters") {
  const std::string omegas = [] {
    std::string text(1022, 'x');
    for (int i = 0; i < 20; ++i) text += "\xCF\x89";
    return text;
  }();
  c::failed(ATTUNE_IO_ERROR, omegas);
  CHECK(std::string(attune_last_error()) == std::string(1022, 'x'));
  c::failed(ATTUNE_IO_ERROR, "");
  CHECK(std::string(attune_last_error()).empty());
}

TEST_CASE("A caller who is older has defaults for what he lacks") {
  const Older older{sizeof older, "kept"};
  const Newer known = c::read(reinterpret_cast<const Newer*>(&older), "struct");
  CHECK(known.name == std::string("kept"));
  CHECK(known.weight == 0);
}

TEST_CASE("A caller who is newer may ask for nothing that is unknown") {
  Newer newer{sizeof newer, "kept", 0};
  CHECK(c::read(reinterpret_cast<const Older*>(&newer), "struct").name == std::string("kept"));
  newer.weight = 1;
  CHECK_THROWS_WITH(c::read(reinterpret_cast<const Older*>(&newer), "struct"),
                    Catch::Contains("struct: expected zero beyond the 16 bytes that this library knows"));
}

TEST_CASE("A struct without a size is refused") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{4}, sizeof(Older) + 1, std::size_t{1} << 20}) {
    const Older given{size, nullptr};
    CHECK_THROWS_WITH(c::read(&given, "struct"),
                      "struct.struct_size: expected the sizeof of the struct, 16, found " + std::to_string(size));
  }
  CHECK_THROWS_WITH(c::read(static_cast<const Older*>(nullptr), "struct"), "struct: expected a pointer, found NULL");
}

}  // namespace
}  // namespace attune
