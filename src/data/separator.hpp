// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

// What separates the fields of the text at the start of a file, from its first lines: "::", tab, comma, semicolon, "|"
// or blank. In this order, the first that divides each line into `columns` fields, if they are known (else 0), or whose
// first line has a field `item`, or that divides all lines alike, or the first line at all; else comma.
std::string find_separator(std::string_view start, bool whole_file, std::size_t columns);

}  // namespace attune::inline v0_1::detail
