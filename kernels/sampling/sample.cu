// The launches of sampling: the next token of each sequence with the stop logic around it, and the marks of a prompt's tokens.
#include <algorithm>

#include "kernels/include/launch.cuh"
#include "kernels/sampling/sampler.cuh"

namespace postnas::ops::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(sampling::kMaxThreads) sampleKernel(SampleProblem p, int idBits)
{
    POSTNAS_SHARED_MEMORY(shared);
    const std::int64_t row = blockIdx.x;
    if (p.finished[row] != 0) {
        if (threadIdx.x == 0)
            p.next[row] = p.padId;
        return;
    }
    const int token = sampling::Sampler<T>(p, idBits, shared).next();
    __syncthreads(); // all have read the length
    if (threadIdx.x != 0)
        return;
    p.next[row] = token;
    if (p.seen)
        p.seen[row * ((p.vocabulary + 31) / 32) + token / 32] |= 1u << token % 32;
    const std::int32_t length = p.lengths[row];
    if (p.history && length < p.historyCapacity)
        p.history[row * p.historyCapacity + length] = token;
    p.lengths[row] = length + 1;
    bool ends = length + 1 >= p.sequences[row].lengthLimit;
    for (int i = 0; i < p.stopCount; ++i)
        ends |= p.stopIds[i] == token;
    if (ends)
        p.finished[row] = 1;
}

__global__ void markSeenKernel(const std::int32_t* ids, std::int64_t length, const std::int32_t* counts, std::int64_t vocabulary, std::uint32_t* seen)
{
    const std::int64_t row = blockIdx.y, i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= length || (counts && i >= counts[row]))
        return;
    const std::int32_t id = ids[row * length + i];
    if (id >= 0 && id < vocabulary)
        atomicOr(&seen[row * ((vocabulary + 31) / 32) + id / 32], 1u << id % 32);
}

template <typename T>
cudaError_t sample(const SampleProblem& p, cudaStream_t stream)
{
    int idBits = 1;
    while ((std::int64_t(1) << idBits) < p.vocabulary)
        ++idBits;
    // With many sequences two or three blocks share an SM; a lone one needs all its loads under way at once.
    const std::int64_t most = p.batch > 132 ? 512 : sampling::kMaxThreads, threads = std::clamp<std::int64_t>((p.vocabulary / 8 + 31) / 32 * 32, 32, most);
    return launch(sampleKernel<T>, dim3(unsigned(p.batch)), dim3(unsigned(threads)), sampling::kSharedBytes, stream, p, idBits);
}

} // namespace

cudaError_t launchSample(const SampleProblem& problem, cudaStream_t stream)
{
    if (problem.vocabulary < 1 || problem.vocabulary > (1 << 24))
        return cudaErrorInvalidValue;
    if (problem.batch == 0)
        return cudaSuccess;
    SampleProblem p = problem;
    p.logitStride = p.logitStride ? p.logitStride : p.vocabulary;
    switch (p.element) {
    case Element::Float32: return sample<float>(p, stream);
    case Element::Float16: return sample<__half>(p, stream);
    case Element::BFloat16: return sample<__nv_bfloat16>(p, stream);
    }
    return cudaErrorInvalidValue;
}

cudaError_t launchMarkSeen(const std::int32_t* ids, std::int64_t batch, std::int64_t length, const std::int32_t* counts, std::int64_t vocabulary,
                           std::uint32_t* seen, cudaStream_t stream)
{
    if (batch * length == 0)
        return cudaSuccess;
    constexpr int kThreads = 256;
    return launch(markSeenKernel, dim3(unsigned((length + kThreads - 1) / kThreads), unsigned(batch)), dim3(kThreads), 0, stream, ids, length, counts,
                  vocabulary, seen);
}

} // namespace postnas::ops::cuda
