// Finds out which instruction sets this processor has.
#include "kernels/include/cpu_vector.h"

namespace postnas::ops::cpu {

VectorLevel bestVectorLevel()
{
#if defined(__x86_64__)
    static const VectorLevel level = [] {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
            return VectorLevel::Avx512;
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return VectorLevel::Avx2;
        return VectorLevel::Baseline;
    }();
    return level;
#else
    return VectorLevel::Baseline;
#endif
}

} // namespace postnas::ops::cpu
