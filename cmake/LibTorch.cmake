# Imported targets for the LibTorch of the torch wheel. Its own find_package(Torch) insists on a CUDA toolkit even where
# only the CPU libraries are linked, so the few libraries that are needed are named here.
#
# Looked for in this order: POSTNAS_LIBTORCH (cache or environment), the folder-local Python environment .venv.
if(NOT POSTNAS_LIBTORCH AND DEFINED ENV{POSTNAS_LIBTORCH})
  set(POSTNAS_LIBTORCH $ENV{POSTNAS_LIBTORCH})
endif()
if(NOT POSTNAS_LIBTORCH)
  file(GLOB candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  if(candidates)
    list(GET candidates 0 POSTNAS_LIBTORCH)
  endif()
endif()
set(POSTNAS_LIBTORCH "${POSTNAS_LIBTORCH}" CACHE PATH "Folder of LibTorch: holds include/ and lib/")
if(NOT EXISTS ${POSTNAS_LIBTORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch was not found. Run ./installer/bootstrap.sh build, or set POSTNAS_LIBTORCH to a folder "
                      "with include/ and lib/libtorch_cpu.so (the 'torch' folder of a torch 2.11.0 wheel).")
endif()

# libtorch_cpu needs libcudart and libcupti of the NVIDIA wheels beside it, also where no GPU is.
get_filename_component(_site ${POSTNAS_LIBTORCH} DIRECTORY)
set(POSTNAS_TORCH_RPATH ${POSTNAS_LIBTORCH}/lib)
file(GLOB _nvidia LIST_DIRECTORIES true ${_site}/nvidia/*/lib)
list(APPEND POSTNAS_TORCH_RPATH ${_nvidia})

foreach(part c10 torch_cpu)
  add_library(LibTorch::${part} SHARED IMPORTED)
  set_target_properties(LibTorch::${part} PROPERTIES
    IMPORTED_LOCATION ${POSTNAS_LIBTORCH}/lib/lib${part}.so
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${POSTNAS_LIBTORCH}/include;${POSTNAS_LIBTORCH}/include/torch/csrc/api/include")
endforeach()
add_library(LibTorch::LibTorch INTERFACE IMPORTED)
set(_torch_link_dirs "")
foreach(dir ${_nvidia})
  list(APPEND _torch_link_dirs "-Wl,-rpath-link,${dir}")
endforeach()
set_target_properties(LibTorch::LibTorch PROPERTIES
  INTERFACE_LINK_LIBRARIES "LibTorch::torch_cpu;LibTorch::c10"
  INTERFACE_LINK_OPTIONS "${_torch_link_dirs}"
  INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1")

list(APPEND CMAKE_BUILD_RPATH ${POSTNAS_TORCH_RPATH})
