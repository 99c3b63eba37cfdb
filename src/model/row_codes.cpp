// SPDX-License-Identifier: Apache-2.0
#include "attune/model/row_codes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/model/scorer_rows.hpp"
#include "model/rotation.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr double kFloatRounding = 0x1p-24;  // relative, of one operation
constexpr double kLargestCode = 64;         // of a query

// Steps that lose least of a normal distribution of variance 1 in 16 levels (Max 1960), and nearly least in 256.
double step_of(unsigned bits) noexcept { return bits == 4 ? 0.3352 : 0.034; }

float rounded_up(double x) noexcept {
  if (x > static_cast<double>(std::numeric_limits<float>::max())) return std::numeric_limits<float>::infinity();
  const auto nearest = static_cast<float>(x);
  return static_cast<double>(nearest) < x ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}

double norm_of(std::span<const double> vector) noexcept {
  double squares = 0;
  for (const double element : vector) squares += element * element;
  return std::sqrt(squares);
}

// The smallest multiple of `step` that is not below x, as a byte.
std::uint8_t byte_above(double x, double step) noexcept {
  return static_cast<std::uint8_t>(std::min(255.0, std::ceil(x / step)));
}

// What a row's code is as a vector, against the row.
struct Angle {
  double alpha, rho;  // cos t / |c|, sin t
  double code_norm;   // |c|
};

// codes [dim] of a rotated row of norm 1.
Angle encode_row(std::span<std::uint8_t> codes, std::span<const double> row, double step, double levels) noexcept {
  const double middle = (levels - 1) / 2, inverse = 1 / step;
  double along = 0, squares = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const int code = static_cast<int>(std::clamp(row[i] * inverse + middle + 0.5, 0.0, levels - 1));
    const double element = (code - middle) * step;
    codes[i] = static_cast<std::uint8_t>(code);
    along += element * row[i];
    squares += element * element;
  }
  constexpr double kSafely = 1e-7;  // far more than the rounding of the sums above, under a root as well
  const double norm = std::sqrt(squares), cosine = along / norm;
  const double sine = std::sqrt(std::max(0.0, 1 - cosine * cosine)) + kSafely;
  if (!(sine < 0.7)) return {0, 1, norm};
  return {cosine / norm * (1 + kSafely), sine, norm};
}

}  // namespace

RowCodes::RowCodes(std::size_t size, std::size_t dim, std::size_t stride, unsigned bits)
    : size_(size),
      dim_(dim),
      stride_(stride),
      width_((dim + 7) / 8 * 8),
      block_bytes_(detail::kCodedGroup * (width_ * bits / 8 + 2)),
      num_blocks_((size + detail::kCodedGroup - 1) / detail::kCodedGroup),
      bits_(bits),
      bound_(bits == 4 ? detail::float_kernels().bound_int4 : detail::float_kernels().bound_int8),
      tight_(num_blocks_, true) {}

RowCodes::RowCodes(const ScorerRows<float>& rows, unsigned bits, std::span<const ItemHandle> order)
    : RowCodes(order.empty() ? rows.size() : order.size(), rows.dim(), rows.stride(), bits) {
  std::ranges::fill(own_blocks_.take(num_blocks_ * block_bytes_), std::uint8_t{0});
  blocks_ = own_blocks_.data();
  if (rows.kind() != ScoreKind::cosine) own_norms_.resize(size_);
  norms_ = own_norms_;
  if (rows.num_scorable() == 0) return;
  const double levels = bits == 4 ? 16 : 256;
  step_ = step_of(bits) / std::sqrt(static_cast<double>(dim_));
  std::vector<Angle> angles(size_, Angle{0, 0, 0});
  std::vector<double> rotated(dim_);
  std::vector<std::uint8_t> codes(dim_);
  double largest_alpha = 0, largest_rho = 0, sum_rho = 0;
  smallest_norm_ = std::numeric_limits<double>::infinity();
  for (std::size_t row = 0; row < size_; ++row) {
    const ItemHandle item = order.empty() ? static_cast<ItemHandle>(row) : order[row];
    if (!rows.scorable(item)) continue;
    std::copy_n(rows.row(item), dim_, rotated.begin());
    const double norm = norm_of(rotated);
    for (double& element : rotated) element *= 1 / norm;
    rotate(rotated);
    angles[row] = encode_row(codes, rotated, step_, levels);
    store(row, codes);
    if (!own_norms_.empty()) own_norms_[row] = rounded_up(norm * (1 + 1e-12));
    largest_norm_ = std::max(largest_norm_, norm * (1 + 1e-12));
    smallest_norm_ = std::min(smallest_norm_, norm);
    longest_code_ = std::max(longest_code_, angles[row].code_norm);
    largest_alpha = std::max(largest_alpha, angles[row].alpha);
    largest_rho = std::max(largest_rho, angles[row].rho);
    sum_rho += angles[row].rho;
  }
  constexpr double kSafely = 1 + 1e-9;  // byte_above divides
  alpha_step_ = largest_alpha / 255 * kSafely;
  rho_step_ = largest_rho / 255 * kSafely;
  mean_rho_ = sum_rho / static_cast<double>(rows.num_scorable());
  for (std::size_t row = 0; row < size_; ++row) {
    std::uint8_t* const bytes = own_blocks_.data() + (row / detail::kCodedGroup + 1) * block_bytes_ -
                                2 * detail::kCodedGroup + row % detail::kCodedGroup;
    if (largest_alpha > 0) bytes[0] = byte_above(angles[row].alpha, alpha_step_);
    bytes[detail::kCodedGroup] = byte_above(angles[row].rho, rho_step_);
  }
  find_tight_blocks();
}

