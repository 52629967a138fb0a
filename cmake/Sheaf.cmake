# Build rules shared by all folders: flags, dependencies, and sheaf_library().

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
add_compile_options(-pthread)  # as gRPC asks of those that link it: targets of other flags could share no precompiled headers

find_program(SHEAF_CCACHE ccache)
if(SHEAF_CCACHE)
  # Paths relative to the checkout, so that another clone of it finds the same entries.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
                                  CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
                                  ${SHEAF_CCACHE})
endif()
find_program(SHEAF_MOLD mold)
if(SHEAF_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,--as-needed)

if(SHEAF_SANITIZE)
  add_compile_options(-fsanitize=${SHEAF_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SHEAF_SANITIZE})
  if(SHEAF_SANITIZE MATCHES "undefined")
    # A fifth of the compile time is checks of what the address sanitizer sees where it does harm.
    add_compile_options(-fno-sanitize-recover=undefined -fno-sanitize=null,object-size,pointer-overflow)
  endif()
endif()
if(SHEAF_FUZZ)
  # Without the check of calls by pointer: clang 14 cannot assemble it for coroutines ("difference across sections").
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

# Warnings are errors for our own code; headers of others come in as SYSTEM.
add_library(sheaf_warnings INTERFACE)
target_compile_options(sheaf_warnings INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers)
if(SHEAF_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Sanitized code confuses this analysis (GCC's manual says so): alarms on std::variant.
  target_compile_options(sheaf_warnings INTERFACE -Wno-maybe-uninitialized -Wno-free-nonheap-object)
  if(SHEAF_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sheaf_warnings INTERFACE -Wno-tsan)  # of fences inside Asio
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms on std::string in optimized builds (GCC bug 105651).
  target_compile_options(sheaf_warnings INTERFACE -Wno-restrict)
endif()

if(CMAKE_UNITY_BUILD)
  # Half the time is reading headers: several sources of a folder are compiled as one. Those with options of their own
  # stay alone; GCC then takes classes of a source, made of others of its unnamed namespace, for those of a header.
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
  target_compile_options(sheaf_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(GTest)
if(NOT SHEAF_ENGINE_ONLY)
  find_package(PkgConfig REQUIRED)
  find_package(Boost 1.81 REQUIRED)
  find_package(CURL REQUIRED)
  find_package(OpenSSL REQUIRED)
  find_package(simdjson REQUIRED)
  find_package(ZLIB REQUIRED)
  find_package(yaml-cpp REQUIRED)
  find_package(prometheus-cpp REQUIRED COMPONENTS core)
  find_package(Protobuf REQUIRED)
  pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc)
  pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
  find_package(gRPC CONFIG REQUIRED)  # pkg-config takes 20 s over its hundreds of dependencies
  include(Protos)
  include(Asio)
endif()

enable_testing()

# Gives a target precompiled headers: of the first target of its `kind` (with the same flags) that asked for the same ones,
# if there is one. GCC 12 does not know them for a system's any more and shows its false alarms.
function(sheaf_precompile target kind)
  string(MAKE_C_IDENTIFIER "sheaf_precompiled_${kind}_${ARGN}" owner)
  get_property(first GLOBAL PROPERTY ${owner})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY ${owner} ${target})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-stringop-overread -Wno-array-bounds)
  endif()
endfunction()

