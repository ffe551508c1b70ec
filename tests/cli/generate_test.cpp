// `postnas generate` with a file of prompts: each line gets what it gets alone, and bad lines are named.
#include <gmock/gmock.h>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::runProcess;
using testing::HasSubstr;

std::vector<std::string> command(std::vector<std::string> arguments)
{
    std::vector<std::string> out = {(test::programFolder() / "postnas").string(), "generate",
                                    (test::sourceFolder() / "projects" / "quickstart" / "model").string(), "--device", "cpu"};
    out.insert(out.end(), arguments.begin(), arguments.end());
    return out;
}

std::vector<Json> jsonLines(const std::string& text)
{
    std::vector<Json> out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        out.push_back(parseJson(line, "output"));
    return out;
}

TEST(Generate, AFileOfPromptsGivesALineForEach)
{
    const test::TemporaryFolder folder;
    const auto file = folder / "prompts.jsonl";
    test::writeFile(file, "{\"prompt\": \"1+2=\"}\n\n{\"prompt_ids\": [5, 6, 7], \"max_new_tokens\": 3}\n{\"prompt\": \"the \", \"max_new_tokens\": 0}\n"
                          "{\"prompt\": \"the \"}\n");
    const auto run = runProcess(command({"--prompts", file.string(), "--batch", "2", "--max-new-tokens", "9"}));
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    const std::vector<Json> lines = jsonLines(run.output);
    ASSERT_EQ(lines.size(), 4u);
    const std::vector<std::vector<std::string>> alone = {{"--prompt", "1+2=", "--max-new-tokens", "9"}, {"--prompt-ids", "5,6,7", "--max-new-tokens", "3"},
                                                         {"--prompt", "the ", "--max-new-tokens", "0"}, {"--prompt", "the ", "--max-new-tokens", "9"}};
    for (std::size_t i = 0; i < alone.size(); ++i) {
        std::vector<std::string> arguments = alone[i];
        arguments.push_back("--json");
        const auto one = runProcess(command(arguments));
        ASSERT_EQ(one.exitCode, 0) << one.errors;
        const Json expected = parseJson(one.output, "output");
        EXPECT_EQ(lines[i]["index"], i);
        EXPECT_EQ(lines[i]["tokens"], expected["tokens"]) << i;
        EXPECT_EQ(lines[i]["text"], expected["text"]) << i;
        EXPECT_EQ(lines[i]["finish_reason"], expected["finish_reason"]) << i;
    }
}

TEST(Generate, SeedsOfLinesDrawDifferentTexts)
{
    const test::TemporaryFolder folder;
    const auto file = folder / "prompts.jsonl";
    std::string text;
    for (int seed = 0; seed < 4; ++seed)
        text += "{\"prompt\": \"the \", \"seed\": " + std::to_string(seed) + "}\n";
    test::writeFile(file, text);
    const std::vector<std::string> arguments = {"--prompts", file.string(), "--max-new-tokens", "16", "--temperature", "1.5"};
    const auto first = jsonLines(runProcess(command(arguments)).output), second = jsonLines(runProcess(command(arguments)).output);
    ASSERT_EQ(first.size(), 4u);
    ASSERT_EQ(second.size(), 4u);
    std::set<std::string> texts;
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(first[i]["tokens"], second[i]["tokens"]);
        texts.insert(first[i]["text"].get<std::string>());
    }
    EXPECT_GT(texts.size(), 2u);
}

TEST(Generate, BadLinesAndTooManyPromptsAreNamed)
{
    const test::TemporaryFolder folder;
    const auto file = folder / "prompts.jsonl";
    for (const auto& [line, problem] : std::vector<std::pair<std::string, std::string>> {
             {"{\"prompt_ids\": [1.5]}", "prompt_ids"}, {"{\"prompt_ids\": 3}", "prompt_ids"}, {"{}", "either"},
             {"{\"prompt\": \"a\", \"prompt_ids\": [1]}", "either"}, {"{\"prompt_ids\": []}", "empty"}, {"{\"prompt\": \"a\", \"max_new_tokens\": -1}", "max_new_tokens"},
             {"not json", "line 2"}, {"[1]", "line 2"}, {"{\"prompt_ids\": [999999999]}", "outside the vocabulary"}}) {
        test::writeFile(file, "{\"prompt\": \"a\"}\n" + line + "\n");
        const auto run = runProcess(command({"--prompts", file.string(), "--max-new-tokens", "1"}));
        EXPECT_EQ(run.exitCode, 3) << line << "\n" << run.errors;
        EXPECT_THAT(run.errors, HasSubstr(problem)) << line;
        EXPECT_EQ(run.output, "");
    }
    EXPECT_EQ(runProcess(command({"--prompts", (folder / "missing.jsonl").string()})).exitCode, 3);
    EXPECT_EQ(runProcess(command({"--prompts", file.string(), "--prompt", "a"})).exitCode, 2);
    EXPECT_EQ(runProcess(command({"--prompts", file.string(), "--batch", "0"})).exitCode, 2);
}

TEST(Generate, StatesInBFloat16AreSmaller)
{
    const auto model = (test::sourceFolder() / "tests" / "data" / "jet-tiny").string();
    const auto bytes = [&](const std::string& type) {
        const auto run = runProcess({(test::programFolder() / "postnas").string(), "generate", model, "--device", "cpu", "--prompt-ids", "1,2,3", "--max-new-tokens", "4",
                                     "--json", "--state-dtype", type});
        EXPECT_EQ(run.exitCode, 0) << run.errors;
        return run.exitCode == 0 ? parseJson(run.output, "output")["state_bytes"].get<std::int64_t>() : 0;
    };
    EXPECT_LT(bytes("bfloat16"), bytes("float32"));
}

} // namespace
} // namespace postnas
