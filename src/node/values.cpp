// SPDX-License-Identifier: Apache-2.0
#include "node/values.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace attune::node {
namespace {

constexpr std::int64_t kMostSafe = (std::int64_t{1} << 53) - 1;  // Number.MAX_SAFE_INTEGER

[[noreturn]] void refuse_type(const std::string& message) {
  throw Failure{Failure::Kind::type, "ERR_INVALID_ARG_TYPE", message};
}

[[noreturn]] void refuse_value(const std::string& message) {
  throw Failure{Failure::Kind::type, "ERR_INVALID_ARG_VALUE", message};
}

[[noreturn]] void refuse_range(const std::string& message) {
  throw Failure{Failure::Kind::range, "ERR_OUT_OF_RANGE", message};
}

napi_valuetype type_of(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  return type;
}

const char* name_of(napi_valuetype type) {
  switch (type) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return "a boolean";
    case napi_number: return "a number";
    case napi_string: return "a string";
    case napi_symbol: return "a symbol";
    case napi_function: return "a function";
    case napi_bigint: return "a BigInt";
    default: return "an object";
  }
}

std::string string_of(napi_env env, napi_value value) {
  std::size_t size = 0;
  check(env, napi_get_value_string_utf8(env, value, nullptr, 0, &size));
  std::string text(size, '\0');
  check(env, napi_get_value_string_utf8(env, value, text.data(), size + 1, &size));
  return text;
}

// Half of a surrogate pair has become U+FFFD, and would be another id.
bool says_the_same(napi_env env, const std::string& text, napi_value value) {
  if (text.find("\xEF\xBF\xBD") == std::string::npos) return true;
  bool same = false;
  check(env, napi_strict_equals(env, text_value(env, text), value, &same));
  return same;
}

template <class Value>
std::vector<Value> column(napi_env env, napi_value value, napi_typedarray_type wanted) {
  napi_typedarray_type type{};
  std::size_t size = 0;
  void* data = nullptr;
  check(env, napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr));
  if (type != wanted) refuse_type("expected another kind of typed array");
  const auto* const begin = static_cast<const Value*>(data);
  return size == 0 ? std::vector<Value>{} : std::vector<Value>(begin, begin + size);
}

bool is_bytes(napi_env env, napi_value value) {
  bool is_array = false;
  check(env, napi_is_typedarray(env, value, &is_array));
  if (!is_array) return false;
  napi_typedarray_type type{};
  check(env, napi_get_typedarray_info(env, value, &type, nullptr, nullptr, nullptr, nullptr));
  return type == napi_uint8_array;
}

// A text, for which `expected` stands in messages.
std::string text_of(napi_env env, napi_value value, const std::string& name, const char* expected) {
  std::string text;
  const napi_valuetype type = type_of(env, value);
  if (type == napi_string) {
    text = string_of(env, value);
    if (!says_the_same(env, text, value)) refuse_value(name + ": expected whole characters, found half of one");
  } else if (type == napi_object && is_bytes(env, value)) {
    const auto bytes = column<std::uint8_t>(env, value, napi_uint8_array);
    text.assign(bytes.begin(), bytes.end());
  } else {
    refuse_type(name + ": expected " + expected + ", found " + name_of(type));
  }
  if (text.find('\0') != std::string::npos) refuse_value(name + ": expected a text without NUL");
  return text;
}

std::string digits_of(std::int64_t number) {
  char digits[24];
  return {digits, std::to_chars(digits, digits + sizeof digits, number).ptr};
}

std::string id_of(napi_env env, napi_value value, const std::string& name) {
  switch (type_of(env, value)) {
    case napi_number: {
      double number = 0;
      check(env, napi_get_value_double(env, value, &number));
      if (!(std::abs(number) <= static_cast<double>(kMostSafe)) || number != std::floor(number)) {
        refuse_range(name + ": expected an integer that a number holds exactly; a BigInt holds those of 64 bits");
      }
      return digits_of(static_cast<std::int64_t>(number));
    }
    case napi_bigint: {
      std::int64_t number = 0;
      bool lossless = false;
      check(env, napi_get_value_bigint_int64(env, value, &number, &lossless));
      if (!lossless) refuse_range(name + ": expected an integer of 64 bits");
      return digits_of(number);
    }
    default: return text_of(env, value, name, "an id (a string, an integer or bytes)");
  }
}

// Lets go of the values that were made in it.
class HandleScope {
 public:
  explicit HandleScope(napi_env env) : env_(env) { check(env, napi_open_handle_scope(env, &scope_)); }
  ~HandleScope() { napi_close_handle_scope(env_, scope_); }
  HandleScope(const HandleScope&) = delete;
  HandleScope& operator=(const HandleScope&) = delete;

 private:
  napi_env env_;
  napi_handle_scope scope_ = nullptr;
};

