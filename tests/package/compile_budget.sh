#!/usr/bin/env bash
# compile_budget.sh CXX INCLUDE_DIR: what a host pays for an #include, in lines after preprocessing that are neither
# blank nor line markers.
set -euo pipefail

# within <header> <most lines>
within() {
  local lines
  lines=$(echo "#include <attune/$1>" | "$cxx" -std=c++20 -I"$include_dir" -E -x c++ - | grep -v '^#' | grep -c '[^[:space:]]')
  echo "$1: $lines of $2 lines"
  [[ $lines -le $2 ]]
}

cxx=$1
include_dir=$2
within recommender.hpp 50000
within attune.hpp 75000
