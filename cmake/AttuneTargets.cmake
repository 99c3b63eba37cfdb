# How every target of the project is compiled, and the two helpers that make targets from one line.

# The instruction-set levels that PER_LEVEL tests are repeated at.
set(attune_simd_levels scalar avx2 avx512 avx512vnni amx neon)

# Warnings, sanitizers and the rules that keep results the same on every machine.
function(attune_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wconversion -Wshadow
    $<$<BOOL:${ATTUNE_WARNINGS_AS_ERRORS}>:-Werror>
    -ffp-contract=off)
  if(ATTUNE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ATTUNE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -O1)
    target_link_options(${target} PRIVATE -fsanitize=${ATTUNE_SANITIZE})
    if(ATTUNE_SANITIZE MATCHES "address")
      # They look at a pointer before each access, which ASan judges by itself, and double to quadruple the compile time.
      target_compile_options(${target} PRIVATE -fno-sanitize=null,object-size,pointer-overflow)
    endif()
  endif()
endfunction()

# attune_part(<folder> <sources...>): the units of one stage of the pipeline, as objects of the library.
function(attune_part name)
  add_library(attune_${name} OBJECT ${ARGN})
  attune_compile_options(attune_${name})
  if(ATTUNE_BUILD_FUZZERS)
    target_compile_options(attune_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
  if(CMAKE_UNITY_BUILD)
    # What is private to a file shadows nothing in the next, and is no interface.
    target_compile_options(attune_${name} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
  target_compile_definitions(attune_${name} PRIVATE ATTUNE_BUILDING $<$<AND:$<BOOL:${WIN32}>,$<BOOL:${BUILD_SHARED_LIBS}>>:ATTUNE_SHARED>)
  target_include_directories(attune_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(attune_${name} PRIVATE Threads::Threads ZLIB::ZLIB LibLZMA::LibLZMA utf8proc::utf8proc nlohmann_json::nlohmann_json)
  # As objects and not as a linked target, so that no part appears in the exported package.
  target_sources(attune PRIVATE $<TARGET_OBJECTS:attune_${name}>)
endfunction()

# attune_test(<name> <sources...> PARTS <folders...> [PER_LEVEL | LEVELS <levels...> [WITHOUT <tag>]]): one Catch2 program
# with a CTest entry per case. It links the objects of the parts, so that it can reach internal functions too. PER_LEVEL
# repeats the program once per instruction-set level (label per_simd_level), LEVELS runs it as a whole at these alone,
# but for cases of a tag; where the level cannot run, the kernels say so and the run counts as skipped.
function(attune_test name)
  cmake_parse_arguments(arg "PER_LEVEL" "WITHOUT" "PARTS;LEVELS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  attune_compile_options(${name})
  # Most of a test is assertions, which take the compiler longer than they ever take, and of whose concatenated strings
  # g++ 12 warns falsely (-Wrestrict) at higher levels.
  if(ATTUNE_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)
  else()
    target_compile_options(${name} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
  endif()
  # Files of tests may call their helpers alike, so that it is what they all include that is compiled together. By g++ 12
  # not: it then warns inside the standard library.
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    if(name STREQUAL "base_test")
      target_precompile_headers(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/catch.hpp <algorithm> <atomic> <cmath> <filesystem>
        <functional> <limits> <map> <memory> <random> <set> <span> <string> <thread> <vector>)
    else()
      target_precompile_headers(${name} REUSE_FROM base_test)
    endif()
  endif()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE ATTUNE_TEST_DIR="${PROJECT_SOURCE_DIR}/tests" ATTUNE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  foreach(part IN LISTS arg_PARTS)
    target_link_libraries(${name} PRIVATE attune_${part})
  endforeach()
  target_link_libraries(${name} PRIVATE attune_test_main Threads::Threads ZLIB::ZLIB LibLZMA::LibLZMA utf8proc::utf8proc nlohmann_json::nlohmann_json)
  # Sanitized, a program takes long enough at each level once.
  if(NOT arg_LEVELS AND NOT (arg_PER_LEVEL AND ATTUNE_SANITIZE MATCHES "address"))
    catch_discover_tests(${name} TEST_PREFIX "${name}: " DISCOVERY_MODE PRE_TEST)
  endif()
  if(arg_PER_LEVEL)
    set(arg_LEVELS ${attune_simd_levels})
  endif()
  set(left_out)
  if(arg_WITHOUT)
    set(left_out "~${arg_WITHOUT}~[.]")  # a filter alone takes in hidden cases
  endif()
  foreach(level IN LISTS arg_LEVELS)
    if(arg_PER_LEVEL)
      set(left_out)
      if(level STREQUAL "scalar" AND ATTUNE_SANITIZE MATCHES "address")
        set(left_out "~[slow]~[.]")  # seen at the levels that are faster
      endif()
    endif()
    add_test(NAME "${name} at level ${level}" COMMAND ${name} ${left_out})
    set_tests_properties("${name} at level ${level}" PROPERTIES
      ENVIRONMENT "ATTUNE_SIMD=${level}" LABELS per_simd_level
      SKIP_REGULAR_EXPRESSION "ATTUNE_SIMD=${level}: this (CPU|build) lacks")
  endforeach()
endfunction()
