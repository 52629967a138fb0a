# sheaf::kernels_cuda_card: the kernels compiled for cards, where a toolkit is given: of CUDA 13 by its nvcc, of CUDA 12, whose
# nvcc PyPI does not have, by clang. scripts/setup_cuda.sh brings either. What emulation/ plays for tests stays out.
set(SHEAF_CUDA_TOOLKIT "" CACHE PATH "Folder of a CUDA 13 or 12 toolkit; empty: nothing for cards is built")
set(SHEAF_CUDA_CLANG "" CACHE STRING "A clang that compiles for cards; empty: the toolkit's nvcc does")
set(SHEAF_CUDA_ARCHITECTURES 90a CACHE STRING "Compute capabilities that kernels are compiled for: 80;86;90a")
set(SHEAF_CUDA_PTX 0 CACHE STRING "One whose PTX is added by nvcc, which drivers compile for later cards; 0: none")
if(NOT SHEAF_CUDA_TOOLKIT)
  return()
endif()

# CMake's own language CUDA wants the folders of an installed toolkit; those from PyPI have others.
find_library(SHEAF_CUDART libcudart_static.a PATHS ${SHEAF_CUDA_TOOLKIT}/lib ${SHEAF_CUDA_TOOLKIT}/lib64
             NO_DEFAULT_PATH REQUIRED)
find_library(SHEAF_CUBLASLT NAMES libcublasLt.so.13 libcublasLt.so.12
             PATHS ${SHEAF_CUDA_TOOLKIT}/lib ${SHEAF_CUDA_TOOLKIT}/lib64 NO_DEFAULT_PATH REQUIRED)

string(REGEX MATCH "[0-9]+$" major ${SHEAF_CUBLASLT})

# The command that compiles a source for all cards and for the host.
if(SHEAF_CUDA_CLANG)
  find_program(SHEAF_CUDA_COMPILER ${SHEAF_CUDA_CLANG} REQUIRED)
  list(TRANSFORM SHEAF_CUDA_ARCHITECTURES PREPEND --cuda-gpu-arch=sm_ OUTPUT_VARIABLE targets)
  # What is not inlined has its arrays in memory, and clang inlines less than nvcc; loops of unknown length it unrolls
  # until registers are spilled, as they are by its order of instructions unless that is chosen to need few (sched4reg).
  # -isystem: headers of another CUDA in /usr/local/include would come before the toolkit's.
  set(compile ${SHEAF_CUDA_COMPILER} -x cuda --cuda-path=${SHEAF_CUDA_TOOLKIT} -isystem ${SHEAF_CUDA_TOOLKIT}/include ${targets} --no-cuda-include-ptx=all
              -mllvm -inline-threshold=1000000 -mllvm -unroll-runtime=false -mllvm -nvptx-sched4reg
              -Wno-unknown-cuda-version -fPIC -pthread)
else()
  find_program(SHEAF_CUDA_COMPILER nvcc PATHS ${SHEAF_CUDA_TOOLKIT}/bin NO_DEFAULT_PATH REQUIRED)
  set(targets)
  foreach(capability ${SHEAF_CUDA_ARCHITECTURES})
    list(APPEND targets -gencode=arch=compute_${capability},code=sm_${capability})
  endforeach()
  if(SHEAF_CUDA_PTX)
    list(APPEND targets -gencode=arch=compute_${SHEAF_CUDA_PTX},code=compute_${SHEAF_CUDA_PTX})
  endif()
  # Of the warnings not meant: a conversion that only the other kind of matrix uses, and assignments to results.
  set(compile ${SHEAF_CUDA_COMPILER} -x cu ${targets} -Xcompiler=-fPIC,-pthread -diag-suppress=554,2810)
endif()
string(REGEX REPLACE "[a-z]" "" capabilities "${SHEAF_CUDA_ARCHITECTURES}")
# nvcc takes a comma for the end of one definition and the begin of the next.
if(SHEAF_CUDA_CLANG)
  list(JOIN capabilities "," capabilities)
else()
  list(JOIN capabilities "\\," capabilities)
endif()
# Of 9.0 code with the instructions of that card alone, those for warpgroups among them.
if(90a IN_LIST SHEAF_CUDA_ARCHITECTURES)
  set(warpgroups 1)
else()
  set(warpgroups 0)
endif()
set(objects)
foreach(source absent.cc backend.cc nccl.cc shared_weights.cc text_layout.cc device.cu driver_memory.cu product.cc)
  set(path ${CMAKE_SOURCE_DIR}/src/kernels/cuda/${source})
  set(object ${CMAKE_BINARY_DIR}/cuda/${source}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${compile} -std=c++20 -O3 -DSHEAF_CUDA_CAPABILITIES=${capabilities} -DSHEAF_CUDA_PTX=${SHEAF_CUDA_PTX} -DSHEAF_CUDA_MAJOR=${major} -DSHEAF_CUDA_WARPGROUPS=${warpgroups}
            -I${CMAKE_SOURCE_DIR}/src -MD -MF ${object}.d -c ${path} -o ${object}
    DEPENDS ${path} DEPFILE ${object}.d VERBATIM)
  list(APPEND objects ${object})
endforeach()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
add_library(sheaf_kernels_cuda_card STATIC EXCLUDE_FROM_ALL ${objects})
set_target_properties(sheaf_kernels_cuda_card PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(sheaf_kernels_cuda_card PUBLIC sheaf::kernels ${SHEAF_CUBLASLT} ${SHEAF_CUDART} ${CMAKE_DL_LIBS} rt)
add_library(sheaf::kernels_cuda_card ALIAS sheaf_kernels_cuda_card)

# The parity of its operations, for a machine with a card.
if(GTest_FOUND)
  add_executable(card_parity_test EXCLUDE_FROM_ALL tests/cuda/card_parity.cc)
  target_link_libraries(card_parity_test PRIVATE sheaf::kernels_cuda_card sheaf_warnings GTest::gtest GTest::gtest_main)
endif()
