// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "data/json_object.hpp"
#include "model/manifest.hpp"

namespace {

using namespace attune::detail;

// What loads also saves, and loads again.
void read_manifest(std::string_view text) {
  const Manifest manifest = parse_manifest(text, "fuzz");
  if (!is_manifest(text)) __builtin_trap();
  const std::string again = manifest_text(manifest);
  if (manifest_text(parse_manifest(again, "again")) != again) __builtin_trap();
}

// The same with the checksum set right, so that mutants reach what is behind that check.
void read_with_checksum(std::string_view text) {
  auto json = parse_object(text, "fuzz");
  json.erase("checksum");
  const std::string covered = json.dump();
  json["checksum"] = hex_of(crc32_of(std::as_bytes(std::span(covered))));
  read_manifest(json.dump());
}

void read_configuration(std::string_view text) {
  attune::TrainerConfig config;
  config.apply_json(std::string(text), "fuzz");
  const std::string written = config.to_json();
  attune::TrainerConfig again;
  again.apply_json(written, "again");
  if (again.to_json() != written) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto read : {read_manifest, read_with_checksum, read_configuration}) {
    try {
      read(text);
    } catch (const attune::Error&) {
      continue;
    }
  }
  return 0;
}
