// Opening model folders: the reference ones open, and each kind of damage is named.
#include "core/huggingface/checkpoint.h"

#include <gmock/gmock.h>

#include "core/base/memory.h"
#include "core/huggingface/checkpoint_index.h"
#include "tests/core/huggingface/model_files.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::inputErrorOf;
using test::ModelTensors;
using test::tinyQwen2;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

std::string refusal(const fs::path& folder)
{
    return inputErrorOf([&] { Checkpoint::open(folder); });
}

TEST(Checkpoint, OpensTheReferenceFolders)
{
    for (const auto& [name, type, dtype, files] : {std::tuple{"qwen2-tiny", "qwen2", DType::F32, 1u}, {"qwen3-tiny-sharded-bf16", "qwen3", DType::BF16, 3u}, {"jet-tiny", "jet_nemotron", DType::F32, 1u}}) {
        const Checkpoint checkpoint = Checkpoint::open(test::testData(name));
        EXPECT_EQ(checkpoint.architecture().modelType, type);
        EXPECT_EQ(checkpoint.dtype(), dtype) << name;
        EXPECT_EQ(checkpoint.files().size(), files);
        EXPECT_THAT(checkpoint.warnings(), IsEmpty()) << name;
        EXPECT_EQ(checkpoint.weightBytes(), static_cast<std::uint64_t>(parameterCount(checkpoint.architecture())) * dtypeSize(dtype)) << name;
        EXPECT_EQ(checkpoint.names().size(), modelWeights(checkpoint.architecture()).size());
        EXPECT_EQ(checkpoint.tensor("model.embed_tokens.weight").shape, (std::vector<std::uint64_t>{320, 64}));
        EXPECT_THAT(inputErrorOf([&, &c = checkpoint] { c.tensor("model.nothing"); }), HasSubstr("model.nothing"));
    }
    EXPECT_EQ(Checkpoint::open(test::testData("qwen2-tiny")).generationConfig().eosTokenIds, std::vector<std::int64_t>{1});
}

TEST(Checkpoint, CopiesKeepTheViewsValid)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2());
    Checkpoint copy = Checkpoint::open(folder.path());
    {
        const Checkpoint original = Checkpoint::open(folder.path());
        copy = original;
    }
    EXPECT_EQ(copy.tensor("model.norm.weight").data.size(), 64u);
    EXPECT_NE(static_cast<int>(copy.tensor("model.norm.weight").data[0]), -1);
}

TEST(Checkpoint, FollowsSymbolicLinksToShards)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder / "blobs", tinyQwen2(), 2000);
    fs::create_directories(folder / "snapshot");
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / "blobs"))
        fs::create_symlink(fs::path("../blobs") / entry.path().filename(), folder / "snapshot" / entry.path().filename().string());
    EXPECT_GT(Checkpoint::open(folder / "snapshot").files().size(), 1u);
}

TEST(Checkpoint, NamesAMissingWeight)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2());
    ModelTensors tensors(parseModelConfig(tinyQwen2(), "c"));
    tensors.remove("model.layers.1.mlp.up_proj.weight");
    tensors.write(folder.path());
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("model.safetensors"), HasSubstr("\"model.layers.1.mlp.up_proj.weight\" is missing")));
}

TEST(Checkpoint, UntiedModelsNeedAnOutputLayer)
{
    const test::TemporaryFolder folder;
    Json config = tinyQwen2();
    test::writeModelFolder(folder.path(), config);
    config["tie_word_embeddings"] = false;
    test::writeFile(folder / "config.json", dumpJson(config));
    EXPECT_THAT(refusal(folder.path()), HasSubstr("\"lm_head.weight\" is missing"));
}