// All blocks but those that would make least_sum() small for the others.
void RowCodes::find_tight_blocks() {
  if (num_blocks_ == 0) return;
  std::vector<std::uint8_t> alphas(num_blocks_), rhos(num_blocks_);
  for (std::size_t block = 0; block < num_blocks_; ++block) {
    const std::uint8_t* const bytes = blocks_ + (block + 1) * block_bytes_ - 2 * detail::kCodedGroup;
    alphas[block] = *std::max_element(bytes, bytes + detail::kCodedGroup);
    rhos[block] = *std::max_element(bytes + detail::kCodedGroup, bytes + 2 * detail::kCodedGroup);
  }
  const auto limit = [count = num_blocks_](std::vector<std::uint8_t> largest) {
    const auto at = [&](std::size_t rank) {
      std::nth_element(largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(rank), largest.end());
      return largest[rank];
    };
    return std::min<int>(at(count - 1 - count / 100), at(count / 2) * 3 / 2);
  };
  tight_alpha_ = static_cast<std::uint8_t>(limit(alphas));
  tight_rho_ = static_cast<std::uint8_t>(limit(rhos));
  for (std::size_t block = 0; block < num_blocks_; ++block) {
    tight_[block] = alphas[block] <= tight_alpha_ && rhos[block] <= tight_rho_;
  }
}

void RowCodes::store(std::size_t row, std::span<const std::uint8_t> codes) noexcept {
  const std::size_t r = row % detail::kCodedGroup;
  std::uint8_t* const block = own_blocks_.data() + row / detail::kCodedGroup * block_bytes_;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (bits_ == 8) {
      block[(i / 4 * detail::kCodedGroup + r) * 4 + i % 4] = codes[i];
    } else {
      std::uint8_t& pair = block[(i / 8 * detail::kCodedGroup + r) * 4 + i % 4];
      pair = static_cast<std::uint8_t>(pair | (i % 8 < 4 ? codes[i] : codes[i] << 4));
    }
  }
}

RowCodes::Stored RowCodes::stored() const {
  Stored stored{
      "row codes", {bits_}, {reinterpret_cast<const std::uint64_t*>(blocks_), num_blocks_ * block_bytes_ / 8}, norms_};
  for (const double scalar : {largest_norm_, smallest_norm_, longest_code_, step_, alpha_step_, rho_step_, mean_rho_}) {
    stored.scalars.push_back(std::bit_cast<std::uint64_t>(scalar));
  }
  return stored;
}

RowCodes::RowCodes(const ScorerRows<float>& rows, const Stored& stored, std::shared_ptr<const void> owner)
    : RowCodes(rows.size(), rows.dim(), rows.stride(),
               stored.scalars.empty() ? 0 : static_cast<unsigned>(stored.scalars[0])) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw Error(ErrorCode::corrupt_file, stored.name + ": " + what);
  };
  require(stored.scalars.size() == kScalars, "expected eight scalars");
  require(stored.scalars[0] == 4 || stored.scalars[0] == 8, "expected 4 or 8 bits");
  require(stored.blocks.size_bytes() == num_blocks_ * block_bytes_, "their size does not fit the rows");
  require(reinterpret_cast<std::uintptr_t>(stored.blocks.data()) % 64 == 0, "they are not aligned to 64 bytes");
  require(stored.norms.size() == (rows.kind() == ScoreKind::cosine ? 0 : rows.size()), "not one norm per row");
  require(std::ranges::all_of(stored.norms, [](float norm) { return norm >= 0 && std::isfinite(norm); }),
          "a norm is negative or not finite");
  std::size_t next = 1;
  for (double* const scalar :
       {&largest_norm_, &smallest_norm_, &longest_code_, &step_, &alpha_step_, &rho_step_, &mean_rho_}) {
    *scalar = std::bit_cast<double>(stored.scalars[next++]);
    require(*scalar >= 0 && std::isfinite(*scalar), "a scalar is negative or not finite");
  }
  blocks_ = reinterpret_cast<const std::uint8_t*>(stored.blocks.data());
  norms_ = stored.norms;
  owner_ = std::move(owner);
  find_tight_blocks();
}

