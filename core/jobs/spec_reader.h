// Typed access to the objects of a spec: known keys, ranges, choices, and paths relative to the spec's folder. Internal.
#pragma once

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/jobs/job_spec.h"

namespace postnas {

inline constexpr std::int64_t kMaxSteps = 1'000'000'000;
inline constexpr std::int64_t kMaxSeed = std::int64_t {1} << 53;
inline constexpr std::int64_t kMaxLength = 1 << 24;
inline constexpr std::int64_t kMaxBatch = 1 << 20;
inline constexpr std::size_t kMaxEntries = 4096;

/// One object of the spec: typed access that knows which keys there are and where relative paths start.
class SpecReader {
public:
    /// Throws when `in` has a key that is not `known`, with the nearest known one as hint.
    SpecReader(const JsonReader& in, const std::filesystem::path& base, std::vector<std::string_view> known);

    const JsonReader& json() const { return m_in; }
    bool has(const std::string& key) const { return m_in.has(key); }

    template <typename Integer>
    void integer(const std::string& key, Integer& value, std::int64_t min, std::int64_t max) const
    {
        value = static_cast<Integer>(m_in.integer(key, min, max, static_cast<std::int64_t>(value)));
    }
    void number(const std::string& key, double& value, double min, double max) const { value = m_in.number(key, min, max, value); }
    void boolean(const std::string& key, bool& value) const { value = m_in.boolean(key, value); }
    void string(const std::string& key, std::string& value) const { value = m_in.string(key, value); }

    template <typename Enum>
    void choice(const std::string& key, Enum& value, std::initializer_list<std::pair<std::string_view, Enum>> choices) const
    {
        if (!m_in.has(key))
            return;
        const std::string name = m_in.string(key);
        std::string all;
        for (const auto& [text, meaning] : choices) {
            if (text == name) {
                value = meaning;
                return;
            }
            all += (all.empty() ? "\"" : ", \"") + std::string(text) + "\"";
        }
        m_in.fail(key, "is \"" + name.substr(0, 64) + "\"; it must be one of " + all);
    }

    std::filesystem::path resolve(const std::string& key, const std::string& text) const;
    std::filesystem::path path(const std::string& key) const { return resolve(key, m_in.string(key)); }
    std::vector<std::filesystem::path> paths(const std::string& key) const;
    SpecReader object(const std::string& key, std::vector<std::string_view> known) const;
    std::vector<DataSource> dataSources() const;

private:
    JsonReader m_in;
    std::filesystem::path m_base;
};

} // namespace postnas
