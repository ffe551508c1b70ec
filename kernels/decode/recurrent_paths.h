// The two ways through a recurrent step on CUDA; recurrent_step.cu chooses. Internal.
#pragma once

#include "kernels/include/decode_launch.h"

namespace postnas::ops::cuda {

/// One block for a whole head: one launch, norm included. For heads whose state fits into shared memory.
bool headStepCanTake(const RecurrentStep& step);
cudaError_t launchHeadStep(const RecurrentStep& step, cudaStream_t stream);

} // namespace postnas::ops::cuda
