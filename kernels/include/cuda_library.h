// Opens torch's CUDA library and the project's CUDA operators at run time, so that one build serves machines with and
// without a GPU.
#pragma once

#include <cstdint>
#include <string>

namespace postnas {

struct CudaStatus {
    bool available = false; ///< a GPU is there and torch's CUDA library is open
    std::string reason;     ///< the GPU's name when available; otherwise why not
    bool operators = false; ///< the project's CUDA operators are open as well; without them a GPU is not used
    std::string operatorsReason; ///< the file that was opened, or why none was
    std::uint64_t memoryBytes = 0; ///< of the GPU
};

/// Tries once a process; later calls give the same answer. Must run before the first question about CUDA, since torch
/// remembers a 'no'. The operators (libpostnas_cuda.so) are looked for at POSTNAS_CUDA_LIBRARY, in ../lib beside the
/// program, and beside the program itself.
CudaStatus loadCudaLibrary();

} // namespace postnas
