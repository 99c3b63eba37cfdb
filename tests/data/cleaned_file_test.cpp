// SPDX-License-Identifier: Apache-2.0
#include "data/cleaned_file.hpp"

#include <catch2/catch.hpp>

#include "data/json_object.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Two users who have two items in common, one of them twice, a line that is too short, and somebody else.
const std::string kEvents = "user,item,timestamp\nu1,a,1\nu1,b,2\nu1,b,2\nu2,a,3\nshort\nu2,b,4\nu3,c,5\n";

}  // namespace

TEST_CASE("What cleaning drops is counted behind what reading dropped", "[data]") {
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", kEvents);
  const ReadOptions skipping{.bad_value = BadValue::skip};
  const detail::CleanedFile read = detail::read_cleaned(directory / "events.csv", skipping, 2);
  CHECK(read.log.size() == 4);
  CHECK(read.load.records == 7);
  CHECK(read.cleaning.users == 2);
  CHECK(detail::text_of(detail::dropped_json(read.load)) ==
        R"([{"reason":"too few fields","lines":1,"first_line":6},{"reason":"duplicate","lines":1},)"
        R"({"reason":"outside the k-core","lines":1}])");
}

TEST_CASE("Where nothing is dropped nothing is counted", "[data]") {
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", "user,item\nu1,a\n");
  CHECK(detail::dropped_json(detail::read_cleaned(directory / "events.csv", {}, 0).load).empty());
}

TEST_CASE("A file of which cleaning leaves nothing is named", "[data]") {
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", "user,item\nu1,a\n");
  const Failure failure = failure_of([&] { detail::read_cleaned(directory / "events.csv", {}, 5); });
  CHECK(failure.code == ErrorCode::invalid_data);
  CHECK(failure.says("events.csv: "));
}
