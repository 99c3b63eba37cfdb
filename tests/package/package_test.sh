#!/usr/bin/env bash
# The library as its users meet it. Each verb is one CTest case, and works in a folder of its own below WORK:
#   install             installs the current build and moves the result away from its prefix
#   find_package        a consumer of the moved package
#   pkg_config          the same consumer without CMake
#   c                   a consumer in C99 of the moved package, with CMake and without
#   build_tree          a consumer of the build tree
#   subproject          a consumer that adds the sources as a sub-project
#   shared              builds attune as a shared library, installs and moves it, and runs both kinds of consumer
# CMake passes CMAKE, CXX, BUILD_TYPE, LAUNCHER, SOURCE_DIR, BUILD_DIR, LIBDIR, WITH_SQLITE, WITH_SODIUM, WITH_GMP, WERROR and
# WORK. The sub-project and the shared library have the flags of the current build, so that a compiler cache knows their
# units.
set -euo pipefail

consumer=$SOURCE_DIR/tests/package/consumer
moved=$WORK/moved/attune-package
settings=(-G Ninja "-DCMAKE_CXX_COMPILER=$CXX" "-DCMAKE_BUILD_TYPE=$BUILD_TYPE" "-DCMAKE_CXX_COMPILER_LAUNCHER=$LAUNCHER"
          "-DEVERY_HEADER_DIR=$WORK/include" --no-warn-unused-cli)
like_the_build=("-DATTUNE_WITH_SQLITE=$WITH_SQLITE" "-DATTUNE_WITH_SODIUM=$WITH_SODIUM" "-DATTUNE_WITH_GMP=$WITH_GMP"
                "-DATTUNE_WARNINGS_AS_ERRORS=$WERROR")
if [[ $WERROR == ON ]]; then like_the_build+=(-DASKED_FOR=ATTUNE_WARNINGS_AS_ERRORS); fi

fresh() { rm -rf "$1" && mkdir -p "$1"; }

# install_and_move <build folder> <destination>
install_and_move() {
  fresh "$WORK/prefix"
  rm -rf "$2"
  mkdir -p "$(dirname "$2")"
  "$CMAKE" --install "$1" --prefix "$WORK/prefix" > /dev/null
  mv "$WORK/prefix" "$2"
  if grep -rIl --exclude-dir=include -e "$WORK/prefix" -e "$SOURCE_DIR" "$2"; then
    echo "the installed files above name a folder of the machine that built them" >&2
    return 1
  fi
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

# c_consumer <name> <package>
c_consumer() {
  fresh "$WORK/$1"
  cp "$SOURCE_DIR/tests/package/consumer/main.c" "$WORK/$1"
  printf '%s\n' 'cmake_minimum_required(VERSION 3.23)' 'project(consumer LANGUAGES C)' 'set(CMAKE_C_STANDARD 99)' \
    'find_package(attune 0.1 CONFIG REQUIRED)' 'add_executable(consumer main.c)' \
    'target_link_libraries(consumer PRIVATE attune::c)' > "$WORK/$1/CMakeLists.txt"
  "$CMAKE" -S "$WORK/$1" -B "$WORK/$1/build" -G Ninja "-DCMAKE_PREFIX_PATH=$2"
  "$CMAKE" --build "$WORK/$1/build"
  "$WORK/$1/build/consumer"
  export PKG_CONFIG_PATH=$2/$LIBDIR/pkgconfig
  # shellcheck disable=SC2046
  cc -std=c99 -pedantic -Wall -Wextra -Werror "$WORK/$1/main.c" -o "$WORK/$1/consumer" $(pkg-config --cflags --libs attune_c)
  LD_LIBRARY_PATH=$2/$LIBDIR "$WORK/$1/consumer"
}

case $1 in
  install)
    install_and_move "$BUILD_DIR" "$moved"
    if [[ -e $BUILD_DIR/bin/attune ]]; then "$moved/bin/attune" --help > /dev/null; fi
    ;;
  find_package) cmake_consumer find_package "-DCMAKE_PREFIX_PATH=$moved" ;;
  pkg_config) pkg_config_consumer pkg_config "$moved" --static ;;
  c) c_consumer c "$moved" ;;
  build_tree) cmake_consumer build_tree "-Dattune_DIR=$BUILD_DIR" -DCMAKE_BUILD_TYPE=Debug ;;
  subproject) cmake_consumer subproject "-DATTUNE_SOURCE_DIR=$SOURCE_DIR" "${like_the_build[@]}" ;;
  shared)
    "$CMAKE" -S "$SOURCE_DIR" -B "$WORK/shared" "${settings[@]}" "${like_the_build[@]}" -DBUILD_SHARED_LIBS=ON \
      -DATTUNE_BUILD_TESTS=OFF -DATTUNE_BUILD_EXAMPLES=OFF -DATTUNE_BUILD_BENCHMARKS=OFF
    "$CMAKE" --build "$WORK/shared"
    install_and_move "$WORK/shared" "$WORK/moved/shared-package"
    "$WORK/moved/shared-package/bin/attune" --help > /dev/null
    cmake_consumer shared_find_package "-DCMAKE_PREFIX_PATH=$WORK/moved/shared-package"
    pkg_config_consumer shared_pkg_config "$WORK/moved/shared-package"
    c_consumer shared_c "$WORK/moved/shared-package"
    "$SOURCE_DIR/tests/symbols/exports.sh" "$WORK/moved/shared-package/$LIBDIR/libattune.so"
    ;;
  *)
    echo "unknown verb: $1" >&2
    exit 2
    ;;
esac
