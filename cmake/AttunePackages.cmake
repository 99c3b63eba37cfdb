# Debian packages, one for each component of AttuneInstall.cmake: `cpack -G DEB` in the build folder makes them of the
# target attune_package. Who builds them for others says who answers for them:
# `cpack -G DEB -D CPACK_PACKAGE_CONTACT="Name <address>"`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "unknown <unknown@attune.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each package has its own
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian/stage.cmake)

# attune_debian_package(<component> <package> <section> <summary> <description> [<component that it depends on>...])
macro(attune_debian_package component package section summary description)
  list(APPEND CPACK_COMPONENTS_ALL ${component})
  string(TOUPPER ${component} attune_component)
  set(CPACK_DEBIAN_${attune_component}_PACKAGE_NAME ${package})
  set(CPACK_DEBIAN_${attune_component}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${attune_component}_DESCRIPTION "${summary}\n${description}")
  set(CPACK_COMPONENT_${attune_component}_DEPENDS ${ARGN})
  install(FILES cmake/debian/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
          COMPONENT ${component} EXCLUDE_FROM_ALL)
endmacro()

set(CPACK_COMPONENTS_ALL)
set(attune_about "attune turns the events of users into recommendations inside the host's own process:\
 a transformer trained on the CPU, an exact SIMD scorer and a cold-start fallback.")

# The package of a shared library bears the version of its binary interface, so that several can be installed at once.
set(attune_libraries)
if(BUILD_SHARED_LIBS)
  get_target_property(attune_abi attune SOVERSION)
  attune_debian_package(attune_library libattune${attune_abi} libs
    "real-time recommendation, the C++ library" "${attune_about}")
  list(APPEND attune_libraries attune_library)
  # Where dpkg-shlibdeps finds what lies in another of these packages.
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src)
endif()
set(attune_libraries_to_link ${attune_libraries})
if(TARGET attune_c)
  get_target_property(attune_abi attune_c SOVERSION)
  attune_debian_package(attune_c_library libattune-c${attune_abi} libs
    "real-time recommendation, the C library" "${attune_about}" ${attune_libraries})
  list(APPEND attune_libraries_to_link attune_c_library)
endif()
attune_debian_package(attune_development libattune-dev libdevel
  "real-time recommendation, for programs in C++ and C"
  "${attune_about}\n\nHeaders, what programs link, a CMake package and files for pkg-config." ${attune_libraries_to_link})
if(NOT BUILD_SHARED_LIBS)
  # What attuneConfig.cmake and attune.pc tell a program that links the static library to link as well.
  set(CPACK_DEBIAN_ATTUNE_DEVELOPMENT_PACKAGE_DEPENDS "zlib1g-dev, liblzma-dev, libutf8proc-dev (>= 2.5)")
  if(ATTUNE_WITH_SQLITE)
    string(APPEND CPACK_DEBIAN_ATTUNE_DEVELOPMENT_PACKAGE_DEPENDS ", libsqlite3-dev (>= 3.35)")
  endif()
  if(ATTUNE_WITH_REDIS)
    string(APPEND CPACK_DEBIAN_ATTUNE_DEVELOPMENT_PACKAGE_DEPENDS ", libhiredis-dev (>= 0.14)")
  endif()
  if(ATTUNE_WITH_SODIUM)
    string(APPEND CPACK_DEBIAN_ATTUNE_DEVELOPMENT_PACKAGE_DEPENDS ", libsodium-dev (>= 1.0.18)")
  endif()
  if(ATTUNE_WITH_GMP)
    string(APPEND CPACK_DEBIAN_ATTUNE_DEVELOPMENT_PACKAGE_DEPENDS ", libgmp-dev")
  endif()
endif()
if(TARGET attune_tool)
  attune_debian_package(attune_tools attune-tools science
    "real-time recommendation, the command-line tool"
    "${attune_about}\n\nThe tool trains, measures, updates and asks models, converts data, and imports models from PyTorch."
    ${attune_libraries})
endif()

include(CPack)
