// SPDX-License-Identifier: Apache-2.0
#include "attune/data/feature_table.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <set>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1 {

// Nothing that a value points to ever moves.
struct FeatureRecords::Impl {
  std::vector<std::vector<FieldValue>> rows;
  std::set<std::string, std::less<>> fields;
  std::deque<std::string> texts;
  std::deque<std::vector<float>> vectors;
};

FeatureRecords::FeatureRecords(std::size_t rows) : impl_(new Impl) { impl_->rows.resize(rows); }
FeatureRecords::~FeatureRecords() = default;
FeatureRecords::FeatureRecords(FeatureRecords&&) noexcept = default;
FeatureRecords& FeatureRecords::operator=(FeatureRecords&&) noexcept = default;

void FeatureRecords::add(std::size_t row, const FieldValue& value) {
  if (row >= impl_->rows.size()) impl_->rows.resize(row + 1);
  auto known = impl_->fields.find(value.field());
  if (known == impl_->fields.end()) known = impl_->fields.emplace(value.field()).first;
  std::vector<FieldValue>& record = impl_->rows[row];
  switch (value.type()) {
    case FieldType::category: record.emplace_back(*known, impl_->texts.emplace_back(value.names())); break;
    case FieldType::number: record.emplace_back(*known, value.number()); break;
    case FieldType::vector: {
      const auto& kept = impl_->vectors.emplace_back(value.vector().begin(), value.vector().end());
      record.emplace_back(*known, std::span<const float>(kept));
      break;
    }
  }
}

std::size_t FeatureRecords::rows() const noexcept { return impl_->rows.size(); }

std::span<const FieldValue> FeatureRecords::of(std::size_t row) const noexcept {
  return row < impl_->rows.size() ? std::span<const FieldValue>(impl_->rows[row]) : std::span<const FieldValue>{};
}

FeatureTable::FeatureTable(std::vector<FeatureShape> shapes) : shapes_(std::move(shapes)), columns_(shapes_.size()) {}

namespace {

bool fits(const FeatureBlock& block, const FeatureShape& shape) noexcept {
  if (shape.dense) return block.columns.empty() && (block.missing() || block.values.size() == shape.width);
  return block.columns.size() == block.values.size() &&
         std::ranges::adjacent_find(block.columns, std::greater_equal<>()) == block.columns.end() &&
         (block.missing() || block.columns.back() < shape.width);
}

}  // namespace

void FeatureTable::add_row(std::span<const FeatureBlock> blocks) {
  if (blocks.size() != shapes_.size()) {
    throw Error(ErrorCode::invalid_argument, "FeatureTable::add_row: expected " + std::to_string(shapes_.size()) +
                                                 " blocks, found " + std::to_string(blocks.size()));
  }
  for (std::size_t f = 0; f < blocks.size(); ++f) {
    if (fits(blocks[f], shapes_[f])) continue;
    throw Error(ErrorCode::invalid_argument,
                "FeatureTable::add_row: block " + std::to_string(f) + ": expected " +
                    (shapes_[f].dense ? "" : "ascending columns below ") + std::to_string(shapes_[f].width) +
                    (shapes_[f].dense ? " values and no columns" : " and a value for each") + ", found others");
  }
  for (std::size_t f = 0; f < blocks.size(); ++f) {
    Column& column = columns_[f];
    column.offsets.resize(rows_ + 1);  // what an earlier row left for which there was no memory
    column.indices.resize(shapes_[f].dense ? 0 : column.offsets.back());
    column.values.resize(column.offsets.back());
    column.indices.insert(column.indices.end(), blocks[f].columns.begin(), blocks[f].columns.end());
    column.values.insert(column.values.end(), blocks[f].values.begin(), blocks[f].values.end());
    column.offsets.push_back(column.values.size());
  }
  ++rows_;
}

void FeatureTable::clear() noexcept {
  for (Column& column : columns_) {
    column.offsets.resize(1);
    column.indices.clear();
    column.values.clear();
  }
  rows_ = 0;
}

std::size_t FeatureTable::memory_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const Column& column : columns_) {
    bytes += column.offsets.capacity() * sizeof(std::size_t) + column.indices.capacity() * sizeof(std::uint32_t) +
             column.values.capacity() * sizeof(float);
  }
  return bytes;
}

}  // namespace attune::inline v0_1
