// Products of a few tokens with several matrices, run on the CPU by kernels/emulation, against float64 arithmetic.
#include "kernels/include/linear_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace postnas::emulation {
extern std::size_t sharedMemoryLimit; // kernels/emulation/cuda_emulation.h, which only kernels can include
}

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

constexpr double kBound = 5e-3; ///< one rounding to bfloat16
constexpr double kEpsilon = 1e-2;

struct Case {
    std::int64_t tokens, width;
    std::vector<std::int64_t> rows;
    bool norm;
    int multiprocessors = 3;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    out << "T" << c.tokens << "_W" << c.width << "_R";
    for (const std::int64_t rows : c.rows)
        out << rows << "_";
    return out << (c.norm ? "norm" : "plain");
}

Tensor random(at::IntArrayRef shape) { return at::randn(shape).to(at::kBFloat16); }

/// x as the products see it: rounded after the norm, as the norm alone rounds it.
Tensor inputOf(const Tensor& x, const Tensor& weight, bool norm)
{
    if (!norm)
        return wide(x);
    return wide((wide(x) * (wide(x).square().mean(at::IntArrayRef{-1}, true) + kEpsilon).rsqrt() * wide(weight)).to(at::kBFloat16));
}

class TokenProducts : public testing::TestWithParam<Case> {
protected:
    void SetUp() override
    {
        at::manual_seed(23);
        const Case& c = GetParam();
        x = random({c.tokens, c.width});
        normWeight = (at::rand({c.width}) + 0.5).to(at::kBFloat16);
        p.tokens = c.tokens;
        p.width = c.width;
        p.x = x.const_data_ptr();
        p.normWeight = c.norm ? normWeight.const_data_ptr() : nullptr;
        p.epsilon = float(kEpsilon);
        in = inputOf(x, normWeight, c.norm);
    }

    /// A matrix more; every second one has a bias, every third goes through silu, every fourth stays unrounded. Its result goes to outputs.
    void add(std::int64_t rows)
    {
        const std::size_t i = weights.size();
        weights.push_back(random({rows, p.width}) / std::sqrt(double(p.width)));
        biases.push_back(random({rows}));
        outputs.push_back(unwritten({p.tokens, rows}, i % 4 == 1 ? at::kFloat : at::kBFloat16));
        Tensor y = at::matmul(in, wide(weights[i]).t());
        if (i % 2 == 0)
            y = y + wide(biases[i]);
        expected.push_back(i % 3 == 0 ? at::silu(y) : y);
        p.products[p.count++] = {weights[i].const_data_ptr(), i % 2 == 0 ? biases[i].const_data_ptr() : nullptr, outputs[i].mutable_data_ptr(), rows,
                                 i % 3 == 0, i % 4 == 1};
    }

    cuda::TokenProducts p;
    Tensor x, normWeight, in;
    std::vector<Tensor> weights, biases, outputs, expected;
};

TEST_P(TokenProducts, EachMatrixGetsItsProduct)
{
    for (const std::int64_t rows : GetParam().rows)
        add(rows);
    ASSERT_TRUE(cuda::tokenProductsCanTake(p));
    ASSERT_EQ(cuda::launchTokenProducts(p, GetParam().multiprocessors, nullptr), cudaSuccess);
    for (std::size_t i = 0; i < outputs.size(); ++i)
        EXPECT_LT(relativeError(outputs[i], expected[i]), p.products[i].unrounded ? 1e-5 : kBound) << "product " << i;
}

TEST_P(TokenProducts, SiluOfOneTimesTheOther)
{
    const std::int64_t rows = GetParam().rows.front();
    p.swiGlu = true;
    for (int i = 0; i < 2; ++i) {
        add(rows);
        p.products[i].silu = false;
        p.products[i].bias = nullptr;
        p.products[i].unrounded = false;
    }
    const auto product = [&](int i) { return at::matmul(in, wide(weights[std::size_t(i)]).t()); };
    ASSERT_EQ(cuda::launchTokenProducts(p, GetParam().multiprocessors, nullptr), cudaSuccess);
    EXPECT_LT(relativeError(outputs[0], at::silu(product(0)) * product(1)), kBound);
}