bool RowCodes::encode(Query& query, std::span<const float> prepared, float scale, Buffer<std::int8_t>& codes,
                      Buffer<double>& rotated) const {
  const std::span<double> vector = rotated.take(dim_);
  std::copy_n(prepared.begin(), dim_, vector.begin());
  query.norm = norm_of(vector) * (1 + 1e-12);
  constexpr double kLargest = 1e30, kSmallest = 1e-25;
  constexpr std::size_t kWidest = 1u << 16;  // sums of codes fit 32 bits
  const bool in_range = query.norm >= kSmallest && query.norm * smallest_norm_ >= kSmallest && query.norm <= kLargest &&
                        query.norm * largest_norm_ <= kLargest;
  if (!(scale > 0 && std::isfinite(scale) && in_range && width_ <= kWidest)) return false;
  rotate(vector);
  double largest = 0;
  for (const double element : vector) largest = std::max(largest, std::abs(element));
  const double step = largest / kLargestCode, inverse = kLargestCode / largest;
  const std::span<std::int8_t> coded = codes.take(width_);
  std::ranges::fill(coded, std::int8_t{0});
  double squares = 0;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < dim_; ++i) {
    const double scaled = vector[i] * inverse;
    const int code = static_cast<int>(scaled + (scaled < 0 ? -0.5 : 0.5));
    const double difference = vector[i] - step * code;
    coded[i] = static_cast<std::int8_t>(code);
    squares += difference * difference;
    sum += code;
  }
  query.error = std::sqrt(squares) * (1 + 1e-12) + kRotationError * query.norm;
  if (!(query.error < 0.25 * query.norm)) return false;

  // A score adds up stride / 16 products a lane and folds 4 times; the bound takes fewer than 128 roundings' worth.
  const std::size_t additions = stride_ / detail::kLanes + 5;
  const double roundings = static_cast<double>(additions) * 1.001 + 128;
  const double row_norm = norms_.empty() ? largest_norm_ : 1;
  const std::int64_t twice_middle = (1 << bits_) - 1;
  query.coded.codes = coded.data();
  query.coded.width = width_;
  query.coded.offset = static_cast<std::int32_t>(-((twice_middle * sum) >> 1));  // half a unit too high at most
  query.coded.unit = static_cast<float>(step * step_ * alpha_step_ * row_norm);
  query.coded.rest = static_cast<float>((query.error + roundings * kFloatRounding * query.norm) * row_norm);
  query.coded.scale = scale;
  aim(query, 0.5);
  return true;
}

void RowCodes::aim(Query& query, double cosine) const noexcept {
  constexpr double kSteepest = 0.7;  // as a cosine; beyond, the bound would fall in a
  const double c = cosine >= 0 ? std::min(cosine, kSteepest) : 0, sine = std::sqrt(1 - c * c), s = c / sine;
  const double row_norm = norms_.empty() ? largest_norm_ : 1;
  // alpha is at most one step too large where the bound falls in it, and <p, c> at most |p| |c|.
  const double reach =
      query.norm / sine * (1 + 1e-12) + s * alpha_step_ * 1.05 * (query.norm + query.error) * longest_code_;
  query.coded.reach = static_cast<float>(rho_step_ * reach * row_norm);
  query.coded.slope = static_cast<float>(rho_step_ * s);
  query.typical = static_cast<float>((mean_rho_ * query.norm * sine + query.error) * largest_norm_) * query.coded.scale;
}

std::size_t RowCodes::match(detail::CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                            std::size_t num_queries, std::size_t first, std::size_t count) const noexcept {
  const std::uint8_t* const blocks = blocks_ + first * block_bytes_;
  return detail::float_kernels().match_int8(matches, codes, least, num_queries, width_, blocks, count);
}

// bound() solved for the sum: u is linear in rho, so the largest of it that a block can have is at 0 or tight_rho_.
std::int32_t RowCodes::least_sum(const Query& query, float threshold) const noexcept {
  constexpr auto kAll = std::numeric_limits<std::int32_t>::min(), kNone = std::numeric_limits<std::int32_t>::max();
  constexpr double kSafely = 1e-6;  // far more than a score and the numbers here are rounded by
  const detail::CodedQuery<float>& coded = query.coded;
  const double longest = static_cast<double>(coded.scale) * (norms_.empty() ? 1 : largest_norm_);
  const double u = static_cast<double>(threshold) / longest * (1 - kSafely) - static_cast<double>(coded.rest);
  const double rho = tight_rho_, flat = 1 - rho * static_cast<double>(coded.slope);
  if (!(u > 0 && flat > 0)) return kAll;
  const double w = std::min(u, (u - rho * static_cast<double>(coded.reach)) / flat) * (1 - kSafely);
  if (!(w > 0)) return kAll;
  const double sum = std::floor(w / (static_cast<double>(coded.unit) * tight_alpha_)) - coded.offset;
  return sum < kNone ? static_cast<std::int32_t>(std::max<double>(sum, kAll)) : kNone;
}

void RowCodes::bound(float* bounds, std::uint64_t* passed, const Query& query, std::size_t first, std::size_t count,
                     const float* additive, float threshold, std::size_t next) const noexcept {
  const auto block = [&](std::size_t row) { return blocks_ + row / detail::kCodedGroup * block_bytes_; };
  bound_(bounds, passed, query.coded, block(first), norms_.empty() ? nullptr : norms_.data() + first, additive,
         threshold, count, block(next));
}

}  // namespace attune::inline v0_1
