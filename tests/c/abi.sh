#!/usr/bin/env bash
# abi.sh compare|record CC INCLUDE_DIR WORK: whether programs that were built against the recorded interface
# (attune_c.abi) go on with the one that attune.h declares now; or records that one.
set -euo pipefail

verb=$1
cc=$2
include_dir=$(cd "$3" && pwd)
work=$4
recorded=$(dirname "${BASH_SOURCE[0]}")/attune_c.abi
mkdir -p "$work"

# A library with the declared functions and no content: all that abidiff looks at are names and types.
{
  echo '#include <attune/attune.h>'
  echo '#include <attune/attune.h>' | "$cc" -std=c99 -I"$include_dir" -E -P -x c - | tr '\n' ' ' |
    grep -oE '__attribute__\(\(visibility\("default"\)\)\)[^;{}]*;' | sed 's/;$/ { __builtin_trap(); }/'
  echo 'attune_outcome attune_outcomes_are(void) { __builtin_trap(); }' # which no declaration mentions
} > "$work/declared.c"
version=$(sed -nE 's/^#define ATTUNE_ABI_VERSION ([0-9]+)$/\1/p' "$include_dir/attune/attune.h")
(cd "$work" && "$cc" -std=c99 -g -shared -fPIC -w -I"$include_dir" declared.c -o libattune_c.so -Wl,-soname,"libattune_c.so.$version")

case $verb in
  record) abidw --no-corpus-path --no-comp-dir-path --no-show-locs --out-file "$recorded" "$work/libattune_c.so" ;;
  compare)
    if ! abidiff --no-show-locs --no-added-syms "$recorded" "$work/libattune_c.so"; then
      echo "the changes above: what a struct with struct_size has gained at its end is fine, and to be recorded (abi.sh" \
        "record); anything else needs a new ATTUNE_ABI_VERSION as well" >&2
      exit 1
    fi
    ;;
  *)
    echo "unknown verb: $verb" >&2
    exit 2
    ;;
esac
