# Finds CUDA's compiler: CUDACXX, CUDA_HOME, what deploy/local/install_cuda.sh installed, the PATH, then
# /usr/local/cuda. Included by the top CMakeLists.txt, so that the language holds everywhere.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc
    HINTS $ENV{CUDA_HOME}/bin ${CMAKE_SOURCE_DIR}/build/tools/cuda/bin
    PATHS /usr/local/cuda/bin)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "expected CUDA's compiler nvcc, found none; run deploy/local/install_cuda.sh, "
      "or set CUDA_HOME to a toolkit of version 13")
  endif()
endif()

# Machine code for 8.0 and 9.0 (8.6 and 8.9 run that of 8.0), and PTX for what comes after 9.0.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
if(CCACHE_PROGRAM AND NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
enable_language(CUDA)
# CMake 3.25 does not know how nvcc is told.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "expected nvcc 12.4 or later, found ${CMAKE_CUDA_COMPILER_VERSION} "
    "(${CMAKE_CUDA_COMPILER}); set CUDA_HOME to a toolkit of version 13")
endif()
