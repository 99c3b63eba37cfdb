#!/usr/bin/env bash
# From a bare machine to recommendations: packages, build, training on the bundled data, evaluation, answers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/common.sh

install_packages "${packages_to_build[@]}"
cmake --preset release > /dev/null
cmake --build --preset release --target attune_tool attune_c quickstart
build/release/bin/quickstart data build/quickstart/model
cat << 'END'

In a browser, at http://127.0.0.1:8080 (docs/demo.md):
  cmake --build --preset release --target server
  build/release/bin/server build/quickstart/model --demo data/movietweetings-10core.items.csv.xz --category genres
END
