// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels as the formulas say them, for float and double: what every tuned kernel is tested against, and what the
// encoder runs on when its gradients are checked in double. Shapes and rules are those of kernel_table.hpp.

#include "attune/detail/reference_attention.hpp"
#include "attune/detail/reference_codes.hpp"
#include "attune/detail/reference_rows.hpp"

namespace attune::inline v0_1::detail {

template <class T>
constexpr KernelTable<T> reference_kernels() {
  return {
      .level = "reference",
      .matmul_nn = reference::matmul_nn<T>,
      .matmul_nt = reference::matmul_nt<T>,
      .matmul_tn = reference::matmul_tn<T>,
      .rounded_nn = reference::matmul_nn<T>,
      .rounded_nt = reference::matmul_nt<T>,
      .rounded_tn = reference::matmul_tn<T>,
      .softmax_table = reference::SoftmaxRows<T>::kTable,
      .rounded_softmax_table = reference::SoftmaxRows<T>::kTable,
      .dot_rows = reference::dot_rows<T>,
      .dot_rows_at = reference::dot_rows_at<T>,
      .finish_scores = reference::finish_scores<T>,
      .bound_int8 = reference::bound_rows<8, T>,
      .bound_int4 = reference::bound_rows<4, T>,
      .match_int8 = reference::match_int8,
      .layer_norm_forward = reference::layer_norm_forward<T>,
      .layer_norm_backward = reference::layer_norm_backward<T>,
      .softmax_forward = reference::softmax_forward<T>,
      .softmax_backward = reference::softmax_backward<T>,
      .exp_sum = reference::exp_sum<T>,
      .max = reference::max<T>,
      .activation_forward = reference::activation_forward<T>,
      .activation_backward = reference::activation_backward<T>,
      .add = reference::add<T>,
      .scaled_add = reference::scaled_add<T>,
      .scale = reference::scale<T>,
      .add_rows = reference::add_rows<T>,
      .sum_rows = reference::sum_rows<T>,
      .attend_cached = reference::attend_cached<T, T>,
      .attend_rounded = reference::attend_cached<T, std::uint16_t>,
      .silu_attention_forward = reference::silu_attention_forward<T>,
      .silu_attention_backward = reference::silu_attention_backward<T>,
      .scatter_add = reference::scatter_add<T>,
      .silu_attend_cached = reference::silu_attend_cached<T, T>,
      .silu_attend_rounded = reference::silu_attend_cached<T, std::uint16_t>,
      .multiply = reference::multiply<T>,
      .adam = reference::adam<T>,
  };
}

}  // namespace attune::inline v0_1::detail
