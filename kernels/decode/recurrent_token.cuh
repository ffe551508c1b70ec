// What the kernels of the recurrent step share: vectors of the state, a token's channels with their convolutions, decay and norm.
//
// Memory that is busy with states answers late, so everything small is asked for at once, and before the state: what is loaded is kept as
// it came and converted where it is used, because a conversion in a branch would wait for its number before the next one is asked for.
#pragma once

#include "kernels/include/cuda_element.cuh"
#include "kernels/include/decode_launch.h"
#include "kernels/include/overlap.cuh"
#include "kernels/include/tensor_core.cuh"

namespace postnas::ops::cuda {

constexpr int kTapsAtOnce = 4; ///< taps that are loaded together

/// The state is seen once a token, so it should not push other things out of the caches.
__device__ __forceinline__ void storeOnce(uint4* to, uint4 x)
{
#ifdef POSTNAS_CUDA_EMULATION
    *to = x;
#else
    __stcs(to, x);
#endif
}

/// As copyAsync16, for what is seen once a token.
__device__ __forceinline__ void copyOnce16(void* to, const void* from)
{
#ifdef POSTNAS_CUDA_EMULATION
    copyAsync16(to, from, true);
#else
    std::uint64_t policy = 0;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "l"(policy)
                 : "memory");
#endif
}

template <typename State>
constexpr int kVector = 16 / int(sizeof(State));

__device__ __forceinline__ void unpackState(float (&x)[4], uint4 bits)
{
    x[0] = __uint_as_float(bits.x), x[1] = __uint_as_float(bits.y), x[2] = __uint_as_float(bits.z), x[3] = __uint_as_float(bits.w);
}
__device__ __forceinline__ void unpackState(float (&x)[8], uint4 bits)
{
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float2 pair = unpack<__nv_bfloat16>(words[i]);
        x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
    }
}
__device__ __forceinline__ uint4 packState(const float (&x)[4])
{
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
}
__device__ __forceinline__ uint4 packState(const float (&x)[8])
{
    return make_uint4(pack<__nv_bfloat16>(x[0], x[1]), pack<__nv_bfloat16>(x[2], x[3]), pack<__nv_bfloat16>(x[4], x[5]),
                      pack<__nv_bfloat16>(x[6], x[7]));
}

/// Number i of an array whose type is known at run time only: for the few numbers of a head. Zero without an array.
class Number {
public:
    __device__ __forceinline__ Number(const void* from, Element element, std::int64_t i) : m_narrow(element == Element::BFloat16)
    {
        if (from)
            m_bits = m_narrow ? static_cast<const std::uint16_t*>(from)[i] : static_cast<const std::uint32_t*>(from)[i];
    }
    __device__ __forceinline__ float value() const { return __uint_as_float(m_narrow ? m_bits << 16 : m_bits); }

private:
    bool m_narrow;
    std::uint32_t m_bits = 0;
};

template <typename T>
__device__ __forceinline__ float rounded(float x)
{
    return toFloat(fromFloat<T>(x));
}

template <typename T>
__device__ __forceinline__ float silu(float x)
{
    return rounded<T>(x / (1.f + expf(-x)));
}

/// A channel of a projection and its convolution; without one a single tap of 1.
template <typename T>
class Channel {
public:
    __device__ __forceinline__ Channel(const TokenRows& rows, const StepConvolution& convolution, std::int64_t batch, std::int64_t channels,
                                       std::int64_t channel, bool valid)
        : m_convolved(convolution.kernels != nullptr), m_valid(valid), m_taps(m_convolved ? int(convolution.taps) : 1), m_channels(channels)
    {
        m_x = static_cast<const T*>(rows.data) + batch * rows.stride + channel;
        if (m_convolved) {
            m_kernel = static_cast<const T*>(convolution.kernels) + batch * convolution.kernelStride + channel * convolution.taps;
            m_history = static_cast<T*>(convolution.history) + batch * (convolution.taps - 1) * channels + channel;
        }
        load(0);
    }

    /// The convolution's output in the type of the projection. With `Shift` the history moves on: then this thread alone may read it.
    template <bool Shift>
    __device__ __forceinline__ float finish()
    {
        float sum = 0;
        for (int first = 0;; first += kTapsAtOnce) {
#pragma unroll
            for (int i = 0; i < kTapsAtOnce; ++i)
                sum += toFloat(m_input[i]) * toFloat(m_weight[i]);
            if (Shift)
                shift(first);
            if (first + kTapsAtOnce >= m_taps)
                break;
            load(first + kTapsAtOnce);
        }
        return rounded<T>(sum);
    }

private:
    /// Taps from `first` on, zero beyond the last one.
    __device__ __forceinline__ void load(int first)
    {
#pragma unroll
        for (int i = 0; i < kTapsAtOnce; ++i) {
            const int tap = first + i;
            m_input[i] = T(0.f);
            m_weight[i] = T(1.f);
            if (m_valid && tap < m_taps) {
                if (m_convolved)
                    m_weight[i] = m_kernel[tap];
                m_input[i] = *(tap == m_taps - 1 ? m_x : m_history + tap * m_channels);
            }
        }
    }
    __device__ __forceinline__ void shift(int first)
    {
#pragma unroll
        for (int i = 0; i < kTapsAtOnce; ++i)
            if (m_valid && first + i > 0 && first + i < m_taps)
                m_history[(first + i - 1) * m_channels] = m_input[i];
    }

