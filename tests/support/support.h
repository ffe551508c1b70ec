// What tests share: temporary folders, reference data, and running the real programs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postnas::test {

/// A fresh folder, removed with everything in it at the end of the scope.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::filesystem::path& path() const { return m_path; }
    std::filesystem::path operator/(const std::string& name) const { return m_path / name; }

private:
    std::filesystem::path m_path;
};

/// The top of the source tree, and tests/data in it.
std::filesystem::path sourceFolder();
std::filesystem::path testData(const std::string& name);
/// The folder of built programs; `postnas` and `postnas-workbench` lie in it.
std::filesystem::path programFolder();

/// The real Qwen2.5 tokenizer, found through POSTNAS_QWEN_TOKENIZER or ../shared/qwen2.5-tokenizer. Tests skip without it.
std::optional<std::filesystem::path> qwenTokenizerFolder();

void writeFile(const std::filesystem::path& file, std::string_view content);
/// A task of generated answers, which end before a full stop: FOLDER/NAME.yaml over FOLDER/NAME.jsonl with a "problem" and an "answer" a line,
/// texts that need no escapes in JSON. Returns the task file.
std::filesystem::path writeGenerationTask(const std::filesystem::path& folder, const std::string& name, const std::string& docToText, int maxTokens,
                                          const std::vector<std::pair<std::string, std::string>>& items);
std::string readFile(const std::filesystem::path& file);

struct ProcessResult {
    int exitCode = -1; ///< 128 + signal when killed
    std::string output;
    std::string errors;
};
/// Runs a program to its end with an argument vector (no shell). Kills it after `timeoutSeconds`.
ProcessResult runProcess(const std::vector<std::string>& arguments, const std::string& input = {}, double timeoutSeconds = 120);

} // namespace postnas::test
