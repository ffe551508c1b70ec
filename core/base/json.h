// JSON with the limits that untrusted files need: UTF-8 only, no duplicate keys, bounded depth, and typed access that
// names the file and the key when something does not fit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace postnas {

/// Keys keep the order of the file.
using Json = nlohmann::ordered_json;

/// Parses `text`; `source` is the file name that errors show. Throws Error(Input) on syntax errors, invalid UTF-8,
/// duplicate keys in one object, or nesting deeper than `maxDepth`.
Json parseJson(std::string_view text, const std::string& source, int maxDepth = 64);

/// Reads and parses a whole file of at most `maxBytes`. Throws Error(Input) when it is missing, larger or broken.
Json readJsonFile(const std::filesystem::path& file, std::uint64_t maxBytes = 64u << 20);

/// Compact text; invalid UTF-8 in strings is replaced by U+FFFD instead of throwing.
std::string dumpJson(const Json& value, int indent = -1);

/// Typed read access to one JSON object of a file. Every getter throws Error(Input) that names file and key.
class JsonReader {
public:
    JsonReader(const Json& object, std::string source, std::string path = {});

    bool has(const std::string& key) const; ///< present and not null
    std::int64_t integer(const std::string& key, std::int64_t min, std::int64_t max) const;
    std::int64_t integer(const std::string& key, std::int64_t min, std::int64_t max, std::int64_t fallback) const;
    double number(const std::string& key, double min, double max) const;
    double number(const std::string& key, double min, double max, double fallback) const;
    bool boolean(const std::string& key, bool fallback) const;
    std::string string(const std::string& key) const;
    std::string string(const std::string& key, const std::string& fallback) const;
    std::vector<std::string> strings(const std::string& key) const;
    /// The sub-object; throws when it is missing or no object.
    JsonReader object(const std::string& key) const;
    const Json& value(const std::string& key) const; ///< throws when missing
    const Json& json() const { return *m_object; }
    const std::string& source() const { return m_source; }
    const std::string& path() const { return m_path; } ///< keys that lead to this object, dotted; empty at the top

    /// Error(Input) about `key` of this object.
    [[noreturn]] void fail(const std::string& key, const std::string& problem, const std::string& hint = {}) const;

private:
    const Json* m_object;
    std::string m_source;
    std::string m_path;
};

} // namespace postnas
