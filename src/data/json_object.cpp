// SPDX-License-Identifier: Apache-2.0
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

Json parse_object(std::string_view text, const std::string& name, ErrorCode code) {
  return parse_object<Json>(text, name, code);
}

std::string text_of(const Json& json) { return json.dump(); }

}  // namespace attune::inline v0_1::detail
