#!/usr/bin/env bash
# each_header.sh CXX SOURCE_DIR: every public header compiles alone, without a warning. Those that some unit of the library
# or its tests includes first have shown it by the time that this runs.
set -euo pipefail

cxx=$1
cd "$2"
# check <header>
check() {
  printf '#include "%s"\n#include "%s"\n' "$1" "$1" |
    "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -Wconversion -Wshadow -Werror -Iinclude -x c++ -
}
export -f check
export cxx

included_first() {
  find src tests -name '*.cpp' -exec awk 'FNR == 1 { found = 0 } !found && /^#include "/ { print $2; found = 1 }' {} + |
    tr -d '"' | sort -u
}
comm -23 <(cd include && find attune -name '*.hpp' | sort) <(included_first) |
  xargs -n 1 -P "$(nproc)" bash -c 'check "$0"'
