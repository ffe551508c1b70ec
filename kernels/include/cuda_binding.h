// Small helpers of the CUDA bindings. Internal: torch and the CUDA runtime.
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "kernels/include/recurrence_launch.h"

namespace postnas::ops::cuda {

inline void check(cudaError_t code, const char* what) { TORCH_CHECK(code == cudaSuccess, what, " on CUDA: ", cudaGetErrorString(code)); }

/// Says, once, that the recurrence goes token by token where chunks would be faster.
inline void tokenByToken(const char* what)
{
    static std::mutex mutex;
    static std::set<std::string> said;
    const std::lock_guard guard(mutex);
    if (said.insert(what).second)
        TORCH_WARN("postnas: ", what, " goes token by token, the slow path: chunks of these widths need more shared memory than this GPU has");
}

/// Says, once for each operator and type, that a call is computed by torch's own functions, several passes over memory each (the recurrence: on the
/// CPU), and notes it for slowPathsTaken.
void slowPath(const char* name, const at::Tensor& input);

inline Element elementOf(at::ScalarType type)
{
    switch (type) {
    case at::kFloat: return Element::Float32;
    case at::kHalf: return Element::Float16;
    case at::kBFloat16: return Element::BFloat16;
    default: TORCH_CHECK(false, "no CUDA kernel for ", type);
    }
}

/// Contiguous in float32; undefined when absent.
inline at::Tensor float32(const std::optional<at::Tensor>& tensor)
{
    return tensor ? tensor->to(at::kFloat).contiguous() : at::Tensor();
}
inline const float* floats(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }
inline float* mutableFloats(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr; }
inline std::optional<at::Tensor> onCpu(const std::optional<at::Tensor>& tensor)
{
    return tensor ? std::optional<at::Tensor>(tensor->cpu()) : std::nullopt;
}

} // namespace postnas::ops::cuda
