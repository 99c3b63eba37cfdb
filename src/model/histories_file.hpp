// SPDX-License-Identifier: Apache-2.0
#pragma once

// The two binary files of a model directory. Both begin with eight letters and a format version; integers are
// little-endian, arrays stand back to back without padding:
//
//   items.ids       "ATTUNEID", u32 version, the id map
//   histories.bin   "ATTUNEHI", u32 version, u32 flags (which of times 1, kinds 2, values 4 there are), u32 event
//                   kinds, u64 users, u64 events, u64 bytes of the map; the map of user ids; each kind as u32 length
//                   and text; offsets u64 [users + 1]; items u32, times i64, kinds u8, values f32, each [events]

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1::detail {

std::vector<std::byte> item_ids_bytes(const IdMap& ids);
// What IdMap::serialize wrote of it. `name` is for messages. Throws Error: corrupt_file, unsupported_version.
std::span<const std::byte> item_ids_in(std::span<const std::byte> bytes, const std::string& name);
// Throws Error(corrupt_file): every count is checked before it sizes anything.
IdMap parse_item_ids(std::span<const std::byte> bytes, const std::string& name);

std::vector<std::byte> histories_bytes(const Histories& histories);
// The same promise; items are handles of `item_ids`.
Histories parse_histories(std::span<const std::byte> bytes, std::shared_ptr<const IdMap> item_ids,
                          const std::string& name);

}  // namespace attune::inline v0_1::detail
