#!/usr/bin/env bash
# run_page.sh PREPARED SNIPPETS PAGE.md: runs each ```sh block of a page that calls the tool, and then its ```cpp blocks (the
# program SNIPPETS knows them), each in a fresh copy of the folder PREPARED. A block is left out where
#   <!-- snippet: none -->
# stands before it, with the reason behind it.
set -euo pipefail
prepared=$1 snippets=$2 page=$3
name=$(basename "$page" .md | tr -c 'A-Za-z0-9\n' _)
work=$prepared.$name
trap 'rm -rf "$work"' EXIT

# block NUMBER: that sh block of the page; nothing where it is left out.
block() {
  awk -v number="$1" '
    /^ *<!-- snippet: none/ { left_out = 1; next }
    /^ *```sh$/ { if (++blocks == number) inside = !left_out; next }
    /^ *```/ { inside = 0 }
    inside
    NF { left_out = 0 }' "$page"
}

# fresh: goes into a new copy of the prepared folder.
fresh() {
  cd "$(dirname "$prepared")"
  rm -rf "$work"
  cp -r "$prepared" "$work"
  cd "$work"
}

blocks=$(grep -cE '^ *```sh$' "$page" || true)
ran=0
for ((number = 1; number <= blocks; ++number)); do
  commands=$(block "$number")
  grep -qE '^ *attune ' <<< "$commands" || continue
  fresh
  if ! PATH=$work/bin:$PATH bash -xeuo pipefail -c "$commands" > output 2>&1; then
    tail -n 20 output
    echo "$page: its sh block $number failed" >&2
    exit 1
  fi
  ran=$((ran + 1))
done

if grep -q '^```cpp$' "$page"; then
  fresh
  "$snippets" "$name"
fi
echo "$page: $ran of $blocks sh blocks ran"
