// config.json of old and new transformers, the jet_nemotron form with its extensions, and every kind of nonsense in them.
#include "core/huggingface/model_config.h"

#include <gmock/gmock.h>

#include "core/architecture/block_description.h"
#include "tests/core/huggingface/model_files.h"

namespace postnas {
namespace {

using test::inputErrorOf;
using test::tinyQwen2;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Json with(Json config, const std::string& key, Json value)
{
    config[key] = std::move(value);
    return config;
}

Json without(Json config, const std::string& key)
{
    config.erase(key);
    return config;
}

Architecture parse(const Json& config) { return parseModelConfig(config, "config.json"); }

std::string refusal(const Json& config)
{
    return inputErrorOf([&] { parse(config); });
}

std::vector<std::string> blocksOf(const Architecture& a)
{
    std::vector<std::string> out;
    for (const LayerSpec& layer : a.layers)
        out.push_back(layer.block);
    return out;
}

Json tinyQwen3() { return with(with(tinyQwen2(), "model_type", "qwen3"), "head_dim", 8); }

Json tinyJet()
{
    Json config = with(tinyQwen2(), "model_type", "jet_nemotron");
    config["num_hidden_layers"] = 4;
    config["layer_types"] = {"jet", "attn", "swa", "jet"};
    config["efficient_attention_config"] = parseJson(
        R"({"jet":{"mode":"chunk","head_dim":6,"expand_v":2.6666666666666665,"num_heads":2,"conv_size":4,
            "dconv_generator_reduction":8,"norm_eps":"1e-5"},"swa":{"window_size":24}})", "t");
    return config;
}

/// Everything that two architectures must agree on to be the same model.
void expectSame(const Architecture& a, const Architecture& b)
{
    EXPECT_EQ(a.modelType, b.modelType);
    EXPECT_EQ(a.layers, b.layers);
    EXPECT_EQ(a.headDim, b.headDim);
    EXPECT_EQ(a.keyValueHeads, b.keyValueHeads);
    EXPECT_EQ(a.ropeTheta, b.ropeTheta);
    EXPECT_EQ(a.ropeScaling, b.ropeScaling);
    EXPECT_EQ(a.attentionBias, b.attentionBias);
    EXPECT_EQ(a.attentionOutputBias, b.attentionOutputBias);
    EXPECT_EQ(a.queryKeyNorm, b.queryKeyNorm);
    EXPECT_EQ(a.tieWordEmbeddings, b.tieWordEmbeddings);
    EXPECT_EQ(a.rmsNormEpsilon, b.rmsNormEpsilon);
    EXPECT_EQ(a.initializerRange, b.initializerRange);
    EXPECT_EQ(a.dtype, b.dtype);
    EXPECT_EQ(a.maxPositions, b.maxPositions);
    EXPECT_EQ(a.eosTokenIds, b.eosTokenIds);
    EXPECT_EQ(a.bosTokenId, b.bosTokenId);
    EXPECT_EQ(a.padTokenId, b.padTokenId);
    EXPECT_EQ(parameterCount(a), parameterCount(b));
}

Architecture throughFile(const Architecture& a) { return parseModelConfig(parseJson(dumpJson(writeModelConfig(a)), "w"), "w"); }

TEST(ModelConfig, HasTheDefaultsOfTransformers)
{
    const Json least = parseJson(R"({"model_type":"qwen2","vocab_size":40,"hidden_size":16,"intermediate_size":24,
        "num_hidden_layers":30,"num_attention_heads":4,"num_key_value_heads":null})", "t");
    const Architecture a = parse(least);
    EXPECT_EQ(a.keyValueHeads, 4);
    EXPECT_EQ(a.headDim, 4);
    EXPECT_EQ(a.ropeTheta, 10000.0);
    EXPECT_EQ(a.rmsNormEpsilon, 1e-6);
    EXPECT_EQ(a.maxPositions, 32768);
    EXPECT_EQ(a.dtype, "float32");
    EXPECT_FALSE(a.tieWordEmbeddings);
    EXPECT_TRUE(a.attentionBias);
    EXPECT_FALSE(a.attentionOutputBias);
    EXPECT_FALSE(a.queryKeyNorm);
    EXPECT_TRUE(a.eosTokenIds.empty());
    // use_sliding_window alone: window 4096 from layer 28 on.
    const Architecture sliding = parse(with(least, "use_sliding_window", true));
    EXPECT_EQ(sliding.layers[27].block, "attention");
    EXPECT_EQ(sliding.layers[28].block, "sliding_window");
    EXPECT_EQ(sliding.layers[28].integer("window_size"), 4096);
    const Architecture three = parse(with(least, "model_type", "qwen3"));
    EXPECT_EQ(three.headDim, 128);
    EXPECT_TRUE(three.queryKeyNorm);
    EXPECT_FALSE(three.attentionBias);
}