    bool m_convolved, m_valid;
    int m_taps;
    std::int64_t m_channels;
    const T* m_x;
    const T* m_kernel = nullptr;
    T* m_history = nullptr;
    T m_input[kTapsAtOnce], m_weight[kTapsAtOnce];
};

/// What one head's decay and correction are made of.
template <typename T>
class HeadGates {
public:
    __device__ __forceinline__ HeadGates(const RecurrentStep& p, std::int64_t batch, std::int64_t head)
        : m_g(ofHead(p.decay) ? p.g.data : nullptr, p.gateElement, batch * p.g.stride + head),
          m_bias(ofRaw(p.decay) ? p.dtBias : nullptr, p.parameters, head),
          m_log(ofRaw(p.decay) ? p.aLog : nullptr, p.parameters, head)
    {
        if (p.b.data)
            m_b = static_cast<const T*>(p.b.data)[batch * p.b.stride + head];
    }
    /// exp(g), 1 where the decay belongs to channels.
    __device__ __forceinline__ float decay(StepDecay kind) const
    {
        if (!ofRaw(kind))
            return expf(m_g.value());
        const float x = m_g.value() + m_bias.value(), softplus = x > 20.f ? x : log1pf(expf(x));
        return expf(-expf(m_log.value()) * softplus);
    }
    __device__ __forceinline__ float beta() const { return 1.f / (1.f + expf(-toFloat(m_b))); }

private:
    __device__ static bool ofRaw(StepDecay kind) { return kind == StepDecay::PerHeadFromRaw; }
    __device__ static bool ofHead(StepDecay kind) { return kind == StepDecay::PerHead || ofRaw(kind); }

    Number m_g, m_bias, m_log;
    T m_b = T(0.f);
};

/// Log decay of one key channel as it is given, and exp(g) of it: 1 where the decay is another kind.
__device__ __forceinline__ Number channelGate(const RecurrentStep& p, std::int64_t batch, std::int64_t channel, bool valid)
{
    const bool given = p.decay == StepDecay::PerChannel || p.decay == StepDecay::PerChannelFromLogits;
    return Number(given && valid ? p.g.data : nullptr, p.gateElement, batch * p.g.stride + channel);
}
__device__ __forceinline__ float channelDecay(const RecurrentStep& p, const Number& gate)
{
    const float x = gate.value();
    if (p.decay == StepDecay::PerChannelFromLogits)
        return expf((fminf(x, 0.f) - log1pf(expf(-fabsf(x)))) / p.gateNormalizer);
    return p.decay == StepDecay::PerChannel ? expf(x) : 1.f;
}

__device__ __forceinline__ float sumOverWarp(float x)
{
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, bit);
    return x;
}

/// The token's query and key of one head, of which a thread makes some channels. With `Shift` the convolutions' histories move on.
template <typename T, bool Shift>
class QueryAndKey {
public:
    /// decay * q, decay * k, k and decay of a key channel.
    __device__ __forceinline__ float4 row(const RecurrentStep& p, Channel<T>& forQ, Channel<T>& forK, const Number& gate)
    {
        const float decay = channelDecay(p, gate);
        float q = forQ.template finish<Shift>(), k = forK.template finish<Shift>();
        if (p.siluKeys) {
            q = silu<T>(q);
            k = silu<T>(k);
        }
        m_qq += q * q;
        m_kk += k * k;
        m_kq += k * q;
        return make_float4(decay * q, decay * k, k, decay);
    }
    /// q.q, k.k and k.q over the channels of the warp.
    __device__ __forceinline__ void sumTo(float (&sums)[3], int lane)
    {
        m_qq = sumOverWarp(m_qq), m_kk = sumOverWarp(m_kk), m_kq = sumOverWarp(m_kq);
        if (lane == 0) {
            sums[0] = m_qq;
            sums[1] = m_kk;
            sums[2] = m_kq;
        }
    }

private:
    float m_qq = 0, m_kk = 0, m_kq = 0;
};

/// What makes query and key unit vectors (1 where they stay), and k.q before that, of the sums of all warps.
struct KeyProducts {
    template <int Warps>
    __device__ __forceinline__ KeyProducts(const RecurrentStep& p, const float (&ofWarps)[Warps][3])
    {
        float sums[3] = {};
#pragma unroll
        for (int w = 0; w < Warps; ++w)
#pragma unroll
            for (int i = 0; i < 3; ++i)
                sums[i] += ofWarps[w][i];
        unitQ = p.unitLength ? rsqrtf(sums[0] + 1e-6f) : 1.f;
        unitK = p.unitLength ? rsqrtf(sums[1] + 1e-6f) : 1.f;
        kq = sums[2];
    }
    float unitQ, unitK, kq;
};

} // namespace postnas::ops::cuda