TEST(Checkpoint, NamesAWrongShapeAndAWrongDtype)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2());
    ModelTensors shape(parseModelConfig(tinyQwen2(), "c"));
    shape.at("model.layers.0.self_attn.k_proj.weight").shape = {16, 8};
    shape.write(folder.path());
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("self_attn.k_proj.weight"), HasSubstr("[16, 8]"), HasSubstr("[8, 16]")));
    ModelTensors dtype(parseModelConfig(tinyQwen2(), "c"));
    dtype.at("model.norm.weight").dtype = DType::I32;
    dtype.write(folder.path());
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("model.norm.weight"), HasSubstr("I32")));
    dtype.at("model.norm.weight").dtype = DType::BF16;
    dtype.at("model.embed_tokens.weight").dtype = DType::F16;
    dtype.write(folder.path());
    EXPECT_NO_THROW(Checkpoint::open(folder.path()));
}

TEST(Checkpoint, VocabularyMustBeTheRowsOfTheEmbedding)
{
    const test::TemporaryFolder folder;
    Json config = tinyQwen2();
    test::writeModelFolder(folder.path(), config);
    config["vocab_size"] = 41;
    test::writeFile(folder / "config.json", dumpJson(config));
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("model.embed_tokens.weight"), HasSubstr("[40, 16]"), HasSubstr("[41, 16]")));
    const Architecture a = parseModelConfig(tinyQwen2(), "c");
    EXPECT_NO_THROW(checkVocabulary(40, a, folder.path()));
    EXPECT_NO_THROW(checkVocabulary(0, a, folder.path()));
    EXPECT_THAT(inputErrorOf([&] { checkVocabulary(41, a, folder.path()); }), AllOf(HasSubstr("tokenizer.json"), HasSubstr("up to 40"), HasSubstr("vocab_size")));
}

TEST(Checkpoint, ToleratesHarmlessTensorsAndWarnsOfOthers)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2());
    ModelTensors tensors(parseModelConfig(tinyQwen2(), "c"));
    tensors.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::F32, {2}});
    tensors.tensors.push_back({"lm_head.weight", DType::F32, {40, 16}});
    tensors.write(folder.path());
    EXPECT_THAT(Checkpoint::open(folder.path()).warnings(), IsEmpty());
    tensors.tensors.push_back({"model.layers.2.mlp.up_proj.weight", DType::F32, {24, 16}});
    tensors.write(folder.path());
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    ASSERT_EQ(checkpoint.warnings().size(), 1u);
    EXPECT_THAT(checkpoint.warnings().front(), HasSubstr("model.layers.2.mlp.up_proj.weight"));
    EXPECT_FALSE(checkpoint.has("model.layers.2.mlp.up_proj.weight"));
}

TEST(Checkpoint, FindsMissingTruncatedAndForeignShards)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2(), 3000);
    const std::size_t count = Checkpoint::open(folder.path()).files().size();
    ASSERT_GE(count, 3u);
    const fs::path second = Checkpoint::open(folder.path()).files()[1];
    const std::string content = test::readFile(second);
    fs::remove(second);
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr(second.filename().string()), HasSubstr("is missing")));
    test::writeFile(second, content.substr(0, content.size() - 4));
    EXPECT_THAT(refusal(folder.path()), HasSubstr(second.filename().string()));
    // The first shard under the second's name: its tensors are not where the index says.
    test::writeFile(second, test::readFile(Checkpoint::open(test::testData("qwen3-tiny-sharded-bf16")).files()[0]));
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr(second.filename().string()), HasSubstr("is in this shard, but model.safetensors.index.json")));
    test::writeFile(second, test::rawSafetensors("{}", 0));
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("weight_map."), HasSubstr("has no such tensor")));
}

TEST(Checkpoint, TheIndexStaysInsideTheFolder)
{
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder / "model", tinyQwen2(), 3000);
    const fs::path index = folder / "model" / "model.safetensors.index.json";
    const std::string good = test::readFile(index);
    test::writeModelFolder(folder / "other", tinyQwen2());
    for (const std::string shard : {"../other/model.safetensors", "/etc/passwd", "..", "", "a\\\\b.safetensors", "sub/x.safetensors", "a\\u0000.safetensors"}) {
        test::writeFile(index, R"({"weight_map":{"model.norm.weight":")" + shard + R"("}})");
        EXPECT_THAT(refusal(folder / "model"), AllOf(HasSubstr("index.json"), HasSubstr("weight_map.model.norm.weight"), HasSubstr("not a plain file name"))) << shard;
    }
    test::writeFile(index, R"({"weight_map":{"model.norm.weight":"pytorch_model.bin"}})");
    EXPECT_THAT(refusal(folder / "model"), HasSubstr("no .safetensors file"));
    test::writeFile(index, good);
    EXPECT_NO_THROW(Checkpoint::open(folder / "model"));
}

