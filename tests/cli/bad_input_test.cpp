// Broken checkpoints and texts, given to the real program: exit code 3, a sentence with file and key, nothing half-loaded.
#include <gmock/gmock.h>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using test::runProcess;
using testing::HasSubstr;

/// A copy of a reference checkpoint that a test may damage.
class BadCheckpoint : public testing::Test {
protected:
    fs::path copy(const std::string& name)
    {
        const fs::path to = m_folder / name;
        fs::copy(test::testData(name), to, fs::copy_options::recursive);
        return to;
    }

    static void edit(const fs::path& file, const std::string& from, const std::string& to)
    {
        std::string text = test::readFile(file);
        const std::size_t at = text.find(from);
        ASSERT_NE(at, std::string::npos) << from;
        test::writeFile(file, text.replace(at, from.size(), to));
    }

    static test::ProcessResult generate(const fs::path& model)
    {
        return runProcess({(test::programFolder() / "postnas").string(), "generate", model.string(), "--prompt-ids", "1,2", "--max-new-tokens", "1",
                           "--device", "cpu"});
    }

    static void expectInputError(const test::ProcessResult& run, const std::vector<std::string>& words)
    {
        EXPECT_EQ(run.exitCode, 3) << run.errors;
        EXPECT_THAT(run.errors, testing::StartsWith("error: "));
        for (const std::string& word : words)
            EXPECT_THAT(run.errors, HasSubstr(word));
        EXPECT_EQ(run.output, "");
    }

    test::TemporaryFolder m_folder;
};

TEST_F(BadCheckpoint, MissingShard)
{
    const fs::path model = copy("qwen3-tiny-sharded-bf16");
    fs::remove(model / "model-00002-of-00003.safetensors");
    expectInputError(generate(model), {"model-00002-of-00003.safetensors"});
}

TEST_F(BadCheckpoint, TruncatedShard)
{
    const fs::path model = copy("qwen3-tiny-sharded-bf16");
    fs::resize_file(model / "model-00001-of-00003.safetensors", 100000);
    expectInputError(generate(model), {"model-00001-of-00003.safetensors"});
}

TEST_F(BadCheckpoint, IndexThatLeavesTheFolder)
{
    const fs::path model = copy("qwen3-tiny-sharded-bf16");
    edit(model / "model.safetensors.index.json", "\"model-00001-of-00003.safetensors\"", "\"../model-00001-of-00003.safetensors\"");
    expectInputError(generate(model), {"model.safetensors.index.json", "../model-00001"});
}

TEST_F(BadCheckpoint, DuplicateKey)
{
    const fs::path model = copy("qwen2-tiny");
    edit(model / "config.json", "\"hidden_size\": 64", "\"hidden_size\": 64, \"hidden_size\": 65");
    expectInputError(generate(model), {"config.json", "hidden_size"});
}

TEST_F(BadCheckpoint, WrongShape)
{
    const fs::path model = copy("qwen2-tiny");
    edit(model / "config.json", "\"intermediate_size\": 160", "\"intermediate_size\": 161");
    expectInputError(generate(model), {"mlp.", "160"});
}

TEST_F(BadCheckpoint, MoreMemoryThanThereIs)
{
    const fs::path model = copy("qwen2-tiny");
    // Every value is one that some model could have; the embedding alone would be 32 TiB of two-byte numbers.
    edit(model / "config.json", "\"vocab_size\": 320", "\"vocab_size\": 16777216");
    edit(model / "config.json", "\"hidden_size\": 64", "\"hidden_size\": 1048576");
    edit(model / "config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 4096");
    edit(model / "config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 2048");
    const std::vector<std::string> sentence = {"config.json: a model of ", " parameters (hidden_size 1048576, vocab_size 16777216, 3 layers) needs ",
                                               " of memory, but only ", " are available", "hint: "};
    expectInputError(generate(model), sentence);
    // The same sizes in a spec, where there are no weights that could be too small for them.
    Json spec = {{"stage", "pretrain"}, {"steps", 1}, {"device", "cpu"}};
    spec["architecture"] = readJsonFile(model / "config.json");
    spec["tokenizer"] = (test::sourceFolder() / "projects" / "quickstart" / "tokenizer").string();
    spec["data"] = Json::array({{{"path", "no-such-folder"}}});
    test::writeFile(m_folder / "spec.json", dumpJson(spec));
    const auto run = runProcess({(test::programFolder() / "postnas").string(), "run", "pretrain", "--spec", (m_folder / "spec.json").string(),
                                 "--run-dir", (m_folder / "run").string()});
    EXPECT_EQ(run.exitCode, 3) << run.errors;
    EXPECT_THAT(run.errors, HasSubstr("architecture: a model of "));
    EXPECT_THAT(run.errors, HasSubstr(" of memory, but only "));
}

TEST_F(BadCheckpoint, ValuesOutOfRangeAreSaidBeforeTheMemoryTheyWouldNeed)
{
    const fs::path model = copy("qwen2-tiny");
    edit(model / "config.json", "\"vocab_size\": 320", "\"vocab_size\": 320000000000");
    const auto run = generate(model);
    expectInputError(run, {"config.json", "vocab_size", "320000000000"});
    EXPECT_THAT(run.errors, testing::Not(HasSubstr("memory")));
}

