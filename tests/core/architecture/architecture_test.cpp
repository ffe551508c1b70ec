// The formulas of architectures against the published models and the counted weights.
#include "core/architecture/architecture.h"

#include <gmock/gmock.h>

#include "core/architecture/block_description.h"
#include "core/architecture/model_summary.h"
#include "core/base/error.h"
#include "core/huggingface/model_config.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using testing::HasSubstr;

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::int64_t kContext = 65536;

Architecture builtIn(const std::string& name)
{
    return readModelConfig(test::sourceFolder() / "resources" / "architectures" / (name + ".json"));
}

std::string usageErrorOf(const Architecture& a)
{
    try {
        validate(a, "here");
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Usage);
        return e.what();
    }
    return "no error";
}

TEST(Architecture, StateSizesAreThoseOfThePaper)
{
    EXPECT_DOUBLE_EQ(stateSize(builtIn("qwen2.5-1.5b"), kContext).total() / kMiB, 1792);
    EXPECT_DOUBLE_EQ(stateSize(builtIn("qwen3-1.7b"), kContext).total() / kMiB, 7168);
    const StateSize four = stateSize(builtIn("jet-nemotron-4b"), kContext);
    EXPECT_DOUBLE_EQ(four.total() / kMiB, 258);
    EXPECT_DOUBLE_EQ(four.cacheBytes / kMiB, 192 + 14);
    EXPECT_DOUBLE_EQ(four.recurrentBytes / kMiB, 52);
    const StateSize two = stateSize(builtIn("jet-nemotron-2b"), kContext);
    EXPECT_DOUBLE_EQ(two.total() / kMiB, 157.25);
    EXPECT_DOUBLE_EQ(two.cacheBytes / kMiB, 128 + 2.25);
    EXPECT_DOUBLE_EQ(two.recurrentBytes / kMiB, 27);
    // A bfloat16 state halves the recurrent part and nothing else.
    EXPECT_DOUBLE_EQ(stateSize(builtIn("jet-nemotron-2b"), kContext, {2, 2}).total() / kMiB, 157.25 - 13.5);
}

