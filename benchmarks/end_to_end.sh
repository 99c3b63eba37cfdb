#!/usr/bin/env bash
# end_to_end.sh BIN_DIRECTORY [--short] [--log FILE.xz] [load_generator's options...]: event to changed answer, from end to
# end. Trains a small model on the first four fifths of a shop's log, the bundled one unless another is named, serves it with
# durable events, and replays the rest from a second process for 30 seconds. --short: less of the log, 3 seconds. Prints one
# JSON object.
set -euo pipefail

bin=$(cd "$1" && pwd)
log=$(cd "$(dirname "${BASH_SOURCE[0]}")/../data" && pwd)/online-retail-core.interactions.csv.xz
lines=1000000 seconds=30
shift
if [[ ${1:-} == --short ]]; then
  lines=20000 seconds=3
  shift
fi
if [[ ${1:-} == --log ]]; then
  log=$(realpath "$2")
  shift 2
fi

work=$(mktemp -d)
server=
finish() {
  if [[ -n $server ]]; then kill "$server" 2> /dev/null && wait "$server" || true; fi
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

# The log is in order of time.
xz -dc "$log" | awk -v most="$lines" 'NR <= most' > log.csv
rows=$(wc -l < log.csv)
awk -v first=$((rows * 4 / 5)) 'NR == 1 { print > "known.csv"; print > "later.csv"; next }
  { print > (NR <= first ? "known.csv" : "later.csv") }' log.csv
"$bin/attune" train --quiet --preset sasrec-small --epochs 1 --split none --threads "$(nproc)" --interactions known.csv \
  --output model > training

"$bin/server" model --store events.db --port 0 > address &
server=$!
until grep -qs listening address; do
  kill -0 "$server"
  sleep 0.1
done
"$bin/load_generator" later.csv --known known.csv --port "$(sed 's/.*://' address)" --seconds "$seconds" "$@"
kill "$server"
wait "$server"
server=
