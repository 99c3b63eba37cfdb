#!/usr/bin/env bash
# The library as its users meet it. Each verb is one CTest case, and works in a folder of its own below WORK:
#   install             installs the current build and moves the result away from its prefix
#   find_package        a consumer of the moved package
#   pkg_config          the same consumer without CMake
#   c                   a consumer in C99 of the moved package, with CMake and without
#   build_tree          a consumer of the build tree
#   fetchcontent        a consumer that fetches the sources as a sub-project
#   shared              builds attune as a shared library, installs and moves it, and runs both kinds of consumer
#   recipes             reads the port of vcpkg and the recipe of Conan, as far as that goes without these two
#   deb                 makes Debian packages of the current build, unpacks them and runs all kinds of consumer
#   deb_shared          the same with the shared library
# CMake passes CMAKE, CPACK, CXX, BUILD_TYPE, LAUNCHER, SOURCE_DIR, BUILD_DIR, LIBDIR, WITH_SQLITE, WITH_REDIS, WITH_SODIUM, WITH_GMP,
# WERROR and WORK. The sub-project and the shared library have the flags of the current build, so that a compiler cache knows their
# units. A verb that lacks a program ends with status 77, which is skipped.
set -euo pipefail

consumer=$SOURCE_DIR/tests/package/consumer
moved=$WORK/moved/attune-package
settings=(-G Ninja "-DCMAKE_CXX_COMPILER=$CXX" "-DCMAKE_BUILD_TYPE=$BUILD_TYPE" "-DCMAKE_CXX_COMPILER_LAUNCHER=$LAUNCHER"
          "-DEVERY_HEADER_DIR=$WORK/include" --no-warn-unused-cli)
like_the_build=("-DATTUNE_WITH_SQLITE=$WITH_SQLITE" "-DATTUNE_WITH_REDIS=$WITH_REDIS" "-DATTUNE_WITH_SODIUM=$WITH_SODIUM" "-DATTUNE_WITH_GMP=$WITH_GMP"
                "-DATTUNE_WARNINGS_AS_ERRORS=$WERROR")
if [[ $WERROR == ON ]]; then like_the_build+=(-DASKED_FOR=ATTUNE_WARNINGS_AS_ERRORS); fi

fresh() { rm -rf "$1" && mkdir -p "$1"; }

# needs <program...>
needs() {
  local program
  for program in "$@"; do
    if ! command -v "$program" > /dev/null; then
      echo "skipped: $program is missing"
      exit 77
    fi
  done
}

# names_no_folder_of_the_machine <folder>
names_no_folder_of_the_machine() {
  if grep -rIl --exclude-dir=include -e "$WORK" -e "$SOURCE_DIR" "$1"; then
    echo "the installed files above name a folder of the machine that built them" >&2
    return 1
  fi
}

# install_and_move <build folder> <destination>
install_and_move() {
  fresh "$WORK/prefix"
  rm -rf "$2"
  mkdir -p "$(dirname "$2")"
  "$CMAKE" --install "$1" --prefix "$WORK/prefix" > /dev/null
  mv "$WORK/prefix" "$2"
  names_no_folder_of_the_machine "$2"
}

# cmake_consumer <name> <cmake arguments...>
cmake_consumer() {
  fresh "$WORK/$1"
  "$CMAKE" -S "$consumer" -B "$WORK/$1" "${settings[@]}" "${@:2}"
  "$CMAKE" --build "$WORK/$1" --target consumer
  (cd "$WORK/$1" && ./consumer)
}

