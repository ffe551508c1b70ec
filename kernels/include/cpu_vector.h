// Short vectors of a chosen width on the compiler's vector extension, for loops that are compiled once per instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#define POSTNAS_INLINE inline __attribute__((always_inline))

namespace postnas::ops::cpu {

/// Which instruction set the loops use; each is compiled in.
enum class VectorLevel { Baseline, Avx2, Avx512 };
/// The widest that this processor has.
VectorLevel bestVectorLevel();

#if defined(__x86_64__)
template <typename Work>
__attribute__((target("avx512f,avx512vl,avx512dq,fma"), noinline)) void runAvx512(const Work& work)
{
    work.template run<64>();
}

template <typename Work>
__attribute__((target("avx2,fma"), noinline)) void runAvx2(const Work& work)
{
    work.template run<32>();
}
#endif

/// Calls `work.run<bytes of a vector>()`, a POSTNAS_INLINE member, compiled for that instruction set.
template <typename Work>
void runAt(VectorLevel level, const Work& work)
{
#if defined(__x86_64__)
    if (level == VectorLevel::Avx512)
        return runAvx512(work);
    if (level == VectorLevel::Avx2)
        return runAvx2(work);
#else
    (void)level;
#endif
    work.template run<16>();
}

template <typename Scalar, int Bytes>
struct VectorType {
    typedef Scalar Type __attribute__((vector_size(Bytes), may_alias));
    static constexpr int kLanes = Bytes / static_cast<int>(sizeof(Scalar));
};

/// Sum of all lanes.
template <typename Scalar, int Bytes>
POSTNAS_INLINE Scalar laneSum(const typename VectorType<Scalar, Bytes>::Type& v)
{
    constexpr int kLanes = Bytes / static_cast<int>(sizeof(Scalar));
    if constexpr (kLanes == 2)
        return v[0] + v[1];
    else if constexpr (kLanes == 4 && Bytes == 16)
        return (v[0] + v[2]) + (v[1] + v[3]);
    else if constexpr (kLanes == 4)
        return laneSum<Scalar, Bytes / 2>(__builtin_shufflevector(v, v, 0, 1) + __builtin_shufflevector(v, v, 2, 3));
    else if constexpr (kLanes == 8)
        return laneSum<Scalar, Bytes / 2>(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
    else
        return laneSum<Scalar, Bytes / 2>(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                                          __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}

/// `Columns` numbers held in registers; loads and stores are aligned to the vector.
template <typename Scalar, int Bytes, int Columns>
struct Row {
    using Vector = typename VectorType<Scalar, Bytes>::Type;
    static constexpr int kParts = Columns / VectorType<Scalar, Bytes>::kLanes;
    Vector part[kParts];

    static POSTNAS_INLINE Row zero()
    {
        Row r;
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            r.part[i] = Vector{};
        return r;
    }
    static POSTNAS_INLINE Row load(const Scalar* from)
    {
        Row r;
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            r.part[i] = reinterpret_cast<const Vector*>(from)[i];
        return r;
    }
    /// The first `count` numbers from any address, zeros behind them.
    static POSTNAS_INLINE Row loadPart(const Scalar* from, std::int64_t count)
    {
        Row r;
        if (count == Columns) {
            __builtin_memcpy(&r, from, sizeof r);
            return r;
        }
        alignas(64) Scalar buffer[Columns] = {};
        for (std::int64_t i = 0; i < count; ++i)
            buffer[i] = from[i];
        return load(buffer);
    }
    POSTNAS_INLINE void storePart(Scalar* to, std::int64_t count) const
    {
        if (count == Columns) {
            __builtin_memcpy(to, this, sizeof *this);
            return;
        }
        alignas(64) Scalar buffer[Columns];
        store(buffer);
        for (std::int64_t i = 0; i < count; ++i)
            to[i] = buffer[i];
    }
    POSTNAS_INLINE void store(Scalar* to) const
    {
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            reinterpret_cast<Vector*>(to)[i] = part[i];
    }
    POSTNAS_INLINE Row& operator*=(Scalar s)
    {
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            part[i] *= s;
        return *this;
    }
    /// this += s * other
    POSTNAS_INLINE void add(Scalar s, const Row& other)
    {
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            part[i] += s * other.part[i];
    }
    /// this += a * b, element by element
    POSTNAS_INLINE void addProduct(const Row& a, const Row& b)
    {
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            part[i] += a.part[i] * b.part[i];
    }
    POSTNAS_INLINE Row minus(const Row& other) const
    {
        Row r;
#pragma GCC unroll 16
        for (int i = 0; i < kParts; ++i)
            r.part[i] = part[i] - other.part[i];
        return r;
    }
    POSTNAS_INLINE Scalar sum() const
    {
        Vector total = part[0];
#pragma GCC unroll 16
        for (int i = 1; i < kParts; ++i)
            total += part[i];
        return laneSum<Scalar, Bytes>(total);
    }
    POSTNAS_INLINE Scalar dot(const Row& other) const
    {
        Vector total = part[0] * other.part[0];
#pragma GCC unroll 16
        for (int i = 1; i < kParts; ++i)
            total += part[i] * other.part[i];
        return laneSum<Scalar, Bytes>(total);
    }
};

} // namespace postnas::ops::cpu
