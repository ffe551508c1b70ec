// `postnas doctor`, run as users run it: what the machine has, operators against formulas, blocks against stored numbers.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Doctor : public testing::Test {
protected:
    /// On the CPU only, so that the answer is the same on machines with a GPU; one thread, since many small operators of
    /// several threads crawl where other tests run beside.
    static test::ProcessResult doctor(std::vector<std::string> arguments)
    {
        std::vector<std::string> command = {(test::programFolder() / "postnas").string(), "doctor", "--device", "cpu", "--threads", "1"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return test::runProcess(command, {}, 300);
    }

    /// A copy of the stored cases that a test may damage.
    fs::path cases()
    {
        const fs::path to = m_folder / "blocks";
        fs::copy(test::testData("blocks"), to);
        return to;
    }

    /// Adds `amount` to the first element of a float32 tensor.
    static void nudge(const fs::path& file, const std::string& tensor, float amount)
    {
        std::string bytes = test::readFile(file);
        std::uint64_t length = 0;
        std::memcpy(&length, bytes.data(), sizeof length);
        const Json entry = parseJson(bytes.substr(sizeof length, length), file.string()).at(tensor);
        ASSERT_EQ(entry.at("dtype"), "F32");
        const std::size_t at = sizeof length + length + entry.at("data_offsets").at(0).get<std::size_t>();
        float value = 0;
        std::memcpy(&value, bytes.data() + at, sizeof value);
        value += amount;
        std::memcpy(bytes.data() + at, &value, sizeof value);
        test::writeFile(file, bytes);
    }

    /// The line of the blocks' table that begins with the case's name; operators have such names too.
    static std::string row(const std::string& output, const std::string& name)
    {
        const std::size_t table = output.find("\nBlocks against"), at = output.find("\n  " + name + " ", table == std::string::npos ? 0 : table);
        return at == std::string::npos ? "" : output.substr(at + 1, output.find('\n', at + 1) - at - 1);
    }

    test::TemporaryFolder m_folder;
};

TEST_F(Doctor, TellsWhatTheMachineHasAndChecksEveryOperator)
{
    const auto run = doctor({"--json"});
    ASSERT_EQ(run.exitCode, 0) << run.errors << run.output;
    const Json report = parseJson(run.output, "doctor");
    EXPECT_TRUE(report.at("passed").get<bool>());
    const Json& machine = report.at("machine");
    EXPECT_GT(machine.at("threads").get<int>(), 0);
    EXPECT_GT(machine.at("memory_bytes").get<double>(), 1 << 20);
    EXPECT_FALSE(machine.at("gpu").get<std::string>().empty()) << "a name, or why there is none";
    std::set<std::string> seen;
    for (const Json& check : report.at("operators")) {
        const std::string name = check.at("operator").get<std::string>() + " " + check.at("dtype").get<std::string>();
        seen.insert(name);
        EXPECT_EQ(check.at("device"), "cpu");
        EXPECT_EQ(check.at("path"), "native") << name;
        EXPECT_TRUE(check.at("passed").get<bool>()) << name;
        const bool whole = check.at("dtype") == "float32";
        for (const char* side : {"forward_difference", "gradient_difference"}) {
            if (check.at(side).is_null())
                continue; // the operators of a decoding step have no gradients
            const double difference = check.at(side).get<double>();
            EXPECT_LE(difference, whole ? 1e-4 : check.at("operator") == "feed_forward" ? 4e-2 : 2e-2) << name << " " << side;
            // An operator that is compared with itself would not differ by a bit. Chosen tokens are equal or not; nothing differs in an empty batch.
            const bool exact = check.at("operator") == "sample_next" || check.at("shape").get<std::string>().find("batch 0") != std::string::npos;
            EXPECT_TRUE(difference > 0 || exact) << name << " " << side << " " << check.at("shape");
        }
    }
    for (const char* name : {"gated_delta_rule", "gated_linear_attention", "delta_rule", "linear_attention", "short_convolution", "dynamic_convolution",
                             "feed_forward", "gated_norm", "relative_distance", "rotation", "head_loss"})
        for (const char* type : {" float32", " bfloat16"})
            EXPECT_EQ(seen.count(std::string(name) + type), 1u) << name << type;
    EXPECT_FALSE(report.contains("blocks"));
}

TEST_F(Doctor, ChecksTheNamedOperatorsAlone)
{
    const auto chosen = [this](const std::string& only) {
        const auto run = doctor({"--json", "--only", only});
        EXPECT_EQ(run.exitCode, 0) << run.errors << run.output;
        std::set<std::string> out;
        const Json report = parseJson(run.output, "doctor");
        for (const Json& check : report.at("operators"))
            out.insert(check.at("operator").get<std::string>() + ", " + check.at("shape").get<std::string>());
        return out;
    };
    const std::set<std::string> named = chosen("dynamic_convolution");
    EXPECT_GT(named.size(), 1u);
    for (const std::string& each : named)
        EXPECT_THAT(each, testing::StartsWith("dynamic_convolution, "));
    EXPECT_THAT(chosen(*named.begin()), testing::ElementsAre(*named.begin())) << "a name with its shape";
    const auto none = doctor({"--only", "perpetual_motion"});
    EXPECT_EQ(none.exitCode, 2) << none.output;
    EXPECT_THAT(none.errors, HasSubstr("perpetual_motion"));
}

