// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names that stand for users' ids wherever attune is told of a user, so that no file, log or model of it knows who he
// is. Whoever has the key can say which pseudonym is whose; who has not, or deletes it, cannot. docs/privacy.md.

#include <string>

#include "attune/privacy/sealing.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Immutable; safe from any number of threads.
class ATTUNE_EXPORT Pseudonyms {
 public:
  explicit Pseudonyms(const HostKey& key) : key_(key) {}

  // 32 hexadecimal digits: BLAKE2b (RFC 7693) of the id's text under the key, 128 bits of it. The same key and id give
  // the same pseudonym, always and everywhere; those of another key have nothing in common with it. A number is taken
  // as its decimal digits. "" for an id that is empty.
  std::string of(const Id& id) const;

 private:
  HostKey key_;
};

}  // namespace attune::inline v0_1
