// SPDX-License-Identifier: Apache-2.0
#include "model/word_piece.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"
#include "model/word_piece_file.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
using detail::WordPiece;
using detail::WordPieceOptions;

namespace {

using Tokens = std::vector<std::uint32_t>;

const std::vector<std::string> kVocabulary = {"[PAD]", "[UNK]", "[CLS]",  "[SEP]", "the",    "movie", "##s",
                                              "un",    "##aff", "##able", "cafe",  "Cafe",   ".",     "a",
                                              "##b",   "unaff", "ab",     "b",     "[MASK]", "[",     "]"};

WordPiece::Vocabulary rows_of(const std::vector<std::string>& tokens) {
  WordPiece::Vocabulary rows;
  for (std::uint32_t row = 0; row < tokens.size(); ++row) rows.emplace(tokens[row], row);
  return rows;
}

WordPieceOptions options_of(const std::string& mode) {
  WordPieceOptions options;
  options.lower_case = mode != "cased" && mode != "cased, accents stripped" && mode != "as it is";
  if (mode == "lower, accents kept") options.strip_accents = false;
  if (mode == "cased, accents stripped") options.strip_accents = true;
  options.clean_text = options.split_ideographs = mode != "as it is";
  return options;
}

// The tokens between [CLS] and [SEP] as they stand in the vocabulary, with blanks between them.
std::string pieces(const WordPiece& tokenizer, std::string_view text, std::size_t max_length = 512) {
  Tokens tokens;
  tokenizer.tokenize(tokens, text, max_length);
  REQUIRE(tokens.size() >= 2);
  CHECK(kVocabulary[tokens.front()] == "[CLS]");
  CHECK(kVocabulary[tokens.back()] == "[SEP]");
  std::string joined;
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i) joined += (i == 1 ? "" : " ") + kVocabulary[tokens[i]];
  return joined;
}

// A checkpoint's folder with these files, read with room for 100 rows.
class Folder {
 public:
  void write(const std::string& name, const std::string& text) const { write_text(directory_ / name, text); }
  WordPiece load() const { return detail::load_word_piece(directory_.path(), 100); }
  std::string pieces_of(std::string_view text) const { return pieces(load(), text); }
  // The message of the error, which has this code.
  std::string refused(ErrorCode code) const {
    try {
      load();
    } catch (const Error& error) {
      CHECK(error.code() == code);
      return error.what();
    }
    FAIL("nothing was refused");
    return "";
  }

 private:
  TemporaryDirectory directory_;
};

std::string vocabulary_lines() {
  std::string lines;
  for (const std::string& token : kVocabulary) lines += token + '\n';
  return lines;
}

nlohmann::json tokenizer_json() {
  return {{"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}, {"strip_accents", nullptr}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", rows_of(kVocabulary)}}}};
}

}  // namespace

TEST_CASE("Tokens equal those of the published description in every mode", "[model][text]") {
  const auto golden = nlohmann::json::parse(read_text(std::string(ATTUNE_TEST_DIR) + "/golden/word_piece.json"));
  const auto vocabulary = rows_of(golden["vocabulary"]);
  std::size_t known = 0;
  for (const auto& entry : golden["cases"]) {
    const WordPiece tokenizer(vocabulary, options_of(entry[0]), "golden");
    Tokens tokens;
    const bool whole = tokenizer.tokenize(tokens, entry[1].get<std::string>(), entry[2]);
    INFO(entry.dump());
    CHECK(whole != entry[3].get<bool>());
    CHECK(tokens == entry[4].get<Tokens>());
    known += tokens.size() - 2;
  }
  CHECK(known > 4000);
}

TEST_CASE("The longest pieces are taken from the left, and a word with a gap is unknown as a whole", "[model][text]") {
  const WordPiece tokenizer(rows_of(kVocabulary), {}, "vocabulary");
  CHECK(pieces(tokenizer, "The unaffable movies.") == "the unaff ##able movie ##s .");
  CHECK(pieces(tokenizer, "unaffableX ab aab") == "[UNK] ab [UNK]");
  CHECK(pieces(tokenizer, "caf\xC3\xA9 CAFE\xCC\x81") == "cafe cafe");
  CHECK(pieces(tokenizer, "") == "");
}

TEST_CASE("What is written like a special token is text", "[model][text]") {
  const WordPiece tokenizer(rows_of(kVocabulary), {}, "vocabulary");
  CHECK(pieces(tokenizer, "[MASK]") == "[ [UNK] ]");
}

