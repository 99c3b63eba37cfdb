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
  InteractionLog log = detail::InteractionLoader(file, options).load(counts);
  counts.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (report != nullptr) *report = std::move(counts);
  return log;
}

struct DelimitedReader::Impl {
  detail::DelimitedFile file;
  BadValue bad_value;
};

DelimitedReader::DelimitedReader(const std::string& file, const ReadOptions& options)
    : impl_(new Impl{detail::DelimitedFile(file, options), options.bad_value}) {}
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

bool DelimitedReader::next(std::vector<std::string_view>& fields) {
  using Status = detail::RecordScanner::Status;
  Status status = impl_->file.next(fields);
  while (status == Status::malformed) {
    if (impl_->bad_value == BadValue::error) {
      throw Error(ErrorCode::invalid_data,
                  impl_->file.place() + "expected a separator behind a closing quote, found other text");
    }
    status = impl_->file.next(fields);
  }
  return status == Status::record;
}

std::size_t DelimitedReader::line() const noexcept { return impl_->file.scanner().line(); }
std::string DelimitedReader::place() const { return impl_->file.place(); }

}  // namespace attune::inline v0_1
