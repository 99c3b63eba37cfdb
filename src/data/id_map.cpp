// SPDX-License-Identifier: Apache-2.0
#include "attune/data/id_map.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "data/byte_reader.hpp"
#include "data/id_table.hpp"

namespace attune::inline v0_1 {

namespace {

// Text that never moves: chunks are only ever added.
class TextArena {
 public:
  std::string_view store(std::string_view text) {
    if (text.size() > free_) {
      const std::size_t bytes = std::max(text.size(), std::clamp<std::size_t>(bytes_, 1024, std::size_t{1} << 20));
      chunks_.push_back(std::make_unique<char[]>(bytes));
      next_ = chunks_.back().get();
      free_ = bytes;
      bytes_ += bytes;
    }
    std::memcpy(next_, text.data(), text.size());
    const std::string_view stored(next_, text.size());
    next_ += text.size();
    free_ -= text.size();
    return stored;
  }
  std::size_t memory_bytes() const noexcept { return bytes_ + chunks_.capacity() * sizeof(chunks_[0]); }

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* next_ = nullptr;
  std::size_t free_ = 0;
  std::size_t bytes_ = 0;
};

constexpr std::size_t kMaxIds = kNoHandle - 1;

IdKind read_kind(detail::ByteReader& reader) {
  const auto kind = reader.number<std::uint8_t>();
  if (kind > static_cast<std::uint8_t>(IdKind::int64)) {
    reader.fail("expected an id kind of 0 or 1, found " + std::to_string(kind));
  }
  return static_cast<IdKind>(kind);
}

}  // namespace

std::string detail::StoredIds::problem() const {
  if (slots.size() != num_slots(count)) return "the number of slots does not fit the ids";
  std::size_t used = 0, known = 0;
  for (const std::uint64_t slot : slots) {
    used += slot != kFreeSlot;
    known += handle_of(slot) < count;
  }
  if (used != count || known != count) return "the slots do not hold each id once";
  if (kind == IdKind::int64) {
    return bytes.size() == kHeaderBytes + count * sizeof(std::int64_t) ? "" : "the size does not fit the ids";
  }
  constexpr std::size_t kSize = sizeof(std::uint32_t);
  if (offsets.size() != count + 1 || offsets[0] != kHeaderBytes + kSize || offsets[count] != bytes.size() + kSize) {
    return "the offsets do not fit the ids";
  }
  std::size_t disordered = 0;
  for (std::size_t i = 0; i < count; ++i) {
    disordered += offsets[i] > bytes.size() || offsets[i + 1] < offsets[i] + kSize;
  }
  return disordered == 0 ? "" : "the offsets do not ascend";
}

struct IdMap::Impl {
  explicit Impl(IdKind map_kind) : kind(map_kind), seed(detail::mix_id(reinterpret_cast<std::uintptr_t>(this))) {}
  Impl(const Impl& other)
      : kind(other.kind), seed(other.seed), stored(other.stored), numbers(other.numbers), slots(other.slots) {
    texts.reserve(other.texts.size());
    for (const std::string_view text : other.texts) texts.push_back(arena.store(text));
  }
  Impl& operator=(const Impl&) = delete;

  std::size_t num_stored() const noexcept { return stored ? stored->count : 0; }
  std::size_t num_own() const noexcept { return kind == IdKind::string ? texts.size() : numbers.size(); }
  std::size_t size() const noexcept { return num_stored() + num_own(); }

  template <class Key>
  std::uint32_t find(const std::vector<Key>& keys, const Key& key) const noexcept {
    if (stored) {
      if (const std::uint32_t handle = stored->find(key); handle != kNoHandle) return handle;
    }
    const auto first = static_cast<std::uint32_t>(num_stored());
    const std::uint32_t own =
        detail::find_slot(std::span(slots), key, seed, [&](std::uint32_t i) -> const Key& { return keys[i]; });
    return own == kNoHandle ? kNoHandle : first + own;
  }
  Id id(std::uint32_t handle) const noexcept {
    const std::size_t first = num_stored();
    if (handle >= first) return kind == IdKind::string ? Id(texts[handle - first]) : Id(numbers[handle - first]);
    return kind == IdKind::string ? Id(stored->text(handle)) : Id(stored->number(handle));
  }

  // Room for `ids` of its own, at most three quarters full.
  void reserve(std::size_t ids) {
    if (ids * 4 <= slots.size() * 3) return;
    std::vector<std::uint64_t> old_slots(detail::num_slots(ids), detail::kFreeSlot);
    slots.swap(old_slots);
    for (const std::uint64_t slot : old_slots) {
      if (slot != detail::kFreeSlot) occupy(detail::handle_of(slot));
    }
  }

  void occupy(std::uint32_t own) noexcept {
    const std::uint64_t hash =
        kind == IdKind::string ? detail::hash(texts[own], seed) : detail::hash(numbers[own], seed);
    detail::occupy_slot(slots, hash, own);
  }

  std::uint32_t add(const Id& id) {
    const auto handle = static_cast<std::uint32_t>(size()), own = static_cast<std::uint32_t>(num_own());
    reserve(num_own() + 1);
    if (kind == IdKind::string) {
      texts.push_back(arena.store(id.text()));
    } else {
      numbers.push_back(id.number());
    }
    occupy(own);
    return handle;
  }

