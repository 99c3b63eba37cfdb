# What quickstart.sh, test.sh and .ci/run share: the Debian packages, and how they are installed. Sourced by bash.

packages_to_build=(build-essential cmake ninja-build zlib1g-dev liblzma-dev libutf8proc-dev libsqlite3-dev libhiredis-dev libsodium-dev libgmp-dev nlohmann-json3-dev libeigen3-dev libcli11-dev pkg-config libcpp-httplib-dev)
packages_to_test=("${packages_to_build[@]}" catch2 libxtensor-dev libbenchmark-dev xz-utils ccache file groff-base)
packages_to_cross=("${packages_to_test[@]}" g++-aarch64-linux-gnu qemu-user)
packages_to_check=("${packages_to_cross[@]}" git clang clang-format clang-tidy libclang-rt-dev lld abigail-tools doxygen redis-server libopenmpi-dev openmpi-bin python3-numpy python3-pip python3-setuptools python3-wheel chromium)
# Node from elsewhere brings its headers and npm along, and does not go together with Debian's.
command -v node > /dev/null || packages_to_check+=(nodejs libnode-dev)
command -v npm > /dev/null || packages_to_check+=(npm)
packages_of_arm64=(zlib1g-dev liblzma-dev libutf8proc-dev)

# install_packages <package...>: installs what is missing where it may, else prints the one command that does.
install_packages() {
  if ! command -v apt-get > /dev/null; then
    echo "This is not a Debian system; expecting what Debian packages as: $*" >&2
    return 0
  fi
  local missing=() package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0

  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    if ! sudo -n true 2> /dev/null; then
      echo "Packages are missing. Run this, then start again:" >&2
      echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  local apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  local install=("${apt_get[@]}" install -y -q --no-install-recommends "${missing[@]}")
  echo "Installing ${missing[*]}"
  # The package lists are fetched only where they are absent or out of date.
  if ! compgen -G '/var/lib/apt/lists/*Packages*' > /dev/null || ! "${install[@]}"; then
    "${apt_get[@]}" update -q && "${install[@]}"
  fi
}

# unpack_packages <architecture> <folder> <package...>: puts the files of another architecture's packages into a folder.
# The machine gets neither the packages nor the architecture, since installing a foreign library upgrades the host's own.
unpack_packages() {
  local architecture=$1 folder=$PWD/$2
  shift 2
  if ! command -v apt-get > /dev/null; then
    echo "This is not a Debian system; expecting the $architecture libraries of these Debian packages: $*" >&2
    return 0
  fi
  [[ $(cat "$folder/unpacked" 2> /dev/null) != "$*" ]] || return 0
  rm -rf "$folder" && mkdir -p "$folder"/apt/{lists,archives}/partial
  local apt_get=(apt-get -q -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    -o "Dir::State=$folder/apt" -o Dir::State::status=/dev/null -o "Dir::Cache=$folder/apt" -o APT::Sandbox::User=root)
  if ! "${apt_get[@]}" update || ! (cd "$folder/apt" && "${apt_get[@]}" download "$@"); then
    echo "apt-get cannot fetch these packages for $architecture: $*" >&2
    return 1
  fi
  local package
  for package in "$folder"/apt/*.deb; do dpkg-deb -x "$package" "$folder"; done
  rm -r "$folder/apt"
  echo "$*" > "$folder/unpacked"
}

# CMake takes the launcher of a new build folder from here. What one folder compiled with debug information serves another.
if command -v ccache > /dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_NOHASHDIR=1; fi
