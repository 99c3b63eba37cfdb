// SPDX-License-Identifier: Apache-2.0
#include "training/training_state.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "model/manifest.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {

bool StateFile::exists() const {
  std::error_code unknown;
  return !path.empty() && std::filesystem::exists(path, unknown);
}

void StateFile::remove() const {
  if (!path.empty()) platform::remove_file(path);
}

namespace detail {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::string_view kMagic = "ATTUNETS";
constexpr std::size_t kChecksumAt = kMagic.size() + sizeof(std::uint32_t);
constexpr std::size_t kContentAt = kChecksumAt + sizeof(std::uint32_t);

// 64 bits that depend on every byte and on where it stands.
class Fingerprint {
 public:
  template <class T>
  void add(std::span<const T> values) {
    static_assert(std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>);
    std::span<const std::byte> bytes = std::as_bytes(values);
    state_ = mix(state_, bytes.size());
    while (!bytes.empty()) {
      std::uint64_t word = 0;
      const std::size_t count = std::min(bytes.size(), sizeof(word));
      std::memcpy(&word, bytes.data(), count);
      state_ = mix(state_, word);
      bytes = bytes.subspan(count);
    }
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(std::span<const T>(values));
  }
  void add(std::string_view text) { add(std::span<const char>(text)); }
  void add(const Histories& histories) {
    add(histories.offsets);
    add(std::span(histories.items));
    add(std::span(histories.times));
    add(std::span(histories.kinds));
    add(std::span(histories.values));
    for (const std::string& kind : histories.event_kinds) add(kind);
    Bytes ids;
    if (histories.item_ids) histories.item_ids->serialize(ids);
    add(ids);
  }
  std::string text() const {
    return hex_of(static_cast<std::uint32_t>(state_ >> 32)) + hex_of(static_cast<std::uint32_t>(state_));
  }

 private:
  std::uint64_t state_ = 0;
};

struct Difference {
  std::string field;
  Json expected, found;
};

std::optional<Difference> first_difference(const Json& expected, const Json& found, const std::string& field = "") {
  if (expected == found) return std::nullopt;
  if (!expected.is_object() || !found.is_object()) return Difference{field, expected, found};
  const std::string prefix = field.empty() ? "" : field + '.';
  for (const auto& [key, value] : expected.items()) {
    if (auto difference = first_difference(value, found.value(key, Json()), prefix + key)) return difference;
  }
  for (const auto& [key, value] : found.items()) {
    if (!expected.contains(key)) return Difference{prefix + key, Json(), value};
  }
  return std::nullopt;
}

// What of the state is no array. Throws a JSON exception where a field is missing or of another kind.
void read_fields(TrainingState& state, const Json& json) {
  json.at("planned").get_to(state.planned);
  json.at("best_epoch").get_to(state.best_epoch);
  json.at("seconds").get_to(state.seconds);
  for (const Json& report : json.at("epochs")) state.epochs.push_back(epoch_report_of(report));
}

// The arrays of an encoder, dense weights first.
template <class Encoder, class Visit>
void visit_weights(Encoder& encoder, Visit& visit) {
  visit(encoder.weights());
  for (std::size_t c = 0; c < encoder.items().num_chunks(); ++c) visit(encoder.items().chunk(c));
}

Json fingerprint_of(const SequenceEncoder<float>& encoder) {
  Json config = Json::object();
  visit_encoder(encoder.config(), ConfigWriter(config));
  Fingerprint weights;
  weights.add(text_of(config));
  auto add = [&](std::span<const float> values) { weights.add(values); };
  visit_weights(encoder, add);
  return weights.text();
}

}  // namespace

Json json_of(const EpochReport& report) {
  return {{"epoch", report.epoch},         {"epochs", report.epochs},
          {"seconds", report.seconds},     {"loss", report.loss},
          {"validated", report.validated}, {"hit_rate_10", report.hit_rate_10},
          {"ndcg_10", report.ndcg_10},     {"best", report.best}};
}

EpochReport epoch_report_of(const Json& json) {
  EpochReport report;
  json.at("epoch").get_to(report.epoch);
  json.at("epochs").get_to(report.epochs);
  json.at("seconds").get_to(report.seconds);
  json.at("loss").get_to(report.loss);
  json.at("validated").get_to(report.validated);
  json.at("hit_rate_10").get_to(report.hit_rate_10);
  json.at("ndcg_10").get_to(report.ndcg_10);
  json.at("best").get_to(report.best);
  return report;
}

Json identity_of(const TrainerConfig& config, const Histories& train, const EvaluationQueries& validation) {
  Fingerprint histories, queries;
  histories.add(train);
  if (validation.histories) queries.add(*validation.histories);
  for (const EvaluationQueries::Query& query : validation.queries) {
    queries.add(std::span<const std::uint32_t>(std::array{query.user, query.history_length, query.num_targets}));
  }
  Json identity = {{"attune", version()},
                   {"simd_level", simd_level()},
                   {"histories",
                    {{"users", train.num_users()},
                     {"items", train.num_items()},
                     {"events", train.num_events()},
                     {"fingerprint", histories.text()}}},
                   {"validation", {{"queries", validation.size()}, {"fingerprint", queries.text()}}},
                   {"config", parse_object(config.to_json(), "config")}};
  if (config.teacher) identity["teacher"] = fingerprint_of(*config.teacher);
  return identity;
}

