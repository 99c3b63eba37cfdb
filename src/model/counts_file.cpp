// SPDX-License-Identifier: Apache-2.0
#include "model/counts_file.hpp"

#include <array>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Calls use(model) with the model's own type. False for a type that is none of the library's.
template <class Use>
bool with_type(const CountModel& counts, Use use) {
  const auto tried = [&](const auto* typed) {
    if (typed != nullptr) use(*typed);
    return typed != nullptr;
  };
  return tried(dynamic_cast<const PopularityModel*>(&counts)) || tried(dynamic_cast<const MarkovModel*>(&counts)) ||
         tried(dynamic_cast<const ItemKnnModel*>(&counts)) || tried(dynamic_cast<const EaseModel*>(&counts)) ||
         tried(dynamic_cast<const IalsModel*>(&counts)) || tried(dynamic_cast<const RepeatModel*>(&counts));
}

template <class Number>
void add_list(SafetensorsWriter& writer, std::string name, const std::vector<Number>& numbers) {
  writer.add(std::move(name), {numbers.size()}, std::span<const Number>(numbers));
}

void add_tensors(SafetensorsWriter& writer, const PopularityModel& popularity) {
  writer.add("popularity", {popularity.num_items()}, popularity.counts());
  if (popularity.options().window_days != 0) {
    writer.add("popularity.recent", {popularity.num_items()}, popularity.recent());
  }
}

void add_tensors(SafetensorsWriter& writer, const MarkovModel& markov) {
  const MarkovModel::Counts& counts = markov.counts();
  add_list(writer, "markov.offsets", counts.offsets);
  add_list(writer, "markov.columns", counts.columns);
  add_list(writer, "markov.counts", counts.counts);
  add_list(writer, "markov.popularity", counts.popularity);
}

void add_tensors(SafetensorsWriter& writer, const ItemKnnModel& item_knn) {
  const ItemKnnModel::Neighbours& neighbours = item_knn.neighbours();
  add_list(writer, "item_knn.offsets", neighbours.offsets);
  add_list(writer, "item_knn.columns", neighbours.columns);
  add_list(writer, "item_knn.similarities", neighbours.similarities);
  add_list(writer, "item_knn.users", neighbours.users);
}

void add_tensors(SafetensorsWriter& writer, const EaseModel& ease) {
  writer.add("ease.weights", {ease.num_items(), ease.num_items()}, ease.weights());
}

void add_tensors(SafetensorsWriter& writer, const IalsModel& ials) {
  writer.add("ials.items", {ials.num_items(), ials.options().embedding_dim}, ials.factors());
}

void add_tensors(SafetensorsWriter& writer, const RepeatModel& repeat) {
  writer.add("repeat.popularity", {repeat.num_items()}, repeat.popularity());
}

// The way back, a model for each kind of options.
class CountsReader {
 public:
  CountsReader(std::span<const std::byte> bytes, const std::string& name, std::size_t num_items)
      : name_(name), file_(SafetensorsFile::view(bytes, nullptr, name)), num_items_(num_items) {}

  PopularityModel operator()(const PopularityOptions& options) {
    auto counts = unsigned_numbers<std::uint64_t>("popularity", num_items_);
    if (options.window_days == 0) return PopularityModel(std::move(counts));
    return PopularityModel(std::move(counts), unsigned_numbers<std::uint64_t>("popularity.recent", num_items_),
                           options);
  }
  MarkovModel operator()(const MarkovOptions& options) {
    const std::size_t pairs = length("markov.columns");
    MarkovModel::Counts counts;
    counts.offsets = unsigned_numbers<std::uint64_t>("markov.offsets", num_items_ + 1);
    counts.columns = unsigned_numbers<std::uint32_t>("markov.columns", pairs);
    counts.counts = floats("markov.counts", std::array{pairs});
    counts.popularity = unsigned_numbers<std::uint64_t>("markov.popularity", num_items_);
    return MarkovModel(std::move(counts), options);
  }
  ItemKnnModel operator()(const ItemKnnOptions& options) {
    const std::size_t pairs = length("item_knn.columns");
    ItemKnnModel::Neighbours neighbours;
    neighbours.offsets = unsigned_numbers<std::uint64_t>("item_knn.offsets", num_items_ + 1);
    neighbours.columns = unsigned_numbers<std::uint32_t>("item_knn.columns", pairs);
    neighbours.similarities = floats("item_knn.similarities", std::array{pairs});
    neighbours.users = unsigned_numbers<std::uint64_t>("item_knn.users", num_items_);
    return ItemKnnModel(std::move(neighbours), options);
  }
  EaseModel operator()(const EaseOptions& options) {
    return EaseModel(num_items_, floats("ease.weights", std::array{num_items_, num_items_}), options);
  }
  IalsModel operator()(const IalsOptions& options) {
    return IalsModel(num_items_, floats("ials.items", std::array{num_items_, options.embedding_dim}), options);
  }

