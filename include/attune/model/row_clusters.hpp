// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scorer rows in lists around centroids, so that a search leaves out most of them unread: codes of 4 bits, list by list
// and in a list by the cosine to its centroid, in groups of 64. Const members are safe from any number of threads and
// allocate nothing.
//
// The bound. c is the centroid of a row x of norm v, q a query of norm n; c has norm 1, a is the cosine of c and x, b
// that of c and q, and phi the angle between what is left of x and of q across c. Then
//   <q, x> / (n v) = a b + sqrt(1 - a^2) sqrt(1 - b^2) cos(phi),
// and with a in [low, high] for a group, cos(phi) <= 1 bounds all of its rows: what is left out is proven not to be
// among the best. In many dimensions cos(phi) is small for nearly all rows. With cos(phi) <= confidence, a smaller
// number, far fewer groups are read and a few of the best are missed: the confidence is chosen so that, of the best of
// sample queries, no more are in groups it leaves out than `recall` allows. What a bound is compared with is the k-th
// best score so far, so that a filter that leaves little makes a search go further, to the end if need be.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "attune/model/embedding_table.hpp"
#include "attune/model/row_codes.hpp"
#include "attune/model/scorer_rows.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class Executor;

struct ClusterOptions {
  // How many of the ten best are found, on average over queries like the samples; 1: all, proven. Less costs less time.
  double recall = 1;
  // Samples of what will be asked, one vector of the rows' width after the other; none: rows, which are not counted
  // among their own best.
  std::span<const float> queries = {};
  // 0: the square root of their number, at least a group. Fewer: less is read, and more centroids are compared.
  std::size_t rows_per_list = 0;
  // Where searches would read more than this share of the rows, lists are no use: rows are kept in their own order.
  double largest_share = 0.6;
  Executor* executor = nullptr;  // null: the calling thread
  std::uint64_t seed = 0;        // the same lists for the same seed, for any number of threads, on one level
};

class ATTUNE_EXPORT RowClusters {
 public:
  // What is known of the rows of a group, or of a list. Numbers are rounded outwards.
  struct Cone {
    float low = 1, high = -1;           // cosines to the centroid
    float sine_low = 0, sine_high = 0;  // of the angles
    float norm = 0;                     // the largest
    void widen(const Cone& other) noexcept;
  };

  // Takes about a second per million rows and core. Rows that no bound would leave out are kept in their own order:
  // then there are no lists.
  RowClusters(const ScorerRows<float>& rows, const ClusterOptions& options);

  std::size_t num_lists() const noexcept { return lists_.size(); }
  const Cone& list(std::size_t list) const noexcept { return lists_[list]; }
  // The groups of a list are [first_group(list), first_group(list + 1)).
  std::size_t first_group(std::size_t list) const noexcept { return first_groups_[list]; }
  const Cone& group(std::size_t group) const noexcept { return groups_[group]; }
  // <query, c> of every list, [num_lists()]; `prepared` is ScorerRows::prepare's.
  void compare(std::span<float> products, const float* prepared) const noexcept;
  // A query of norm `norm` whose product with a list's centroid is `product`, as seen from there.
  struct Sight {
    double along, across;  // b, and confidence * sqrt(1 - b^2)
    double length;         // of these two
    double norm, rounding;
    // What <query, x> of a row in the cone cannot exceed, or only with little chance: the largest of a * along +
    // sqrt(1 - a^2) * across for a in [low, high], which is `length` where that is at a = along / length.
    double bound(const Cone& cone) const noexcept {
      double cosine = length;
      if (along <= static_cast<double>(cone.low) * length) {
        cosine = along * static_cast<double>(cone.low) + across * static_cast<double>(cone.sine_low);
      } else if (along >= static_cast<double>(cone.high) * length) {
        cosine = along * static_cast<double>(cone.high) + across * static_cast<double>(cone.sine_high);
      }
      cosine += rounding;
      return cosine > 0 ? norm * static_cast<double>(cone.norm) * cosine : 0.0;
    }
  };
  Sight sight(float product, double norm) const noexcept { return sight(product, norm, confidence_, rounding_); }

  // In the order of the lists: order()[i] is the row of codes i, or kNoHandle. Empty without lists: codes i is row i.
  const RowCodes& codes() const noexcept { return codes_; }
  std::span<const ItemHandle> order() const noexcept { return order_; }
  double confidence() const noexcept { return confidence_; }  // 1: proven
  // Of the samples, the share of their ten best that the confidence finds, and of the rows that are read.
  double sample_recall() const noexcept { return sample_recall_; }
  double sample_share() const noexcept { return sample_share_; }

  // A row that is new or has changed: its codes hold no more, it belongs to no list and is read by every search.
  void loosen(ItemHandle row);
  std::span<const ItemHandle> loose() const noexcept { return loose_; }
  std::span<const std::uint64_t> loose_bits() const noexcept { return loose_bits_; }  // may end early

  std::size_t memory_bytes() const noexcept;

 private:
  struct Build;
  // `rounding` is what it may take from the product, and add to a score, in units of the norms.
  static Sight sight(float product, double norm, double confidence, double rounding) noexcept;
  explicit RowClusters(Build build);

  std::size_t stride_;
  std::vector<float> centroids_;  // [lists][stride]
  std::vector<Cone> lists_, groups_;
  std::vector<std::size_t> first_groups_;  // [lists + 1]
  std::vector<ItemHandle> order_;
  RowCodes codes_;
  double rounding_ = 0, confidence_ = 1, sample_recall_ = 1, sample_share_ = 1;
  std::vector<ItemHandle> loose_;
  std::vector<std::uint64_t> loose_bits_;
};

struct ATTUNE_EXPORT Clustered;  // in lists, with codes of 4 bits an element

// Rows that come, change and go: at once, for as little as a row costs. Nobody may read them meanwhile.
template <>
class ATTUNE_EXPORT ScorerRows<Clustered> {
 public:
  explicit ScorerRows(ScorerRows<float> exact, const ClusterOptions& options = {})
      : exact_(std::move(exact)), clusters_(exact_, options) {}
  ScorerRows(const EmbeddingTable<float>& items, ScoreKind kind, const ClusterOptions& options = {})
      : ScorerRows(ScorerRows<float>(items, kind), options) {}

  // As ScorerRows<float>::set and erase.
  void set(ItemHandle item, std::span<const float> vector) {
    exact_.set(item, vector);
    clusters_.loosen(item);
  }
  void erase(ItemHandle item) noexcept { exact_.erase(item); }
  // Whether so many rows have come or changed that making the lists anew would pay.
  bool worn() const noexcept { return clusters_.loose().size() > size() / 64; }

  std::size_t size() const noexcept { return exact_.size(); }
  const ScorerRows<float>& exact() const noexcept { return exact_; }
  const RowClusters& clusters() const noexcept { return clusters_; }
  std::size_t memory_bytes() const noexcept { return exact_.memory_bytes() + clusters_.memory_bytes(); }

 private:
  ScorerRows<float> exact_;
  RowClusters clusters_;
};

}  // namespace attune::inline v0_1
