// Logits and greedy tokens of the reference checkpoints, through the real program, in one pass and through the state.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/huggingface/safetensors.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::programFolder;
using test::runProcess;
using test::testData;

struct Case {
    std::string folder;
    std::vector<std::string> arguments;
    std::string reference = "expected.safetensors";
};

std::string caseName(const testing::TestParamInfo<Case>& info)
{
    std::string name = info.param.folder;
    for (const std::string& a : info.param.arguments)
        name += "_" + a;
    name += "_" + info.param.reference;
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)))
            c = '_';
    return name;
}

class ReferenceLogits : public testing::TestWithParam<Case> {};

TEST_P(ReferenceLogits, AgreeWithinOneTenThousandth)
{
    const test::TemporaryFolder folder;
    const auto expectedFile = testData(GetParam().folder) / GetParam().reference;
    std::vector<std::string> command = {(programFolder() / "postnas").string(), "logits", testData(GetParam().folder).string(), "--input",
                                        expectedFile.string(), "--output", (folder / "out.safetensors").string(), "--device", "cpu"};
    command.insert(command.end(), GetParam().arguments.begin(), GetParam().arguments.end());
    const auto run = runProcess(command);
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    const SafetensorsFile expected = SafetensorsFile::open(expectedFile);
    const SafetensorsFile actual = SafetensorsFile::open(folder / "out.safetensors");
    const TensorView& want = expected.at("logits");
    const TensorView& have = actual.at("logits");
    ASSERT_EQ(have.shape, want.shape);
    double largest = 0;
    for (std::size_t i = 0; i < want.data.size(); i += sizeof(float)) {
        float w = 0, h = 0;
        std::memcpy(&w, want.data.data() + i, sizeof w);
        std::memcpy(&h, have.data.data() + i, sizeof h);
        ASSERT_TRUE(std::isfinite(h));
        largest = std::max(largest, double(std::abs(w - h)));
    }
    EXPECT_LE(largest, 1e-4);
}

std::vector<Case> cases()
{
    std::vector<Case> out;
    // qwen3's expected.safetensors was made by a model whose rotary frequencies had been cast to bfloat16 with its weights;
    // from_pretrained.safetensors by transformers' from_pretrained, which keeps them in float32 as the default here does.
    const std::vector<Case> models = {{"qwen2-tiny", {}},
                                      {"qwen3-tiny-sharded-bf16", {"--rope-frequencies", "bfloat16"}},
                                      {"qwen3-tiny-sharded-bf16", {}, "from_pretrained.safetensors"},
                                      {"jet-tiny", {}}};
    const std::vector<std::vector<std::string>> ways = {{}, {"--prefill", "0"}, {"--prefill", "1"}, {"--prefill", "24"}, {"--prefill", "55"},
                                                        {"--prefill", "1000"}, {"--prefill", "50", "--chunk", "1"},
                                                        {"--prefill", "50", "--chunk", "7"}, {"--prefill", "50", "--chunk", "33"}};
    for (const Case& model : models) {
        for (const auto& way : ways) {
            out.push_back(model);
            out.back().arguments.insert(out.back().arguments.end(), way.begin(), way.end());
        }
    }
    return out;
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceLogits, testing::ValuesIn(cases()), caseName);

TEST(ReferenceGreedyTokens, AreTheSame)
{
    struct Greedy {
        std::string folder, reference, frequencies;
    };
    for (const Greedy& g : {Greedy {"qwen2-tiny", "expected.safetensors", "float32"},
                            Greedy {"qwen3-tiny-sharded-bf16", "expected.safetensors", "bfloat16"},
                            Greedy {"qwen3-tiny-sharded-bf16", "from_pretrained.safetensors", "float32"}}) {
        const SafetensorsFile expected = SafetensorsFile::open(testData(g.folder) / g.reference);
        const TensorView& view = expected.at("greedy_from_first_12");
        std::vector<std::int64_t> ids(view.data.size() / sizeof(std::int64_t));
        std::memcpy(ids.data(), view.data.data(), view.data.size());
        std::string prompt;
        for (int i = 0; i < 12; ++i)
            prompt += (i ? "," : "") + std::to_string(ids[static_cast<std::size_t>(i)]);
        for (const char* chunk : {"0", "512", "5"}) {
            const auto run = runProcess({(programFolder() / "postnas").string(), "generate", testData(g.folder).string(), "--prompt-ids", prompt,
                                         "--max-new-tokens", "24", "--prefill-chunk", chunk, "--json", "--device", "cpu", "--rope-frequencies",
                                         g.frequencies});
            ASSERT_EQ(run.exitCode, 0) << run.errors;
            const auto tokens = parseJson(run.output, "generate")["tokens"].get<std::vector<std::int64_t>>();
            EXPECT_EQ(tokens, std::vector<std::int64_t>(ids.begin() + 12, ids.end())) << g.folder << " " << g.reference << " chunk " << chunk;
        }
    }
}

TEST(Logits, RefuseIdsOutsideTheVocabulary)
{
    const test::TemporaryFolder folder;
    const std::vector<std::int64_t> ids = {1, 2, 320};
    SafetensorsWriter writer;
    writer.add("input_ids", DType::I64, {1, 3}, std::as_bytes(std::span(ids)));
    writer.write(folder / "ids.safetensors");
    const auto run = runProcess({(programFolder() / "postnas").string(), "logits", testData("qwen2-tiny").string(), "--input",
                                 (folder / "ids.safetensors").string(), "--output", (folder / "out.safetensors").string()});
    EXPECT_EQ(run.exitCode, 3);
    EXPECT_NE(run.errors.find("error: input id 320 at position 2 is outside the vocabulary of 320 ids"), std::string::npos) << run.errors;
    EXPECT_FALSE(std::filesystem::exists(folder / "out.safetensors"));
}

} // namespace
} // namespace postnas
