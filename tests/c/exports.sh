#!/usr/bin/env bash
# exports.sh LIBRARY.so HEADER: the library exports the functions that the header declares, and nothing else.
set -euo pipefail

exported=$(nm --dynamic --defined-only "$1" | awk '{print $3}' | sort)
declared=$(grep -oE '^ATTUNE_API .*' "$2" | grep -oE 'attune_[a-z_]+\(' | tr -d '(' | sort)
if ! diff <(echo "$declared") <(echo "$exported"); then
  echo "the functions above are declared (<) but not exported, or exported (>) but not declared" >&2
  exit 1
fi
echo "$(wc -l <<< "$exported") functions"
