// SPDX-License-Identifier: Apache-2.0
#include "attune/data/reader.hpp"

#include <chrono>
#include <utility>

#include "attune/error.hpp"
#include "data/delimited_file.hpp"
#include "data/interaction_loader.hpp"

namespace attune::inline v0_1 {

InteractionLog read_interactions(const std::string& file, const ReadOptions& options, LoadReport* report) {
  const auto start = std::chrono::steady_clock::now();
  LoadReport counts;
  InteractionLog log(options.user_ids, options.item_ids);
  detail::InteractionLoader(file, options, log).load(counts);
  counts.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (report != nullptr) *report = std::move(counts);
  return log;
}

struct DelimitedReader::Impl {
  detail::DelimitedFile file;
};

DelimitedReader::DelimitedReader(const std::string& file, const ReadOptions& options)
    : impl_(new Impl{detail::DelimitedFile(file, options)}) {}
DelimitedReader::~DelimitedReader() = default;
DelimitedReader::DelimitedReader(DelimitedReader&&) noexcept = default;

const std::vector<std::string>& DelimitedReader::columns() const noexcept { return impl_->file.columns(); }
std::size_t DelimitedReader::column(std::string_view name) const noexcept { return impl_->file.column(name); }

std::size_t DelimitedReader::required_column(std::string_view name) const {
  const std::size_t found = column(name);
  if (found != npos) return found;
  throw Error(ErrorCode::invalid_data,
              impl_->file.scanner().file() + ": expected a column '" + std::string(name) + "', found none");
}

bool DelimitedReader::next(std::vector<std::string_view>& fields) { return impl_->file.next(fields); }

void DelimitedReader::refuse(const std::string& reason, const std::string& expected_and_found) {
  impl_->file.refuse(reason, expected_and_found);
}

bool DelimitedReader::is_whole(const std::vector<std::string_view>& fields) { return impl_->file.is_whole(fields); }

LoadReport DelimitedReader::report() const { return impl_->file.report(); }

std::size_t DelimitedReader::line() const noexcept { return impl_->file.scanner().line(); }
std::string DelimitedReader::place() const { return impl_->file.place(); }

}  // namespace attune::inline v0_1
