// SPDX-License-Identifier: Apache-2.0
#include "model/word_piece_file.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "data/text.hpp"
#include "model/json_fields.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {
namespace {

using Vocabulary = WordPiece::Vocabulary;

struct Source {
  std::string file;
  Vocabulary vocabulary;
  WordPieceOptions options;
};

// One token a line; a token that stands there twice has the later row.
Source read_vocabulary_lines(const std::filesystem::path& file) {
  constexpr std::uint64_t kMost = std::uint64_t{256} << 20;
  const std::vector<std::byte> bytes = platform::read_file(file, kMost);
  std::string_view text = without_byte_order_mark({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  Source source{file.string(), {}, {}};
  for (std::uint32_t row = 0; !text.empty(); ++row) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    source.vocabulary.insert_or_assign(std::string(line), row);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return source;
}

void read_normalizer(WordPieceOptions& options, const JsonFields& file) {
  if (file.find("normalizer") == nullptr) {
    options.clean_text = options.split_ideographs = options.lower_case = false;
    return;
  }
  const JsonFields normalizer = file.inner("normalizer");
  normalizer.require_text("type", "BertNormalizer");
  options.clean_text = normalizer.flag("clean_text").value_or(true);
  options.split_ideographs = normalizer.flag("handle_chinese_chars").value_or(true);
  options.lower_case = normalizer.flag("lowercase").value_or(true);
  options.strip_accents = normalizer.flag("strip_accents");
}

Source read_tokenizer(const std::filesystem::path& path) {
  const JsonFields file = JsonFields::read(path);
  const JsonFields model = file.inner("model");
  if (model.text("type") != "WordPiece") model.not_supported("type", "WordPiece");
  if (file.inner("pre_tokenizer").text("type") != "BertPreTokenizer") {
    file.not_supported("pre_tokenizer", "BertPreTokenizer");
  }
  Source source{path.string(), {}, {}};
  WordPieceOptions& options = source.options;
  read_normalizer(options, file);
  options.unknown = model.text("unk_token").value_or(options.unknown);
  options.continuation = model.text("continuing_subword_prefix").value_or(options.continuation);
  options.longest_word = model.count("max_input_chars_per_word").value_or(options.longest_word);
  const JsonFields::Json* const vocabulary = model.find("vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) model.refuse("vocab", "an object of tokens and their rows");
  for (const auto& [token, row] : vocabulary->items()) {
    if (!row.is_number_unsigned() || row.get<std::uint64_t>() > UINT32_MAX) {
      throw Error(ErrorCode::invalid_data,
                  path.string() + ": token " + in_quotes(token, '\'') + ": expected the number of a row");
    }
    source.vocabulary.emplace(token, row.get<std::uint32_t>());
  }
  return source;
}

// What a special token is called: text, or an object that says more about it.
std::string token_name(const JsonFields& config, const std::string& field, const std::string& otherwise) {
  const JsonFields::Json* const found = config.find(field);
  if (found == nullptr || !found->is_object()) return config.text(field).value_or(otherwise);
  return config.inner(field).text("content").value_or(otherwise);
}

void apply_config(WordPieceOptions& options, const JsonFields& config) {
  const std::string kind = config.text("tokenizer_class").value_or("BertTokenizer");
  if (kind != "BertTokenizer" && kind != "BertTokenizerFast" && kind != "PreTrainedTokenizerFast") {
    config.not_supported("tokenizer_class", "BertTokenizer");
  }
  if (!config.flag("do_basic_tokenize").value_or(true)) config.not_supported("do_basic_tokenize", "true");
  options.lower_case = config.flag("do_lower_case").value_or(options.lower_case);
  options.split_ideographs = config.flag("tokenize_chinese_chars").value_or(options.split_ideographs);
  if (const auto strip = config.flag("strip_accents")) options.strip_accents = strip;
  options.unknown = token_name(config, "unk_token", options.unknown);
  options.first = token_name(config, "cls_token", options.first);
  options.last = token_name(config, "sep_token", options.last);
}

}  // namespace

WordPiece load_word_piece(const std::filesystem::path& directory, std::size_t rows) {
  const std::filesystem::path tokenizer = directory / "tokenizer.json", lines = directory / "vocab.txt";
  const bool has_tokenizer = std::filesystem::exists(tokenizer);
  if (!has_tokenizer && !std::filesystem::exists(lines)) {
    throw Error(ErrorCode::io_error, directory.string() + ": expected tokenizer.json or vocab.txt, found neither");
  }
  Source source = has_tokenizer ? read_tokenizer(tokenizer) : read_vocabulary_lines(lines);
  apply_config(source.options, JsonFields::read_if_there(directory / "tokenizer_config.json"));
  for (const auto& [token, row] : source.vocabulary) {
    if (row >= rows) {
      throw Error(ErrorCode::invalid_data, source.file + ": token " + in_quotes(token, '\'') +
                                               ": expected a row below vocab_size of config.json, " +
                                               std::to_string(rows) + ", found " + std::to_string(row));
    }
  }
  return {source.vocabulary, source.options, source.file};
}

}  // namespace attune::inline v0_1::detail
