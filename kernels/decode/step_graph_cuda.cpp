// Records steps as CUDA graphs; part of libpostnas_cuda.so.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/include/step_graph.h"

namespace postnas {
namespace {

class CudaStepGraph final : public StepGraph {
public:
    explicit CudaStepGraph(const std::function<void()>& step)
    {
        // Work on the default stream cannot be recorded.
        const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool();
        c10::cuda::device_synchronize();
        {
            const c10::cuda::CUDAStreamGuard guard(side);
            m_graph.capture_begin();
            step();
            m_graph.capture_end();
        }
        c10::cuda::device_synchronize();
    }

    void replay() override { m_graph.replay(); }

private:
    at::cuda::CUDAGraph m_graph;
};

} // namespace
} // namespace postnas

extern "C" postnas::StepGraph* postnas_record_step(const std::function<void()>* step) { return new postnas::CudaStepGraph(*step); }
