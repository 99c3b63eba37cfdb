// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrices for kernel tests: unaligned, with a leading dimension of their own, and a recognisable NaN in every place
// that a kernel must neither read nor write.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <vector>

namespace attune::test {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

using Sizes = std::initializer_list<std::size_t>;

// Lengths around the widths of the vectors and blocks, and the window of the encoder.
inline constexpr std::size_t kLengths[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200, 257};

// The same numbers on every platform.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  float uniform(float low, float high) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * static_cast<float>(state_ >> 40) * 0x1p-24f;
  }

 private:
  std::uint64_t state_;
};

class Guarded {
 public:
  // Of zeros, or of numbers from `low` to `high`.
  Guarded(std::size_t rows, std::size_t cols, std::size_t ld);
  Guarded(std::size_t rows, std::size_t cols, std::size_t ld, Random& random, float low = -1.0f, float high = 1.0f);
  explicit Guarded(std::size_t size) : Guarded(1, size, size) {}
  Guarded(std::size_t size, Random& random, float low = -1.0f, float high = 1.0f)
      : Guarded(1, size, size, random, low, high) {}

  float* data() { return storage_.data() + kMargin; }
  const float* data() const { return storage_.data() + kMargin; }
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  std::size_t ld() const { return ld_; }
  float& operator()(std::size_t i, std::size_t j) { return data()[i * ld_ + j]; }
  float operator()(std::size_t i, std::size_t j) const { return data()[i * ld_ + j]; }
  float& operator[](std::size_t j) { return data()[j]; }
  float operator[](std::size_t j) const { return data()[j]; }

  std::vector<double> widened() const;  // [rows, cols], without gaps
  bool intact() const;                  // nothing was written outside

 private:
  static constexpr std::size_t kMargin = 67;  // odd: no alignment

  std::size_t rows_, cols_, ld_;
  std::vector<float> storage_;
};

// The largest |actual[i] - expected[i]| / tolerance(i); infinite where only one of the two is NaN.
double worst_error(const Guarded& actual, const std::vector<double>& expected,
                   const std::function<double(std::size_t)>& tolerance);
double worst_error(const Guarded& actual, const std::vector<double>& expected, double tolerance);

}  // namespace attune::test
