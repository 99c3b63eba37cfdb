# The installed package: headers, library, tool, CMake package and pkg-config file. Nothing in it names the prefix, so
# that the installed tree can be moved.

include(CMakePackageConfigHelpers)

set(attune_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/attune)

install(TARGETS attune EXPORT attuneTargets FILE_SET HEADERS)
if(TARGET attune_tool)
  file(RELATIVE_PATH attune_lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(attune_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${attune_lib_from_bin}")
  install(TARGETS attune_tool)
endif()

configure_file(cmake/attuneConfig.cmake.in attuneConfig.cmake @ONLY)
foreach(module Findutf8proc Findsodium FindGMP)
  configure_file(cmake/${module}.cmake ${module}.cmake COPYONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${module}.cmake DESTINATION ${attune_package_dir})
endforeach()
write_basic_package_version_file(attuneConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT attuneTargets NAMESPACE attune:: DESTINATION ${attune_package_dir})
install(FILES ${PROJECT_BINARY_DIR}/attuneConfig.cmake ${PROJECT_BINARY_DIR}/attuneConfigVersion.cmake
        DESTINATION ${attune_package_dir})
# find_package(attune) works on the build tree as well.
export(EXPORT attuneTargets NAMESPACE attune:: FILE attuneTargets.cmake)

file(RELATIVE_PATH attune_prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH attune_pc_libdir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH attune_pc_includedir ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
if(BUILD_SHARED_LIBS)
  set(attune_pc_cflags -DATTUNE_SHARED)
  set(attune_pc_libs "")
else()
  # A static library is useless without these, with or without `pkg-config --static`.
  set(attune_pc_libs "-lz -llzma -lutf8proc ${CMAKE_THREAD_LIBS_INIT}")
  if(ATTUNE_WITH_SQLITE)
    string(APPEND attune_pc_libs " -lsqlite3")
  endif()
  if(ATTUNE_WITH_SODIUM)
    string(APPEND attune_pc_libs " -lsodium")
  endif()
  if(ATTUNE_WITH_GMP)
    string(APPEND attune_pc_libs " -lgmp")
  endif()
endif()
configure_file(cmake/attune.pc.in attune.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/attune.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
