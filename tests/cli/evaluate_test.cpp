// `postnas evaluate` through the program.
#include <gmock/gmock.h>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::runProcess;
using testing::HasSubstr;

const std::filesystem::path kQuickstart = test::sourceFolder() / "projects" / "quickstart";

test::ProcessResult postnas(std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin(), (test::programFolder() / "postnas").string());
    arguments.insert(arguments.end(), {"--device", "cpu"});
    return runProcess(arguments);
}

TEST(Evaluate, GeneratedAnswersAreThoseOfGenerate)
{
    const test::TemporaryFolder folder;
    const auto whole = postnas({"generate", (kQuickstart / "model").string(), "--prompt", "Compute 97-6-8.\nSteps:", "--max-new-tokens", "40", "--stop", ".", "--json"});
    ASSERT_EQ(whole.exitCode, 0) << whole.errors;
    std::string answer = parseJson(whole.output, "generate")["text"].get<std::string>();
    answer.erase(0, answer.find_first_not_of(' '));
    EXPECT_EQ(answer, "97-6=91;91-8=83");
    const std::filesystem::path task
        = test::writeGenerationTask(folder.path(), "sums", "Compute {{problem}}.\\nSteps:", 40, {{"97-6-8", answer}, {"44-9+7", "0"}}); // one right, one wrong
    const auto run = postnas({"evaluate", (kQuickstart / "model").string(), "--tasks", task.string(), "--output", (folder / "results.json").string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_THAT(run.output, HasSubstr("accuracy 0.5000"));
    EXPECT_THAT(run.output, testing::Not(HasSubstr("nan"))) << "generated text has no loss";
    const Json results = readJsonFile(folder / "results.json");
    EXPECT_DOUBLE_EQ(results["results"]["sums"]["exact_match,none"].get<double>(), 0.5);
    EXPECT_FALSE(results["results"]["sums"].contains("loss,none"));
}

TEST(Evaluate, OptionsOfLoadingAreObeyed)
{
    const test::TemporaryFolder folder;
    const auto lossWith = [&](const std::string& frequencies) {
        const auto run = postnas({"evaluate", (kQuickstart / "model").string(), "--tasks", (kQuickstart / "tasks" / "retrieval.yaml").string(), "--limit", "20",
                                  "--rope-frequencies", frequencies, "--output", (folder / "results.json").string()});
        EXPECT_EQ(run.exitCode, 0) << run.errors;
        return readJsonFile(folder / "results.json")["results"]["retrieval"]["loss,none"].get<double>();
    };
    const double exact = lossWith("float32"), rounded = lossWith("bfloat16");
    EXPECT_NE(exact, rounded);
    EXPECT_NEAR(exact, rounded, 0.1);
}

} // namespace
} // namespace postnas
