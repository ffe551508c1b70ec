// Decode attention, run on the CPU by kernels/emulation, against a float64 softmax.
#include "kernels/include/attention_launch.h"
#include "tests/kernels/emulated/comparison.h"

namespace postnas::emulation {
extern bool warpGroups;
extern std::size_t sharedMemoryLimit; // both: kernels/emulation/cuda_emulation.h, which only kernels can include
}

namespace {

using at::Tensor;
using namespace postnas::tests;
namespace cuda = postnas::ops::cuda;

struct Case {
    std::int64_t heads, keyValueHeads, capacity, dim;
    std::vector<std::int32_t> lengths;
    int splits = 0;
    double queryScale = 1;
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << "H" << c.heads << "_G" << c.keyValueHeads << "_C" << c.capacity << "_D" << c.dim << "_S" << c.splits;
}

struct Inputs {
    Tensor q, keys, values, lengths;

    /// Slots that no token has yet hold NaN: reading one shows.
    explicit Inputs(const Case& c)
        : lengths(at::tensor(c.lengths, at::kInt))
    {
        at::manual_seed(5);
        const std::int64_t batch = std::int64_t(c.lengths.size());
        q = (at::randn({batch, c.heads, c.dim}) * c.queryScale).to(at::kBFloat16);
        keys = at::randn({batch, c.keyValueHeads, c.capacity, c.dim}).to(at::kBFloat16);
        values = at::randn({batch, c.keyValueHeads, c.capacity, c.dim}).to(at::kBFloat16);
        for (std::int64_t b = 0; b < batch; ++b) {
            const std::int64_t used = std::min<std::int64_t>(c.lengths[std::size_t(b)], c.capacity);
            keys[b].narrow(1, used, c.capacity - used).fill_(std::numeric_limits<double>::quiet_NaN());
            values[b].narrow(1, used, c.capacity - used).fill_(std::numeric_limits<double>::quiet_NaN());
        }
    }

    cuda::DecodeAttentionProblem problem() const
    {
        cuda::DecodeAttentionProblem p;
        p.batch = q.size(0);
        p.heads = q.size(1);
        p.keyValueHeads = keys.size(1);
        p.capacity = keys.size(2);
        p.dim = q.size(2);
        p.q = q.const_data_ptr();
        p.keys = keys.const_data_ptr();
        p.values = values.const_data_ptr();
        p.lengths = lengths.const_data_ptr<std::int32_t>();
        p.scale = float(1 / std::sqrt(double(p.dim)));
        return p;
    }
};

Tensor reference(const Inputs& in)
{
    const cuda::DecodeAttentionProblem p = in.problem();
    Tensor out = at::zeros({p.batch, p.heads, p.dim}, at::kDouble);
    for (std::int64_t b = 0; b < p.batch; ++b) {
        const std::int64_t used = std::min<std::int64_t>(in.lengths[b].item<int>(), p.capacity), share = p.heads / p.keyValueHeads;
        for (std::int64_t h = 0; used > 0 && h < p.heads; ++h) {
            const Tensor keys = wide(in.keys[b][h / share].narrow(0, 0, used)), values = wide(in.values[b][h / share].narrow(0, 0, used));
            out[b][h] = at::softmax(keys.mv(wide(in.q[b][h])) * double(p.scale), 0).matmul(values);
        }
    }
    return out;
}

/// tiles: through the kernel that large caches take.
Tensor run(cuda::DecodeAttentionProblem p, bool tiles)
{
    constexpr int multiprocessors = 8;
    p.tileBytes = tiles ? 0 : std::numeric_limits<std::int64_t>::max();
    Tensor out = unwritten({p.batch, p.heads, p.dim}, at::kBFloat16);
    const Tensor workspace = unwritten({std::int64_t(cuda::decodeAttentionWorkspace(p, multiprocessors) / 4)}, at::kFloat);
    EXPECT_EQ(cuda::launchDecodeAttention(p, out.mutable_data_ptr(), workspace.mutable_data_ptr(), multiprocessors, nullptr), cudaSuccess);
    return out;
}

class DecodeAttention : public testing::TestWithParam<std::tuple<Case, bool>> {};

TEST_P(DecodeAttention, FollowsTheReference)
{
    const auto& [c, tiles] = GetParam();
    const Inputs in(c);
    cuda::DecodeAttentionProblem p = in.problem();
    p.splits = c.splits;
    ASSERT_TRUE(cuda::decodeAttentionCanTake(p));
    const Tensor out = run(p, tiles), expected = reference(in);
    EXPECT_LT(relativeError(out, expected), 6e-3);
    // Short sequences have larger outputs: each must be right by its own measure.
    for (std::int64_t b = 0; b < p.batch; ++b)
        EXPECT_LT(relativeError(out[b], expected[b]), 8e-3) << "sequence " << b;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DecodeAttention,
    testing::Combine(testing::Values(Case{12, 2, 700, 128, {1, 17, 64, 333, 0, 700}}, Case{12, 2, 1500, 128, {1500, 1, 255, 257, 1023}, 4},
                                     Case{16, 2, 2100, 128, {2099, 513}, 8}, Case{3, 3, 300, 64, {299, 16}}, Case{4, 2, 900, 80, {900, 31}, 3},
                                     Case{15, 3, 520, 96, {519, 48}, 2}, Case{7, 1, 130, 72, {129, 130}}, Case{8, 2, 260, 40, {100, 260}},
                                     Case{20, 1, 600, 64, {601, 599}, 2}, Case{3, 1, 128, 128, {500, 5}}, Case{12, 2, 40, 128, {}},
                                     Case{6, 1, 4096, 64, {4000}}, Case{6, 1, 1100, 128, {1100, 700}, 3, 30.0}, Case{40, 2, 330, 128, {330, 65}, 2},
                                     Case{2, 1, 70, 8, {70, 3}}, Case{2, 2, 8192, 64, {4100, 100, 1, 33}}),
                     testing::Bool()),
    [](const auto& info) {
        return testing::PrintToString(std::get<0>(info.param)) + (std::get<1>(info.param) ? "_tiles_" : "_") + std::to_string(info.index);
    });

TEST(DecodeAttentionSmallDevice, HoldsFewerTilesAndGivesTheSame)
{
    for (const Case& c : {Case{12, 2, 700, 128, {1, 333, 0, 700}}, Case{4, 2, 900, 80, {900, 31}, 3}, Case{16, 2, 520, 96, {519, 48}, 2},
                          Case{7, 1, 1100, 64, {1100, 130}, 2}}) {
        const Inputs in(c);
        cuda::DecodeAttentionProblem p = in.problem();
        p.splits = c.splits;
        const Tensor usual = run(p, false);
        postnas::emulation::warpGroups = false;
        postnas::emulation::sharedMemoryLimit = 99 * 1024; // compute capability 8.6 and 8.9
        const Tensor small = run(p, false);
        postnas::emulation::sharedMemoryLimit = 227 * 1024;
        postnas::emulation::warpGroups = true;
        EXPECT_TRUE(at::equal(small, usual));
        EXPECT_LT(relativeError(small, reference(in)), 6e-3);
    }
}

class DecodeAttentionPath : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Paths, DecodeAttentionPath, testing::Bool(), [](const auto& info) { return info.param ? "tiles" : "small"; });

