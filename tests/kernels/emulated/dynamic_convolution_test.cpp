// The CUDA kernels of the dynamic convolution with its kernel generator, run on the CPU by kernels/emulation, against float64.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/include/generated_convolution_launch.h"

namespace {

using at::Tensor;
namespace cuda = postnas::ops::cuda;

struct Case {
    std::int64_t batch, length, channels, taps, rank;
    bool bias = true, history = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "B" << c.batch << "_T" << c.length << "_C" << c.channels << "_W" << c.taps << "_R" << c.rank << (c.bias ? "_bias" : "")
               << (c.history ? "_history" : "");
}

Tensor wide(const Tensor& t) { return t.to(at::kDouble); }

struct Trial {
    explicit Trial(const Case& c)
    {
        at::manual_seed(47);
        const auto random = [](at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); };
        x = random({c.batch, c.length, c.channels});
        hidden = random({c.batch, c.length, c.rank});
        weight = random({c.channels * c.taps, c.rank});
        bias = random({c.channels * c.taps});
        history = random({c.batch, c.taps - 1, c.channels});
        gradY = random({c.batch, c.length, c.channels});
        problem = {c.batch, c.length, c.channels, c.taps, c.rank, x.const_data_ptr(), hidden.const_data_ptr(), weight.const_data_ptr()};
        problem.bias = c.bias ? bias.const_data_ptr() : nullptr;
        problem.history = c.history ? history.const_data_ptr() : nullptr;

        Tensor kernels = at::matmul(wide(hidden), wide(weight).t());
        if (c.bias)
            kernels = kernels + wide(bias);
        kernels = kernels.reshape({c.batch, c.length, c.channels, c.taps});
        const Tensor all = at::cat({c.history ? wide(history) : at::zeros_like(wide(history)), wide(x)}, 1), gradAll = at::zeros_like(all);
        y = at::zeros_like(wide(x));
        std::vector<Tensor> byTap;
        for (std::int64_t w = 0; w < c.taps; ++w) {
            y += kernels.select(3, w) * all.narrow(1, w, c.length);
            gradAll.narrow(1, w, c.length) += kernels.select(3, w) * wide(gradY);
            byTap.push_back(wide(gradY) * all.narrow(1, w, c.length));
        }
        gradX = gradAll.narrow(1, c.taps - 1, c.length);
        const Tensor gradKernels = at::stack(byTap, 3).reshape({c.batch * c.length, c.channels * c.taps});
        gradHidden = at::matmul(gradKernels, wide(weight)).reshape(hidden.sizes());
        gradWeight = at::matmul(gradKernels.t(), wide(hidden).reshape({c.batch * c.length, c.rank}));
        gradBias = gradKernels.sum(0);
    }

    Tensor x, hidden, weight, bias, history, gradY;
    cuda::GeneratedConvolution problem;
    Tensor y, gradX, gradHidden, gradWeight, gradBias; ///< expected
};

Tensor unwritten(const Tensor& like, at::ScalarType type) { return at::full(like.sizes(), std::numeric_limits<float>::quiet_NaN(), type); }

/// The largest difference relative to the largest number of the reference.
double relativeError(const Tensor& actual, const Tensor& expected)
{
    EXPECT_EQ(actual.sizes(), expected.sizes());
    if (expected.numel() == 0)
        return 0;
    EXPECT_TRUE(at::isfinite(actual).all().item<bool>());
    return ((wide(actual) - expected).abs().max() / (expected.abs().max() + 1e-12)).item<double>();
}

class GeneratedConvolution : public testing::TestWithParam<Case> {};

TEST_P(GeneratedConvolution, ForwardFollowsTheReference)
{
    const Trial trial(GetParam());
    ASSERT_TRUE(cuda::generatedConvolutionCanTake(trial.problem));
    const Tensor y = unwritten(trial.y, at::kBFloat16);
    ASSERT_EQ(cuda::launchGeneratedConvolutionForward(trial.problem, y.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(y, trial.y), 4e-3);
}

TEST_P(GeneratedConvolution, BackwardFollowsTheReference)
{
    Case own = GetParam();
    own.history = false;
    Trial trial(own);
    // Two numbers of multiprocessors: two ways to split the sums over tokens.
    for (const int multiprocessors : {1, 9}) {
        const Tensor x = unwritten(trial.gradX, at::kBFloat16), hidden = unwritten(trial.gradHidden, at::kBFloat16);
        const Tensor weight = unwritten(trial.gradWeight, at::kFloat), bias = unwritten(trial.gradBias, at::kFloat);
        const std::size_t bytes = cuda::generatedConvolutionBackwardWorkspace(trial.problem, multiprocessors);
        const Tensor workspace = at::full({std::int64_t(bytes / 4)}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
        const cuda::GeneratedConvolutionGradients gradients{trial.gradY.const_data_ptr(), x.mutable_data_ptr(), hidden.mutable_data_ptr(),
                                                            weight.mutable_data_ptr<float>(), bias.mutable_data_ptr<float>()};
        ASSERT_EQ(cuda::launchGeneratedConvolutionBackward(trial.problem, gradients, workspace.mutable_data_ptr(), multiprocessors, nullptr),
                  cudaSuccess);
        EXPECT_LT(relativeError(x, trial.gradX), 4e-3);
        EXPECT_LT(relativeError(hidden, trial.gradHidden), 6e-3);
        EXPECT_LT(relativeError(weight, trial.gradWeight), 6e-3);
        EXPECT_LT(relativeError(bias, trial.gradBias), 1e-5);
        if (GetParam().history) {
            trial.problem.history = trial.history.const_data_ptr();
            EXPECT_EQ(cuda::launchGeneratedConvolutionBackward(trial.problem, gradients, workspace.mutable_data_ptr(), multiprocessors, nullptr),
                      cudaErrorInvalidValue);
            trial.problem.history = nullptr;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GeneratedConvolution,
                         testing::Values(Case{1, 128, 32, 4, 32}, Case{2, 70, 40, 4, 48, true, true}, Case{1, 300, 32, 4, 16, false},
                                         Case{3, 1, 8, 4, 32, true, true}, Case{0, 5, 8, 4, 32}, Case{2, 0, 8, 4, 32},
                                         Case{70, 2, 8, 4, 8, true, true}, Case{1, 150, 72, 2, 32, true, true}, Case{2, 90, 64, 1, 24},
                                         Case{1, 140, 24, 3, 136, true, true}, Case{1, 131, 16, 8, 200}, Case{1, 20, 24, 7, 32, true, true},
                                         Case{2, 130, 16, 5, 40}),
                         [](const auto& info) { return testing::PrintToString(info.param); });

TEST(GeneratedConvolutionLimits, RefusesWhatItCannotHold)
{
    const Trial trial(Case{1, 4, 8, 4, 8});
    const Tensor y = unwritten(trial.y, at::kBFloat16);
    const auto refuses = [&](auto change) {
        cuda::GeneratedConvolution other = trial.problem;
        change(other);
        return !cuda::generatedConvolutionCanTake(other)
            && cuda::launchGeneratedConvolutionForward(other, y.mutable_data_ptr(), nullptr) == cudaErrorInvalidValue;
    };
    EXPECT_TRUE(refuses([](auto& p) { p.taps = 9; }));
    EXPECT_TRUE(refuses([](auto& p) { p.taps = 0; }));
    EXPECT_TRUE(refuses([](auto& p) { p.rank = 12; }));
    EXPECT_TRUE(refuses([](auto& p) { p.channels = 12; }));
    EXPECT_TRUE(refuses([](auto& p) { p.x = static_cast<const char*>(p.x) + 8; }));
}

} // namespace
