// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/pseudonyms.hpp"

#include <array>

#include "privacy/secrets.hpp"

namespace attune::inline v0_1 {

std::string Pseudonyms::of(const Id& id) const {
  if (id.empty()) return {};
  const std::string text = to_string(id);
  std::array<unsigned char, 16> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                     detail::raw(key_.bytes().data()), HostKey::kSize);
  std::string digits(2 * hash.size() + 1, '\0');
  sodium_bin2hex(digits.data(), digits.size(), hash.data(), hash.size());
  digits.pop_back();
  return digits;
}

}  // namespace attune::inline v0_1