TEST_P(DecodeAttentionPath, TheOrderOfSlotsInARingDoesNotMatter)
{
    Inputs in({6, 2, 64, 128, {200, 64}});
    const Tensor straight = run(in.problem(), GetParam());
    in.keys = in.keys.roll(23, 2).contiguous();
    in.values = in.values.roll(23, 2).contiguous();
    EXPECT_LT(relativeError(run(in.problem(), GetParam()), wide(straight)), 8e-3);
}

TEST_P(DecodeAttentionPath, TheCacheOfAFinishedSequenceIsNotRead)
{
    Inputs in({6, 2, 600, 64, {300, 600}, 2});
    in.keys[1].fill_(std::numeric_limits<double>::quiet_NaN());
    const Tensor finished = at::tensor({0, 1}, at::kByte);
    cuda::DecodeAttentionProblem p = in.problem();
    p.splits = 2;
    p.finished = finished.const_data_ptr<std::uint8_t>();
    const Tensor out = run(p, GetParam());
    EXPECT_EQ(out[1].abs().max().item<float>(), 0.0f);
    EXPECT_LT(relativeError(out[0], reference(in)[0]), 8e-3);
}

/// Large scores in one place: the maxima of the parts lie far from one another.
TEST_P(DecodeAttentionPath, PartsAreWeighedByTheirMaxima)
{
    Inputs in({2, 1, 1024, 64, {1024}});
    in.keys[0][0][700] = in.q[0][0] * 4;
    in.keys[0][0][3] = in.q[0][1] * 4;
    cuda::DecodeAttentionProblem p = in.problem();
    p.splits = 4;
    EXPECT_LT(relativeError(run(p, GetParam()), reference(in)), 6e-3);
}

cuda::DecodeAttentionProblem sizesOf(std::int64_t batch, std::int64_t capacity)
{
    cuda::DecodeAttentionProblem p;
    p.batch = batch;
    p.heads = 12;
    p.keyValueHeads = 2;
    p.dim = 128;
    p.capacity = capacity;
    return p;
}

TEST(DecodeAttentionWorkspace, IsNeededBySplitSequencesAlone)
{
    cuda::DecodeAttentionProblem p = sizesOf(128, 200);
    EXPECT_EQ(cuda::decodeAttentionWorkspace(p, 132), 0u);
    p.batch = 1;
    p.capacity = 65536;
    EXPECT_EQ(cuda::decodeAttentionWorkspace(p, 132), 12u * 66 * 130 * 4); // a block on every multiprocessor
}

TEST(DecodeAttentionWorkspace, LargeCachesAreCutIntoFewParts)
{
    cuda::DecodeAttentionProblem p = sizesOf(128, 65536);
    EXPECT_EQ(cuda::decodeAttentionWorkspace(p, 132), 128u * 12 * 8 * 130 * 4);
    postnas::emulation::warpGroups = false;
    EXPECT_EQ(cuda::decodeAttentionWorkspace(p, 132), 128u * 12 * 32 * 130 * 4);
    postnas::emulation::warpGroups = true;
    p.batch = 1768;
    p.capacity = 4160;
    EXPECT_EQ(cuda::decodeAttentionWorkspace(p, 132), 0u);
}

TEST(DecodeAttentionCanTake, RefusesOtherWidthsAndMisalignedArrays)
{
    const Inputs in({6, 2, 64, 64, {10}});
    cuda::DecodeAttentionProblem p = in.problem();
    EXPECT_TRUE(cuda::decodeAttentionCanTake(p));
    p.dim = 60;
    EXPECT_FALSE(cuda::decodeAttentionCanTake(p));
    p.dim = 136;
    EXPECT_FALSE(cuda::decodeAttentionCanTake(p));
    p = in.problem();
    p.q = static_cast<const char*>(p.q) + 2;
    EXPECT_FALSE(cuda::decodeAttentionCanTake(p));
}

} // namespace
