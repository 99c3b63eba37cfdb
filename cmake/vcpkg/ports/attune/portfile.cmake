# An overlay port: it builds the checkout that it lies in, so that there is no archive to name and no hash to keep.

get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
  FEATURES
    c ATTUNE_BUILD_C
    gmp ATTUNE_WITH_GMP
    redis ATTUNE_WITH_REDIS
    sodium ATTUNE_WITH_SODIUM
    sqlite ATTUNE_WITH_SQLITE
    tool ATTUNE_BUILD_TOOL)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    ${FEATURE_OPTIONS}
    -DATTUNE_BUILD_NODE=OFF
    -DATTUNE_BUILD_TESTS=OFF
    -DATTUNE_BUILD_EXAMPLES=OFF
    -DATTUNE_BUILD_BENCHMARKS=OFF
    -DATTUNE_INSTALL=ON)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/attune)
vcpkg_fixup_pkgconfig()
if("tool" IN_LIST FEATURES)
  vcpkg_copy_tools(TOOL_NAMES attune AUTO_CLEAN)
endif()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share" "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
