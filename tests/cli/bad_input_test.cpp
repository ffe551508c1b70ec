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
    edit(model / "config.json", "\"vocab_size\": 320", "\"vocab_size\": 320000000000");
    const auto run = runProcess({(test::programFolder() / "postnas").string(), "generate", model.string(), "--prompt-ids", "1"});
    EXPECT_EQ(run.exitCode, 3) << run.errors;
    EXPECT_THAT(run.errors, HasSubstr("error: "));
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
