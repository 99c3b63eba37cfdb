#!/usr/bin/env bash
# campaign.sh BIN_DIR SECONDS [CORPUS_DIR]: runs every fuzzer of BIN_DIR for SECONDS, as many at once as there are
# processors, from its seeds and from what earlier campaigns kept in CORPUS_DIR. Ends with what was executed, and fails
# where a program did; the input that it failed at is then in CORPUS_DIR.
set -euo pipefail

bin_dir=$(cd "$1" && pwd)
export seconds=$2 corpora=${3:-$bin_dir/../fuzz}
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p "$corpora"
corpora=$(cd "$corpora" && pwd)

# fuzz <program>: others run beside it.
fuzz() {
  local name
  name=$(basename "$1")
  mkdir -p "$corpora/$name"
  "$1" -max_total_time="$seconds" -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 -artifact_prefix="$corpora/" \
    "$corpora/$name" "seeds/$name" 2>&1 | sed "s/^/$name: /" | tee "$corpora/$name.log"
  return "${PIPESTATUS[0]}"
}
export -f fuzz

status=0
printf '%s\n' "$bin_dir"/*_fuzz | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}' || status=1
sed -nE 's/^(.*): stat::number_of_executed_units: +([0-9]+)$/\1 \2/p' "$corpora"/*_fuzz.log |
  awk '{ print $1 ": " $2 " executions"; sum += $2 } END { print "in all: " sum " executions" }'
exit "$status"