TEST_F(Doctor, SaysWhetherThereIsAGpu)
{
    const auto run = doctor({});
    ASSERT_EQ(run.exitCode, 0) << run.errors << run.output;
    const bool cuda = parseJson(doctor({"--json"}).output, "doctor").at("machine").at("cuda").get<bool>();
    const std::string line = run.output.substr(run.output.find("\nGPU  "), 200);
    if (cuda)
        EXPECT_THAT(line, Not(HasSubstr("none: ")));
    else
        EXPECT_THAT(line, testing::ContainsRegex("none: [A-Za-z]"));
    EXPECT_THAT(run.output, HasSubstr("All checks passed."));
}

TEST_F(Doctor, GivesTheLargestDifferenceOfEachStoredBlock)
{
    const auto run = doctor({"--cases", test::testData("blocks").string()});
    ASSERT_EQ(run.exitCode, 0) << run.errors << run.output;
    const auto json = doctor({"--json", "--cases", test::testData("blocks").string()});
    ASSERT_EQ(json.exitCode, 0) << json.errors;
    const Json blocks = parseJson(json.output, "doctor").at("blocks");
    const Json description = readJsonFile(test::testData("blocks") / "blocks.json");
    EXPECT_EQ(blocks.size(), description.size()) << "a case is never left out in silence";
    std::set<std::string> checked;
    for (const Json& block : blocks) {
        const std::string name = block.at("case").get<std::string>();
        if (!block.at("known").get<bool>()) {
            EXPECT_THAT(row(run.output, name), HasSubstr("not in this build"));
            continue;
        }
        checked.insert(name);
        for (const char* way : {"one_pass", "chunks", "token_by_token"}) {
            EXPECT_GT(block.at(way).get<double>(), 0) << name;
            EXPECT_LE(block.at(way).get<double>(), 1e-4) << name;
        }
        EXPECT_TRUE(block.at("passed").get<bool>());
        EXPECT_THAT(row(run.output, name), testing::EndsWith("ok"));
    }
    for (const char* name : {"gla", "gated_delta_net", "gated_delta_net_96x256"})
        EXPECT_EQ(checked.count(name), 1u) << name;
}

TEST_F(Doctor, AWrongNumberFailsItsBlockAlone)
{
    const fs::path folder = cases();
    nudge(folder / "blocks.safetensors", "gla.output", 0.5f);
    const auto run = doctor({"--cases", folder.string()});
    EXPECT_EQ(run.exitCode, 5) << run.errors;
    EXPECT_THAT(row(run.output, "gla"), testing::AllOf(HasSubstr("5.0e-01"), testing::EndsWith("FAILED")));
    EXPECT_THAT(row(run.output, "gated_delta_net"), testing::EndsWith("ok"));
    EXPECT_THAT(run.output, HasSubstr("A check FAILED."));
    EXPECT_THAT(run.output, Not(HasSubstr("All checks passed.")));

    const auto json = doctor({"--json", "--cases", folder.string()});
    EXPECT_EQ(json.exitCode, 5);
    EXPECT_FALSE(parseJson(json.output, "doctor").at("passed").get<bool>());
}

TEST_F(Doctor, AStoredNotANumberFails)
{
    const fs::path folder = cases();
    nudge(folder / "blocks.safetensors", "gated_delta_net.output", NAN);
    const auto run = doctor({"--cases", folder.string()});
    EXPECT_EQ(run.exitCode, 5) << run.errors;
    EXPECT_THAT(row(run.output, "gated_delta_net"), testing::EndsWith("FAILED"));
    const auto json = doctor({"--json", "--cases", folder.string()});
    EXPECT_EQ(json.exitCode, 5);
    EXPECT_FALSE(parseJson(json.output, "doctor").at("passed").get<bool>());
}

TEST_F(Doctor, BrokenCasesAreBadInput)
{
    const auto expectError = [](const test::ProcessResult& run, const std::string& word) {
        EXPECT_EQ(run.exitCode, 3) << run.errors << run.output;
        EXPECT_THAT(run.errors, testing::StartsWith("error: "));
        EXPECT_THAT(run.errors, HasSubstr(word));
        EXPECT_THAT(run.output, Not(HasSubstr("passed")));
    };
    expectError(doctor({"--cases", (m_folder / "nothing").string()}), "blocks.json");

    const fs::path folder = cases();
    fs::resize_file(folder / "blocks.safetensors", 100000);
    expectError(doctor({"--cases", folder.string()}), "blocks.safetensors");

    fs::copy_file(test::testData("blocks") / "blocks.safetensors", folder / "blocks.safetensors", fs::copy_options::overwrite_existing);
    Json description = readJsonFile(folder / "blocks.json");
    description["another_gla"] = description["gla"];
    test::writeFile(folder / "blocks.json", dumpJson(description));
    expectError(doctor({"--cases", folder.string()}), "another_gla");

    test::writeFile(folder / "blocks.json", "{}");
    expectError(doctor({"--cases", folder.string()}), "blocks.json");
}

} // namespace
} // namespace postnas
