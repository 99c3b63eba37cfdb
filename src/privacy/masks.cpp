// SPDX-License-Identifier: Apache-2.0
#include "privacy/masks.hpp"

#include <algorithm>
#include <array>

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kBlockWords = 4'096, kBlockOfCipher = 64;
constexpr unsigned char kNonce[] = {'L', 'i', 'b', 's', 'o', 'd', 'i', 'u', 'm', 'D', 'R', 'G'};
static_assert(sizeof kNonce == crypto_stream_chacha20_ietf_NONCEBYTES);

// The words of one block of values, and nothing of them afterwards.
template <class Word>
class Stretch {
 public:
  ~Stretch() { sodium_memzero(words_.data(), sizeof words_); }

  std::span<const Word> draw(const Secret& seed, std::size_t first_word, std::size_t count) noexcept {
    static constexpr std::array<Word, kBlockWords> kZeros{};
    const auto counter = static_cast<std::uint32_t>(first_word * sizeof(Word) / kBlockOfCipher);
    crypto_stream_chacha20_ietf_xor_ic(reinterpret_cast<unsigned char*>(words_.data()),
                                       reinterpret_cast<const unsigned char*>(kZeros.data()), count * sizeof(Word),
                                       kNonce, counter, seed.data());
    return {words_.data(), count};
  }

 private:
  std::array<Word, kBlockWords> words_;
};

template <class Word>
void apply_to_block(std::span<std::uint64_t> values, std::size_t first, std::span<const Mask> masks) noexcept {
  const std::span<std::uint64_t> block = values.subspan(first, std::min(kBlockWords, values.size() - first));
  Stretch<Word> stretch;
  for (const Mask& mask : masks) {
    const std::span<const Word> words = stretch.draw(mask.seed, first, block.size());
    if (mask.add) {
      for (std::size_t i = 0; i < block.size(); ++i) block[i] += words[i];
    } else {
      for (std::size_t i = 0; i < block.size(); ++i) block[i] -= words[i];
    }
  }
}

}  // namespace

void apply_masks(std::span<std::uint64_t> values, std::span<const Mask> masks, unsigned word_bits, Executor* executor) {
  InlineExecutor here;
  Executor& runner = executor != nullptr ? *executor : here;
  runner.run((values.size() + kBlockWords - 1) / kBlockWords, [&](std::size_t block, std::size_t) {
    if (word_bits == 32) {
      apply_to_block<std::uint32_t>(values, block * kBlockWords, masks);
    } else {
      apply_to_block<std::uint64_t>(values, block * kBlockWords, masks);
    }
  });
}

}  // namespace attune::inline v0_1::detail
