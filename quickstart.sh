#!/usr/bin/env bash
# From a bare machine to recommendations: packages, build, training on the bundled data, evaluation, answers, a page about it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/common.sh

install_packages "${packages_to_build[@]}"
cmake --preset release > /dev/null
cmake --build --preset release --target attune_package quickstart
build/release/bin/quickstart data build/quickstart/model
build/release/bin/attune evaluate --quiet --baselines --segments --model build/quickstart/model \
  --interactions data/movietweetings-10core.interactions.csv.xz --items data/movietweetings-10core.items.csv.xz \
  --report build/quickstart/report.html > /dev/null
echo 'A page about the model is in build/quickstart/report.html.'
cat << 'END'

In a browser, at http://127.0.0.1:8080 (docs/demo.md):
  cmake --build --preset release --target server
  build/release/bin/server build/quickstart/model --demo data/movietweetings-10core.items.csv.xz --category genres
END
