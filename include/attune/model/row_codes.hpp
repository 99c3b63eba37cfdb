// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scorer rows in 8 or 4 bits an element, and a proven upper bound of the score that each row can reach: a scan reads
// these bytes and scores in float only the rows whose bound is good enough. Rows and query are rotated by one fixed
// orthogonal matrix (signs and Hadamard transforms), after which one step fits the elements of any data. Immutable;
// const members are safe from any number of threads and allocate nothing once their buffers are warm.
//
// The bound. R is the rotation; x a row of norm v, c its code as a vector and t the angle between c and R x; q a query
// of norm n, p its code and e = |R q - p|; s in [0, 1] is chosen freely. With a = <R q, c> / |c|,
//   <q, x> / v = a cos t + <R q, r> sin t <= a cos t + sin t sqrt(n^2 - a^2)      (r a unit vector across c)
//             <= a cos t + sin t (n sqrt(1 + s^2) - s a)                          (Cauchy-Schwarz)
// which does not fall in a while t <= 45 degrees, and a <= <p, c> / |c| + e. It is tight for a = n s / sqrt(1 + s^2):
// the spherical triangle inequality angle(q, x) >= angle(q, c) - t by its tangent there. A row stores as bytes
// alpha >= cos t / |c| and rho >= sin t, rounded up; rows beyond 45 degrees alpha = 0 and rho = 1, which is n. What
// rounding does to the dot product in float (Higham, Accuracy and Stability of Numerical Algorithms, 3.1) and to the
// bound itself is added; scale and additive term round a larger number to no smaller one.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

template <class Storage>
class ScorerRows;

class ATTUNE_EXPORT RowCodes {
 public:
  // `bits` is 8 or 4. Row i of the codes is order[i] of the rows, none where that is kNoHandle; without an order, row
  // i.
  RowCodes(const ScorerRows<float>& rows, unsigned bits, std::span<const ItemHandle> order = {});

  std::size_t size() const noexcept { return size_; }

  // Codes on their way to a file and back: those without an order.
  struct Stored {
    std::string name;                       // for messages
    std::vector<std::uint64_t> scalars;     // [kScalars]
    std::span<const std::uint64_t> blocks;  // as bytes 64-byte aligned
    std::span<const float> norms;           // [rows], or empty where all rows are normalised
  };
  static constexpr std::size_t kScalars = 8;
  Stored stored() const;  // points into these codes
  // Codes of such rows that are used where they are, kept alive by `owner`. Throws Error(corrupt_file) for sizes and
  // numbers that fit no codes of the rows; that the codes are those of the rows is not checked.
  RowCodes(const ScorerRows<float>& rows, const Stored& stored, std::shared_ptr<const void> owner);
  unsigned bits() const noexcept { return bits_; }
  // What is fastest for a catalogue of this size, as measured at widths around 64: below 512 rows none (0), as float
  // rows are read as fast as a query is encoded, from 32,768 on 4, as codes of 8 bits leave the second-level cache.
  static unsigned best_bits(std::size_t rows) noexcept { return rows < 512 ? 0 : rows < 32'768 ? 8 : 4; }

  // What bound() compares rows with.
  struct Query {
    detail::CodedQuery<float> coded;
    double norm, error;  // n and e
    float typical;       // how much a bound usually exceeds its score
  };
  // `prepared` is ScorerRows::prepare's; `query` points into `codes`. False where the bound does not hold: scale is not
  // positive and finite, products of elements may leave the range of normal floats, or rows are wider than 65,536.
  bool encode(Query& query, std::span<const float> prepared, float scale, Buffer<std::int8_t>& codes,
              Buffer<double>& rotated) const;
  // Makes the bound tight for scores near `cosine` (of query and row).
  void aim(Query& query, double cosine) const noexcept;
  // bounds[i] >= scale * score + additive[i], as KernelTable::finish_scores rounds it, of `count` rows from `first`, a
  // multiple of 64; bit i % 64 of passed[i / 64] says bounds[i] >= threshold. `additive` begins at `first` or is null.
  // `next`, a multiple of 64, is likely to be the next `first`.
  void bound(float* bounds, std::uint64_t* passed, const Query& query, std::size_t first, std::size_t count,
             const float* additive, float threshold, std::size_t next = 0) const noexcept;

  // For many queries at once, with 8 bits alone. The rows of `count` blocks from block `first` whose sums reach the
  // least of each query (KernelTable::match_int8).
  std::size_t match(detail::CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                    std::size_t num_queries, std::size_t first, std::size_t count) const noexcept;
  // No row of a tight block, whose rows are all about as near to their codes, has a smaller sum and reaches the
  // threshold (without additive term).
  std::int32_t least_sum(const Query& query, float threshold) const noexcept;
  bool tight(std::size_t block) const noexcept { return tight_[block]; }

  std::size_t width() const noexcept { return width_; }           // of a query's codes
  double largest_norm() const noexcept { return largest_norm_; }  // of a row
  std::size_t memory_bytes() const noexcept { return num_blocks_ * block_bytes_ + norms_.size() * sizeof(float); }

 private:
  RowCodes(std::size_t size, std::size_t dim, std::size_t stride, unsigned bits);
  void store(std::size_t row, std::span<const std::uint8_t> codes) noexcept;
  void find_tight_blocks();

  std::size_t size_ = 0, dim_ = 0, stride_ = 0, width_ = 0, block_bytes_ = 0, num_blocks_ = 0;
  unsigned bits_;
  detail::KernelTable<float>::BoundRows* bound_;
  const std::uint8_t* blocks_ = nullptr;  // of 64 rows, see KernelTable::bound_int8
  std::span<const float> norms_;          // rounded up; empty where all rows are normalised
  // What the two point into, either ...
  Buffer<std::uint8_t> own_blocks_;
  std::vector<float> own_norms_;
  std::shared_ptr<const void> owner_;  // ... or
  double largest_norm_ = 0, smallest_norm_ = 0;
  double longest_code_ = 0;               // the largest |c|
  double step_ = 0;                       // from code to code
  double alpha_step_ = 0, rho_step_ = 0;  // from byte to byte
  double mean_rho_ = 0;
  std::vector<bool> tight_;                       // by block
  std::uint8_t tight_alpha_ = 0, tight_rho_ = 0;  // the largest bytes of tight blocks
};

}  // namespace attune::inline v0_1
