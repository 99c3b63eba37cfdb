#!/usr/bin/env bash
# compile_fail.sh CXX INCLUDE_DIR PARTS HEADER USE CONCEPT MEMBER...: a line that uses the parts of a host compiles; with
# any one of the members misspelt the compiler refuses it and names the concept and the member.
set -euo pipefail

cxx=$1 include_dir=$2 parts=$3 header=$4 use=$5 concept=$6
shift 6

# compile <text of the parts>
compile() {
  printf '#include <attune/%s>\n%s\nusing namespace attune;\nusing namespace attune::test;\n%s\n' "$header" "$1" "$use" |
    LC_ALL=C "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -I"$include_dir" -x c++ - 2>&1
}

# Without it a broken include path would refuse everything.
if ! compile "$(grep -v '#pragma once' "$parts")"; then
  echo 'the complete parts do not compile'
  exit 1
fi
for member in "$@"; do
  if message=$(compile "$(sed -E "/#pragma once/d; s/([ (])$member\b/\1misspelt/g" "$parts")"); then
    echo "compiles without $member"
    exit 1
  fi
  echo "$message"
  # A quote at the end tells what the compiler says from the source that it shows.
  for named in "\b$concept(<[^']*>)?'" "\b$member\b[^']*'.*\binvalid\b|no type named '$member'"; do
    if ! grep -qE "$named" <<< "$message"; then
      echo "nothing above matches $named"
      exit 1
    fi
  done
done