  RepeatModel operator()(const RepeatOptions& options) {
    return RepeatModel(unsigned_numbers<std::uint64_t>("repeat.popularity", num_items_), options);
  }

  void finish() const {
    if (taken_ == file_.tensors().size()) return;
    throw Error(ErrorCode::corrupt_file, name_ + ": expected " + std::to_string(taken_) + " tensors, found " +
                                             std::to_string(file_.tensors().size()));
  }

 private:
  const TensorInfo& take(const char* tensor, std::span<const std::size_t> shape) {
    ++taken_;
    return file_.require(tensor, shape);
  }
  std::size_t length(const char* tensor) const {
    const TensorInfo* const found = file_.find(tensor);
    return found == nullptr ? 0 : found->elements();
  }
  std::vector<float> floats(const char* tensor, std::span<const std::size_t> shape) {
    return file_.floats(take(tensor, shape));
  }
  // A tensor [size].
  template <class Number>
  std::vector<Number> unsigned_numbers(const char* tensor, std::size_t size) {
    const std::vector<std::int64_t> wide = file_.integers(take(tensor, std::array{size}));
    std::vector<Number> numbers(size);
    for (std::size_t i = 0; i < size; ++i) {
      if (!std::in_range<Number>(wide[i])) {
        throw Error(ErrorCode::corrupt_file,
                    name_ + ": tensor \"" + tensor + "\": " + std::to_string(wide[i]) + " is out of range");
      }
      numbers[i] = static_cast<Number>(wide[i]);
    }
    return numbers;
  }

  const std::string& name_;
  const SafetensorsFile file_;
  const std::size_t num_items_;
  std::size_t taken_ = 0;
};

}  // namespace

std::optional<CountOptions> options_of(const CountModel& counts) {
  std::optional<CountOptions> options;
  with_type(counts, [&](const auto& typed) { options = typed.options(); });
  return options;
}

std::vector<std::byte> counts_bytes(const PopularityModel* popularity, const CountModel* counts) {
  SafetensorsWriter writer;
  if (popularity != nullptr) add_tensors(writer, *popularity);
  if (counts != nullptr && counts != popularity) {
    with_type(*counts, [&](const auto& typed) { add_tensors(writer, typed); });
  }
  return writer.bytes();
}

CountParts parse_counts(std::span<const std::byte> bytes, const std::string& name, std::size_t num_items,
                        const std::optional<PopularityOptions>& popularity, const std::optional<CountOptions>& counts) {
  CountsReader reader(bytes, name, num_items);
  CountParts parts;
  const auto read = [&](const auto& options) {
    using Model = decltype(reader(options));
    try {
      return std::make_shared<const Model>(reader(options));
    } catch (const Error& error) {
      const std::string problem = error.what();
      if (problem.starts_with(name)) throw;
      throw Error(error.code(), name + ": " + problem);
    }
  };
  if (popularity) parts.popularity = read(*popularity);
  if (counts) {
    parts.counts = kind_of(*counts) == CountKind::popularity
                       ? parts.popularity
                       : std::visit([&](const auto& o) { return std::shared_ptr<const CountModel>(read(o)); }, *counts);
  }
  reader.finish();
  return parts;
}

}  // namespace attune::inline v0_1::detail
