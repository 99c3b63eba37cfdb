// SPDX-License-Identifier: Apache-2.0
// The importer of foreign checkpoints. The first byte chooses a dialect and a variant, the rest is a safetensors file.
#include <cstdint>
#include <span>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/export.hpp"
#include "attune/model/import.hpp"
#include "fuzz/verdict.hpp"

namespace {

constexpr const char* kVariants[] = {"",     "post_ln", "pre_ln",     "2024",
                                     "2020", "l2_norm", "layer_norm", "key_padding_mask"};

// What loads also answers, and its answer has the width that it says.
void import_bytes(std::uint8_t choice, std::span<const std::byte> bytes) {
  attune::ImportOptions options;
  if (choice % 8 < 6) options.dialect = static_cast<attune::Dialect>(choice % 8);
  options.variant = kVariants[choice / 8 % 8];
  if (choice >= 64) options.num_heads = 1 + choice / 64;
  const auto file = attune::SafetensorsFile::parse({bytes.begin(), bytes.end()}, "fuzz");
  const attune::TrainedModel model = attune::import_model(file, options);
  const attune::SequenceEncoder<float>& encoder = *model.encoder;
  attune::Workspace workspace;
  std::vector<float> vector(encoder.dim());
  const auto last = static_cast<attune::ItemHandle>(encoder.items().rows() - 1);
  const std::vector<attune::ItemHandle> history{0, last, 0};
  encoder.encode(vector, {history}, {}, workspace);
  attune::test::require(attune::export_item_vectors(model).values.size() == model.num_items() * encoder.dim());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    import_bytes(data[0], std::as_bytes(std::span(data + 1, size - 1)));
  } catch (const attune::Error&) {
    // Whatever is no model of the dialect is refused.
  }
  return 0;
}
