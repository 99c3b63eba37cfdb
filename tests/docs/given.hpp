// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the pages of docs take for granted of the host that they speak to, and how one of them is run.

#include <attune/attune.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// Whatever a host does with what it was given.
template <class... T>
void use(const T&...) {}
template <class... T>
void show(const T&...) {}
template <class... T>
void send(const T&...) {}
template <class... T>
void log(const T&...) {}

inline std::string title_of(const attune::Id& item) { return "The title of " + attune::to_string(item); }

inline constexpr attune::Timestamp now = 1'750'000'000'000;

inline int run_page(const std::string& name, const std::map<std::string, std::function<void()>>& pages) {
  try {
    pages.at(name)();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    return 1;
  }
}
