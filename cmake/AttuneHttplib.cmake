# cpp-httplib, which an example and a benchmark speak HTTP with: attune_httplib is a target where it was found. Debian's is
# a compiled library and needs the definitions it was compiled with, so that a header alone is no find.

find_package(httplib 0.11 CONFIG QUIET)
if(TARGET httplib::httplib)
  add_library(attune_httplib INTERFACE)
  target_link_libraries(attune_httplib INTERFACE httplib::httplib)
  return()
endif()
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(CPP_HTTPLIB QUIET IMPORTED_TARGET cpp-httplib>=0.11)
endif()
if(TARGET PkgConfig::CPP_HTTPLIB)
  add_library(attune_httplib INTERFACE)
  target_link_libraries(attune_httplib INTERFACE PkgConfig::CPP_HTTPLIB)
endif()
