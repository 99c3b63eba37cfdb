// SPDX-License-Identifier: Apache-2.0
#pragma once

// The fields of a JSON object that somebody else has written: unknown ones are ignored, null is as good as absent, and
// what has the wrong type is an Error(invalid_config) that names file and field.

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class JsonFields {
 public:
  using Json = nlohmann::json;  // sorted: a vocabulary has many fields

  // Throws Error: io_error, limit_exceeded beyond 256 MiB, invalid_config for anything but one object.
  static JsonFields read(const std::filesystem::path& file);
  // No fields where there is no such file.
  static JsonFields read_if_there(const std::filesystem::path& file);
  // Of a file that holds a list of objects; none where there is no such file.
  static std::vector<JsonFields> read_list(const std::filesystem::path& file);

  const std::string& name() const noexcept { return name_; }
  const Json* find(const std::string& field) const;  // null where absent
  // Of an object inside; no fields where absent.
  JsonFields inner(const std::string& field) const;

  std::optional<std::size_t> count(const std::string& field) const;  // 0 or more
  std::optional<double> number(const std::string& field) const;
  std::optional<bool> flag(const std::string& field) const;
  std::optional<std::string> text(const std::string& field) const;
  // The same, but Error where absent.
  std::size_t required_count(const std::string& field) const;

  // "FILE: field NAME: expected ..., found ..."
  [[noreturn]] void refuse(const std::string& field, const std::string& expected) const;
  // The same as Error(unsupported): well-formed, but nothing here can do it.
  [[noreturn]] void not_supported(const std::string& field, const std::string& expected) const;
  // Error(unsupported) unless the text is absent or this one.
  void require_text(const std::string& field, const std::string& expected) const;

 private:
  JsonFields(std::string name, Json object) : name_(std::move(name)), object_(std::move(object)) {}
  std::string complaint(const std::string& field, const std::string& expected) const;

  std::string name_;
  Json object_;
};

}  // namespace attune::inline v0_1::detail