TEST(ModelConfig, ReadsBothFormsOfDtypeAndRope)
{
    EXPECT_EQ(parse(with(without(tinyQwen2(), "torch_dtype"), "dtype", "bfloat16")).dtype, "bfloat16");
    EXPECT_EQ(parse(with(tinyQwen2(), "torch_dtype", "torch.float16")).dtype, "float16");
    const Json yarn = parseJson(R"({"factor":4.0,"original_max_position_embeddings":64})", "t");
    for (const char* key : {"rope_type", "type"}) {
        const Architecture a = parse(with(tinyQwen2(), "rope_scaling", with(yarn, key, "yarn")));
        EXPECT_EQ(a.ropeScaling.kind, RopeScaling::Kind::Yarn);
        EXPECT_EQ(a.ropeScaling.factor, 4.0);
        EXPECT_EQ(a.ropeScaling.originalMaxPositions, 64);
        EXPECT_EQ(a.ropeTheta, 1e6);
    }
    const Architecture five = parse(with(without(tinyQwen2(), "rope_theta"), "rope_parameters",
                                         parseJson(R"({"rope_type":"llama3","rope_theta":500000.0,"factor":8.0,"low_freq_factor":1.0,
                                                       "high_freq_factor":4.0,"original_max_position_embeddings":128})", "t")));
    EXPECT_EQ(five.ropeScaling.kind, RopeScaling::Kind::Llama3);
    EXPECT_EQ(five.ropeTheta, 500000.0);
    EXPECT_EQ(five.ropeScaling.highFrequencyFactor, 4.0);
    EXPECT_EQ(parse(with(tinyQwen2(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7.0}})).ropeTheta, 7.0);
}

TEST(ModelConfig, RopeSurvivesWriting)
{
    for (const char* text : {R"({"rope_type":"linear","factor":2.5})", R"({"type":"dynamic","factor":2})",
                             R"({"rope_type":"yarn","factor":4,"attention_factor":1.25,"beta_fast":16,"beta_slow":2,"mscale":0.7,"mscale_all_dim":0.9,"truncate":false})",
                             R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":99})"}) {
        const Architecture a = parse(with(tinyQwen2(), "rope_scaling", parseJson(text, "t")));
        EXPECT_NE(a.ropeScaling.kind, RopeScaling::Kind::Default);
        expectSame(a, throughFile(a));
    }
}

TEST(ModelConfig, SlidingWindowsOfQwen)
{
    Json config = with(with(with(tinyQwen2(), "use_sliding_window", true), "sliding_window", 32), "max_window_layers", 1);
    EXPECT_THAT(blocksOf(parse(config)), ElementsAre("attention", "sliding_window"));
    expectSame(parse(config), throughFile(parse(config)));
    // layer_types wins over max_window_layers.
    config["layer_types"] = {"sliding_attention", "full_attention"};
    const Architecture a = parse(config);
    EXPECT_THAT(blocksOf(a), ElementsAre("sliding_window", "attention"));
    EXPECT_EQ(a.layers[0].integer("window_size"), 32);
    EXPECT_EQ(writtenModelType(a), "qwen2");
    expectSame(a, throughFile(a));
    // Off, or null: no window anywhere.
    EXPECT_THAT(blocksOf(parse(without(with(config, "use_sliding_window", false), "layer_types"))), ElementsAre("attention", "attention"));
    EXPECT_THAT(blocksOf(parse(without(with(config, "sliding_window", nullptr), "layer_types"))), ElementsAre("attention", "attention"));
    EXPECT_THAT(refusal(with(config, "use_sliding_window", false)), HasSubstr("\"sliding_window\" must be set"));
}

