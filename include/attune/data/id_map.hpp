// SPDX-License-Identifier: Apache-2.0
#pragma once

// External ids <-> dense handles, in order of insertion. Memory does not depend on the magnitude of an id.
// Not synchronised: const members are safe from any number of threads while nobody inserts.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT IdMap {
 public:
  explicit IdMap(IdKind kind = IdKind::string);
  IdMap(const IdMap&);
  IdMap(IdMap&&) noexcept;
  IdMap& operator=(IdMap) noexcept;
  ~IdMap();

  // The handle of `id`, given on first sight. Throws Error(invalid_data) for an id that is not accepted,
  // Error(limit_exceeded) beyond 2^32 - 2 ids.
  std::uint32_t insert(const Id& id);
  // False for an id that is empty, of the other kind, or text with NUL in it.
  bool accepts(const Id& id) const noexcept;
  // kNoHandle for an id that was never inserted, that is empty or of the other kind.
  std::uint32_t find(const Id& id) const noexcept;

  // Precondition: handle < size(). Text stays valid, at the same address, for the life of the map and of its moves.
  Id id(std::uint32_t handle) const noexcept;
  std::size_t size() const noexcept;
  IdKind kind() const noexcept;
  std::size_t memory_bytes() const noexcept;

  // The binary form inside model directories: kind, count, ids; integers little-endian, no padding.
  void serialize(std::vector<std::byte>& out) const;
  // Throws Error(corrupt_file) naming `what` when sizes do not add up, an id repeats, is empty or contains NUL.
  static IdMap deserialize(std::span<const std::byte> bytes, const std::string& what);

  // What serialize()'s bytes lack to be a map without being read first. The same for the same ids.
  struct Index {
    std::uint64_t seed = 0;              // of the hash
    std::vector<std::uint64_t> slots;    // a hash table, see src/data/id_table.hpp
    std::vector<std::uint64_t> offsets;  // of text: where each begins, [size() + 1]; else empty
  };
  Index index() const;
  // A map that uses serialize()'s bytes and their index where they are; `owner` keeps them alive. Copies share them,
  // ids that are inserted later are a map's own. Throws Error(corrupt_file) naming `what` for what does not fit
  // together; that the index is of these ids is not checked.
  static IdMap view(std::span<const std::byte> bytes, std::uint64_t seed, std::span<const std::uint64_t> slots,
                    std::span<const std::uint64_t> offsets, std::shared_ptr<const void> owner, const std::string& what);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
