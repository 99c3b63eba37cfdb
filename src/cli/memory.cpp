// SPDX-License-Identifier: Apache-2.0
#include "cli/memory.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "attune/error.hpp"

namespace attune::cli {

namespace {

constexpr std::uint64_t kMegabyte = 1'000'000;

}  // namespace

std::string megabytes(std::uint64_t bytes) {
  return grouped(std::max<std::uint64_t>(1, (bytes + kMegabyte / 2) / kMegabyte)) + " MB";
}

Json memory_json(const MemoryEstimate& estimate) {
  return {{"total", estimate.total()},       {"weights", estimate.weights},         {"optimiser", estimate.optimiser},
          {"gradients", estimate.gradients}, {"activations", estimate.activations}, {"counts", estimate.counts},
          {"teacher", estimate.teacher},     {"evaluation", estimate.evaluation},   {"saving", estimate.saving}};
}

std::string what_to_lower(const MemoryEstimate& estimate) {
  const std::pair<std::size_t, const char*> parts[] = {
      {estimate.weights + estimate.optimiser + estimate.saving, "encoder.embedding_dim"},
      {estimate.gradients, "gradient_slots, or encoder.embedding_dim"},
      {estimate.activations, "--threads, or encoder.max_sequence_length"},
      {estimate.counts, "the options of the count model"},
      {estimate.teacher, "distillation.targets"},
      {estimate.evaluation, "--threads"}};
  return std::max_element(std::begin(parts), std::end(parts))->second;
}

void explain_memory(const MemoryEstimate& estimate, std::optional<std::uint64_t> available,
                    std::optional<std::size_t> limit, Console& console) {
  const std::string needs = "training needs about " + megabytes(estimate.total());
  if (limit && estimate.total() / kMegabyte >= *limit) {
    throw Error(ErrorCode::limit_exceeded,
                needs + ", --memory-limit allows " + std::to_string(*limit) + " MB; lower " + what_to_lower(estimate));
  }
  if (available && estimate.total() > *available) {
    console.line(needs + ", but only " + megabytes(*available) + " are available; lower " + what_to_lower(estimate));
  } else {
    console.line(needs);
  }
}

}  // namespace attune::cli
