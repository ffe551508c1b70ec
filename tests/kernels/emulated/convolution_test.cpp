// The causal convolution's forward kernels, run on the CPU by kernels/emulation, against float64 arithmetic.
#include "kernels/include/convolution_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

struct Case {
    std::int64_t batch, length, channels, taps;
    bool perToken, history = false, silu = false;
    at::ScalarType type = at::kBFloat16;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "B" << c.batch << "_T" << c.length << "_C" << c.channels << "_W" << c.taps << (c.perToken ? "_perToken" : "") << (c.history ? "_history" : "")
               << (c.silu ? "_silu" : "");
}

class CausalConvolution : public testing::TestWithParam<Case> {};

TEST_P(CausalConvolution, ForwardFollowsTheReference)
{
    const Case& c = GetParam();
    at::manual_seed(19);
    const Tensor x = at::randn({c.batch, c.length, c.channels}).to(c.type), history = at::randn({c.batch, c.taps - 1, c.channels}).to(c.type);
    const Tensor kernels = (c.perToken ? at::randn({c.batch, c.length, c.channels, c.taps}) : at::randn({c.channels, c.taps})).to(c.type);
    const Tensor all = at::cat({c.history ? wide(history) : at::zeros_like(wide(history)), wide(x)}, 1);
    Tensor expected = at::zeros_like(wide(x));
    for (std::int64_t w = 0; w < c.taps; ++w)
        expected += wide(kernels).select(-1, w) * all.narrow(1, w, c.length);
    if (c.silu)
        expected = expected * at::sigmoid(expected);
    cuda::ConvolutionProblem p{c.batch, c.length, c.channels, c.taps, c.perToken, c.type == at::kFloat ? cuda::Element::Float32 : cuda::Element::BFloat16,
                               x.const_data_ptr(), kernels.const_data_ptr(), c.history ? history.const_data_ptr() : nullptr, c.silu};
    const Tensor y = unwritten(x.sizes(), c.type);
    ASSERT_EQ(cuda::launchConvolutionForward(p, y.mutable_data_ptr(), nullptr), cudaSuccess);
    EXPECT_LT(relativeError(y, expected), c.type == at::kFloat ? 1e-6 : 4e-3);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalConvolution,
                         testing::Values(Case{2, 37, 40, 4, true, true, true}, Case{3, 16, 1032, 4, true}, Case{2, 1, 8, 4, true, true},
                                         Case{1, 2, 24, 4, false, true, true}, Case{2, 33, 64, 4, false, false, true}, Case{0, 5, 8, 4, true},
                                         Case{2, 0, 8, 4, true}, Case{2, 19, 16, 4, true, true, false, at::kFloat}, Case{2, 9, 6, 4, true, true, true},
                                         Case{2, 9, 16, 3, true, true, true}, Case{1, 9, 16, 2, false, false, true, at::kFloat}),
                         testing::PrintToStringParamName());

} // namespace
