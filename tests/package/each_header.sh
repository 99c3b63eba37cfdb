#!/usr/bin/env bash
# each_header.sh CXX INCLUDE_DIR: every public header compiles alone and twice, without a warning.
set -euo pipefail

cxx=$1
cd "$2"
# check <header>
check() {
  printf '#include "%s"\n#include "%s"\n' "$1" "$1" |
    "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -Wconversion -Wshadow -Werror -I. -x c++ -
}
export -f check
export cxx
find attune -name '*.hpp' -print0 | sort -z | xargs -0 -n 1 -P "$(nproc)" bash -c 'check "$0"'
