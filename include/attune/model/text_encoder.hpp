// SPDX-License-Identifier: Apache-2.0
#pragma once

// Texts in, vectors out: a pretrained BERT (Devlin et al. 2019; MiniLM and multilingual BERT are the same architecture)
// read from the files it was published as, and run by TransformerEncoder. What it makes of titles and descriptions are
// features of items. Const members are safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/executor.hpp"

namespace attune::inline v0_1 {

// How the rows of the tokens become one vector: their mean, or the row of [CLS], the first token.
enum class Pooling : std::uint8_t { mean, cls };

struct TextEncoderOptions {
  std::optional<Pooling> pooling = {};  // unless given, as 1_Pooling/config.json says, else mean
  // Tokens of a text that are read, [CLS] and [SEP] included; time grows with them. Unless given, max_seq_length of
  // sentence_bert_config.json, else all positions of the model.
  std::optional<std::size_t> max_length = {};
};

class ATTUNE_EXPORT TextEncoder {
 public:
  // A directory with config.json, model.safetensors and tokenizer.json or vocab.txt (WordPiece), and where they are
  // published tokenizer_config.json, 1_Pooling/config.json, sentence_bert_config.json and modules.json. Tensors have
  // the names of published checkpoints, with or without `bert.`; the pooler and heads of training are ignored.
  // Throws Error: io_error (a missing file), invalid_config (a hyper-parameter or option out of range), invalid_data (a
  // vocabulary that does not fit), unsupported (another architecture, tokenizer or pooling, by name), and what
  // SafetensorsFile does. The message names file and field.
  static TextEncoder load(const std::string& directory, const TextEncoderOptions& options = {});
  TextEncoder(TextEncoder&&) noexcept;
  TextEncoder& operator=(TextEncoder&&) noexcept;
  ~TextEncoder();

  struct Vectors {
    std::vector<float> rows;    // [texts, dim], each of unit length
    std::size_t truncated = 0;  // texts that had more than max_length() tokens
  };
  // Texts of similar length go together, without padding; the same bits on any number of threads, whatever stands
  // beside a text. Bytes that are not UTF-8 are left out, and an empty text is [CLS] [SEP]. Allocates.
  Vectors encode(std::span<const std::string> texts, Executor& executor) const;

  // The rows of the vocabulary that stand for a text, [CLS] and [SEP] included, at most max_length().
  std::vector<std::uint32_t> tokens(std::string_view text) const;

  std::size_t dim() const noexcept;
  std::size_t max_length() const noexcept;
  Pooling pooling() const noexcept;

 private:
  struct Impl;
  explicit TextEncoder(std::unique_ptr<const Impl> impl) noexcept;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace attune::inline v0_1