TEST_P(TokenProducts, IsAddedInPlace)
{
    const std::int64_t rows = GetParam().rows.front();
    add(rows);
    p.products[0].silu = false;
    const Tensor sum = random({p.tokens, rows}), before = wide(sum);
    p.residual = sum.const_data_ptr();
    p.products[0].out = sum.mutable_data_ptr();
    ASSERT_EQ(cuda::launchTokenProducts(p, GetParam().multiprocessors, nullptr), cudaSuccess);
    EXPECT_LT(relativeError(sum, before + at::matmul(in, wide(weights[0]).t()) + wide(biases[0])), kBound);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TokenProducts,
                         testing::Values(Case{1, 1536, {40, 12, 12, 33}, true}, Case{1, 32, {1}, false}, Case{2, 384, {100, 7}, false},
                                         Case{3, 1568, {17, 1, 50}, true}, Case{8, 96, {64, 2, 3, 4, 5, 6, 7, 8}, true}, Case{5, 768, {9}, false},
                                         Case{4, 2080, {23}, true, 1}, Case{1, 64, {700, 30}, true, 1}, Case{7, 224, {31, 5}, false},
                                         Case{0, 64, {8}, false}, Case{1, 64, {0, 5}, false}, Case{5, 8960, {6, 2}, false, 2}),
                         [](const auto& info) { return testing::PrintToString(info.param) + "_" + std::to_string(info.index); });

/// One product that is only asked about.
cuda::TokenProducts oneProduct(const Tensor& memory, std::int64_t tokens, std::int64_t width, std::int64_t rows)
{
    cuda::TokenProducts p;
    p.tokens = tokens;
    p.width = width;
    p.x = memory.const_data_ptr();
    p.count = 1;
    p.products[0] = {memory.const_data_ptr(), nullptr, memory.mutable_data_ptr(), rows};
    return p;
}

TEST(TokenProductsCanTake, AsksForTheDevicesSharedMemory)
{
    const Tensor memory = at::zeros({64}, at::kBFloat16);
    const cuda::TokenProducts p = oneProduct(memory, 4, 4096, 4096);
    EXPECT_TRUE(cuda::tokenProductsCanTake(p));
    postnas::emulation::sharedMemoryLimit = 99 * 1024;
    EXPECT_FALSE(cuda::tokenProductsCanTake(p));
    EXPECT_TRUE(cuda::tokenProductsCanTake(oneProduct(memory, 1, 1024, 4096)));
    postnas::emulation::sharedMemoryLimit = 227 * 1024;
}

TEST(TokenProductsCanTake, RefusesWhatItsAccessesAndItsMemoryCannotTake)
{
    const Tensor memory = at::zeros({64}, at::kBFloat16);
    const cuda::TokenProducts p = oneProduct(memory, 1, 64, 1);
    EXPECT_TRUE(cuda::tokenProductsCanTake(p));
    const auto refuses = [&](auto change) {
        cuda::TokenProducts other = p;
        change(other);
        EXPECT_FALSE(cuda::tokenProductsCanTake(other));
        EXPECT_EQ(cuda::launchTokenProducts(other, 1, nullptr), cudaErrorInvalidValue);
    };
    refuses([](auto& o) { o.tokens = 9; });
    refuses([](auto& o) { o.width = 72; });
    refuses([](auto& o) { o.width = 131072; });
    refuses([](auto& o) { o.count = 0; });
    refuses([](auto& o) { o.swiGlu = true; });
    refuses([](auto& o) { o.x = static_cast<const char*>(o.x) + 2; });
    refuses([](auto& o) { o.products[0].weight = static_cast<const char*>(o.products[0].weight) + 8; });
    refuses([](auto& o) {
        o.residual = o.x;
        o.products[o.count++] = o.products[0];
    });
}

} // namespace