TEST_CASE("Bytes that are not UTF-8 do not count, wherever they stand", "[model][text]") {
  const WordPiece tokenizer(rows_of(kVocabulary), {}, "vocabulary");
  for (const std::string_view bad :
       {"\xFF", "\xC3", "\xE4\xB8", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\x80", "\x80"}) {
    const std::string wrong(bad);
    CHECK(pieces(tokenizer, "mov" + wrong + "ie the" + wrong) == "movie the");
    CHECK(pieces(tokenizer, wrong) == "");
  }
  WordPieceOptions raw = options_of("as it is");
  CHECK(pieces(WordPiece(rows_of(kVocabulary), raw, "vocabulary"), "mov\xFFie the") == "[UNK] the");
}

TEST_CASE("A text is cut at the length that is asked for, and says so", "[model][text]") {
  const WordPiece tokenizer(rows_of(kVocabulary), {}, "vocabulary");
  Tokens tokens;
  CHECK(tokenizer.tokenize(tokens, "the movies ", 5));
  CHECK(tokens.size() == 5);
  CHECK_FALSE(tokenizer.tokenize(tokens, "the movies", 4));
  CHECK(tokens.size() == 9);
  CHECK(pieces(tokenizer, "the movies", 4) == "the movie");
  CHECK(pieces(tokenizer, "the movies xyz", 5) == "the movie ##s");
  CHECK(pieces(tokenizer, "the movies", 2) == "");
}

TEST_CASE("A vocabulary is read from lines or from tokenizer.json, to the same tokens", "[model][text]") {
  const Folder lines, json, windows;
  lines.write("vocab.txt", vocabulary_lines());
  json.write("tokenizer.json", tokenizer_json().dump());
  std::string with_returns;
  for (const std::string& token : kVocabulary) with_returns += token + "\r\n";
  windows.write("vocab.txt", "\xEF\xBB\xBF" + with_returns);
  for (const Folder* folder : {&lines, &json, &windows}) {
    CHECK(folder->pieces_of("The CAF\xC3\x89 unaffables") == "the cafe unaff ##able ##s");
  }
}

TEST_CASE("tokenizer_config.json decides about case and accents", "[model][text]") {
  for (const std::string file : {"vocab.txt", "tokenizer.json"}) {
    const Folder folder;
    folder.write(file, file == "vocab.txt" ? vocabulary_lines() : tokenizer_json().dump());
    CHECK(folder.pieces_of("Cafe The") == "cafe the");
    folder.write("tokenizer_config.json", R"({"do_lower_case": false, "tokenizer_class": "BertTokenizer"})");
    CHECK(folder.pieces_of("Cafe The caf\xC3\xA9") == "Cafe [UNK] [UNK]");
    folder.write("tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": true})");
    CHECK(folder.pieces_of("Cafe\xCC\x81 The caf\xC3\xA9") == "Cafe [UNK] cafe");
    folder.write("tokenizer_config.json", R"({"cls_token": {"content": "[CLS]"}, "unk_token": "[MASK]"})");
    CHECK(folder.pieces_of("the xyz") == "the [MASK]");
  }
}

TEST_CASE("A tokenizer.json decides about pieces and normalising", "[model][text]") {
  const Folder folder;
  auto json = tokenizer_json();
  json["model"]["max_input_chars_per_word"] = 5;
  folder.write("tokenizer.json", json.dump());
  CHECK(folder.pieces_of("movie movies") == "movie [UNK]");
  json["model"]["continuing_subword_prefix"] = "a";
  folder.write("tokenizer.json", json.dump());
  CHECK(folder.pieces_of("bb b") == "b ab b");
  json["normalizer"] = nullptr;
  folder.write("tokenizer.json", json.dump());
  CHECK(folder.pieces_of("The caf\xC3\xA9 Cafe b\x01 b") == "[UNK] [UNK] Cafe [UNK] b");
}

TEST_CASE("A token that stands twice in a vocabulary has the later row", "[model][text]") {
  const Folder folder;
  folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nmovie\nmovie\n");
  Tokens tokens;
  folder.load().tokenize(tokens, "movie", 8);
  CHECK(tokens == Tokens{2, 5, 3});
}

TEST_CASE("A tokenizer that cannot be used is refused by name", "[model][text]") {
  const Folder folder;
  CHECK(folder.refused(ErrorCode::io_error).find("tokenizer.json or vocab.txt") != std::string::npos);

  folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\nthe\n");
  CHECK(folder.refused(ErrorCode::invalid_data).find("[SEP]") != std::string::npos);
  folder.write("vocab.txt", "");
  CHECK(folder.refused(ErrorCode::invalid_data).find("vocab.txt") != std::string::npos);
  std::string many = vocabulary_lines();
  for (int i = 0; i < 90; ++i) many.append("w").append(std::to_string(i)) += '\n';
  folder.write("vocab.txt", many);
  CHECK(folder.refused(ErrorCode::invalid_data).find("100") != std::string::npos);

  folder.write("vocab.txt", vocabulary_lines());
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "BertJapaneseTokenizer"})");
  CHECK(folder.refused(ErrorCode::unsupported).find("BertJapaneseTokenizer") != std::string::npos);
  folder.write("tokenizer_config.json", R"({"do_lower_case": "yes"})");
  CHECK(folder.refused(ErrorCode::invalid_config).find("do_lower_case") != std::string::npos);
  folder.write("tokenizer_config.json", "[]");
  CHECK(folder.refused(ErrorCode::invalid_config).find("tokenizer_config.json") != std::string::npos);
}

TEST_CASE("A tokenizer.json of another kind is refused by name", "[model][text]") {
  const Folder folder;
  const auto refused = [&](const std::string& pointer, const nlohmann::json& value, ErrorCode code) {
    auto json = tokenizer_json();
    json[nlohmann::json::json_pointer(pointer)] = value;
    folder.write("tokenizer.json", json.dump());
    return folder.refused(code);
  };
  CHECK(refused("/model/type", "BPE", ErrorCode::unsupported).find("BPE") != std::string::npos);
  CHECK(refused("/model/type", "Unigram", ErrorCode::unsupported).find("tokenizer.json") != std::string::npos);
  CHECK(refused("/normalizer/type", "Precompiled", ErrorCode::unsupported).find("Precompiled") != std::string::npos);
  CHECK(refused("/pre_tokenizer/type", "Metaspace", ErrorCode::unsupported).find("Metaspace") != std::string::npos);
  CHECK(refused("/model/vocab", nullptr, ErrorCode::invalid_config).find("vocab") != std::string::npos);
  CHECK(refused("/model/vocab/the", -4, ErrorCode::invalid_data).find("'the'") != std::string::npos);
  CHECK(refused("/model/vocab/the", 5e9, ErrorCode::invalid_data).find("'the'") != std::string::npos);
  folder.write("tokenizer.json", "{\"model\": ");
  CHECK(folder.refused(ErrorCode::invalid_config).find("tokenizer.json") != std::string::npos);
}
