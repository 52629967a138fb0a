# sheaf::kernels_cuda_card: the kernels as nvcc compiles them for cards, where a toolkit is given. It has to be of
# CUDA 13; scripts/setup_cuda.sh brings one. What emulation/ plays for tests stays out.
set(SHEAF_CUDA_TOOLKIT "" CACHE PATH "Folder of a CUDA 13 toolkit; empty: nothing for cards is built")
set(SHEAF_CUDA_ARCHITECTURES 90a CACHE STRING "Compute capabilities that kernels are compiled for: 80;86;90a")
set(SHEAF_CUDA_PTX 0 CACHE STRING "One whose PTX is added, which drivers compile for later cards; 0: none")
if(NOT SHEAF_CUDA_TOOLKIT)
  return()
endif()

# CMake's own language CUDA wants the folders of an installed toolkit; those from PyPI have others.
find_program(SHEAF_NVCC nvcc PATHS ${SHEAF_CUDA_TOOLKIT}/bin NO_DEFAULT_PATH REQUIRED)
find_library(SHEAF_CUDART libcudart_static.a PATHS ${SHEAF_CUDA_TOOLKIT}/lib ${SHEAF_CUDA_TOOLKIT}/lib64
             NO_DEFAULT_PATH REQUIRED)
find_library(SHEAF_CUBLASLT NAMES libcublasLt.so.13 PATHS ${SHEAF_CUDA_TOOLKIT}/lib ${SHEAF_CUDA_TOOLKIT}/lib64
             NO_DEFAULT_PATH REQUIRED)
set(targets)
foreach(capability ${SHEAF_CUDA_ARCHITECTURES})
  list(APPEND targets -gencode=arch=compute_${capability},code=sm_${capability})
endforeach()
if(SHEAF_CUDA_PTX)
  list(APPEND targets -gencode=arch=compute_${SHEAF_CUDA_PTX},code=compute_${SHEAF_CUDA_PTX})
endif()
set(objects)
foreach(source absent.cc backend.cc shared_weights.cc text_layout.cc device.cu driver_memory.cu product.cc)
  set(path ${CMAKE_SOURCE_DIR}/src/kernels/cuda/${source})
  set(object ${CMAKE_BINARY_DIR}/cuda/${source}.o)
  # Of the warnings not meant: a conversion that only the other kind of matrix uses, and assignments to results.
  add_custom_command(OUTPUT ${object}
    COMMAND ${SHEAF_NVCC} -std=c++20 -x cu -O3 ${targets} -Xcompiler=-fPIC,-pthread
            -diag-suppress=554,2810 -DSHEAF_CUDA_PTX=${SHEAF_CUDA_PTX} -I${CMAKE_SOURCE_DIR}/src -MD -MF ${object}.d -c ${path} -o ${object}
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