# sheaf_test(TARGET NAME [ARGUMENT...]): what all programs of unit tests have in common.
function(sheaf_test target name)
  target_compile_definitions(${target} PRIVATE SHEAF_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             SHEAF_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  # Tests themselves, which are half of all there is to compile, take two thirds of the time when not optimized.
  target_compile_options(${target} PRIVATE -O0 $<$<CONFIG:Release>:-g0>)
  add_test(NAME ${name} COMMAND ${target} ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

# sheaf_library(FOLDER [COLD] LINKS libs... [PRECOMPILED headers...]): src/FOLDER/**/*.cc but for nested libraries becomes
# sheaf::FOLDER; *_test.cc beside the code become one test program, *_fuzz.cc one fuzz target each. PRECOMPILED are
# headers of others that take longer to read than most of the sources here, for these and their tests. COLD is what runs
# once, or waits for others: compiled at -O1, in two thirds of the time.
set(SHEAF_NESTED_LIBRARIES kernels/cuda model/spec core/simulation slices/nvml_simulation)
function(sheaf_library folder)
  cmake_parse_arguments(ARG "COLD" "" "LINKS;PRECOMPILED" ${ARGN})
  set(kind library)
  if(ARG_COLD)
    set(kind cold_library)
  endif()
  string(REPLACE "/" "_" name ${folder})
  set(dir ${CMAKE_SOURCE_DIR}/src/${folder})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${dir}/*.cc)
  foreach(nested ${SHEAF_NESTED_LIBRARIES})
    if(nested MATCHES "^${folder}/")
      list(FILTER sources EXCLUDE REGEX "/src/${nested}/")
    endif()
  endforeach()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(fuzzers ${sources})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|_bench)\\.cc$")

  if(sources)
    add_library(sheaf_${name} STATIC ${sources})
    target_include_directories(sheaf_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(sheaf_${name} PUBLIC ${ARG_LINKS} PRIVATE sheaf_warnings)
    if(ARG_COLD)
      target_compile_options(sheaf_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    endif()
    if(ARG_PRECOMPILED)
      sheaf_precompile(sheaf_${name} ${kind} ${ARG_PRECOMPILED})
    endif()
  else()
    add_library(sheaf_${name} INTERFACE)
    target_include_directories(sheaf_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(sheaf_${name} INTERFACE ${ARG_LINKS})
  endif()
  add_library(sheaf::${name} ALIAS sheaf_${name})

  if(tests AND GTest_FOUND AND NOT SHEAF_FUZZ)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE sheaf::${name} sheaf_warnings GTest::gtest GTest::gtest_main)
    sheaf_test(${name}_test ${name})
    if(ARG_LINKS)  # by itself a folder lacks the definitions that the shared ones were compiled with
      sheaf_precompile(${name}_test test <gtest/gtest.h> ${ARG_PRECOMPILED})
    endif()
  endif()
  if(SHEAF_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(target ${fuzzer} NAME_WE)
      add_executable(${target} ${fuzzer})
      target_link_libraries(${target} PRIVATE sheaf::${name} sheaf_warnings)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()

# The files of src/kernels/cpu that hold one instruction set each; which of them runs is decided at start.
# Optimized even in debugging builds (a GEMM at -O1 makes every test slow), with a * b + c fused.
set(kernel_flags -O3 -ffp-contract=fast)
set_source_files_properties(src/kernels/cpu/portable.cc PROPERTIES COMPILE_OPTIONS "${kernel_flags}")
# The test instantiates wide tiles for narrow processors; their vectors cross no call, so no ABI is at stake.
set_source_files_properties(src/kernels/ops_test.cc PROPERTIES COMPILE_OPTIONS "-O1;-Wno-psabi"
                                                               SKIP_PRECOMPILE_HEADERS ON)  # which are of -O0
# The kernels for cards as this processor plays them.
file(GLOB emulated_cuda CONFIGURE_DEPENDS src/kernels/cuda/*.cc src/kernels/cuda/emulation/*.cc)
list(FILTER emulated_cuda EXCLUDE REGEX "_test\\.cc$")
set_source_files_properties(${emulated_cuda} PROPERTIES COMPILE_OPTIONS "-O2")
# Stand-ins for a library, which no sanitizer looks into either, and for products that check what they read.
set_source_files_properties(src/kernels/cuda/emulation/cublaslt.cc src/kernels/cuda/emulation/warpgroup.cc
                            PROPERTIES COMPILE_OPTIONS "-O3;-fno-sanitize=all")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(src/kernels/cpu/avx2.cc src/kernels/cpu/avx2_madd_int8.cc PROPERTIES COMPILE_OPTIONS
    "${kernel_flags};-mavx2;-mfma")
  # GCC 12 warns of its own headers' undefined vectors (GCC bug 105593).
  set(avx512 ${kernel_flags};$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>;-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mfma)
  set_source_files_properties(src/kernels/cpu/avx512.cc PROPERTIES COMPILE_OPTIONS "${avx512}")
  set_source_files_properties(src/kernels/cpu/avx512_int8.cc PROPERTIES COMPILE_OPTIONS "${avx512};-mavx512vnni")
  set_source_files_properties(src/kernels/cpu/avx512_bf16_int8.cc PROPERTIES COMPILE_OPTIONS
    "${avx512};-mavx512vnni;-mavx512bf16")
  set_source_files_properties(src/kernels/cpu/avx512_bf16.cc PROPERTIES COMPILE_OPTIONS "${avx512};-mavx512bf16")
  set_source_files_properties(src/kernels/cpu/amx_bf16.cc PROPERTIES COMPILE_OPTIONS
    "${avx512};-mavx512bf16;-mamx-tile;-mamx-bf16")
  set_source_files_properties(src/kernels/cpu/amx_int8.cc PROPERTIES COMPILE_OPTIONS
    "${avx512};-mavx512bf16;-mamx-tile;-mamx-bf16;-mamx-int8")
  set_source_files_properties(src/kernels/cpu/avx2_int8.cc PROPERTIES COMPILE_OPTIONS "${kernel_flags};-mavx2;-mfma;-mavxvnni")
endif()