TEST(ModelConfig, Qwen3BiasesGoToTheOutputToo)
{
    const Architecture a = parse(with(tinyQwen3(), "attention_bias", true));
    EXPECT_TRUE(a.attentionBias && a.attentionOutputBias && a.queryKeyNorm);
    expectSame(a, throughFile(a));
    expectSame(parse(tinyQwen3()), throughFile(parse(tinyQwen3())));
}

TEST(ModelConfig, EosIsANumberOrAList)
{
    EXPECT_THAT(parse(with(tinyQwen2(), "eos_token_id", {3, 5})).eosTokenIds, ElementsAre(3, 5));
    EXPECT_THAT(throughFile(parse(with(tinyQwen2(), "eos_token_id", {3, 5}))).eosTokenIds, ElementsAre(3, 5));
    EXPECT_TRUE(parse(with(tinyQwen2(), "eos_token_id", nullptr)).eosTokenIds.empty());
    EXPECT_THAT(refusal(with(tinyQwen2(), "eos_token_id", "x")), HasSubstr("eos_token_id"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "eos_token_id", {1, -2})), HasSubstr("eos_token_id"));
}

TEST(ModelConfig, ReadsTheReleasedJetForm)
{
    const Architecture a = parse(tinyJet());
    EXPECT_THAT(blocksOf(a), ElementsAre("jet", "attention", "sliding_window", "jet"));
    EXPECT_EQ(a.layers[0].integer("value_dim"), 16);
    EXPECT_EQ(a.layers[0].real("norm_eps"), 1e-5);
    EXPECT_EQ(a.layers[2].integer("window_size"), 24);
    EXPECT_TRUE(a.attentionBias);
    const Json written = writeModelConfig(a);
    EXPECT_EQ(written["layer_types"], Json({"jet", "attn", "swa", "jet"}));
    for (const char* extension : {"qk_norm", "head_dim", "attention_bias", "attention_output_bias"})
        EXPECT_FALSE(written.contains(extension)) << extension;
    // The released code passes the object to a dataclass, which knows these keys and no other.
    for (const auto& [key, value] : written["efficient_attention_config"]["jet"].items())
        EXPECT_THAT((std::vector<std::string>{"mode", "expand_v", "num_heads", "head_dim", "norm_eps", "conv_size", "dconv_generator_reduction", "dconv_implementation"}),
                    testing::Contains(key));
    expectSame(a, throughFile(a));
}

TEST(ModelConfig, TheWrittenRatioSurvivesTruncation)
{
    Architecture a = parse(tinyJet());
    for (int key = 1; key <= 200; ++key)
        for (const int value : {1, 2, 7, 96, 100, 255, 256, 257}) {
            a.layers[0].parameters["head_dim"] = key;
            a.layers[0].parameters["value_dim"] = value;
            a.layers[0].parameters["num_heads"] = 11;
            const Json out = blockNamed("jet").writeHuggingFace(a, a.layers[0]);
            const double ratio = out["expand_v"].get<double>();
            ASSERT_EQ(static_cast<int>(key * ratio), value) << key;
            ASSERT_EQ(static_cast<int>(11 * key * ratio), 11 * value) << key;
            ASSERT_EQ(blockNamed("jet").readHuggingFace(a, JsonReader(out, "t")).integer("value_dim"), value) << key;
        }
}

