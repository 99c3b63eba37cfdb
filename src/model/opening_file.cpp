// SPDX-License-Identifier: Apache-2.0
#include "model/opening_file.hpp"

#include <array>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/scorer_rows.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Tensors of 8-byte numbers stand in the file by name, and the first where data begins, at a multiple of 64 bytes: that
// must be the blocks of the codes.
constexpr const char* kCodeBlocks = "codes.blocks";
constexpr const char* kCodeNorms = "codes.norms";
constexpr const char* kCodeScalars = "codes.scalars";
constexpr const char* kIdOffsets = "ids.offsets";
constexpr const char* kIdSeed = "ids.seed";
constexpr const char* kIdSlots = "ids.slots";
constexpr const char* kNonzeroRows = "rows.nonzero";
constexpr const char* kScorableRows = "rows.scorable";
constexpr const char* kWeightsSums = "weights.sums";

// A tensor of one dimension, where it is; with `count`, of so many elements.
template <class Number>
std::span<const Number> array_of(const SafetensorsFile& file, const std::string& name, const char* tensor,
                                 std::optional<std::size_t> count = {}) {
  const auto fail = [&](const std::string& problem) {
    throw Error(ErrorCode::corrupt_file, name + ": tensor '" + tensor + "' " + problem);
  };
  const TensorInfo* const info = file.find(tensor);
  if (info == nullptr) fail("is missing");
  constexpr DType kType = sizeof(Number) == 8 ? DType::u64 : DType::f32;
  if (info->dtype != kType || info->shape.size() != 1) fail("is no list of " + std::string(to_string(kType)));
  if (count && info->shape[0] != *count) {
    fail("has " + std::to_string(info->shape[0]) + " elements, expected " + std::to_string(*count));
  }
  const std::span<const std::byte> bytes = file.bytes(*info);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % sizeof(Number) != 0) fail("is not aligned");
  return {reinterpret_cast<const Number*>(bytes.data()), info->shape[0]};
}

struct ItemRows {
  explicit ItemRows(const SequenceEncoder<float>& encoder)
      : scorer(encoder.outputs(), encoder.config().score), nonzero(scorer.scorable_bits().size()) {
    for (std::size_t row = 0; row < scorer.size(); ++row) {
      nonzero[row / 64] |= std::uint64_t{!encoder.items().is_zero(row)} << (row % 64);
    }
    if (const unsigned bits = RowCodes::best_bits(scorer.size()); bits != 0) codes.emplace(scorer, bits);
    if (codes) stored = codes->stored();
  }
  ScorerRows<float> scorer;
  std::vector<std::uint64_t> nonzero;
  std::optional<RowCodes> codes;
  RowCodes::Stored stored;
};

}  // namespace

std::vector<std::byte> opening_bytes(const IdMap& ids, const SequenceEncoder<float>* encoder,
                                     std::span<const std::byte> weights) {
  SafetensorsWriter writer;
  const auto add = [&](const char* name, auto numbers) { writer.add(name, {numbers.size()}, numbers); };
  const IdMap::Index index = ids.index();
  add(kIdSeed, std::span(&index.seed, 1));
  add(kIdSlots, std::span(index.slots));
  if (ids.kind() == IdKind::string) add(kIdOffsets, std::span(index.offsets));
  if (encoder == nullptr) return writer.bytes();
  const ItemRows rows(*encoder);
  const std::vector<std::uint64_t> sums = CheckedBlocks::sums_of(weights);
  add(kNonzeroRows, std::span(rows.nonzero));
  add(kScorableRows, rows.scorer.scorable_bits());
  add(kWeightsSums, std::span(sums));
  if (rows.codes) {
    add(kCodeBlocks, rows.stored.blocks);
    add(kCodeScalars, std::span(rows.stored.scalars));
    if (!rows.stored.norms.empty()) add(kCodeNorms, rows.stored.norms);
  }
  return writer.bytes();
}

Opening parse_opening(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& name,
                      std::size_t num_items, bool has_rows) {
  const SafetensorsFile file = SafetensorsFile::view(bytes, owner, name);
  Opening opening;
  opening.owner = std::move(owner);
  opening.ids_seed = array_of<std::uint64_t>(file, name, kIdSeed, 1)[0];
  opening.ids_slots = array_of<std::uint64_t>(file, name, kIdSlots);
  if (file.find(kIdOffsets) != nullptr) opening.ids_offsets = array_of<std::uint64_t>(file, name, kIdOffsets);
  if (!has_rows) return opening;
  const std::size_t words = (num_items + 63) / 64;
  opening.nonzero = array_of<std::uint64_t>(file, name, kNonzeroRows, words);
  opening.scorable = array_of<std::uint64_t>(file, name, kScorableRows, words);
  if (num_items % 64 != 0 && opening.scorable.back() >> (num_items % 64) != 0) {
    throw Error(ErrorCode::corrupt_file, name + ": tensor '" + kScorableRows + "' names rows that are not there");
  }
  opening.weights_sums = array_of<std::uint64_t>(file, name, kWeightsSums);
  if (file.find(kCodeBlocks) == nullptr) return opening;
  const auto scalars = array_of<std::uint64_t>(file, name, kCodeScalars, RowCodes::kScalars);
  opening.codes = RowCodes::Stored{name + ", codes of the rows",
                                   {scalars.begin(), scalars.end()},
                                   array_of<std::uint64_t>(file, name, kCodeBlocks),
                                   {}};
  if (file.find(kCodeNorms) != nullptr) opening.codes->norms = array_of<float>(file, name, kCodeNorms, num_items);
  return opening;
}

}  // namespace attune::inline v0_1::detail
