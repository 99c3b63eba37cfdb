// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every function of attune.h does at the border: no exception leaves, structs of other versions are read, NULL is
// refused, texts are handed over.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "attune/attune.h"
#include "attune/error.hpp"

namespace attune::c {

using Json = nlohmann::ordered_json;

// Thrown for memory of the caller that cannot hold an answer.
struct BufferTooSmall {
  std::string message;
};

// Keeps the message for attune_last_error(), and returns the status.
attune_status failed(attune_status status, std::string_view message) noexcept;
attune_status status_of(ErrorCode code) noexcept;

template <class Body>
attune_status guarded(Body&& body) noexcept {
  try {
    body();
    return ATTUNE_OK;
  } catch (const Error& error) {
    return failed(status_of(error.code()), error.what());
  } catch (const BufferTooSmall& error) {
    return failed(ATTUNE_BUFFER_TOO_SMALL, error.message);
  } catch (const std::bad_alloc&) {
    return failed(ATTUNE_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // a count that no memory could hold
    return failed(ATTUNE_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(ATTUNE_INTERNAL_ERROR, error.what());
  } catch (...) {
    return failed(ATTUNE_INTERNAL_ERROR, "an exception of an unknown type");
  }
}

// The same pointer, which is not null.
template <class Pointer>
Pointer required(Pointer pointer, const char* name) {
  if (pointer == nullptr) {
    throw Error(ErrorCode::invalid_argument, std::string(name) + ": expected a pointer, found NULL");
  }
  return pointer;
}

// A caller's struct as this library knows it.
template <class Struct>
Struct read(const Struct* given, const char* name) {
  constexpr std::size_t kMostBytes = 4096;  // of any struct to come; beyond it nobody set struct_size
  const std::size_t size = required(given, name)->struct_size;
  if (size < sizeof(std::size_t) || size > kMostBytes || size % alignof(Struct) != 0) {
    throw Error(ErrorCode::invalid_argument, std::string(name) + ".struct_size: expected the sizeof of the struct, " +
                                                 std::to_string(sizeof(Struct)) + ", found " + std::to_string(size));
  }
  Struct known{};
  std::memcpy(&known, given, std::min(size, sizeof known));
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof known; i < size; ++i) {
    if (bytes[i] == 0) continue;
    throw Error(ErrorCode::invalid_argument,
                std::string(name) + ": expected zero beyond the " + std::to_string(sizeof known) +
                    " bytes that this library knows, found something at byte " + std::to_string(i));
  }
  return known;
}

template <class Struct>
Struct read_or_default(const Struct* given, const char* name) {
  return given == nullptr ? Struct{} : read(given, name);
}

// Gives the text to a caller, who frees it with attune_free().
void hand_over(std::string_view text, char** to);
// One JSON object of a caller, by the name of its argument. Throws Error(invalid_argument).
Json object_of(const char* text, const char* name);
// Throws Error(invalid_argument) for a value in it.
[[noreturn]] void refuse(const std::string& where, const std::string& expected, const Json& found);
// In UTF-8, whatever the texts in it are.
std::string text_of(const Json& json);

}  // namespace attune::c