  IdKind kind;
  std::uint64_t seed;
  std::shared_ptr<const detail::StoredIds> stored;  // the first ids, or null
  std::vector<std::string_view> texts;              // the others, in slots by their place here
  std::vector<std::int64_t> numbers;
  std::vector<std::uint64_t> slots;
  TextArena arena;
};

IdMap::IdMap(IdKind kind) : impl_(std::make_unique<Impl>(kind)) {}
IdMap::IdMap(const IdMap& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
IdMap::IdMap(IdMap&&) noexcept = default;
IdMap& IdMap::operator=(IdMap other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}
IdMap::~IdMap() = default;

bool IdMap::accepts(const Id& id) const noexcept {
  if (kind() == IdKind::int64) return id.is_number();
  return id.is_text() && !id.empty() && id.text().find('\0') == std::string_view::npos &&
         id.text().size() <= 0xFFFFFFFFu;
}

std::uint32_t IdMap::insert(const Id& id) {
  const std::uint32_t known = find(id);
  if (known != kNoHandle) return known;
  if (!accepts(id)) {
    const char* expected = kind() == IdKind::int64 ? "a 64-bit integer" : "text that is not empty and has no NUL";
    const char* found = id.is_text() ? (id.empty() ? "empty text" : "text") : id.is_number() ? "a number" : "no id";
    throw Error(ErrorCode::invalid_data, std::string("id: expected ") + expected + ", found " + found);
  }
  if (size() == kMaxIds) {
    throw Error(ErrorCode::limit_exceeded, "ids: at most " + std::to_string(kMaxIds) + " fit into one map");
  }
  return impl_->add(id);
}

std::uint32_t IdMap::find(const Id& id) const noexcept {
  if (kind() == IdKind::string) return id.is_text() ? impl_->find(impl_->texts, id.text()) : kNoHandle;
  return id.is_number() ? impl_->find(impl_->numbers, id.number()) : kNoHandle;
}

Id IdMap::id(std::uint32_t handle) const noexcept {
  assert(handle < size());
  return impl_->id(handle);
}

std::size_t IdMap::size() const noexcept { return impl_->size(); }
IdKind IdMap::kind() const noexcept { return impl_->kind; }

std::size_t IdMap::memory_bytes() const noexcept {
  return sizeof(Impl) + impl_->texts.capacity() * sizeof(std::string_view) +
         impl_->numbers.capacity() * sizeof(std::int64_t) + impl_->slots.capacity() * sizeof(std::uint64_t) +
         impl_->arena.memory_bytes();
}

void IdMap::serialize(std::vector<std::byte>& out) const {
  detail::append_number(out, static_cast<std::uint8_t>(kind()));
  detail::append_number(out, static_cast<std::uint32_t>(size()));
  for (std::uint32_t handle = 0; handle < size(); ++handle) {
    const Id id = this->id(handle);
    if (kind() == IdKind::int64) {
      detail::append_number(out, id.number());
    } else {
      detail::append_number(out, static_cast<std::uint32_t>(id.text().size()));
      detail::append_array(out, std::span<const char>(id.text()));
    }
  }
}

IdMap::Index IdMap::index() const {
  constexpr std::uint64_t kAnySeed = 0x2545F4914F6CDD1Du;
  Index index{kAnySeed, std::vector<std::uint64_t>(detail::num_slots(size()), detail::kFreeSlot), {}};
  for (std::uint32_t handle = 0; handle < size(); ++handle) {
    const Id id = this->id(handle);
    index.seed = kind() == IdKind::string ? detail::hash(id.text(), index.seed) : detail::hash(id.number(), index.seed);
  }
  std::uint64_t begin = detail::StoredIds::kHeaderBytes + sizeof(std::uint32_t);
  for (std::uint32_t handle = 0; handle < size(); ++handle) {
    const Id id = this->id(handle);
    const bool is_text = kind() == IdKind::string;
    detail::occupy_slot(index.slots,
                        is_text ? detail::hash(id.text(), index.seed) : detail::hash(id.number(), index.seed), handle);
    if (!is_text) continue;
    index.offsets.push_back(begin);
    begin += id.text().size() + sizeof(std::uint32_t);
  }
  if (kind() == IdKind::string) index.offsets.push_back(begin);
  return index;
}

IdMap IdMap::view(std::span<const std::byte> bytes, std::uint64_t seed, std::span<const std::uint64_t> slots,
                  std::span<const std::uint64_t> offsets, std::shared_ptr<const void> owner, const std::string& what) {
  detail::ByteReader reader(bytes, what);
  const IdKind kind = read_kind(reader);
  const std::size_t count = reader.number<std::uint32_t>();
  detail::StoredIds stored{kind, count, seed, bytes, slots, offsets, std::move(owner)};
  const std::string problem = stored.problem();
  reader.require(problem.empty(), "the index: " + problem);
  IdMap map(kind);
  map.impl_->stored = std::make_shared<const detail::StoredIds>(std::move(stored));
  return map;
}

IdMap IdMap::deserialize(std::span<const std::byte> bytes, const std::string& what) {
  detail::ByteReader reader(bytes, what);
  IdMap map(read_kind(reader));
  const std::size_t count = reader.number<std::uint32_t>();
  const std::size_t least_size = map.kind() == IdKind::int64 ? sizeof(std::int64_t) : sizeof(std::uint32_t) + 1;
  if (count > kMaxIds || count > reader.left() / least_size) {
    reader.fail("expected " + std::to_string(count) + " ids, found only " + std::to_string(reader.left()) + " bytes");
  }
  map.impl_->reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Id id = map.kind() == IdKind::int64 ? Id(reader.number<std::int64_t>())
                                              : Id(reader.text(reader.number<std::uint32_t>()));
    if (!map.accepts(id)) reader.fail("id " + std::to_string(i) + " is empty or contains NUL");
    if (map.insert(id) != i) reader.fail("id " + std::to_string(i) + " repeats an earlier one");
  }
  if (reader.left() != 0) {
    reader.fail("expected the id map to end here, found " + std::to_string(reader.left()) + " more bytes");
  }
  return map;
}

}  // namespace attune::inline v0_1
