#!/usr/bin/env bash
# From a bare machine to recommendations: packages, build, training on the bundled data, evaluation, answers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/common.sh

install_packages "${packages_to_build[@]}"
cmake --preset release > /dev/null
cmake --build --preset release --target attune_package quickstart
exec build/release/bin/quickstart data build/quickstart/model
