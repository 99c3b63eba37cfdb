// SPDX-License-Identifier: Apache-2.0
#include "attune/model/text_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "model/bert_checkpoint.hpp"
#include "model/json_fields.hpp"
#include "model/word_piece_file.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::JsonFields;

// Tokens of a batch, where one text alone has no more: enough rows for products of matrices to be quick, few enough for
// what lies between them to stay in caches.
constexpr std::size_t kBatchTokens = 192;

// Where the configuration of the pooling lies. What sentence encoders have behind the transformer beside it would
// change the vectors.
std::filesystem::path pooling_file(const std::filesystem::path& directory) {
  std::filesystem::path folder = "1_Pooling";
  for (const JsonFields& module : JsonFields::read_list(directory / "modules.json")) {
    const std::string type = module.text("type").value_or("");
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling") folder = module.text("path").value_or(folder.string());
    if (kind != "Transformer" && kind != "Pooling" && kind != "Normalize") {
      module.not_supported("type", "Transformer, Pooling or Normalize");
    }
  }
  return directory / folder / "config.json";
}

Pooling published_pooling(const std::filesystem::path& directory) {
  const JsonFields fields = JsonFields::read_if_there(pooling_file(directory));
  const auto on = [&](const char* mode) { return fields.flag(mode).value_or(false); };
  for (const char* mode : {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                           "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"}) {
    if (on(mode)) fields.not_supported(mode, "false");
  }
  const bool cls = on("pooling_mode_cls_token");
  if (cls && on("pooling_mode_mean_tokens")) fields.not_supported("pooling_mode_mean_tokens", "one kind of pooling");
  return cls ? Pooling::cls : Pooling::mean;
}

constexpr std::size_t kLeastLength = 3;  // a token between [CLS] and [SEP]

std::size_t text_length(const std::filesystem::path& directory, std::size_t positions,
                        std::optional<std::size_t> wanted) {
  const std::string allowed = std::to_string(kLeastLength) + " to " + std::to_string(positions);
  if (wanted) {
    if (*wanted >= kLeastLength && *wanted <= positions) return *wanted;
    throw Error(ErrorCode::invalid_config,
                "max_length: expected " + allowed + " for this model, found " + std::to_string(*wanted));
  }
  const JsonFields fields = JsonFields::read_if_there(directory / "sentence_bert_config.json");
  const std::size_t length = fields.count("max_seq_length").value_or(positions);
  if (length < kLeastLength || length > positions) fields.refuse("max_seq_length", allowed);
  return length;
}

}  // namespace

struct TextEncoder::Impl {
  SasrecEncoder transformer;
  detail::WordPiece tokenizer;
  std::size_t max_length;
  Pooling pooling;

  // What one worker needs at a time.
  struct Scratch {
    SequenceBatch batch;
    Buffer<float> activations, hidden;
  };
  void pool(std::span<float> pooled, std::span<const float> rows) const;
  // The rows of `vectors` that belong to these texts.
  void encode(std::vector<float>& vectors, std::span<const std::size_t> texts,
              std::span<const std::vector<std::uint32_t>> tokens, Scratch& scratch) const;
};

// pooled [D] from the rows [L, D] of a text. A zero vector stays one.
void TextEncoder::Impl::pool(std::span<float> pooled, std::span<const float> rows) const {
  const std::size_t dim = pooled.size();
  const detail::KernelTable<float>& kernels = detail::kernels<float>();
  std::copy_n(rows.data(), dim, pooled.data());
  if (pooling == Pooling::mean) kernels.sum_rows(pooled.data(), rows.data() + dim, rows.size() / dim - 1, dim);
  double squared = 0.0;
  for (const float value : pooled) squared += static_cast<double>(value) * static_cast<double>(value);
  if (squared > 0.0) kernels.scale(pooled.data(), static_cast<float>(1.0 / std::sqrt(squared)), dim);
}

void TextEncoder::Impl::encode(std::vector<float>& vectors, std::span<const std::size_t> texts,
                               std::span<const std::vector<std::uint32_t>> tokens, Scratch& scratch) const {
  const std::size_t dim = transformer.dim();
  scratch.batch.clear();
  for (const std::size_t text : texts) scratch.batch.add_sequence({.items = tokens[text]});
  const std::span<float> hidden = scratch.hidden.take(scratch.batch.num_tokens() * dim);
  transformer.encode_rows(hidden, scratch.activations, scratch.batch);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    pool(std::span(vectors).subspan(texts[i] * dim, dim),
         hidden.subspan(scratch.batch.begin(i) * dim, scratch.batch.length(i) * dim));
  }
}

TextEncoder TextEncoder::load(const std::string& directory, const TextEncoderOptions& options) {
  const Pooling pooling = options.pooling ? *options.pooling : published_pooling(directory);
  SasrecEncoder transformer = detail::load_bert(directory);
  detail::WordPiece tokenizer = detail::load_word_piece(directory, transformer.items().rows());
  const std::size_t length = text_length(directory, transformer.config().max_sequence_length, options.max_length);
  return TextEncoder(std::make_unique<const Impl>(Impl{std::move(transformer), std::move(tokenizer), length, pooling}));
}

TextEncoder::Vectors TextEncoder::encode(std::span<const std::string> texts, Executor& executor) const {
  Vectors result;
  result.rows.resize(texts.size() * dim());
  std::vector<std::vector<std::uint32_t>> tokens(texts.size());
  for (std::size_t text = 0; text < texts.size(); ++text) {
    if (!impl_->tokenizer.tokenize(tokens[text], texts[text], impl_->max_length)) ++result.truncated;
  }
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t text) { return tokens[text].size(); });
  std::vector<std::size_t> begins;  // of the batches
  for (std::size_t i = 0, taken = 0; i < order.size(); ++i) {
    const std::size_t length = tokens[order[i]].size();
    if (i == 0 || taken + length > kBatchTokens) {
      begins.push_back(i);
      taken = 0;
    }
    taken += length;
  }
  begins.push_back(order.size());
  std::vector<Impl::Scratch> scratch(executor.concurrency());
  executor.run(begins.size() - 1, [&](std::size_t task, std::size_t worker) {
    const auto part = std::span(order).subspan(begins[task], begins[task + 1] - begins[task]);
    impl_->encode(result.rows, part, tokens, scratch[worker]);
  });
  return result;
}

std::vector<std::uint32_t> TextEncoder::tokens(std::string_view text) const {
  std::vector<std::uint32_t> tokens;
  impl_->tokenizer.tokenize(tokens, text, impl_->max_length);
  return tokens;
}

std::size_t TextEncoder::dim() const noexcept { return impl_->transformer.dim(); }
std::size_t TextEncoder::max_length() const noexcept { return impl_->max_length; }
Pooling TextEncoder::pooling() const noexcept { return impl_->pooling; }

TextEncoder::TextEncoder(std::unique_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
TextEncoder::TextEncoder(TextEncoder&&) noexcept = default;
TextEncoder& TextEncoder::operator=(TextEncoder&&) noexcept = default;
TextEncoder::~TextEncoder() = default;

}  // namespace attune::inline v0_1
