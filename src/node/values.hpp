// SPDX-License-Identifier: Apache-2.0
#pragma once

// JavaScript's values as attune.h takes them, and back. Everything here belongs to the thread of the environment.

#include <attune/attune.h>
#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attune::node {

// Becomes an Error, TypeError or RangeError with a `code` where JavaScript called.
struct Failure {
  enum class Kind : std::uint8_t { error, type, range };
  Kind kind = Kind::error;
  std::string code = {}, message = {};
};

// Thrown while an exception of JavaScript's is on its way.
struct Pending {};

// Throw for anything but success. What attune says belongs to the thread that called it.
void check(napi_env env, napi_status status);
void check(attune_status status);

napi_value error_of(napi_env env, const Failure& failure);

// Texts behind each other, with pointers to them as attune.h wants columns.
class Texts {
 public:
  void append(std::string_view text);
  void append_nothing();  // NULL
  std::size_t size() const noexcept { return begins_.size(); }
  // Never NULL itself. Valid until something is appended.
  const char* const* data();

 private:
  std::vector<char> bytes_;
  std::vector<std::size_t> begins_;
  std::vector<const char*> pointers_;
};

// The arguments of a call; what was not given is undefined.
class Arguments {
 public:
  static constexpr std::size_t kMost = 12;
  Arguments(napi_env env, napi_callback_info info);

  napi_value operator[](std::size_t i) const { return values_[i]; }
  bool missing(std::size_t i) const;  // undefined or null
  bool flag(std::size_t i) const;
  double number(std::size_t i) const;
  std::size_t count(std::size_t i) const;
  std::int64_t time(std::size_t i) const;  // a BigInt
  // A string, or bytes where a string could not say it. Without NUL, and without half of a character.
  std::string text(std::size_t i, const char* name) const;
  // The same, or a number or BigInt as its digits.
  std::string id(std::size_t i, const char* name) const;
  Texts ids(std::size_t i, const char* name) const;
  Texts texts(std::size_t i, const char* name) const;    // with NULL for undefined and null
  std::vector<std::int64_t> times(std::size_t i) const;  // a BigInt64Array
  std::vector<float> numbers(std::size_t i) const;       // a Float32Array

 private:
  napi_env env_;
  napi_value values_[kMost];
};

// What ids of items are in answers.
enum class Ids : std::uint8_t { texts, numbers, bigints };

napi_value text_value(napi_env env, std::string_view text);  // what is no UTF-8 is replaced
// Exact: bytes that are no UTF-8 become a Buffer, and a number that JavaScript's cannot hold a BigInt.
napi_value id_value(napi_env env, std::string_view id, Ids ids);
// A view of `count` floats of an ArrayBuffer.
napi_value floats(napi_env env, napi_value buffer, std::size_t first, std::size_t count);

}  // namespace attune::node
