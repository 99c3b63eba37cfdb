// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <span>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "fuzz/verdict.hpp"
#include "serving/stored_events.hpp"

namespace {

using namespace attune;
using test::require;

// What a store gives is what an event can be.
std::vector<test::StoredEvent> sound_events(SqliteEventStore& store) {
  std::vector<test::StoredEvent> events = test::events_of(store);
  for (const test::StoredEvent& event : events) {
    require(!event.user.empty() && !event.item.empty() && std::isfinite(event.value));
  }
  return events;
}

// One that opened keeps a further event, and says so, or has failed; whoever is forgotten is gone.
void use(const std::string& path) {
  std::size_t before = 0;
  bool kept = false;
  {
    SqliteEventStore store(path);
    before = sound_events(store).size();
    const Interaction event{.user = "a further one", .item = "i1", .timestamp = 5, .event_id = "7"};
    std::promise<bool> told;
    store.append({&event, 1}, [&](bool stored) { told.set_value(stored); });
    kept = told.get_future().get();
    require(kept == store.error().empty());
  }
  SqliteEventStore store(path);
  require(!kept || sound_events(store).size() >= before + 1);
  require(!kept || !test::events_of(store, "a further one").empty());
  store.erase("a further one");
  require(test::events_of(store, "a further one").empty() && store.has_forgotten("a further one"));
  store.prune(1'000);
}

}  // namespace

// The bytes are the file of a store.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::TemporaryDirectory directory;
  const std::string path = (directory / "events.db").string();
  for (const char* beside : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(path + beside);
  test::write_bytes(path, std::as_bytes(std::span(data, size)));
  try {
    use(path);
  } catch (const Error&) {
    return 0;
  }
  return 0;
}
