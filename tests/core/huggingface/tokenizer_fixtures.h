// Small tokenizers for the tests, and ways to break them.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/huggingface/tokenizer.h"
#include "tests/support/support.h"

namespace postnas::test {

using Ids = std::vector<std::int32_t>;

struct TokenizerCase {
    std::string text;
    Ids ids;
    std::string decoded;
    std::string plain; ///< decoded without special tokens; empty when the file does not say
};

inline std::vector<TokenizerCase> readTokenizerCases(const std::filesystem::path& file)
{
    std::vector<TokenizerCase> out;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        const Json json = parseJson(line, file.string());
        out.push_back({json["text"], json["ids"], json["decoded"], json.value("plain", std::string())});
    }
    return out;
}

inline std::filesystem::path tokenizerFixture(const std::string& name) { return testData("tokenizer-fixtures") / name; }

/// tokenizer.json of a fixture as a value that a test may change.
inline Json fixtureJson(const std::string& name = "qwen") { return readJsonFile(tokenizerFixture(name) / "tokenizer.json"); }

/// A folder with a changed tokenizer.json and, if wanted, other files.
class TokenizerFolder {
public:
    explicit TokenizerFolder(const Json& tokenizer) { add("tokenizer.json", dumpJson(tokenizer)); }
    explicit TokenizerFolder(const std::string& text) { add("tokenizer.json", text); }
    explicit TokenizerFolder(const char* text) { add("tokenizer.json", text); }
    TokenizerFolder& add(const std::string& name, const std::string& content)
    {
        writeFile(m_folder / name, content);
        return *this;
    }
    std::filesystem::path path() const { return m_folder.path(); }
    Tokenizer load() const { return Tokenizer::load(path()); }
    /// What loading says: message, with class Input checked.
    std::string problem() const
    {
        try {
            load();
        } catch (const Error& e) {
            return e.errorClass() == ErrorClass::Input ? e.what() : std::string("wrong class: ") + e.what();
        }
        return "no error";
    }

private:
    TemporaryFolder m_folder;
};

} // namespace postnas::test
