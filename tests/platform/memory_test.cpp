// SPDX-License-Identifier: Apache-2.0
#include "platform/memory.hpp"

#include <vector>

#include "catch.hpp"
#include "temporary_directory.hpp"

using attune::platform::available_memory;
using attune::test::TemporaryDirectory;

namespace {

// A file system with what Linux says of memory.
class Machine {
 public:
  void says(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    attune::test::write_text(root_ / file, text);
  }
  std::optional<std::uint64_t> available() const { return available_memory(root_.path()); }

 private:
  TemporaryDirectory root_;
};

}  // namespace

TEST_CASE("This machine has some memory left", "[platform][memory]") {
  const auto available = available_memory();
  REQUIRE(available);
  CHECK(*available > 1'000'000);
}

TEST_CASE("Where nothing is said nothing is known", "[platform][memory]") {
  const Machine machine;
  CHECK(!machine.available());
  machine.says("proc/self/cgroup", "garbage\n1:memory\n");
  machine.says("proc/meminfo", "MemAvailable: much\n");
  CHECK(!machine.available());
}

TEST_CASE("What the machine has available counts, in kibibytes", "[platform][memory]") {
  const Machine machine;
  machine.says("proc/meminfo", "MemTotal:       4000 kB\nMemFree:  100 kB\nMemAvailable:   3000 kB\n");
  CHECK(machine.available() == 3000u * 1024);
  machine.says("proc/self/cgroup", "0::/\n");
  CHECK(machine.available() == 3000u * 1024);
}

TEST_CASE("The tightest control group around the process counts", "[platform][memory]") {
  const Machine machine;
  machine.says("proc/meminfo", "MemAvailable: 3000 kB\n");
  machine.says("proc/self/cgroup", "0::/pod/container\n");
  machine.says("sys/fs/cgroup/pod/container/memory.max", "max\n");
  machine.says("sys/fs/cgroup/pod/container/memory.current", "10000\n");
  CHECK(machine.available() == 3000u * 1024);
  machine.says("sys/fs/cgroup/pod/memory.max", "1000000\n");
  machine.says("sys/fs/cgroup/pod/memory.current", "300000\n");
  CHECK(machine.available() == 700'000u);
  // Cached files that nobody uses make room.
  machine.says("sys/fs/cgroup/pod/memory.stat", "anon 5\ninactive_file 100000\n");
  CHECK(machine.available() == 800'000u);
  machine.says("sys/fs/cgroup/pod/container/memory.max", "9000\n");
  CHECK(machine.available() == 0u);
}

TEST_CASE("Control groups of the first version count too", "[platform][memory]") {
  const Machine machine;
  machine.says("proc/meminfo", "MemAvailable: 3000 kB\n");
  machine.says("proc/self/cgroup", "9:name=systemd:/\n4:memory:/a\n0::/\n");
  machine.says("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "500000\n");
  machine.says("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "450000\n");
  machine.says("sys/fs/cgroup/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
  CHECK(machine.available() == 100'000u);
}

TEST_CASE("Preferring large pages changes no byte, wherever memory begins and ends", "[platform][memory]") {
  std::vector<unsigned char> memory(std::size_t{5} << 20, 7);
  for (const std::size_t begin : {0u, 1u, 4095u}) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4} << 20}) {
      attune::platform::prefer_large_pages(memory.data() + begin, bytes);
    }
  }
  CHECK(memory == std::vector<unsigned char>(memory.size(), 7));
}
