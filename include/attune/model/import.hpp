// SPDX-License-Identifier: Apache-2.0
#pragma once

// Models that were trained elsewhere, from the safetensors files of their weights: the names and the arithmetic of six
// projects, so that every item's score is the one it had there (to 1e-4). docs/import.md says how each is exported.
// Positions that count to the newest event and padding that is attended to are kept: EncoderConfig::cacheable() tells
// whether a model can be carried forward event by event.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "attune/data/id_map.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"

namespace attune::inline v0_1 {

enum class Dialect : std::uint8_t {
  recbole,          // RecBole, SASRec
  pmixer,           // pmixer/SASRec.pytorch, by variant: post_ln, pre_ln (since 2025-05), 2024, 2020
  hstu,             // facebookresearch/generative-recommenders, research HSTU: l2_norm, layer_norm
  gsasrec,          // asash/gSASRec-pytorch since it has a ReLU between its dense layers
  rectools_sasrec,  // RecTools, SASRecModel: counted_padding, key_padding_mask
  rectools_hstu     // RecTools, HSTUModel
};
ATTUNE_EXPORT std::string_view to_string(Dialect dialect) noexcept;  // "recbole", "rectools-sasrec", ...
ATTUNE_EXPORT std::optional<Dialect> dialect_of(std::string_view name) noexcept;

struct ImportOptions {
  std::optional<Dialect> dialect = {};  // none: told by the names of the tensors
  std::string variant = {};             // "": what the settings say, or the one that the project itself has as default
  // Hyper-parameters that tensors do not tell, by the names they have there ("n_heads", "hidden_act"): those of the
  // file's metadata and these; where both say something they must agree.
  std::map<std::string, std::string> settings = {};
  std::optional<std::size_t> num_heads = {};   // the same as in settings, whatever its name there
  std::shared_ptr<const IdMap> item_ids = {};  // of rows 1 to n; null: "1" to "n"
  // EncoderConfig::hop. 1: every score is the one it has there. More answers sooner where histories are longer than the
  // window, by leaving out up to hop - 1 of its oldest events.
  std::size_t hop = 1;
};

// Tensors may have a prefix ("model.", "torch_model."): then others are ignored, without one they are an error.
// The model's notes have "dialect" and "variant".
// Throws Error: io_error, corrupt_file (a tensor that is missing, has another shape or is not expected, by name),
// unsupported (no dialect fits, or numbers of another type than F32, F16 and BF16), invalid_config (a setting or
// variant that is missing, unknown or contradicts, by name), invalid_argument (not as many item ids as items),
// non_finite.
ATTUNE_EXPORT TrainedModel import_model(const std::string& file, const ImportOptions& options = {});
ATTUNE_EXPORT TrainedModel import_model(const SafetensorsFile& file, const ImportOptions& options = {});

}  // namespace attune::inline v0_1
