# Helpers that keep each folder's CMakeLists.txt to a line or two.

# postnas_library(NAME [LINK public libs] [PRIVATE private libs] [FOLDERS sub folders with further sources])
# A static library of every .cpp in the current folder (tests live elsewhere). Headers are included from the top of the
# tree: "core/base/error.h".
function(postnas_library name)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE;FOLDERS" ${ARGN})
  set(patterns ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(folder ${ARG_FOLDERS})
    list(APPEND patterns ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} PRIVATE ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE})
endfunction()

# postnas_test(NAME [LINK libs] [MAIN file with its own main] [LABELS ...] [TIMEOUT s])
# A GoogleTest program of every *_test.cpp in the current folder, registered case by case with ctest.
function(postnas_test name)
  cmake_parse_arguments(ARG "" "MAIN;TIMEOUT" "LINK;LABELS;SOURCES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  if(ARG_SOURCES)
    set(sources ${ARG_SOURCES})
  endif()
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources} ${ARG_MAIN})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} postnas_test_support GTest::gmock)
  if(NOT ARG_MAIN)
    target_link_libraries(${name} PRIVATE GTest::gmock_main)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
