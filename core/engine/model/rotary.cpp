// Frequencies of rotary embeddings: default, linear, dynamic NTK, YaRN (arXiv 2309.00071) and Llama 3.
#include "core/engine/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace postnas::engine {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

/// YaRN's magnitude correction: 0.1 m ln(factor) + 1.
double yarnMagnitude(double factor, double m = 1.0) { return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; }

void applyYarn(const Architecture& a, const RopeScaling& s, double original, RotaryFrequencies& out)
{
    const double dim = double(a.headDim);
    // The dimension whose wave turns `rotations` times within the original context.
    const auto dimensionOf = [&](double rotations) {
        return dim * std::log(original / (rotations * kTwoPi)) / (2 * std::log(a.ropeTheta));
    };
    double low = dimensionOf(s.betaFast), high = dimensionOf(s.betaSlow);
    if (s.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dim - 1);
    if (low == high)
        high += 0.001;
    for (std::size_t i = 0; i < out.inverse.size(); ++i) {
        const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
        out.inverse[i] = out.inverse[i] / s.factor * ramp + out.inverse[i] * (1 - ramp);
    }
    if (s.attentionFactor)
        out.attentionFactor = *s.attentionFactor;
    else if (s.mscale && s.mscaleAllDim && *s.mscale != 0 && *s.mscaleAllDim != 0)
        out.attentionFactor = yarnMagnitude(s.factor, *s.mscale) / yarnMagnitude(s.factor, *s.mscaleAllDim);
    else
        out.attentionFactor = yarnMagnitude(s.factor);
}

void applyLlama3(const RopeScaling& s, double original, RotaryFrequencies& out)
{
    const double lowWavelength = original / s.lowFrequencyFactor, highWavelength = original / s.highFrequencyFactor;
    for (double& f : out.inverse) {
        const double wavelength = kTwoPi / f;
        if (wavelength > lowWavelength) {
            f /= s.factor;
        } else if (wavelength > highWavelength) {
            const double smooth = (original / wavelength - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
            f = (1 - smooth) * f / s.factor + smooth * f;
        }
    }
}

} // namespace

RotaryFrequencies rotaryFrequencies(const Architecture& a, std::int64_t sequenceLength)
{
    const RopeScaling& s = a.ropeScaling;
    const double original = double(s.originalMaxPositions > 0 ? s.originalMaxPositions : a.maxPositions);
    const double dim = double(a.headDim);
    double base = a.ropeTheta;
    if (s.kind == RopeScaling::Kind::Dynamic && double(sequenceLength) > original)
        base *= std::pow(s.factor * double(sequenceLength) / original - (s.factor - 1), dim / (dim - 2));
    RotaryFrequencies out;
    for (std::int64_t i = 0; i < a.headDim; i += 2)
        out.inverse.push_back(1.0 / std::pow(base, double(i) / dim));
    if (s.kind == RopeScaling::Kind::Linear)
        for (double& f : out.inverse)
            f /= s.factor;
    else if (s.kind == RopeScaling::Kind::Yarn)
        applyYarn(a, s, original, out);
    else if (s.kind == RopeScaling::Kind::Llama3)
        applyLlama3(s, original, out);
    return out;
}

void RotaryTable::build(const Architecture& a, std::int64_t positions, std::int64_t sequenceLength, const torch::Device& device)
{
    const RotaryFrequencies frequencies = rotaryFrequencies(a, sequenceLength);
    // float32 products, as the reference implementations compute them.
    torch::Tensor inverse = torch::tensor(frequencies.inverse, torch::kFloat64).to(torch::kFloat32);
    if (m_round)
        inverse = inverse.to(torch::kBFloat16).to(torch::kFloat32);
    const torch::Tensor angles = torch::arange(positions, torch::kFloat32).unsqueeze(1) * inverse.unsqueeze(0);
    const torch::Tensor both = torch::cat({angles, angles}, -1);
    m_cosine = (both.cos() * frequencies.attentionFactor).to(device);
    m_sine = (both.sin() * frequencies.attentionFactor).to(device);
}

ForwardContext RotaryTable::context(const Architecture& a, std::int64_t first, std::int64_t length, const torch::Device& device)
{
    const std::int64_t end = first + length;
    const bool dynamic = a.ropeScaling.kind == RopeScaling::Kind::Dynamic;
    const bool stale = !m_cosine.defined() || m_cosine.size(0) < end || m_cosine.device() != device
        || (dynamic && m_dynamicLength != end && std::max(m_dynamicLength, end) > a.maxPositions);
    if (stale) {
        std::int64_t positions = m_cosine.defined() ? m_cosine.size(0) : 256;
        while (positions < end)
            positions *= 2;
        build(a, positions, dynamic ? end : positions, device);
        m_dynamicLength = end;
    }
    return {m_cosine.narrow(0, first, length), m_sine.narrow(0, first, length), first};
}

} // namespace postnas::engine
