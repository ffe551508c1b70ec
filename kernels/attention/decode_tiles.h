// Decode attention over large caches on compute capability 9.0. Internal to the launch functions of decode attention.
#pragma once

#include "kernels/attention/query_rows.cuh"

namespace postnas::ops::cuda::attention {

/// Whether this GPU has the copies and the problem's sizes fit them.
bool decodeTilesCanTake(const DecodeAttentionProblem& problem);
/// Outputs, or partial results for a merge where sequences are cut.
cudaError_t launchDecodeTiles(const DecodeAttentionProblem& problem, Element16* out, const Partials& partials, cudaStream_t stream);

} // namespace postnas::ops::cuda::attention