TEST(Checkpoint, TheIndexIsStrictJson)
{
    const auto index = [](const std::string& json) { return inputErrorOf([&] { parseShardIndex(json, "i.json"); }); };
    EXPECT_EQ(parseShardIndex(R"({"metadata":{"total_size":1,"x":[{"weight_map":1}]},"weight_map":{"a":"b.safetensors"}})", "i.json").at("a"), "b.safetensors");
    EXPECT_THAT(index(R"({"weight_map":{"a":"b.safetensors","a":"c.safetensors"}})"), AllOf(HasSubstr("i.json"), HasSubstr("weight_map.a"), HasSubstr("twice")));
    EXPECT_THAT(index(R"({"weight_map":{},"weight_map":{}})"), HasSubstr("twice"));
    EXPECT_THAT(index(R"({"metadata":{}})"), HasSubstr("\"weight_map\" is missing"));
    EXPECT_THAT(index(R"({"weight_map":["a"]})"), HasSubstr("weight_map"));
    EXPECT_THAT(index(R"({"weight_map":{"a":1}})"), HasSubstr("weight_map.a"));
    EXPECT_THAT(index(R"({"weight_map":{"a":{"b":"c"}}})"), HasSubstr("weight_map.a"));
    EXPECT_THAT(index("[]"), HasSubstr("i.json"));
    EXPECT_THAT(index("{"), HasSubstr("not valid JSON"));
    EXPECT_THAT(index(R"({"metadata":)" + std::string(100000, '[')), HasSubstr("nested deeper"));
}

TEST(Checkpoint, NeverReadsPickles)
{
    const test::TemporaryFolder folder;
    test::writeFile(folder / "config.json", dumpJson(tinyQwen2()));
    EXPECT_FALSE(hasSafetensorsWeights(folder.path()));
    EXPECT_THAT(refusal(folder.path()), HasSubstr("model.safetensors: does not exist"));
    test::writeFile(folder / "pytorch_model.bin", "x");
    try {
        Checkpoint::open(folder.path());
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        EXPECT_THAT(e.what(), HasSubstr("pytorch_model.bin"));
        EXPECT_THAT(e.hint(), HasSubstr("safetensors"));
    }
    EXPECT_THAT(refusal(folder / "nothing"), HasSubstr("is not a folder"));
}

TEST(Checkpoint, AConfigBeyondTheMemoryIsRefusedBeforeAllocating)
{
    Json config = tinyQwen2();
    config["vocab_size"] = 1 << 24;
    config["hidden_size"] = 1 << 20;
    config["head_dim"] = 64;
    const Architecture a = parseModelConfig(config, "huge/config.json");
    EXPECT_THAT(inputErrorOf([&] { requireModelMemory(a, 4, 0, "huge/config.json"); }),
                AllOf(HasSubstr("huge/config.json"), HasSubstr("vocab_size 16777216"), HasSubstr("are available")));
    EXPECT_NO_THROW(requireModelMemory(parseModelConfig(tinyQwen2(), "c"), 4, 0, "c"));
    EXPECT_THAT(inputErrorOf([&] { requireModelMemory(parseModelConfig(tinyQwen2(), "c"), 4, ~std::uint64_t{0}, "c"); }), HasSubstr("are available"));
    // A folder that claims such a model with small weights is told so before its first wrong shape.
    const test::TemporaryFolder folder;
    test::writeModelFolder(folder.path(), tinyQwen2());
    test::writeFile(folder / "config.json", dumpJson(config));
    EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("config.json"), HasSubstr("vocab_size 16777216"), HasSubstr("are available")));
}

} // namespace
} // namespace postnas