// Calls body(element, "name[3]") for each element of an array.
template <class Body>
void for_each(napi_env env, napi_value array, const char* name, Body&& body) {
  std::uint32_t size = 0;
  check(env, napi_get_array_length(env, array, &size));
  for (std::uint32_t i = 0; i < size; ++i) {
    const HandleScope scope(env);
    napi_value element = nullptr;
    check(env, napi_get_element(env, array, i, &element));
    body(element, std::string(name) + "[" + std::to_string(i) + "]");
  }
}

bool is_missing(napi_env env, napi_value value) {
  const napi_valuetype type = type_of(env, value);
  return type == napi_undefined || type == napi_null;
}

}  // namespace

void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) throw Pending{};
  const napi_extended_error_info* info = nullptr;
  const bool known = napi_get_last_error_info(env, &info) == napi_ok && info->error_message != nullptr;
  throw Failure{Failure::Kind::error, "internal_error", known ? info->error_message : "a call of Node-API failed"};
}

void check(attune_status status) {
  if (status != ATTUNE_OK) throw Failure{Failure::Kind::error, attune_status_name(status), attune_last_error()};
}

napi_value error_of(napi_env env, const Failure& failure) {
  const auto create = failure.kind == Failure::Kind::type    ? napi_create_type_error
                      : failure.kind == Failure::Kind::range ? napi_create_range_error
                                                             : napi_create_error;
  napi_value error = nullptr;
  check(env, create(env, text_value(env, failure.code), text_value(env, failure.message), &error));
  return error;
}

void Texts::append(std::string_view text) {
  begins_.push_back(bytes_.size());
  bytes_.insert(bytes_.end(), text.begin(), text.end());
  bytes_.push_back('\0');
}

void Texts::append_nothing() { begins_.push_back(SIZE_MAX); }

const char* const* Texts::data() {
  pointers_.clear();
  for (const std::size_t begin : begins_) pointers_.push_back(begin == SIZE_MAX ? nullptr : &bytes_[begin]);
  pointers_.push_back(nullptr);
  return pointers_.data();
}

Arguments::Arguments(napi_env env, napi_callback_info info) : env_(env) {
  std::size_t count = kMost;
  check(env, napi_get_cb_info(env, info, &count, values_, nullptr, nullptr));
}

bool Arguments::missing(std::size_t i) const { return is_missing(env_, values_[i]); }

bool Arguments::flag(std::size_t i) const {
  bool value = false;
  check(env_, napi_get_value_bool(env_, values_[i], &value));
  return value;
}

double Arguments::number(std::size_t i) const {
  double value = 0;
  check(env_, napi_get_value_double(env_, values_[i], &value));
  return value;
}

std::size_t Arguments::count(std::size_t i) const {
  std::int64_t value = 0;
  check(env_, napi_get_value_int64(env_, values_[i], &value));
  return static_cast<std::size_t>(std::max<std::int64_t>(value, 0));
}

std::int64_t Arguments::time(std::size_t i) const {
  std::int64_t value = 0;
  bool lossless = false;
  check(env_, napi_get_value_bigint_int64(env_, values_[i], &value, &lossless));
  return value;
}

std::string Arguments::text(std::size_t i, const char* name) const {
  return text_of(env_, values_[i], name, "a string");
}

std::string Arguments::id(std::size_t i, const char* name) const { return id_of(env_, values_[i], name); }

Texts Arguments::ids(std::size_t i, const char* name) const {
  Texts all;
  for_each(env_, values_[i], name,
           [&](napi_value value, const std::string& place) { all.append(id_of(env_, value, place)); });
  return all;
}

Texts Arguments::texts(std::size_t i, const char* name) const {
  Texts all;
  for_each(env_, values_[i], name, [&](napi_value value, const std::string& place) {
    if (is_missing(env_, value)) return all.append_nothing();
    all.append(text_of(env_, value, place, "a string"));
  });
  return all;
}

std::vector<std::int64_t> Arguments::times(std::size_t i) const {
  return column<std::int64_t>(env_, values_[i], napi_bigint64_array);
}

std::vector<float> Arguments::numbers(std::size_t i) const {
  return column<float>(env_, values_[i], napi_float32_array);
}

napi_value text_value(napi_env env, std::string_view text) {
  napi_value value = nullptr;
  check(env, napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

napi_value id_value(napi_env env, std::string_view id, Ids ids) {
  napi_value value = nullptr;
  if (ids != Ids::texts) {
    std::int64_t number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    const bool exact = ids == Ids::numbers && number >= -kMostSafe && number <= kMostSafe;
    check(env, exact ? napi_create_int64(env, number, &value) : napi_create_bigint_int64(env, number, &value));
    return value;
  }
  value = text_value(env, id);
  const bool is_ascii = std::all_of(id.begin(), id.end(), [](char byte) { return (byte & 0x80) == 0; });
  if (!is_ascii && string_of(env, value) != id) {
    check(env, napi_create_buffer_copy(env, id.size(), id.data(), nullptr, &value));
  }
  return value;
}

napi_value floats(napi_env env, napi_value buffer, std::size_t first, std::size_t count) {
  napi_value array = nullptr;
  check(env, napi_create_typedarray(env, napi_float32_array, count, buffer, first * sizeof(float), &array));
  return array;
}

}  // namespace attune::node
