// SPDX-License-Identifier: Apache-2.0
#include "model/ials_trainer.hpp"

#include <cmath>

#include "attune/detail/dropout.hpp"
#include "model/ials_problem.hpp"

namespace attune::inline v0_1::detail {

// First item vectors: uniform with standard deviation 0.1 / sqrt(D).
IalsTrainer::IalsTrainer(const Histories& histories, const IalsOptions& options, Executor& executor)
    : options_(options),
      executor_(executor),
      items_of_{histories.offsets, {histories.items.begin(), histories.items.end()}},
      users_of_(transposed(items_of_, histories.num_items())),
      users_(histories.num_users() * options.embedding_dim, 0.0f),
      items_(histories.num_items() * options.embedding_dim),
      scratch_(executor.concurrency()) {
  const double width = 2 * 0.1 * std::sqrt(3.0 / static_cast<double>(options.embedding_dim));
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const double uniform = static_cast<double>(mix(options.seed, i) >> 11) * 0x1p-53;
    items_[i] = static_cast<float>(width * (uniform - 0.5));
  }
}

void IalsTrainer::update(std::vector<float>& solved, const Groups& observed, const std::vector<float>& given) {
  const std::size_t dim = options_.embedding_dim;
  const std::vector<float> gramian = gramian_of(given, dim);
  executor_.run(observed.size(), [&](std::size_t group, std::size_t worker) {
    IalsProblem problem(options_, gramian, scratch_[worker]);
    for (const std::uint32_t other : observed.of(group)) {
      problem.add(std::span(given).subspan(other * dim, dim), 1.0f);
    }
    problem.solve(std::span(solved).subspan(group * dim, dim), given.size() / dim);
  });
}

}  // namespace attune::inline v0_1::detail
