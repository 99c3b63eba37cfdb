#!/usr/bin/env bash
# ranks_test.sh ATTUNE INTERACTIONS FOLDER [KILLS]: what `attune train` promises to processes that mpirun starts. The
# long form kills a process at KILLS moments.
set -euo pipefail

attune=$1 interactions=$2 folder=$3 kills=${4:-2}
command -v mpirun > /dev/null || { echo 'skipped: no mpirun'; exit 77; }
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo

fail() {
  echo "failed: $*" >&2
  exit 1
}

# train <processes> <output> [options]
train() {
  local processes=$1 output=$2
  shift 2
  local start=("$attune")
  [[ $processes == 1 ]] || start=(mpirun -n "$processes" "$attune")
  "${start[@]}" train --quiet --json --threads 1 --preset sasrec-small --config config.json --interactions "$interactions" \
    --output "$output" "$@" 2> "$output.log"
}

same() {
  cmp "$1/weights.safetensors" "$2/weights.safetensors" || fail "$2 has other weights than $1"
  cmp "$1/counts.safetensors" "$2/counts.safetensors" || fail "$2 has other counts than $1"
  [[ $(grep -E '"(best_epoch|blend_weight|ndcg_10)"' "$1.json") == $(grep -E '"(best_epoch|blend_weight|ndcg_10)"' "$2.json") ]] ||
    fail "$2 was chosen otherwise than $1"
}

echo '{"encoder": {"embedding_dim": 16, "max_sequence_length": 30}, "epochs": 3, "batch_sequences": 64}' > config.json
train 1 alone > alone.json
for processes in 2 4; do
  train "$processes" "of$processes" > "of$processes.json"
  same alone "of$processes"
done
[[ $(grep -c '^}' of2.json) == 1 ]] || fail 'expected one object of two processes'
echo "of 2 and of 4 processes: the weights of one"

if mpirun -n 2 "$attune" evaluate --model alone --interactions "$interactions" > evaluated.log 2>&1; then
  fail 'evaluate was started twice'
fi
grep -q 'expected to be started alone' evaluated.log || fail "$(cat evaluated.log)"

if mpirun -n 2 "$attune" train --interactions missing.csv --output nothing > missing.log 2>&1; then
  fail 'a missing file'
fi
grep -q 'attune: rank [01]: .*missing.csv' missing.log || fail "$(cat missing.log)"
echo 'what goes wrong ends all processes, with its reason'

# One of the processes is killed at any moment, every other time once an epoch is kept: the others end, and what is left
# on the disk goes on to the same weights with another number of them.
killed=0
resumed=0
for ((kill = 1; kill <= kills; ++kill)); do
  rm -rf killed killed.training
  train 2 killed --epochs 3 > killed.json &
  job=$!
  if [[ $((kill % 2)) == 1 ]]; then
    while kill -0 "$job" 2> /dev/null && [[ ! -e killed.training ]]; do sleep 0.01; done
  else
    sleep "$(awk -v seed="$kill" 'BEGIN { srand(seed); print 0.3 + 2.5 * rand() }')"
  fi
  victims=$(pgrep -f "^$attune train .*--output killed" || true)
  victim=$(shuf -n 1 <<< "$victims")
  [[ -z $victim ]] || kill -9 "$victim" 2> /dev/null || true
  if wait "$job"; then
    same alone killed  # it was done
    continue
  fi
  killed=$((killed + 1))
  [[ ! -e killed.training ]] || resumed=$((resumed + 1))
  train $((kill % 3 == 0 ? 4 : kill % 3)) killed --resume > killed.json
  same alone killed
done
[[ $killed -gt 0 && $resumed -gt 0 ]] || fail "expected kills, some of them behind an epoch, found $killed and $resumed"
echo "$killed of $kills were killed in time: every training went on to the weights of one that nobody disturbed; $resumed from a kept epoch"
