#!/usr/bin/env bash
# pip_install.sh PYTHON SOURCE LIBRARY WORK: pip installs the package without a network, and it finds the library beside
# itself.
set -euo pipefail

python=$1
source=$2
library=$3
work=$4
if ! "$python" -c 'import setuptools, pip, wheel' 2> /dev/null; then
  echo "skipped: $python has no pip, setuptools or wheel"
  exit 0
fi
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
rm -rf "$work"
mkdir -p "$work"
cp -r "$source" "$work/source" # pip builds where the sources are
"$python" -m pip install --quiet --no-index --no-build-isolation --no-deps --target "$work/site" "$work/source"
cp "$library" "$work/site/attune/libattune_c.so.1"
cd "$work"
env -u ATTUNE_LIBRARY PYTHONPATH="$work/site" "$python" -B - << 'END'
from importlib.metadata import version
from pathlib import Path

import attune

assert Path(attune.__file__).parent == Path("site/attune").resolve(), attune.__file__
assert attune.__version__ == version("attune"), (attune.__version__, version("attune"))
assert attune.simd_level()
assert (Path(attune.__file__).parent / "py.typed").exists()
END
