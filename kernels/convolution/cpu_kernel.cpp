// The loops of the causal convolutions on the CPU, vectorised over channels.
#include "kernels/convolution/cpu_kernel.h"

#include <algorithm>
#include <vector>

namespace postnas::ops::cpu {
namespace {

/// `Taps` is the number of taps when it is known at compile time, else 0.
template <typename Scalar, int Taps, bool PerToken>
POSTNAS_INLINE void forwardToken(std::int64_t channels, std::int64_t taps, const Scalar* const* rows, const Scalar* kernels,
                                 Scalar* __restrict y)
{
    if constexpr (Taps > 0 && PerToken) {
#pragma GCC ivdep
        for (std::int64_t c = 0; c < channels; ++c) {
            Scalar sum = 0;
#pragma GCC unroll 8
            for (int w = 0; w < Taps; ++w)
                sum += kernels[c * Taps + w] * rows[w][c];
            y[c] = sum;
        }
    } else {
        std::fill_n(y, channels, Scalar(0));
        for (std::int64_t w = 0; w < taps; ++w) {
            const Scalar* row = rows[w];
#pragma GCC ivdep
            for (std::int64_t c = 0; c < channels; ++c)
                y[c] += (PerToken ? kernels[c * taps + w] : kernels[w * channels + c]) * row[c];
        }
    }
}

template <typename Scalar, int Taps, bool PerToken>
POSTNAS_INLINE void backwardToken(std::int64_t channels, std::int64_t knownTaps, const Scalar* const* rows, const Scalar* kernels,
                                  const Scalar* __restrict gradY, Scalar* const* gradRows, Scalar* gradKernels)
{
    const std::int64_t taps = Taps > 0 ? Taps : knownTaps;
    for (std::int64_t w = 0; w < taps; ++w) {
        const Scalar* row = rows[w];
        Scalar* gradRow = gradRows[w];
#pragma GCC ivdep
        for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t at = PerToken ? c * taps + w : w * channels + c;
            gradKernels[at] += gradY[c] * row[c];
            gradRow[c] += gradY[c] * kernels[at];
        }
    }
}

/// Row `t` of a sequence, where negative positions are in the history.
template <typename Scalar>
POSTNAS_INLINE Scalar* rowAt(Scalar* x, Scalar* history, Scalar* none, std::int64_t sequence, std::int64_t t, std::int64_t length,
                             std::int64_t taps, std::int64_t channels)
{
    if (t >= 0)
        return x + (sequence * length + t) * channels;
    return history ? history + (sequence * (taps - 1) + taps - 1 + t) * channels : none;
}

template <typename Scalar>
struct ForwardWork {
    const ConvolutionInputs<Scalar>& in;
    Scalar* y;
    std::int64_t begin, end;
    const Scalar* zeros;  ///< a row of zeros
    const Scalar** rows;  ///< scratch for one pointer a tap

    template <int Taps, bool PerToken>
    POSTNAS_INLINE void tokens() const
    {
        const std::int64_t step = PerToken ? in.channels * in.taps : 0;
        for (std::int64_t i = begin; i < end; ++i) {
            for (std::int64_t w = 0; w < in.taps; ++w)
                rows[w] = rowAt(in.x, in.history, zeros, i / in.length, i % in.length - in.taps + 1 + w, in.length, in.taps, in.channels);
            forwardToken<Scalar, Taps, PerToken>(in.channels, in.taps, rows, in.kernels + i * step, y + i * in.channels);
        }
    }
    template <int Bytes>
    POSTNAS_INLINE void run() const
    {
        if (!in.perToken)
            tokens<0, false>();
        else if (in.taps == 4)
            tokens<4, true>();
        else
            tokens<0, true>();
    }
};

template <typename Scalar>
struct BackwardWork {
    const ConvolutionInputs<Scalar>& in;
    const ConvolutionGradients<Scalar>& grad;
    std::int64_t begin, end;
    const Scalar* zeros;
    Scalar* discarded; ///< takes the gradient of inputs that do not exist
    const Scalar** rows;
    Scalar** gradRows;

    template <int Taps, bool PerToken>
    POSTNAS_INLINE void tokens() const
    {
        const std::int64_t step = PerToken ? in.channels * in.taps : 0;
        for (std::int64_t i = begin * in.length; i < end * in.length; ++i) {
            for (std::int64_t w = 0; w < in.taps; ++w) {
                const std::int64_t b = i / in.length, t = i % in.length - in.taps + 1 + w;
                rows[w] = rowAt(in.x, in.history, zeros, b, t, in.length, in.taps, in.channels);
                gradRows[w] = rowAt(grad.x, grad.history, discarded, b, t, in.length, in.taps, in.channels);
            }
            backwardToken<Scalar, Taps, PerToken>(in.channels, in.taps, rows, in.kernels + i * step, grad.gradY + i * in.channels,
                                                  gradRows, grad.kernels + i * step);
        }
    }
    template <int Bytes>
    POSTNAS_INLINE void run() const
    {
        if (!in.perToken)
            tokens<0, false>();
        else if (in.taps == 4)
            tokens<4, true>();
        else
            tokens<0, true>();
    }
};

} // namespace

template <typename Scalar>
void convolutionForward(const ConvolutionInputs<Scalar>& in, Scalar* y, std::int64_t begin, std::int64_t end, VectorLevel level)
{
    const std::vector<Scalar> zeros(static_cast<std::size_t>(in.channels), Scalar(0));
    std::vector<const Scalar*> rows(static_cast<std::size_t>(in.taps));
    runAt(level, ForwardWork<Scalar>{in, y, begin, end, zeros.data(), rows.data()});
}

template <typename Scalar>
void convolutionBackward(const ConvolutionInputs<Scalar>& in, const ConvolutionGradients<Scalar>& grad, std::int64_t begin, std::int64_t end,
                         VectorLevel level)
{
    const std::vector<Scalar> zeros(static_cast<std::size_t>(in.channels), Scalar(0));
    std::vector<Scalar> discarded(static_cast<std::size_t>(in.channels));
    std::vector<const Scalar*> rows(static_cast<std::size_t>(in.taps));
    std::vector<Scalar*> gradRows(static_cast<std::size_t>(in.taps));
    runAt(level, BackwardWork<Scalar>{in, grad, begin, end, zeros.data(), discarded.data(), rows.data(), gradRows.data()});
}

template void convolutionForward(const ConvolutionInputs<float>&, float*, std::int64_t, std::int64_t, VectorLevel);
template void convolutionForward(const ConvolutionInputs<double>&, double*, std::int64_t, std::int64_t, VectorLevel);
template void convolutionBackward(const ConvolutionInputs<float>&, const ConvolutionGradients<float>&, std::int64_t, std::int64_t,
                                  VectorLevel);
template void convolutionBackward(const ConvolutionInputs<double>&, const ConvolutionGradients<double>&, std::int64_t, std::int64_t,
                                  VectorLevel);

} // namespace postnas::ops::cpu