/// Weights that fit the config and are stored in two bytes would take four each on the CPU.
TEST_F(BadCheckpoint, WholeWeightsThatOnlyTheirConversionMakesTooLarge)
{
    const fs::path model = m_folder / "large";
    fs::create_directories(model);
    constexpr std::uint64_t kVocabulary = 1u << 24, kHidden = 1u << 16;
    Json config = readJsonFile(test::testData("qwen2-tiny") / "config.json");
    config.update(Json {{"vocab_size", kVocabulary},
                        {"hidden_size", kHidden},
                        {"num_hidden_layers", 1},
                        {"num_attention_heads", 64},
                        {"num_key_value_heads", 1},
                        {"intermediate_size", 1},
                        {"dtype", "bfloat16"}});
    config["layer_types"] = Json::array({"full_attention"});
    test::writeFile(model / "config.json", dumpJson(config));
    Json header = Json::object();
    std::uint64_t end = 0;
    const auto add = [&](const std::string& name, const std::vector<std::uint64_t>& shape) {
        std::uint64_t bytes = 2;
        for (const std::uint64_t size : shape)
            bytes *= size;
        header[name] = {{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {end, end + bytes}}};
        end += bytes;
    };
    const std::uint64_t keyValue = kHidden / 64;
    add("model.embed_tokens.weight", {kVocabulary, kHidden});
    add("model.norm.weight", {kHidden});
    const std::string layer = "model.layers.0.";
    for (const char* name : {"input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.q_proj.bias"})
        add(layer + name, {kHidden});
    for (const char* name : {"self_attn.k_proj.bias", "self_attn.v_proj.bias"})
        add(layer + name, {keyValue});
    for (const char* name : {"self_attn.q_proj.weight", "self_attn.o_proj.weight"})
        add(layer + name, {kHidden, kHidden});
    for (const char* name : {"self_attn.k_proj.weight", "self_attn.v_proj.weight"})
        add(layer + name, {keyValue, kHidden});
    for (const char* name : {"mlp.gate_proj.weight", "mlp.up_proj.weight"})
        add(layer + name, {1, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, 1});
    std::string text = dumpJson(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    test::writeFile(model / "model.safetensors", std::string(reinterpret_cast<const char*>(&length), sizeof length) + text);
    std::error_code failed;
    fs::resize_file(model / "model.safetensors", sizeof length + length + end, failed); // a hole: no disk is used
    if (failed)
        GTEST_SKIP() << "this file system holds no file of " << end << " bytes: " << failed.message();
    expectInputError(generate(model), {"config.json: a model of ", " needs ", " of memory, but only ", " are available"});
}

TEST_F(BadCheckpoint, TokenizerWithMoreIdsThanTheEmbedding)
{
    const fs::path model = copy("qwen2-tiny");
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
        fs::copy(test::sourceFolder() / "projects" / "quickstart" / "model" / name, model / name);
    expectInputError(generate(model), {"tokenizer.json", "1175", "320"});
}

TEST_F(BadCheckpoint, BrokenMerge)
{
    const fs::path model = m_folder / "tokenizer";
    fs::create_directories(model);
    Json tokenizer = readJsonFile(test::sourceFolder() / "projects" / "quickstart" / "tokenizer" / "tokenizer.json");
    tokenizer["model"]["merges"][0] = "no-such such-token";
    test::writeFile(model / "tokenizer.json", dumpJson(tokenizer));
    const auto run = runProcess({(test::programFolder() / "postnas").string(), "tokenize", model.string()}, "text");
    expectInputError(run, {"tokenizer.json", "merges"});
}

TEST_F(BadCheckpoint, InvalidUtf8)
{
    const auto run = runProcess({(test::programFolder() / "postnas").string(), "tokenize",
                                 (test::sourceFolder() / "projects" / "quickstart" / "tokenizer").string()},
                                "good \xFF bad");
    expectInputError(run, {"UTF-8"});
}

TEST_F(BadCheckpoint, TemplateThatNeverEnds)
{
    const fs::path model = m_folder / "model";
    fs::copy(test::sourceFolder() / "projects" / "quickstart" / "model", model, fs::copy_options::recursive);
    test::writeFile(model / "chat_template.jinja",
                    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}");
    const auto run = runProcess({(test::programFolder() / "postnas").string(), "chat", model.string(), "--device", "cpu"}, "Hi\n", 60);
    expectInputError(run, {"chat_template.jinja"});
}

TEST(Usage, UnknownOptionsAndCommandsExitWithTwo)
{
    for (const std::vector<std::string>& arguments : {std::vector<std::string> {"inspect"}, {"no-such-command"}, {"generate", "x", "--temperature", "hot"}}) {
        std::vector<std::string> command = {(test::programFolder() / "postnas").string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        const auto run = runProcess(command);
        EXPECT_EQ(run.exitCode, 2) << run.errors;
        EXPECT_THAT(run.errors, testing::StartsWith("error: "));
        EXPECT_THAT(run.errors, HasSubstr("hint: "));
    }
}

} // namespace
} // namespace postnas