TEST(Architecture, ParametersAreThoseOfTheReleasedModels)
{
    EXPECT_EQ(parameterCount(builtIn("jet-nemotron-2b")), 1'964'806'208);
    EXPECT_EQ(parameterCount(builtIn("qwen2.5-1.5b")), 1'543'714'304);
    EXPECT_EQ(parameterCount(builtIn("qwen3-1.7b")), 1'720'574'976);
}

TEST(Architecture, LayersAddUpToTheModel)
{
    for (const char* name : {"jet-nemotron-2b", "jet-nemotron-4b", "qwen2.5-1.5b", "qwen3-1.7b"}) {
        const Architecture a = builtIn(name);
        std::int64_t parameters = a.vocabularySize * a.hiddenSize + a.hiddenSize;
        double state = 0;
        for (int i = 0; i < a.layerCount(); ++i) {
            parameters += layerParameterCount(a, i);
            state += layerStateSize(a, i, kContext).total();
        }
        EXPECT_EQ(parameters, parameterCount(a)) << name;
        EXPECT_DOUBLE_EQ(state, stateSize(a, kContext).total()) << name;
    }
}

TEST(Architecture, OnlyAttentionGrowsWithTheContext)
{
    Architecture a = builtIn("qwen2.5-1.5b");
    for (const BlockDescription* block : allBlocks()) {
        a.layers = {block->defaultLayer(a)};
        ASSERT_NO_THROW(validate(a, "here")) << block->name();
        const double once = stateSize(a, 1 << 20).total(), twice = stateSize(a, 1 << 21).total();
        EXPECT_GT(once, 0) << block->name();
        EXPECT_DOUBLE_EQ(twice, block->growsWithContext() ? 2 * once : once) << block->name();
        EXPECT_GT(decodeFlops(a, 1024), 2.0 * static_cast<double>(a.vocabularySize * a.hiddenSize)) << block->name();
        EXPECT_EQ(decodeFlops(a, 1 << 21) > decodeFlops(a, 1 << 20), block->growsWithContext()) << block->name();
        EXPECT_FALSE(block->displayName().empty() || block->summary().empty() || block->source().empty());
        for (const Hyperparameter& p : block->hyperparameters(a)) {
            EXPECT_GE(p.fallback, p.minimum) << block->name() << " " << p.name;
            EXPECT_LE(p.fallback, p.maximum) << block->name() << " " << p.name;
        }
    }
}

TEST(Architecture, DecodingReadsWeightsOnceAndStatesOfEverySequence)
{
    const Architecture a = builtIn("jet-nemotron-2b");
    const double one = decodeBytes(a, kContext, 1), two = decodeBytes(a, kContext, 2), three = decodeBytes(a, kContext, 3);
    EXPECT_DOUBLE_EQ(three - two, two - one);
    // Caches are read, recurrent states read and written: at least the state itself moves.
    EXPECT_GT(two - one, stateSize(a, kContext).total());
    EXPECT_GT(one - (two - one), 2.0 * 1.7e9);
}

TEST(Architecture, ValidationNamesTheLayerAndTheValue)
{
    const Architecture good = builtIn("jet-nemotron-2b");
    EXPECT_EQ(usageErrorOf(good), "no error");
    Architecture a = good;
    a.keyValueHeads = 5;
    EXPECT_THAT(usageErrorOf(a), HasSubstr("must be a multiple of num_key_value_heads (5)"));
    a = good;
    a.layers[3].block = "mystery";
    EXPECT_THAT(usageErrorOf(a), HasSubstr("layer 3 has the unknown block \"mystery\""));
    a = good;
    a.layers[3].parameters["num_heads"] = 0;
    EXPECT_THAT(usageErrorOf(a), HasSubstr("layer 3 (jet): num_heads is 0"));
    a = good;
    a.layers[3].parameters["num_heads"] = "twelve";
    EXPECT_THAT(usageErrorOf(a), HasSubstr("layer 3 (jet): num_heads"));
    a = good;
    a.layers[3].parameters["num_heads"] = 1.5;
    EXPECT_THAT(usageErrorOf(a), HasSubstr("layer 3 (jet): num_heads"));
    a = good;
    a.layers[3].parameters.erase("conv_size");
    EXPECT_THAT(usageErrorOf(a), HasSubstr("layer 3 lacks \"conv_size\""));
    a = good;
    a.layers[3] = blockNamed("gla").defaultLayer(a);
    a.layers[3].parameters["num_kv_heads"] = 5;
    EXPECT_THAT(usageErrorOf(a), HasSubstr("num_heads must be a multiple"));
    a = good;
    a.layers.clear();
    EXPECT_THAT(usageErrorOf(a), HasSubstr("no layers"));
}

TEST(Architecture, SizesThatOverflowAreRefused)
{
    Architecture a = builtIn("qwen2.5-1.5b");
    a.vocabularySize = std::int64_t{1} << 40;
    a.hiddenSize = std::int64_t{1} << 30;
    EXPECT_THAT(usageErrorOf(a), HasSubstr("64-bit"));
}

TEST(ModelSummary, HasWhatScriptsRelyOn)
{
    const Architecture a = builtIn("jet-nemotron-2b");
    const Json s = modelSummary(a, kContext);
    EXPECT_EQ(s["parameters"], 1'964'806'208);
    EXPECT_EQ(s["context"], 65536);
    EXPECT_TRUE(s["state_bytes"].is_number_integer());
    EXPECT_EQ(s["state_bytes"], static_cast<std::int64_t>(157.25 * kMiB));
    ASSERT_EQ(s["layers"].size(), 28u);
    EXPECT_EQ(s["layers"][14]["block"], "attention");
    EXPECT_EQ(s["layers"][20]["parameters"]["window_size"], 1152);
    EXPECT_EQ(s["layers"][0]["parameters"]["value_dim"], 256);
    EXPECT_EQ(s["layers"][0]["index"], 0);
    EXPECT_EQ(s["blocks"]["jet"], 24);
    const std::string text = modelSummaryText(a, kContext);
    EXPECT_THAT(text, HasSubstr("1,964,806,208"));
    EXPECT_THAT(text, HasSubstr("157.25 MiB"));
}

} // namespace
} // namespace postnas
