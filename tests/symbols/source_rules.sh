#!/usr/bin/env bash
# source_rules.sh SOURCE_DIR: the rules that every file of the repository keeps. Names each violation.
set -euo pipefail
cd "$1"

failed=0
complain() {
  echo "rule broken: $1" >&2
  failed=1
}

# forbid <rule> <pattern> <grep arguments: paths, --include, --exclude...>
forbid() {
  if grep -rnE -e "$2" "${@:3}"; then complain "$1"; fi
}

# lengths <what> <median limit> <longest limit> <files...>
lengths() {
  local counts
  counts=$(wc -l "${@:4}" | grep -v ' total$' | sort -n)
  local median longest
  median=$(awk '{n[NR] = $1} END {print n[int((NR + 1) / 2)]}' <<< "$counts")
  longest=$(tail -n 1 <<< "$counts")
  echo "$1: median $median lines, longest $longest"
  [[ $median -le $2 ]] || complain "$1: the median is at most $2 lines"
  [[ $(awk '{print $1}' <<< "$longest") -le $3 ]] || complain "$1: the longest has at most $3 lines"
}

mapfile -t headers < <(find include/attune -name '*.hpp')
mapfile -t sources < <(find src -name '*.cpp' -o -name '*.hpp' -o -name '*.inc')
mapfile -t units < <(find include src tests examples benchmarks -name '*.hpp' -o -name '*.cpp' -o -name '*.inc' -o -name '*.h' -o -name '*.c')
code=(include src tests examples benchmarks cmake CMakeLists.txt CMakePresets.json)
own=(--exclude=source_rules.sh)

lengths 'public headers' 150 350 "${headers[@]}"
lengths 'sources' 200 600 "${sources[@]}"

for unit in "${units[@]}"; do
  [[ $(head -n 1 "$unit") == '// SPDX-License-Identifier: Apache-2.0' ]] || complain "$unit begins with the licence line"
done
if LC_ALL=C grep -nP '[^\x00-\x7F]' "${units[@]}"; then complain 'sources are plain ASCII'; fi

forbid 'the baseline of the platform, never the build machine' 'march=native|mtune=native' "${code[@]}" "${own[@]}"
forbid 'no flag that changes arithmetic' '-Ofast|-ffast-math|-funsafe-math' "${code[@]}" "${own[@]}"
forbid 'no folder of a build machine' '(^|[^A-Za-z0-9_.}])/(work|home|root|Users)/' "${code[@]}" "${own[@]}" \
  quickstart.sh test.sh .ci data docs
forbid 'nothing is left for later' '(TODO|FIXME|XXX|HACK)' "${code[@]}" "${own[@]}"
forbid 'instruction sets are known to src/kernels alone' '^ *# *include <([a-z]+intrin|arm_neon)\.h>' include src benchmarks \
  --exclude-dir=kernels
forbid 'the operating system is known to src/platform alone' '^ *# *include <(unistd|fcntl|dirent|pthread|sched|dlfcn|windows|sys/.*)\.h>' \
  include src --exclude-dir=platform
forbid 'no third-party header behind a public one' '^ *# *include <(Eigen|xtensor|xt|nlohmann|zlib|lzma|utf8proc|sqlite3|hiredis|sodium|gmp|CLI)' include --exclude-dir=interop
forbid 'the library prints nothing' '^ *# *include <(iostream|cstdio|stdio\.h)>' include src --exclude-dir=cli --exclude-dir=platform
forbid 'only the executor and event stores that are opened make threads' 'std::(jthread|thread|async)\b([^:]|$)' include src \
  --exclude=executor.cpp --exclude=sqlite_event_store.cpp --exclude=stream_writer.?pp --exclude=stream_reader.?pp --exclude-dir=cli
forbid 'numbers do not depend on the locale' '\b(stod|stof|stoi|stol|stoll|stoul|stoull|strtod|strtof|strtol|strtoll|atof|atoi|atol|setlocale)\(' \
  include src
forbid 'CTest would cut the name of the case in two, or Catch2 read it as a pattern' '^TEST_CASE\("[^"]*[];[*][^"]*"' tests
forbid 'no using-directive in a header' 'using namespace' include

[[ $(sed -n 's/^ *phases: //p' .github/workflows/ci.yml | grep -o "'[^']*'" | sort) == \
  $(sed -nE "s/^phase ('[^']+').*/\1/p" .ci/run | sort) ]] || complain 'the workflow runs every phase of .ci/run once'

# Includes point one way: types <- data <- model <- {training, serving}.
for root in include/attune src; do
  forbid 'data includes no later stage' '^ *# *include "(attune/)?(model|training|serving)/' "$root/data"
  forbid 'model includes no later stage' '^ *# *include "(attune/)?(training|serving)/' "$root/model"
  forbid 'serving never includes training' '^ *# *include "(attune/)?training/' "$root/serving"
  forbid 'training includes serving only to update a model that serves' '^ *# *include "(attune/)?serving/' "$root/training" \
    --exclude=updater.*
done

# Every public header has a mirror among the tests, or a test named here.
declare -A tested_elsewhere=(
  [attune.hpp]=tests/package/consumer/use_everything.hpp
  [concepts.hpp]=tests/serving/concepts_test.cpp
  [model/ranker.hpp]=tests/serving/ranker_test.cpp
  [model/sasrec_block.hpp]=tests/gradient/transformer_encoder_test.cpp
  [recommender.hpp]=tests/serving/recommender_test.cpp
  [serving/make_recommender.hpp]=tests/serving/shared_encoder_test.cpp
)
for header in "${headers[@]}"; do
  name=${header#include/attune/}
  folder=$(dirname "$name")
  [[ $folder != detail ]] || continue
  [[ $folder != . ]] || folder=base
  test=${tested_elsewhere[$name]:-tests/$folder/$(basename "$name" .hpp)_test.cpp}
  [[ -e $test ]] || complain "$header has the test $test"
done

exit $failed
