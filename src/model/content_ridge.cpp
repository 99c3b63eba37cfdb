// SPDX-License-Identifier: Apache-2.0
#include "model/content_ridge.hpp"

#include <Eigen/Cholesky>
#include <Eigen/IterativeLinearSolvers>
#include <Eigen/SparseCore>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace attune::inline v0_1::detail {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::size_t kMostDirect = 6144, kMostCompared = 1024, kFewestCompared = 20;
constexpr std::size_t kHeldOut = 5;  // one of so many

// gram [n, n]: the dot products of the rows' blocks of one feature.
MatrixXf gram_of(const FeatureTable& features, std::span<const std::uint32_t> rows, std::size_t feature,
                 Executor& executor) {
  const auto count = static_cast<Index>(rows.size());
  MatrixXf gram = MatrixXf::Zero(count, count);
  const std::size_t width = features.shape(feature).width;
  executor.run(rows.size(), [&](std::size_t i, std::size_t) {
    std::vector<float> dense(width);
    const FeatureBlock own = features.of(rows[i], feature);
    for (std::size_t c = 0; c < own.values.size(); ++c) dense[own.columns.empty() ? c : own.columns[c]] = own.values[c];
    for (std::size_t j = own.missing() ? rows.size() : i; j < rows.size(); ++j) {
      const FeatureBlock other = features.of(rows[j], feature);
      float product = 0;
      for (std::size_t c = 0; c < other.values.size(); ++c) {
        product += other.values[c] * dense[other.columns.empty() ? c : other.columns[c]];
      }
      gram(static_cast<Index>(j), static_cast<Index>(i)) = product;
    }
  });
  gram.triangularView<Eigen::StrictlyUpper>() = gram.transpose();
  return gram;
}

// What a choice makes of a fifth of the items.
class Comparison {
 public:
  Comparison(const RidgeProblem& problem, Executor& executor) {
    const std::size_t all = problem.rows.size(), taken = std::min(all, kMostCompared);
    std::vector<std::uint32_t> rows;
    MatrixXd vectors(static_cast<Index>(taken), static_cast<Index>(problem.dim));
    for (std::size_t i = 0; i < taken; ++i) {
      const std::size_t from = i * all / taken;
      rows.push_back(problem.rows[from]);
      const auto at = static_cast<Index>(i);
      for (std::size_t d = 0; d < problem.dim; ++d) {
        vectors(at, static_cast<Index>(d)) = static_cast<double>(problem.vectors[from * problem.dim + d]);
      }
      (i % kHeldOut == 0 ? held_out_ : learned_).push_back(at);
    }
    for (std::size_t f = 0; f < problem.features.num_features(); ++f) {
      grams_.push_back(gram_of(problem.features, rows, f, executor));
    }
    known_ = vectors(learned_, Eigen::all);
    asked_ = vectors(held_out_, Eigen::all);
    const Eigen::RowVectorXd mean = known_.colwise().mean();
    known_.rowwise() -= mean;
    asked_.rowwise() -= mean;
  }

  // 1 - squared error / squared error of the mean.
  double explained(const RidgeChoice& choice) const {
    MatrixXf kernel = MatrixXf::Zero(grams_.front().rows(), grams_.front().cols());
    for (std::size_t f = 0; f < grams_.size(); ++f) {
      const double weight = choice.importance[f] * choice.importance[f];
      if (weight > 0) kernel += static_cast<float>(weight) * grams_[f];
    }
    MatrixXd system = kernel(learned_, learned_).cast<double>();
    system.diagonal().array() += choice.ridge;
    const MatrixXd predicted =
        kernel(held_out_, learned_).cast<double>() * Eigen::LLT<Eigen::Ref<MatrixXd>>(system).solve(known_);
    const double share = (asked_ - predicted).squaredNorm() / asked_.squaredNorm();
    return std::isfinite(share) ? 1 - share : -std::numeric_limits<double>::infinity();
  }

 private:
  std::vector<Index> learned_, held_out_;
  std::vector<MatrixXf> grams_;  // [features]
  MatrixXd known_, asked_;       // vectors less the mean of those learned from
};

// Of all features side by side, scaled by their importance; below them the root of the ridge on the diagonal.
Eigen::SparseMatrix<float> design_of(const RidgeProblem& problem, const RidgeChoice& choice,
                                     std::span<const std::size_t> begins, std::size_t width) {
  const std::size_t count = problem.rows.size();
  std::vector<Eigen::Triplet<float, Index>> elements;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t f = 0; f < problem.features.num_features(); ++f) {
      const FeatureBlock block = problem.features.of(problem.rows[i], f);
      for (std::size_t c = 0; c < block.values.size(); ++c) {
        const std::size_t column = begins[f] + (block.columns.empty() ? c : block.columns[c]);
        elements.emplace_back(static_cast<Index>(i), static_cast<Index>(column),
                              static_cast<float>(choice.importance[f]) * block.values[c]);
      }
    }
  }
  for (std::size_t c = 0; c < width; ++c) {
    elements.emplace_back(static_cast<Index>(count + c), static_cast<Index>(c),
                          static_cast<float>(std::sqrt(choice.ridge)));
  }
  Eigen::SparseMatrix<float> design(static_cast<Index>(count + width), static_cast<Index>(width));
  design.setFromTriplets(elements.begin(), elements.end());
  return design;
}

