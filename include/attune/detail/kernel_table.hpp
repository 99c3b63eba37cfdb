// SPDX-License-Identifier: Apache-2.0
#pragma once

// Plain function pointers to the inner loops. Units built for one instruction set include this header, <cstddef>,
// <cstdint> and the intrinsics, and nothing else: no inline function may be shared with code built at the baseline.
//
// All matrices are row-major with a leading dimension (elements from one row to the next). No function allocates or
// keeps state; buffers need no alignment; outputs may not overlap inputs unless a comment says "in place". What is
// masked has no effect, be it NaN; a NaN that is not masked shows in the output, except in max.

#include <cstddef>
#include <cstdint>

namespace attune::inline v0_1::detail {

enum class Activation : std::uint8_t { relu, gelu, silu, tanh, sigmoid };

// One step of Adam or AdamW (Loshchilov & Hutter 2019) as torch.optim computes it; `step_size` is lr / (1 - beta1^t),
// `inverse_sqrt_correction` is 1 / sqrt(1 - beta2^t).
template <class T>
struct AdamStep {
  T beta1, beta2, epsilon;
  T step_size;
  T inverse_sqrt_correction;
  T decay;  // w is first multiplied by (1 - decay); decay = lr * weight_decay
  T gradient_scale;
};

// Softmax over the V rows of a table for P positions, D wide, fused: the logits exist only as `weights`, in a form of
// the level's own, which forward leaves for backward. P <= kMaxPositions.
template <class T>
struct SoftmaxTable {
  // Elements of T that a packed table and the weights of P positions take.
  std::size_t (*packed_size)(std::size_t rows, std::size_t dim);
  std::size_t (*weights_size)(std::size_t positions, std::size_t rows);
  // packed from table [V, D]: once per step, for all threads.
  void (*pack)(T* packed, const T* table, std::size_t rows, std::size_t dim);
  // weights[p, v] = exp(scale * <hidden[p], table[v]> - shifts[p]); sums[p] = sum over v of weights[p, v];
  // d_hidden[p] = sum over v of weights[p, v] * table[v]. hidden and d_hidden [P, D].
  void (*forward)(T* d_hidden, T* sums, T* weights, const T* hidden, const T* packed, T scale, const T* shifts,
                  std::size_t positions, std::size_t rows, std::size_t dim);
  // d_table[v] += sum over p of weights[p, v] * scaled_hidden[p]; scaled_hidden [P, D] carries what weights lack.
  void (*backward)(T* d_table, const T* weights, const T* scaled_hidden, std::size_t positions, std::size_t rows,
                   std::size_t dim);
};
inline constexpr std::size_t kMaxPositions = 128;

// Bias of a row of attention, added to its scores: position[j] + time[gaps[j]]. Either part may be missing (null
// position, null gaps).
template <class T>
struct AttentionBias {
  const T* position;
  const T* time;
  const std::uint8_t* gaps;
};

// What a cache remembers (model/sequence_state.hpp): keys in blocks of 16 positions, [block][D][16]; values row-major
// [position][D]; D = heads * head_dim. `S` is T, or std::uint16_t for bfloat16.
// Behind each element, `ahead` further, lies the same one of the next cache that will be read, which is asked for in
// time; 0: none is.
template <class S>
struct CachedRows {
  const S* keys;
  const S* values;
  std::size_t heads, head_dim;
  std::size_t ahead = 0;
};

// `size` rows that attend to a cache, at least 1 and at most kMaxCacheQueries, `stride` apart. The first sees `count`
// positions, the second `step` more (0 or 1).
template <class T>
struct CacheQueries {
  const T* rows;
  std::size_t stride, size, count, step;
};
inline constexpr std::size_t kMaxCacheQueries = 2;

// A query as rows in codes are compared with it; model/row_codes.hpp says what the numbers are.
template <class T>
struct CodedQuery {
  const std::int8_t* codes;  // [width], from -64 to 64: two products with bytes fit into 16 bits
  std::size_t width;         // a multiple of 8
  std::int32_t offset;       // of each sum of products
  T unit, reach, slope, rest;
  T scale;
};
inline constexpr std::size_t kCodedGroup = 64;  // rows to a block of codes

// Rows of a block that one of many queries looks for.
struct CodedMatch {
  std::uint32_t query, block;
  std::uint64_t rows;  // never 0
};
inline constexpr std::size_t kMatchedTogether = 16;  // queries

template <class T>
struct KernelTable {
  const char* level;