# pkg_config_consumer <name> <package> <pkg-config arguments...>
pkg_config_consumer() {
  fresh "$WORK/$1"
  export PKG_CONFIG_PATH=$2/$LIBDIR/pkgconfig
  pkg-config --exists 'attune >= 0.1'
  # Two words on purpose: flags are a list.
  # shellcheck disable=SC2046
  "$CXX" -std=c++20 -I"$WORK/include" "$consumer"/*.cpp -o "$WORK/$1/consumer" $(pkg-config --cflags --libs "${@:3}" attune)
  (cd "$WORK/$1" && LD_LIBRARY_PATH=$2/$LIBDIR ./consumer)
}

# c_consumer <name> <package>: needs nothing that attune itself is made of.
c_consumer() {
  fresh "$WORK/$1"
  cp "$SOURCE_DIR/tests/package/consumer/main.c" "$WORK/$1"
  printf '%s\n' 'cmake_minimum_required(VERSION 3.23)' 'project(consumer LANGUAGES C)' 'set(CMAKE_C_STANDARD 99)' \
    'find_package(attune 0.1 CONFIG REQUIRED COMPONENTS c)' 'add_executable(consumer main.c)' \
    'target_link_libraries(consumer PRIVATE attune::c)' > "$WORK/$1/CMakeLists.txt"
  "$CMAKE" -S "$WORK/$1" -B "$WORK/$1/build" -G Ninja "-DCMAKE_PREFIX_PATH=$2" --no-warn-unused-cli \
    -DCMAKE_DISABLE_FIND_PACKAGE_{Threads,ZLIB,LibLZMA,utf8proc,SQLite3,sodium,GMP}=ON
  "$CMAKE" --build "$WORK/$1/build"
  "$WORK/$1/build/consumer"
  export PKG_CONFIG_PATH=$2/$LIBDIR/pkgconfig
  # shellcheck disable=SC2046
  cc -std=c99 -pedantic -Wall -Wextra -Werror "$WORK/$1/main.c" -o "$WORK/$1/consumer" $(pkg-config --cflags --libs attune_c)
  LD_LIBRARY_PATH=$2/$LIBDIR "$WORK/$1/consumer"
}

# check_deb <file> <package>: what dpkg wants to know, and only files below /usr, of root, with the usual modes.
check_deb() {
  local field
  for field in Version Architecture Maintainer Section Priority Homepage Installed-Size Description; do
    [[ -n $(dpkg-deb --field "$1" $field) ]] || { echo "$1 lacks $field" >&2; return 1; }
  done
  [[ $(dpkg-deb --field "$1" Package) == "$2" ]]
  dpkg-deb --contents "$1" | awk '
    { wanted = $1 ~ /^d/ ? "drwxr-xr-x" : $1 ~ /^l/ ? "lrwxrwxrwx" : $6 ~ /^.\/usr\/bin\// ? "-rwxr-xr-x" : "-rw-r--r--" }
    $1 != wanted || $2 != "root/root" || $6 !~ /^.\/(usr\/.*)?$/ { print "unexpected:", $0; wrong = 1 }
    END { exit wrong }'
}

# deb <name> <build folder>: the packages of a build, and consumers of what is in them: the small one of the recipe of Conan.
deb() {
  needs dpkg-deb dpkg-shlibdeps file
  local root=$WORK/$1/root made=$WORK/$1/made packages=(libattune-c1 libattune-dev attune-tools) package file
  local consumer=$SOURCE_DIR/cmake/conan/test_package
  if [[ -e $2/src/libattune.so ]]; then packages+=(libattune0.1); fi
  fresh "$root"
  "$CPACK" -G DEB --config "$2/CPackConfig.cmake" -B "$made"
  for package in "${packages[@]}"; do
    file=$(compgen -G "$made/${package}_*.deb")
    check_deb "$file" "$package"
    dpkg-deb --extract "$file" "$root"
    [[ -s $root/usr/share/doc/$package/copyright ]]
    echo "$package: $(dpkg-deb --field "$file" Depends)"
  done
  [[ $(compgen -G "$made/*.deb" | wc -l) == "${#packages[@]}" ]]
  if for file in "$made"/*.deb; do dpkg-deb --contents "$file"; done | grep -v '^d' | awk '{ print $6 }' | sort | uniq -d | grep .; then
    echo "the files above are in more than one package" >&2
    return 1
  fi
  names_no_folder_of_the_machine "$root"
  "$root/usr/bin/attune" --version
  gzip -dc "$root/usr/share/man/man1/attune.1.gz" | grep -q 'attune recommend'
  bash -c 'source "$0" && complete -p attune' "$root/usr/share/bash-completion/completions/attune"
  [[ -s $root/usr/share/zsh/vendor-completions/_attune && -s $root/usr/share/fish/vendor_completions.d/attune.fish ]]
  c_consumer "$1_c" "$root/usr"
  cmake_consumer "$1_find_package" "-DCMAKE_PREFIX_PATH=$root/usr"
  pkg_config_consumer "$1_pkg_config" "$root/usr"
}

case $1 in
  install)
    install_and_move "$BUILD_DIR" "$moved"
    if [[ -e $BUILD_DIR/bin/attune ]]; then "$moved/bin/attune" --help > /dev/null; fi
    ;;
  find_package) cmake_consumer find_package "-DCMAKE_PREFIX_PATH=$moved" ;;
  pkg_config) pkg_config_consumer pkg_config "$moved" --static ;;
  c)
    c_consumer c "$moved"
    sed -i 's/COMPONENTS c)/COMPONENTS c rust)/' "$WORK/c/CMakeLists.txt"
    if "$CMAKE" -S "$WORK/c" -B "$WORK/c/refused" "-DCMAKE_PREFIX_PATH=$moved" > "$WORK/c/refused.log" 2>&1; then exit 1; fi
    grep 'expected the components cxx and c, found rust' "$WORK/c/refused.log"
    ;;
  build_tree) cmake_consumer build_tree "-Dattune_DIR=$BUILD_DIR" -DCMAKE_BUILD_TYPE=Debug ;;
  fetchcontent)
    # Fetched is what git has. The same sources are then built where they lie, so that a compiler cache knows them.
    needs git tar
    if ! git -C "$SOURCE_DIR" rev-parse > /dev/null; then exit 77; fi
    fresh "$WORK/fetched"
    git -C "$SOURCE_DIR" ls-files -z |
      tar -C "$SOURCE_DIR" --null -T - --transform 's,^,attune/,' -czf "$WORK/fetched/attune.tar.gz"
    fetch=("-DATTUNE_ARCHIVE=$WORK/fetched/attune.tar.gz" "${like_the_build[@]}")
    "$CMAKE" -S "$consumer" -B "$WORK/fetched/build" "${settings[@]}" "${fetch[@]}"
    cmake_consumer fetchcontent "${fetch[@]}" "-DFETCHCONTENT_SOURCE_DIR_ATTUNE=$SOURCE_DIR"
    "$CMAKE" --build "$WORK/fetchcontent" --target c_consumer
    "$WORK/fetchcontent/c_consumer"
    "$CMAKE" --install "$WORK/fetchcontent" --prefix "$WORK/fetchcontent/prefix"
    [[ ! -e $WORK/fetchcontent/prefix ]]
    ;;
  shared)
    "$CMAKE" -S "$SOURCE_DIR" -B "$WORK/shared" "${settings[@]}" "${like_the_build[@]}" -DBUILD_SHARED_LIBS=ON \
      -DATTUNE_BUILD_NODE=OFF -DATTUNE_BUILD_TESTS=OFF -DATTUNE_BUILD_EXAMPLES=OFF -DATTUNE_BUILD_BENCHMARKS=OFF
    "$CMAKE" --build "$WORK/shared"
    install_and_move "$WORK/shared" "$WORK/moved/shared-package"
    "$WORK/moved/shared-package/bin/attune" --help > /dev/null
    cmake_consumer shared_find_package "-DCMAKE_PREFIX_PATH=$WORK/moved/shared-package"
    pkg_config_consumer shared_pkg_config "$WORK/moved/shared-package"
    c_consumer shared_c "$WORK/moved/shared-package"
    "$SOURCE_DIR/tests/symbols/exports.sh" "$WORK/moved/shared-package/$LIBDIR/libattune.so"
    ;;
  recipes)
    port=$SOURCE_DIR/cmake/vcpkg/ports/attune
    version=$(sed -nE 's/^#define ATTUNE_VERSION_(MAJOR|MINOR|PATCH) //p' "$SOURCE_DIR/include/attune/version.hpp" | paste -sd .)
    python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["version-semver"] == sys.argv[2]' "$port/vcpkg.json" "$version"
    "$CMAKE" "-DPORT=$port" "-DSOURCE=$SOURCE_DIR" -P "$SOURCE_DIR/tests/package/vcpkg_stubs.cmake"
    for recipe in "$SOURCE_DIR"/cmake/conan/{,test_package/}conanfile.py; do
      python3 -c 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")' "$recipe"
    done
    ;;
  deb) deb deb "$BUILD_DIR" ;;
  deb_shared) deb deb_shared "$WORK/shared" ;;
  *)
    echo "unknown verb: $1" >&2
    exit 2
    ;;
esac