TEST(ModelConfig, AHybridOfAQwen3TeacherKeepsItsNorms)
{
    Architecture a = parse(tinyQwen3());
    a.layers[0] = blockNamed("gla").defaultLayer(a);
    EXPECT_EQ(writtenModelType(a), "jet_nemotron");
    const Json written = writeModelConfig(a);
    EXPECT_EQ(written["qk_norm"], true);
    EXPECT_EQ(written["head_dim"], 8);
    EXPECT_EQ(written["attention_bias"], false);
    Architecture back = throughFile(a);
    EXPECT_EQ(back.modelType, "jet_nemotron");
    back.modelType = a.modelType;
    expectSame(a, back);
}

TEST(ModelConfig, LayersOfOneBlockMayDiffer)
{
    Architecture a = parse(tinyJet());
    a.layers[3].parameters["value_dim"] = 32;
    a.layers[3].parameters["conv_size"] = 2;
    a.layers[1] = a.layers[2];
    a.layers[1].parameters["window_size"] = 7;
    const Json written = writeModelConfig(a);
    EXPECT_TRUE(written["efficient_attention_config"]["jet"]["layers"].contains("3"));
    EXPECT_FALSE(written["efficient_attention_config"]["jet"]["layers"].contains("0"));
    expectSame(a, throughFile(a));
    for (const char* key : {"1", "4", "03", "-1", "x", "", "99999999999"}) {
        Json bad = written;
        bad["efficient_attention_config"]["jet"]["layers"][key] = Json::object();
        EXPECT_THAT(refusal(bad), AllOf(HasSubstr("efficient_attention_config.jet.layers."), HasSubstr("not the number of a jet layer"))) << key;
    }
}

TEST(ModelConfig, EveryBlockSurvivesWriting)
{
    for (const BlockDescription* block : allBlocks()) {
        Architecture a = parse(tinyJet());
        a.layers[0] = block->defaultLayer(a);
        expectSame(a, throughFile(a));
        for (const std::string& name : block->huggingFaceNames())
            EXPECT_EQ(findBlockByHuggingFaceName(name), block) << name << " belongs to two blocks";
    }
}

TEST(ModelConfig, LayerTypesMustFit)
{
    EXPECT_THAT(refusal(with(tinyQwen2(), "layer_types", {"full_attention"})),
                AllOf(HasSubstr("config.json: key \"layer_types\" has 1 entries"), HasSubstr("num_hidden_layers is 2")));
    EXPECT_THAT(refusal(with(tinyQwen2(), "layer_types", {"full_attention", "chunked_attention"})),
                AllOf(HasSubstr("layer_types[1]"), HasSubstr("unknown kind \"chunked_attention\"")));
    EXPECT_THAT(refusal(with(tinyQwen2(), "layer_types", {"jet", "full_attention"})), HasSubstr("a qwen2 model cannot have"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "layer_types", {1, 2})), HasSubstr("layer_types"));
    EXPECT_THAT(refusal(with(tinyJet(), "layer_types", {"jet", "attn"})), HasSubstr("\"layer_types\" has 2 entries"));
    EXPECT_THAT(refusal(with(tinyJet(), "layer_types", {"jet", "attn", "swa", "mystery"})), HasSubstr("unknown kind \"mystery\""));
    EXPECT_THAT(refusal(without(tinyJet(), "layer_types")), HasSubstr("\"layer_types\" is missing"));
    EXPECT_THAT(refusal(without(tinyJet(), "efficient_attention_config")), HasSubstr("\"efficient_attention_config.jet\" is missing"));
    Json noWindow = tinyJet();
    noWindow["efficient_attention_config"]["swa"] = Json::object();
    EXPECT_THAT(refusal(noWindow), HasSubstr("efficient_attention_config.swa.window_size\" is missing"));
}

