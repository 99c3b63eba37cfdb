// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/personal_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "data/byte_reader.hpp"
#include "data/sum64.hpp"
#include "model/count_options.hpp"
#include "privacy/federated_plan.hpp"
#include "privacy/local_history.hpp"
#include "training/batch_gradient.hpp"

namespace attune::inline v0_1 {
namespace {

// "ATPD", version (4 bytes), fingerprint of the plan, place of the first weight (8 bytes each), the difference,
// and a checksum of all before. Numbers are little-endian.
constexpr std::uint32_t kDeltaMagic = 0x44'50'54'41, kDeltaVersion = 1;

// Of the dense weights: the first one of the newest `blocks`, behind which norms stand.
std::size_t first_personal(const SequenceEncoder<float>& encoder, std::size_t blocks) {
  const std::string block = "blocks." + std::to_string(encoder.config().num_blocks - blocks) + ".";
  for (const Parameter& part : encoder.parameters().list()) {
    const bool behind = blocks == 0 && part.name.starts_with("final_norm");
    if (behind || (blocks > 0 && part.name.starts_with(block))) return part.offset;
  }
  return encoder.parameters().total();
}

}  // namespace

void PersonalOptions::validate() const {
  detail::require_option(steps >= 1 && steps <= 10'000, "steps", "1 to 10000", std::to_string(steps));
  detail::require_option(learning_rate > 0 && std::isfinite(learning_rate), "learning_rate", "positive and finite",
                         std::to_string(learning_rate));
}

struct PersonalEncoder::Impl {
  Impl(const FederatedPlan& the_plan, const PersonalOptions& the_options)
      : plan((the_plan.validate(), the_plan)),
        options((the_options.validate(), the_options)),
        config(detail::config_of_clients(plan)),
        encoder(plan.make_encoder()),
        gradient(config, histories, *encoder, calling_thread, detail::uniform_sampler(plan.num_items)) {
    detail::require_option(options.blocks <= plan.encoder.num_blocks, "blocks",
                           "at most the encoder's, " + std::to_string(plan.encoder.num_blocks),
                           std::to_string(options.blocks));
    first = first_personal(*encoder, options.blocks);
    detail::require_option(first < encoder->parameters().total(), "blocks", "above 0 without a final norm", "0");
    common.resize(encoder->parameters().total() - first);
    difference.resize(common.size());
  }

  std::span<float> personal() const { return encoder->weights().subspan(first); }
  void apply() noexcept {
    for (std::size_t i = 0; i < common.size(); ++i) personal()[i] = common[i] + difference[i];
  }
  void learn(HistoryView history, std::uint64_t seed);

  const FederatedPlan plan;
  const PersonalOptions options;
  const TrainerConfig config;
  InlineExecutor calling_thread;
  Histories histories;
  std::unique_ptr<SequenceEncoder<float>> encoder;
  detail::BatchGradient gradient;
  std::size_t first = 0;                  // of the personal part among the dense weights
  std::vector<float> common, difference;  // of that part
};

void PersonalEncoder::Impl::learn(HistoryView history, std::uint64_t seed) {
  auto sequences = detail::take_history(histories, history, plan);
  for (std::size_t step = 0; step < options.steps; ++step) {
    const auto loss = gradient.compute(sequences, detail::stream_of(seed, detail::Purpose::dropout, step));
    const auto rate = static_cast<float>(options.learning_rate / std::max(1.0, loss.targets));
    const std::span<const float> of_part = gradient.gradient().dense().subspan(first);
    for (std::size_t i = 0; i < of_part.size(); ++i) personal()[i] -= rate * of_part[i];
  }
  if (!std::ranges::all_of(personal(), [](float x) { return std::isfinite(x); })) {
    apply();
    throw Error(ErrorCode::non_finite, "a personal encoder: a weight is not finite; a lower learning_rate may help");
  }
  for (std::size_t i = 0; i < common.size(); ++i) difference[i] = personal()[i] - common[i];
}

PersonalEncoder::PersonalEncoder(const FederatedPlan& plan, const PersonalOptions& options)
    : impl_(std::make_unique<Impl>(plan, options)) {}
PersonalEncoder::PersonalEncoder(PersonalEncoder&&) noexcept = default;
PersonalEncoder& PersonalEncoder::operator=(PersonalEncoder&&) noexcept = default;
PersonalEncoder::~PersonalEncoder() = default;

void PersonalEncoder::follow(const SequenceEncoder<float>& common) {
  detail::copy_encoder(*impl_->encoder, common);
  std::ranges::copy(impl_->personal(), impl_->common.begin());
  impl_->apply();
}

void PersonalEncoder::learn(HistoryView history, std::uint64_t seed) { impl_->learn(history, seed); }

void PersonalEncoder::reset() noexcept {
  std::ranges::fill(impl_->difference, 0.0f);
  impl_->apply();
}

const SequenceEncoder<float>& PersonalEncoder::encoder() const noexcept { return *impl_->encoder; }

std::vector<std::byte> PersonalEncoder::to_bytes() const {
  std::vector<std::byte> bytes;
  detail::append_number(bytes, kDeltaMagic);
  detail::append_number(bytes, kDeltaVersion);
  detail::append_number(bytes, detail::fingerprint_of(impl_->plan));
  detail::append_number(bytes, std::uint64_t{impl_->first});
  detail::append_array(bytes, std::span<const float>(impl_->difference));
  detail::append_number(bytes, detail::sum64_of(bytes));
  return bytes;
}

void PersonalEncoder::restore(std::span<const std::byte> bytes) {
  const std::string name = "the difference of a personal encoder";
  detail::ByteReader reader(bytes, name);
  reader.require(reader.number<std::uint32_t>() == kDeltaMagic, "expected \"ATPD\" at the beginning");
  if (const auto version = reader.number<std::uint32_t>(); version != kDeltaVersion) {
    reader.require(version > kDeltaVersion, "expected version 1, found " + std::to_string(version));
    throw Error(ErrorCode::unsupported_version, name + ": expected version 1, found " + std::to_string(version));
  }
  const bool same = reader.number<std::uint64_t>() == detail::fingerprint_of(impl_->plan) &&
                    reader.number<std::uint64_t>() == impl_->first;
  if (!same) throw Error(ErrorCode::invalid_data, name + ": expected the plan and the options it was made with");
  std::vector<float> difference = reader.array<float>(impl_->difference.size());
  const auto sum = reader.number<std::uint64_t>();
  reader.require(reader.left() == 0, "expected its end, found more");
  reader.require(sum == detail::sum64_of(bytes.first(bytes.size() - sizeof sum)),
                 "expected its checksum, found another");
  reader.require(std::ranges::all_of(difference, [](float x) { return std::isfinite(x); }), "expected finite values");
  impl_->difference = std::move(difference);
  impl_->apply();
}

}  // namespace attune::inline v0_1
