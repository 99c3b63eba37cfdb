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
#include "data/short_text.hpp"

namespace attune::inline v0_1 {

namespace {

// Each bit of x reaches each bit of the result. Seeded with an address, so that nobody outside the process can prepare
// ids that collide; handles do not depend on it.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93u;
  x ^= x >> 29;
  x *= 0xA24BAED4963EE407u;
  return x ^ (x >> 32);
}

inline std::uint64_t hash(std::int64_t number, std::uint64_t seed) noexcept {
  return mix(static_cast<std::uint64_t>(number) ^ seed);
}

inline std::uint64_t hash(std::string_view text, std::uint64_t seed) noexcept {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  std::uint64_t state = seed + text.size();
  while (text.size() > kWord) {
    state = mix(state ^ detail::load<std::uint64_t>(text.data()));
    text.remove_prefix(kWord);
  }
  return mix(state ^ detail::word_of(text.data(), text.size()));
}

bool same(std::int64_t a, std::int64_t b) noexcept { return a == b; }
bool same(std::string_view a, std::string_view b) noexcept { return detail::same_text(a, b); }

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
constexpr std::uint64_t kFreeSlot = ~std::uint64_t{0};

// A slot is the upper half of the hash and the handle.
constexpr std::uint64_t make_slot(std::uint64_t hash, std::uint32_t handle) noexcept {
  return (hash & 0xFFFFFFFF00000000u) | handle;
}
constexpr std::uint32_t handle_of(std::uint64_t slot) noexcept { return static_cast<std::uint32_t>(slot); }

}  // namespace

struct IdMap::Impl {
  explicit Impl(IdKind map_kind) : kind(map_kind), seed(mix(reinterpret_cast<std::uintptr_t>(this))) {}
  Impl(const Impl& other) : kind(other.kind), seed(other.seed), numbers(other.numbers), slots(other.slots) {
    texts.reserve(other.texts.size());
    for (const std::string_view text : other.texts) texts.push_back(arena.store(text));
  }
  Impl& operator=(const Impl&) = delete;

  std::size_t size() const noexcept { return kind == IdKind::string ? texts.size() : numbers.size(); }

  std::uint64_t hash_of(std::uint32_t handle) const noexcept {
    return kind == IdKind::string ? hash(texts[handle], seed) : hash(numbers[handle], seed);
  }

  template <class Key>
  std::uint32_t find(const std::vector<Key>& keys, const Key& key) const noexcept {
    if (slots.empty()) return kNoHandle;
    const std::uint64_t key_hash = hash(key, seed);
    const std::size_t mask = slots.size() - 1;
    for (std::size_t i = key_hash & mask;; i = (i + 1) & mask) {
      if (slots[i] == kFreeSlot) return kNoHandle;
      const std::uint32_t handle = handle_of(slots[i]);
      if (make_slot(key_hash, handle) == slots[i] && same(keys[handle], key)) return handle;
    }
  }

  // Room for `ids`, at most three quarters full.
  void reserve(std::size_t ids) {
    if (ids * 4 <= slots.size() * 3) return;
    std::vector<std::uint64_t> old_slots(std::bit_ceil(std::max<std::size_t>(ids * 2, 16)), kFreeSlot);
    slots.swap(old_slots);
    for (const std::uint64_t slot : old_slots) {
      if (slot != kFreeSlot) occupy(handle_of(slot));
    }
  }

  void occupy(std::uint32_t handle) noexcept {
    const std::uint64_t id_hash = hash_of(handle);
    const std::size_t mask = slots.size() - 1;
    std::size_t i = id_hash & mask;
    while (slots[i] != kFreeSlot) i = (i + 1) & mask;
    slots[i] = make_slot(id_hash, handle);
  }

  std::uint32_t add(const Id& id) {
    const auto handle = static_cast<std::uint32_t>(size());
    reserve(size() + 1);
    if (kind == IdKind::string) {
      texts.push_back(arena.store(id.text()));
    } else {
      numbers.push_back(id.number());
    }
    occupy(handle);
    return handle;
  }

  IdKind kind;
  std::uint64_t seed;
  std::vector<std::string_view> texts;
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
  return kind() == IdKind::string ? Id(impl_->texts[handle]) : Id(impl_->numbers[handle]);
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
  for (const std::int64_t number : impl_->numbers) detail::append_number(out, number);
  for (const std::string_view text : impl_->texts) {
    detail::append_number(out, static_cast<std::uint32_t>(text.size()));
    detail::append_array(out, std::span<const char>(text));
  }
}

IdMap IdMap::deserialize(std::span<const std::byte> bytes, const std::string& what) {
  detail::ByteReader reader(bytes, what);
  const auto kind = reader.number<std::uint8_t>();
  if (kind > static_cast<std::uint8_t>(IdKind::int64)) {
    reader.fail("expected an id kind of 0 or 1, found " + std::to_string(kind));
  }
  IdMap map(static_cast<IdKind>(kind));
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