TEST(ModelConfig, NamesWhatIsMissingOrAbsurd)
{
    for (const char* key : {"model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"})
        EXPECT_THAT(refusal(without(tinyQwen2(), key)), HasSubstr("config.json: key \"" + std::string(key) + "\" is missing"));
    for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "max_position_embeddings"})
        for (const Json& value : {Json(0), Json(-1), Json(1ull << 62), Json(1e300), Json(18446744073709551615ull), Json("16"), Json(1.5), Json::array(), Json(true)})
            EXPECT_THAT(refusal(with(tinyQwen2(), key, value)), HasSubstr(key)) << value;
    EXPECT_THAT(refusal(with(tinyQwen2(), "model_type", "llama")), AllOf(HasSubstr("model_type"), HasSubstr("llama")));
    EXPECT_THAT(refusal(with(tinyQwen2(), "num_key_value_heads", 3)), HasSubstr("does not divide num_attention_heads (4)"));
    EXPECT_THAT(refusal(with(with(tinyQwen2(), "num_attention_heads", 5), "num_key_value_heads", 5)), HasSubstr("does not divide hidden_size (16)"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "head_dim", 3)), HasSubstr("even"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "hidden_act", "gelu")), HasSubstr("only silu"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "torch_dtype", "float64")), HasSubstr("torch_dtype"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "quantization_config", Json::object())), HasSubstr("quantization_config"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "use_mrope", true)), HasSubstr("use_mrope"));
    EXPECT_THAT(refusal(with(tinyQwen2(), "tie_word_embeddings", 1)), HasSubstr("tie_word_embeddings"));
    EXPECT_THAT(refusal(Json::array()), HasSubstr("must be a JSON object"));
    const test::TemporaryFolder folder;
    EXPECT_THAT(inputErrorOf([&] { readModelConfig(folder.path()); }), HasSubstr("config.json: does not exist"));
    test::writeFile(folder / "config.json", R"({"model_type":"qwen2","model_type":"qwen3"})");
    EXPECT_THAT(inputErrorOf([&] { readModelConfig(folder.path()); }), AllOf(HasSubstr("config.json"), HasSubstr("model_type"), HasSubstr("twice")));
}

TEST(ModelConfig, RefusesRopeItDoesNotKnow)
{
    const auto rope = [](const char* text) { return refusal(with(tinyQwen2(), "rope_scaling", parseJson(text, "t"))); };
    EXPECT_THAT(rope(R"({"rope_type":"longrope","factor":2})"), HasSubstr("longrope"));
    EXPECT_THAT(rope(R"({"rope_type":"yarn","type":"linear","factor":2})"), HasSubstr("rope_scaling.type"));
    EXPECT_THAT(rope(R"({"rope_type":"yarn"})"), HasSubstr("rope_scaling.factor"));
    EXPECT_THAT(rope(R"({"rope_type":"linear","factor":0})"), HasSubstr("rope_scaling.factor"));
    EXPECT_THAT(rope(R"({"rope_type":"llama3","factor":2,"low_freq_factor":4,"high_freq_factor":4})"), HasSubstr("high_freq_factor"));
    EXPECT_THAT(rope(R"({"rope_type":"yarn","factor":2,"beta_fast":1,"beta_slow":2})"), HasSubstr("beta_fast"));
    EXPECT_THAT(rope(R"({"full_attention":{"rope_type":"default"}})"), HasSubstr("one layer type"));
    EXPECT_THAT(rope(R"({"type":"default","mrope_section":[1,2]})"), HasSubstr("mrope_section"));
    EXPECT_THAT(rope(R"("yarn")"), HasSubstr("rope_scaling"));
}

TEST(ModelConfig, RefusesJetObjectsThatDoNotFit)
{
    const auto jet = [](const std::string& key, Json value) {
        Json config = tinyJet();
        config["efficient_attention_config"]["jet"][key] = std::move(value);
        return refusal(config);
    };
    EXPECT_THAT(jet("num_heads", 0), HasSubstr("efficient_attention_config.jet.num_heads"));
    EXPECT_THAT(jet("head_dim", "six"), HasSubstr("efficient_attention_config.jet.head_dim"));
    EXPECT_THAT(jet("expand_v", 2.7), HasSubstr("no whole number"));
    EXPECT_THAT(jet("norm_eps", "tiny"), HasSubstr("efficient_attention_config.jet.norm_eps"));
    EXPECT_THAT(jet("norm_eps", "nan"), HasSubstr("norm_eps"));
    EXPECT_THAT(jet("dconv_generator_reduction", 4096), HasSubstr("dconv_generator_reduction"));
}

} // namespace
} // namespace postnas