  // Matrix products, C [M, N] = A * B, or C += A * B where `accumulate`.
  using Matmul = void(T* c, std::size_t ldc, const T* a, std::size_t lda, const T* b, std::size_t ldb, std::size_t m,
                      std::size_t n, std::size_t k, bool accumulate);
  Matmul* matmul_nn;  // A [M, K], B [K, N]
  Matmul* matmul_nt;  // A [M, K], B [N, K]
  Matmul* matmul_tn;  // A [K, M], B [K, N]

  // The same where inputs may be rounded to bfloat16, sums not: for training alone.
  Matmul* rounded_nn;
  Matmul* rounded_nt;
  Matmul* rounded_tn;
  SoftmaxTable<T> softmax_table, rounded_softmax_table;

  // The score of the library. 16 partial sums (lane l adds elements l, l + 16, ...; multiply and add rounded
  // separately), folded as lanes l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1). Every level gives the same bits.
  // `query` [dim] and each of `count` rows [dim] start `stride` apart; dim is a multiple of 16, padded with zeros.
  void (*dot_rows)(T* scores, const T* query, const T* rows, std::size_t stride, std::size_t dim, std::size_t count);

  // scores[i] of rows[indices[i]]: the bits of dot_rows.
  void (*dot_rows_at)(T* scores, const T* query, const T* rows, std::size_t stride, std::size_t dim,
                      const std::uint32_t* indices, std::size_t count);

  // scores[i] = scale * scores[i] + (additive ? additive[i] : 0) for i < count <= 64, multiply and add rounded
  // separately, in place; bit i of the result says scores[i] >= threshold (false for NaN).
  std::uint64_t (*finish_scores)(T* scores, T scale, const T* additive, T threshold, std::size_t count);

  // What the scores of `count` rows in codes cannot exceed: bounds[r] = scale * (norms ? norms[r] : 1) * u +
  // additive[r],
  //   u = w + rho[r] * (reach - slope * w) + rest, w = unit * (alpha[r] * max(0, offset + sum_i codes[i] * row[r, i])),
  // where the sum is exact and each operation rounded separately, in this order: every level gives the same bits. Bit
  // r % 64 of passed[r / 64] says bounds[r] >= threshold. `norms` and `additive` [count] may be null. `blocks` has one
  // block per 64 rows: the bytes of the rows, [width / 4][64][4], then alpha [64] and rho [64], bytes too. For int4 two
  // groups of 4 elements share a byte, [width / 8][64][4], the first of them in the low half. `next` is where the call
  // after this one begins, to be brought near; any address will do.
  using BoundRows = void(T* bounds, std::uint64_t* passed, const CodedQuery<T>& query, const std::uint8_t* blocks,
                         const T* norms, const T* additive, T threshold, std::size_t count, const std::uint8_t* next);
  BoundRows* bound_int8;
  BoundRows* bound_int4;

  // The rows of blocks of int8 with sum_i codes[q, i] * row[r, i] >= least[q], for all queries at once: a row's bytes
  // are read once. codes [num_queries, width] as CodedQuery's, num_queries a multiple of kMatchedTogether. Returns how
  // many of matches [num_queries * num_blocks] it wrote, blocks in ascending order.
  std::size_t (*match_int8)(CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                            std::size_t num_queries, std::size_t width, const std::uint8_t* blocks,
                            std::size_t num_blocks);

  // y [R, D] = (x - mean) * rstd * gamma + beta, biased variance; mean and rstd [R] are kept for the backward pass.
  // In place (y == x) is allowed. gamma and beta may be null (1 and 0).
  void (*layer_norm_forward)(T* y, T* mean, T* rstd, const T* x, const T* gamma, const T* beta, std::size_t rows,
                             std::size_t dim, T epsilon);
  // d_x [R, D] is overwritten (in place with d_y allowed); d_gamma and d_beta [D] are added to, and may be null.
  void (*layer_norm_backward)(T* d_x, T* d_gamma, T* d_beta, const T* d_y, const T* x, const T* mean, const T* rstd,
                              const T* gamma, std::size_t rows, std::size_t dim);