void require_same(const Json& kept, const Json& found, const std::string& path, const std::string& content) {
  const auto difference = first_difference(kept, found);
  if (!difference) return;
  const std::string& field = difference->field;
  ErrorCode code = ErrorCode::invalid_config;
  if (field == "attune" || field == "simd_level") code = ErrorCode::unsupported;
  if (field.starts_with("histories") || field.starts_with("validation")) code = ErrorCode::invalid_data;
  throw Mismatch(code, "\"" + path + "\": " + content + ": " + field + ": expected " + text_of(difference->expected) +
                           ", found " + text_of(difference->found));
}

const std::shared_ptr<SequenceEncoder<float>>& TrainingState::spare_encoder(const Learner& learner) {
  if (!spare) spare = make_encoder(learner.encoder_config(), learner.num_items());
  return spare;
}

void TrainingState::add(EpochReport report) {
  report.best = best_epoch == 0 || !report.validated || report.ndcg_10 > epochs[best_epoch - 1].ndcg_10;
  epochs.push_back(report);
  if (!report.best) return;
  best_epoch = report.epoch;
  std::swap(best, spare);
}

StateStore::StateStore(const StateFile& file, const TrainerConfig& config, const Histories& train,
                       const EvaluationQueries& validation)
    : file_(file) {
  if (!file_.path.empty()) training_ = identity_of(config, train, validation);
}

void StateStore::fail(ErrorCode code, const std::string& problem) const {
  throw Error(code, "\"" + file_.path + "\": " + problem);
}

std::span<const std::byte> StateStore::checked_content(std::span<const std::byte> bytes) const {
  if (bytes.size() < kContentAt || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(ErrorCode::corrupt_file, "expected the state of a training, which begins with " + std::string(kMagic));
  }
  const auto format = load_number<std::uint32_t>(bytes.data() + kMagic.size());
  if (format != kStateFormatVersion) {
    fail(ErrorCode::unsupported_version, "the state has format version " + std::to_string(format) +
                                             ", this attune reads " + std::to_string(kStateFormatVersion));
  }
  const auto expected = load_number<std::uint32_t>(bytes.data() + kChecksumAt);
  const std::uint32_t found = crc32_of(bytes.subspan(kContentAt));
  if (expected != found) {
    fail(ErrorCode::corrupt_file, "expected checksum " + hex_of(expected) + ", found " + hex_of(found));
  }
  return bytes.subspan(kContentAt);
}

void StateStore::load(TrainingState& state, Learner& learner) const {
  if (!file_.resume || !file_.exists()) return;
  const Bytes bytes = platform::read_file(file_.path);
  std::span<const std::byte> left = checked_content(bytes);
  const auto take = [&](std::uint64_t count) {
    if (count > left.size()) {
      fail(ErrorCode::corrupt_file,
           "expected " + std::to_string(count) + " more bytes, found " + std::to_string(left.size()));
    }
    const auto taken = left.first(count);
    left = left.subspan(count);
    return taken;
  };
  const auto text = take(load_number<std::uint64_t>(take(sizeof(std::uint64_t)).data()));
  const Json json =
      parse_object({reinterpret_cast<const char*>(text.data()), text.size()}, file_.path, ErrorCode::corrupt_file);
  std::size_t steps = 0;
  try {
    // The data first: settings may follow from them.
    require_same(json.at("training"), training_, file_.path, "the state is of another training");
    read_fields(state, json);
    json.at("steps").get_to(steps);
  } catch (const Json::exception& error) {
    fail(ErrorCode::corrupt_file, error.what());
  }
  if (state.best_epoch == 0 || state.best_epoch > state.epochs.size() || steps > left.size() / sizeof(double)) {
    fail(ErrorCode::corrupt_file, "its epochs or steps do not add up");
  }
  auto read = [&](auto values) {
    const auto from = take(values.size_bytes());
    if (!values.empty()) std::memcpy(values.data(), from.data(), from.size());
  };
  learner.read_state(steps, read);
  state.best = make_encoder(learner.encoder_config(), learner.num_items());
  visit_weights(*state.best, read);
  if (!left.empty()) fail(ErrorCode::corrupt_file, std::to_string(left.size()) + " bytes too many");
}

void StateStore::save(const TrainingState& state, const Learner& learner) const {
  if (file_.path.empty()) return;
  Json json{{"training", training_},    {"planned", state.planned}, {"best_epoch", state.best_epoch},
            {"seconds", state.seconds}, {"steps", learner.steps()}, {"epochs", Json::array()}};
  for (const EpochReport& report : state.epochs) json["epochs"].push_back(json_of(report));
  const std::string text = text_of(json);

  std::size_t array_bytes = 0;
  auto measure = [&](auto values) { array_bytes += values.size_bytes(); };
  learner.write_state(measure);
  visit_weights(std::as_const(*state.best), measure);
  Bytes bytes;
  bytes.reserve(kContentAt + sizeof(std::uint64_t) + text.size() + array_bytes);
  append_array(bytes, std::span<const char>(kMagic));
  append_number(bytes, std::uint32_t{kStateFormatVersion});
  append_number(bytes, std::uint32_t{0});
  append_number(bytes, std::uint64_t{text.size()});
  append_array(bytes, std::span<const char>(text));
  auto write = [&](auto values) { append_array(bytes, std::as_bytes(values)); };
  learner.write_state(write);
  visit_weights(std::as_const(*state.best), write);
  const std::uint32_t checksum = crc32_of(std::span<const std::byte>(bytes).subspan(kContentAt));
  std::memcpy(bytes.data() + kChecksumAt, &checksum, sizeof(checksum));
  platform::replace_file(file_.path, bytes);
}

}  // namespace detail
}  // namespace attune::inline v0_1
