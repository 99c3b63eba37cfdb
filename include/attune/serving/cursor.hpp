// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a list that is shown page by page has got to (Request::cursor): what was shown, and how many places were asked
// for. The host keeps it, as it is or as a token, say in a browser. A token is checked against accidents, not against
// intent: who writes one himself chooses what his own next page leaves out, and no more. Not synchronised.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT Cursor {
 public:
  // A list ends with the page that takes it beyond so many items or bytes of a token.
  static constexpr std::size_t kMostItems = 1'000, kMostTokenBytes = 32'768;
  static constexpr std::size_t kMostPosition = std::size_t{1} << 32;

  Cursor() = default;  // before the first page
  // Throws Error: invalid_argument for what token() never gave, unsupported_version for a token of a newer attune.
  static Cursor from_token(std::string_view token);
  // Letters, digits, '-' and '_'; "" before the first page.
  std::string token() const;

  std::size_t position() const noexcept { return position_; }    // places that were asked for so far, filled or not
  std::size_t num_shown() const noexcept { return num_shown_; }  // items in them; 0 once it ended
  bool ended() const noexcept { return ended_; }                 // further answers are empty
  std::vector<Id> shown() const;                                 // in order; text lives as long as this is not changed

  // What a request does to it: k more places, and an item that is shown in one of them.
  void advance(std::size_t k) noexcept;
  void add(const Id& item);

 private:
  std::size_t position_ = 0, num_shown_ = 0;
  bool ended_ = false;
  std::string shown_;  // ids, one after the other, as they stand in a token
};

}  // namespace attune::inline v0_1
