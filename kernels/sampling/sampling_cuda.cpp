// Binds the CUDA kernels of sampling to the dispatcher; part of libpostnas_cuda.so.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "kernels/include/cuda_binding.h"
#include "kernels/include/sampling_launch.h"

namespace postnas::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

void sampleCuda(const Tensor& logits, const Tensor& options, const Tensor& stopIds, std::int64_t padId, const OptionalTensor& seen, const Tensor& next,
                const Tensor& lengths, const Tensor& finished)
{
    const c10::cuda::CUDAGuard guard(logits.device());
    TORCH_CHECK(options.size(0) == logits.size(0) && options.size(1) == static_cast<std::int64_t>(sizeof(SequenceSampling)) && options.is_contiguous(),
                "sampling options must be [batch, ", sizeof(SequenceSampling), "] bytes");
    const Tensor rows = logits.stride(1) == 1 ? logits : logits.contiguous();
    cuda::SampleProblem p;
    p.batch = rows.size(0);
    p.vocabulary = rows.size(1);
    p.logitStride = rows.stride(0);
    p.element = cuda::elementOf(rows.scalar_type());
    p.logits = rows.const_data_ptr();
    p.sequences = reinterpret_cast<const SequenceSampling*>(options.const_data_ptr());
    p.seen = seen ? reinterpret_cast<std::uint32_t*>(seen->mutable_data_ptr<std::int32_t>()) : nullptr;
    p.stopIds = stopIds.const_data_ptr<std::int32_t>();
    p.stopCount = static_cast<int>(stopIds.numel());
    p.padId = static_cast<std::int32_t>(padId);
    p.next = next.mutable_data_ptr<std::int32_t>();
    p.lengths = lengths.mutable_data_ptr<std::int32_t>();
    p.finished = finished.mutable_data_ptr<std::uint8_t>();
    cuda::check(cuda::launchSample(p, c10::cuda::getCurrentCUDAStream()), "sampling");
}

void markSeenCuda(const Tensor& ids, std::int64_t vocabulary, const Tensor& seen)
{
    const c10::cuda::CUDAGuard guard(ids.device());
    const Tensor rows = ids.to(at::kInt).contiguous();
    cuda::check(cuda::launchMarkSeen(rows.const_data_ptr<std::int32_t>(), rows.size(0), rows.size(1), nullptr, vocabulary,
                                     reinterpret_cast<std::uint32_t*>(seen.mutable_data_ptr<std::int32_t>()), c10::cuda::getCurrentCUDAStream()),
                "marks of seen tokens");
}

} // namespace

TORCH_LIBRARY_IMPL(postnas, CUDA, m)
{
    m.impl("sample_next", &sampleCuda);
    m.impl("mark_seen", &markSeenCuda);
}

} // namespace postnas::ops
