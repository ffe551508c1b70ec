// The dynamic convolution with its kernel generator, forward: a block makes the kernels of 128 tokens and some channels on the tensor
// cores and applies them where they are, in registers.
#include "kernels/convolution/generated.cuh"

namespace postnas::ops::cuda {
namespace generated {
namespace {

template <int Pairs>
__global__ void __launch_bounds__(kThreads, 2) forwardKernel(GeneratedConvolution p, Element16* y)
{
    using S = Shape<Pairs>;
    using L = Layout<Pairs>;
    POSTNAS_SHARED_MEMORY(memory);
    const std::int64_t tiles = (p.channels + S::kChannels - 1) / S::kChannels;
    const std::int64_t first = blockIdx.x / tiles * kTokens, firstChannel = blockIdx.x % tiles * S::kChannels;
    Element16* inputs = reinterpret_cast<Element16*>(memory + L::kInputs);
    const float* bias = reinterpret_cast<const float*>(memory + L::kBias);
    const int* depths = reinterpret_cast<const int*>(memory + L::kDepth);
    const int taps = int(p.taps), warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
    copyInputs<Pairs>(p, inputs, p.x, first - (taps - 1), kTokens + taps - 1, firstChannel);
    loadBiasAndDepth<Pairs>(p, memory, first, firstChannel);
    float kernels[4][8][4] = {};
    makeKernels<Pairs>(p, kernels, memory, first, firstChannel);

    Element16* outputs = reinterpret_cast<Element16*>(memory); // over the stages
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int m = warp / 2 * 64 + i * 16 + half * 8 + lane / 4, depth = depths[m];
#pragma unroll
            for (int group = 0; group < 8 / Pairs; ++group) {
                const int channel = (warp % 2 * 8 / Pairs + group) * 4 + lane % 4;
                float sum = 0;
#pragma unroll
                for (int pair = 0; pair < Pairs; ++pair) {
                    const int n = group * Pairs + pair;
                    const float2 b = *reinterpret_cast<const float2*>(bias + warp % 2 * 64 + n * 8 + lane % 4 * 2);
                    sum += (kernels[i][n][half * 2] + b.x) * inputAt<Pairs>(p, inputs, first, m, depth, 2 * pair, firstChannel, channel);
                    sum += (kernels[i][n][half * 2 + 1] + b.y) * inputAt<Pairs>(p, inputs, first, m, depth, 2 * pair + 1, firstChannel, channel);
                }
                outputs[m * S::kInputStride + channel] = __float2bfloat16(sum);
            }
        }
    __syncthreads();
    constexpr int kPieces = S::kChannels / 8;
    for (int i = int(threadIdx.x); i < kTokens * kPieces; i += kThreads) {
        const std::int64_t token = first + i / kPieces, channel = firstChannel + i % kPieces * 8;
        if (token < tokenCount(p) && channel < p.channels)
            *reinterpret_cast<uint4*>(y + token * p.channels + channel) =
                *reinterpret_cast<const uint4*>(outputs + i / kPieces * S::kInputStride + i % kPieces * 8);
    }
}

template <int Pairs>
cudaError_t forward(const GeneratedConvolution& p, void* y, cudaStream_t stream)
{
    static_assert(kTokens * Shape<Pairs>::kInputStride * 2 <= Layout<Pairs>::kInputs);
    const std::int64_t blocks = (tokenCount(p) + kTokens - 1) / kTokens * channelTiles<Pairs>(p);
    return launch(forwardKernel<Pairs>, dim3(unsigned(blocks)), dim3(kThreads), Layout<Pairs>::kBytes, stream, p, static_cast<Element16*>(y));
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

} // namespace
} // namespace generated

bool generatedConvolutionCanTake(const GeneratedConvolution& p)
{
    return p.taps >= 1 && p.taps <= generated::kMaxTaps && p.channels >= 8 && p.channels % 8 == 0 && p.rank >= 8 && p.rank % 8 == 0
        && generated::aligned(p.x) && generated::aligned(p.hidden) && generated::aligned(p.weight);
}

cudaError_t launchGeneratedConvolutionForward(const GeneratedConvolution& p, void* y, cudaStream_t stream)
{
    if (!generatedConvolutionCanTake(p) || !generated::aligned(y))
        return cudaErrorInvalidValue;
    if (p.batch * p.length == 0)
        return cudaSuccess;
    if (p.taps <= 2)
        return generated::forward<1>(p, y, stream);
    return p.taps <= 4 ? generated::forward<2>(p, y, stream) : generated::forward<4>(p, y, stream);
}

} // namespace postnas::ops::cuda
