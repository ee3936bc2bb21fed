# What every translation unit is compiled with.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR
    "g++ ${CMAKE_CXX_COMPILER_VERSION} destroys temporaries of a co_await statement twice (a silent double free). "
    "Use clang 19: cmake --preset release, or CXX=clang++-19.")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(TACIT_CCACHE ccache)
if(TACIT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${TACIT_CCACHE}")
  # As ccache's manual asks for, of compilations with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    "${TACIT_CCACHE}")
endif()

add_library(tacit_options INTERFACE)
target_include_directories(tacit_options INTERFACE "${PROJECT_SOURCE_DIR}")
# Asio's coroutines and Beast never see a deprecated executor model, and each is compiled in one file of common/net.
target_compile_definitions(tacit_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
  BOOST_BEAST_SEPARATE_COMPILATION
  EIGEN_MPL2_ONLY)

# STYLE: one list of warnings for all our code.
target_compile_options(tacit_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Woverloaded-virtual
  -Wnon-virtual-dtor -Wcast-align -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough -Wundef -Wextra-semi
  -Wunused-result)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Without the time in a precompiled header, the same source makes the same bytes.
  target_compile_options(tacit_options INTERFACE
    -Wthread-safety "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()
if(TACIT_WARNINGS_AS_ERRORS)
  target_compile_options(tacit_options INTERFACE -Werror)
endif()

# No contraction: the same source gives the same bits on every CPU that runs it.
target_compile_options(tacit_options INTERFACE -ffp-contract=off -fstack-protector-strong)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(tacit_options INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_link_options(tacit_options INTERFACE -fuse-ld=lld-19)
endif()
target_link_options(tacit_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)

if(TACIT_SANITIZE)
  target_compile_options(tacit_options INTERFACE
    -fsanitize=${TACIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -O1)
  target_link_options(tacit_options INTERFACE -fsanitize=${TACIT_SANITIZE})
endif()
# Most tests take longer to optimise than to run. glibc's checks of buffer sizes need an optimiser.
set(unoptimised "$<BOOL:$<TARGET_PROPERTY:TACIT_UNOPTIMISED>>")
target_compile_options(tacit_options INTERFACE $<${unoptimised}:-O0> -U_FORTIFY_SOURCE)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(tacit_options INTERFACE $<$<NOT:${unoptimised}>:-D_FORTIFY_SOURCE=2>)
endif()
if(TACIT_FUZZ)
  # Guides a search through the parsers; elsewhere it would only take time, a third of a compilation.
  target_compile_options(tacit_options INTERFACE $<$<BOOL:$<TARGET_PROPERTY:TACIT_PARSES>>:-fsanitize=fuzzer-no-link>)
endif()
if(TACIT_COVERAGE)
  target_compile_options(tacit_options INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(tacit_options INTERFACE -fprofile-instr-generate)
endif()