std::vector<std::vector<float>> solve_by_gradients(const RidgeProblem& problem, const RidgeChoice& choice,
                                                   Executor& executor) {
  std::vector<std::size_t> begins{0};
  for (std::size_t f = 0; f < problem.features.num_features(); ++f) {
    begins.push_back(begins.back() + problem.features.shape(f).width);
  }
  const Eigen::SparseMatrix<float> design = design_of(problem, choice, begins, begins.back());
  std::vector<std::vector<float>> weights;
  for (std::size_t f = 0; f + 1 < begins.size(); ++f) {
    weights.emplace_back((begins[f + 1] - begins[f]) * problem.dim);
  }
  executor.run(problem.dim, [&](std::size_t d, std::size_t) {
    Eigen::VectorXf target = Eigen::VectorXf::Zero(design.rows());
    for (std::size_t i = 0; i < problem.rows.size(); ++i) {
      target[static_cast<Index>(i)] = problem.vectors[i * problem.dim + d];
    }
    Eigen::LeastSquaresConjugateGradient<Eigen::SparseMatrix<float>> solver;  // which counts iterations within
    solver.setMaxIterations(100).setTolerance(1e-4f).compute(design);
    const Eigen::VectorXf solved = solver.solve(target);
    for (std::size_t f = 0; f < weights.size(); ++f) {
      for (std::size_t c = 0; c < begins[f + 1] - begins[f]; ++c) {
        weights[f][c * problem.dim + d] =
            static_cast<float>(choice.importance[f]) * solved[static_cast<Index>(begins[f] + c)];
      }
    }
  });
  return weights;
}

std::vector<std::vector<float>> solve_directly(const RidgeProblem& problem, const RidgeChoice& choice,
                                               Executor& executor) {
  const std::size_t count = problem.rows.size(), num_features = problem.features.num_features();
  const auto square_of = [&](std::size_t f) { return choice.importance[f] * choice.importance[f]; };
  MatrixXd system = MatrixXd::Zero(static_cast<Index>(count), static_cast<Index>(count));
  for (std::size_t f = 0; f < num_features; ++f) {
    if (square_of(f) > 0) system += square_of(f) * gram_of(problem.features, problem.rows, f, executor).cast<double>();
  }
  system.diagonal().array() += choice.ridge;
  RowMatrix shares = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
                         problem.vectors.data(), static_cast<Index>(count), static_cast<Index>(problem.dim))
                         .cast<double>();
  Eigen::LLT<Eigen::Ref<MatrixXd>>(system).solveInPlace(shares);
  std::vector<std::vector<float>> weights;
  for (std::size_t f = 0; f < num_features; ++f) {
    std::vector<double> sums(problem.features.shape(f).width * problem.dim);
    for (std::size_t i = 0; i < count; ++i) {
      const FeatureBlock block = problem.features.of(problem.rows[i], f);
      for (std::size_t c = 0; c < block.values.size(); ++c) {
        const double value = square_of(f) * static_cast<double>(block.values[c]);
        double* const sum = sums.data() + (block.columns.empty() ? c : block.columns[c]) * problem.dim;
        for (std::size_t d = 0; d < problem.dim; ++d)
          sum[d] += value * shares(static_cast<Index>(i), static_cast<Index>(d));
      }
    }
    weights.emplace_back(sums.begin(), sums.end());
  }
  return weights;
}

}  // namespace

RidgeChoice choose_ridge(const RidgeProblem& problem, const ContentTowerOptions& given, Executor& executor) {
  RidgeChoice best{given.ridge > 0 ? given.ridge : 1.0, given.importance, std::numeric_limits<double>::quiet_NaN()};
  if (best.importance.empty()) best.importance.assign(problem.features.num_features(), 1.0);
  if (problem.rows.size() < kFewestCompared) return best;
  const Comparison comparison(problem, executor);
  best.explained = comparison.explained(best);
  const auto try_factors = [&](auto part_of, std::initializer_list<double> factors) {
    const double from = part_of(best);
    for (const double factor : factors) {
      RidgeChoice choice = best;
      part_of(choice) = factor * from;
      choice.explained = comparison.explained(choice);
      if (choice.explained > best.explained) best = std::move(choice);
    }
  };
  constexpr int kPasses = 3;
  for (int pass = 0; pass < kPasses; ++pass) {
    if (given.ridge == 0) try_factors([](RidgeChoice& choice) -> double& { return choice.ridge; }, {0.1, 0.4, 2.5, 10});
    for (std::size_t f = 0; given.importance.empty() && f < best.importance.size(); ++f) {
      try_factors([f](RidgeChoice& choice) -> double& { return choice.importance[f]; }, {0, 0.5, 0.75, 1.5, 2});
    }
  }
  return best;
}

std::vector<std::vector<float>> solve_ridge(const RidgeProblem& problem, const RidgeChoice& choice,
                                            Executor& executor) {
  return problem.rows.size() <= kMostDirect ? solve_directly(problem, choice, executor)
                                            : solve_by_gradients(problem, choice, executor);
}

}  // namespace attune::inline v0_1::detail