  // In place: row i of p [rows, cols] becomes softmax(scale * p[i, 0 .. visible)), zero beyond; visible is
  // min(cols, i + 1) when `causal`, else cols. scale > 0. Maximum subtracted; a row with nothing visible, or -infinity
  // alone, is all zero.
  void (*softmax_forward)(T* p, std::size_t ld, std::size_t rows, std::size_t cols, T scale, bool causal);
  // In place: d_p becomes the gradient of the unscaled logits, scale * p * (d_p - sum_j p_j d_p_j).
  void (*softmax_backward)(T* d_p, std::size_t ldd, const T* p, std::size_t ldp, std::size_t rows, std::size_t cols,
                           T scale, bool causal);

  // In place: x[i] = exp(scale * x[i] - shift); returns the sum. For the fused cross-entropy.
  T (*exp_sum)(T* x, std::size_t n, T scale, T shift);
  T (*max)(const T* x, std::size_t n);  // of what is no NaN; -infinity for n = 0

  // gelu is x/2 (1 + erf(x / sqrt 2)), silu is x / (1 + exp(-x)), sigmoid 1 / (1 + exp(-x)). In place allowed in both.
  void (*activation_forward)(Activation kind, T* y, const T* x, std::size_t n);
  void (*activation_backward)(Activation kind, T* d_x, const T* d_y, const T* x, std::size_t n);

  void (*add)(T* y, const T* x, std::size_t n);                              // y += x
  void (*scaled_add)(T* y, T a, const T* x, std::size_t n);                  // y += a x
  void (*scale)(T* y, T a, std::size_t n);                                   // y *= a
  void (*add_rows)(T* y, const T* bias, std::size_t rows, std::size_t dim);  // y [R, D] += bias [D]
  void (*sum_rows)(T* sum, const T* x, std::size_t rows, std::size_t dim);   // sum [D] += column sums of x [R, D]

  // Attention of a few rows to a cache: out [size, D]. The bits of a row do not depend on the other. `scores` is
  // scratch for size * (heads + 1) * (the most positions seen, rounded up to 16) elements.
  template <class S>
  using Attend = void(T* out, const CacheQueries<T>& queries, const CachedRows<S>& cache, T scale, T* scores);
  Attend<T>* attend_cached;
  Attend<std::uint16_t>* attend_rounded;

  // Pointwise attention (HSTU, Zhai et al. 2024). In place: s [n] becomes scale * silu(s + bias).
  void (*silu_attention_forward)(T* s, const AttentionBias<T>& bias, T scale, std::size_t n);
  // From the scores s [n] and d [n], the gradient of what forward makes of them: s becomes that, d the gradient of the
  // scores, which is that of the bias as well.
  void (*silu_attention_backward)(T* d, T* s, const AttentionBias<T>& bias, T scale, std::size_t n);
  // sums[gaps[j]] += d[j].
  void (*scatter_add)(T* sums, const T* d, const std::uint8_t* gaps, std::size_t n);
  // The same for a few rows and a cache, as attend_cached. Bias and scale [size] are those of the rows; bias.position
  // of head h lies h * position_stride further.
  template <class S>
  using SiluAttend = void(T* out, const CacheQueries<T>& queries, const CachedRows<S>& cache,
                          const AttentionBias<T>* bias, std::size_t position_stride, const T* scale, T* scores);
  SiluAttend<T>* silu_attend_cached;
  SiluAttend<std::uint16_t>* silu_attend_rounded;
  void (*multiply)(T* y, const T* a, const T* b, std::size_t n);  // y = a * b, element by element

  // w, m, v are updated in place from the gradient g, all [n].
  void (*adam)(T* w, T* m, T* v, const T* g, std::size_t n, const AdamStep<T>& step);
};

// Width of the lanes that dot_rows sums in, and of a key block.
inline constexpr std::size_t kLanes = 16;

}  // namespace attune::inline v0_1::detail
