#!/usr/bin/env bash
# Every test of the default build, from a bare machine. Arguments go to ctest, as in ./test.sh -R executor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/common.sh

install_packages "${packages_to_test[@]}"
cmake --preset release
cmake --build --preset release
exec ctest --preset release --parallel "$(nproc)" "$@"
