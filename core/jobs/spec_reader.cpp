// The checks that every object of a spec goes through.
#include "core/jobs/spec_reader.h"

#include <numeric>

namespace postnas {
namespace fs = std::filesystem;
namespace {

std::size_t editDistance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t {0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
        }
    }
    return row.back();
}

} // namespace

SpecReader::SpecReader(const JsonReader& in, const fs::path& base, std::vector<std::string_view> known)
    : m_in(in)
    , m_base(base)
{
    for (const auto& [key, value] : in.json().items()) {
        if (std::find(known.begin(), known.end(), key) != known.end())
            continue;
        if (key.size() > 64)
            in.fail(key.substr(0, 64) + "...", "is not known");
        const auto nearest = std::min_element(known.begin(), known.end(), [&key = key](std::string_view a, std::string_view b) {
            return editDistance(key, a) < editDistance(key, b);
        });
        in.fail(key, "is not known", nearest == known.end() ? "" : "Did you mean \"" + std::string(*nearest) + "\"?");
    }
}

fs::path SpecReader::resolve(const std::string& key, const std::string& text) const
{
    if (text.empty() || text.find('\0') != std::string::npos)
        m_in.fail(key, "must be a path");
    return (m_base / fs::path(text)).lexically_normal();
}

std::vector<fs::path> SpecReader::paths(const std::string& key) const
{
    std::vector<fs::path> out;
    if (!m_in.has(key))
        return out;
    for (const std::string& text : m_in.strings(key))
        out.push_back(resolve(key, text));
    if (out.size() > kMaxEntries)
        m_in.fail(key, "has too many entries");
    return out;
}

SpecReader SpecReader::object(const std::string& key, std::vector<std::string_view> known) const
{
    return {m_in.object(key), m_base, std::move(known)};
}

std::vector<DataSource> SpecReader::dataSources() const
{
    const Json& list = m_in.value("data");
    if (!list.is_array() || list.empty())
        m_in.fail("data", "must be a list with at least one entry", R"(For example [{"path": "shards"}].)");
    if (list.size() > kMaxEntries)
        m_in.fail("data", "has too many entries");
    std::vector<DataSource> out;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const SpecReader in({list[i], m_in.source(), "data[" + std::to_string(i) + "]"}, m_base, {"path", "steps", "weight"});
        DataSource source {in.path("path"), std::nullopt, 1};
        if (in.has("steps"))
            source.steps = in.json().integer("steps", 1, kMaxSteps);
        in.number("weight", source.weight, 1e-6, 1e6);
        if (source.steps.has_value() != (i == 0 ? source : out.front()).steps.has_value())
            m_in.fail("data", "mixes entries with and without \"steps\"",
                      "Give all entries steps (phases one after the other) or none (a mixture by weight).");
        out.push_back(std::move(source));
    }
    return out;
}

} // namespace postnas
