// Notes and says which operators left their kernels; part of libpostnas_cuda.so.
#include "kernels/include/slow_paths.h"

#include <sstream>
#include <string_view>

#include <torch/library.h>

#include "kernels/include/cuda_binding.h"

namespace postnas {
namespace {

SlowPaths& slowPaths()
{
    static SlowPaths paths;
    return paths;
}

/// What the kernel of an operator takes, in words; the conditions themselves are where the operator is bound.
const char* takenBy(std::string_view name)
{
    static const std::map<std::string_view, const char*> kTaken = {
        {"decode_attention", "heads up to 128 wide, in multiples of 8, and caches without gaps, all in bfloat16"},
        {"delta_gates", "projections and parameters of one type, float32, float16 or bfloat16"},
        {"gated_norm", "heads up to 1024 wide, in multiples of 8, all tensors of one type, float32, float16 or bfloat16"},
        {"gated_norm_backward", "heads up to 1024 wide, in multiples of 8, in float32, float16 or bfloat16"},
        {"head_gradient", "vocabularies that are multiples of 8, in float32, float16 or bfloat16"},
        {"linear_recurrence", "keys up to 256 wide, in float32, float16 or bfloat16 (it goes through the CPU)"},
        {"merge_attention", "up to 8 parts with heads in multiples of 8, all of one type, float32, float16 or bfloat16"},
        {"recurrent_step", "keys up to 256 wide, values up to 640 in multiples of 4 (of 8 with a state in bfloat16), inputs of one type, float32 or "
                           "bfloat16"},
        {"residual_norm", "widths up to 8192, in multiples of 8, all tensors of one type, float32 or bfloat16"},
        {"rope_append", "heads up to 256 wide, in multiples of 8, all tensors of one type, float32 or bfloat16"},
        {"rotate", "heads up to 256 wide, in multiples of 8, all tensors of one type, float32, float16 or bfloat16"},
        {"rotate_into", "heads up to 256 wide, in multiples of 8, all tensors of one type, float32, float16 or bfloat16"},
        {"silu_convolution", "inputs, kernels and history of one type, float32, float16 or bfloat16"},
        {"squared_sums", "two tensors of one type, float32, float16 or bfloat16, whose width is a multiple of 8"},
        {"squared_sums_backward", "two tensors of one type, float32, float16 or bfloat16, whose width is a multiple of 8"},
        {"swiglu", "widths in multiples of 8, both tensors of one type, float32 or bfloat16"},
        {"swiglu_backward", "widths in multiples of 8, in float32, float16 or bfloat16"},
        {"unit_length", "heads up to 1024 wide, in multiples of 8, in float32, float16 or bfloat16"},
    };
    const auto found = kTaken.find(name);
    return found == kTaken.end() ? "other types or shapes" : found->second;
}

} // namespace

namespace ops::cuda {

void slowPath(const char* name, const at::Tensor& input)
{
    if (input.numel() == 0)
        return;
    std::ostringstream reason;
    reason << "its kernel takes " << takenBy(name) << "; it got " << input.scalar_type() << " " << input.sizes();
    if (slowPaths().note(name, c10::toString(input.scalar_type()), reason.str()))
        TORCH_WARN("postnas::", name, " takes the slow path on this GPU: ", reason.str());
}

} // namespace ops::cuda
} // namespace postnas

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("take_slow_paths() -> str[]", [] { return postnas::slowPaths().take(); });
}
