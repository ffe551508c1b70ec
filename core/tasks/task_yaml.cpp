// yaml-cpp does the parsing; the walk that makes JSON of its nodes counts what it visits.
#include "core/tasks/task_yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include <yaml-cpp/yaml.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"

namespace postnas {
namespace {

constexpr std::size_t kMaxBytes = 256u << 10;
constexpr int kMaxDepth = 32;
constexpr int kMaxNodes = 20'000;

class Converter {
public:
    explicit Converter(const std::string& source)
        : m_source(source)
    {
    }

    Json convert(const YAML::Node& node, int depth)
    {
        if (depth > kMaxDepth)
            throw inputError(m_source + ": YAML is nested deeper than " + std::to_string(kMaxDepth) + " levels");
        if (++m_nodes > kMaxNodes)
            throw inputError(m_source + ": YAML has more than " + std::to_string(kMaxNodes) + " values once its aliases are followed");
        const std::string tag = node.Tag();
        static constexpr std::string_view kPlainTags[] = {"", "?", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:int",
                                                          "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null",
                                                          "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"};
        if (std::find(std::begin(kPlainTags), std::end(kPlainTags), tag) == std::end(kPlainTags))
            throw inputError(m_source + ": the YAML tag \"" + tag.substr(0, 40) + "\" is not supported" + where(node),
                             "Task files may hold text, numbers and templates only, no functions.");
        switch (node.Type()) {
        case YAML::NodeType::Scalar:
            return scalar(node, tag);
        case YAML::NodeType::Sequence: {
            Json out = Json::array();
            for (const YAML::Node& item : node)
                out.push_back(convert(item, depth + 1));
            return out;
        }
        case YAML::NodeType::Map: {
            Json out = Json::object();
            for (const auto& entry : node) {
                if (!entry.first.IsScalar())
                    throw inputError(m_source + ": a YAML key must be text" + where(entry.first));
                const std::string& key = entry.first.Scalar();
                if (key == "<<")
                    throw inputError(m_source + ": YAML merge keys are not supported" + where(entry.first));
                if (out.contains(key))
                    throw inputError(m_source + ": key \"" + key + "\" appears twice" + where(entry.first));
                out[key] = convert(entry.second, depth + 1);
            }
            return out;
        }
        default:
            return nullptr;
        }
    }

private:
    static std::string where(const YAML::Node& node) { return " (line " + std::to_string(node.Mark().line + 1) + ")"; }

    static Json scalar(const YAML::Node& node, const std::string& tag)
    {
        const std::string& text = node.Scalar();
        if (tag == "!" || tag == "tag:yaml.org,2002:str")
            return text;
        if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
            return nullptr;
        if (text == "true" || text == "True" || text == "TRUE")
            return true;
        if (text == "false" || text == "False" || text == "FALSE")
            return false;
        const char* end = text.data() + text.size();
        const char* digits = text[0] == '+' ? text.data() + 1 : text.data();
        std::int64_t integer = 0;
        if (const auto result = std::from_chars(digits, end, integer); result.ec == std::errc() && result.ptr == end)
            return integer;
        const std::size_t first = text[0] == '+' || text[0] == '-' ? 1 : 0;
        const bool numeric = first < text.size() && (text[first] == '.' || (text[first] >= '0' && text[first] <= '9'))
            && text.find_first_not_of("0123456789.eE+-") == std::string::npos && text.find_first_of("0123456789") != std::string::npos;
        if (numeric) {
            char* stop = nullptr;
            const double number = std::strtod(text.c_str(), &stop);
            if (stop == text.c_str() + text.size() && std::isfinite(number))
                return number;
        }
        return text;
    }

    const std::string& m_source;
    int m_nodes = 0;
};

} // namespace

Json parseYaml(std::string_view text, const std::string& source)
{
    if (text.size() > kMaxBytes)
        throw inputError(source + ": it has " + formatBytes(static_cast<double>(text.size())) + "; a task file has at most "
                         + formatBytes(static_cast<double>(kMaxBytes)));
    if (const std::size_t bad = findInvalidUtf8(text); bad != std::string_view::npos)
        throw inputError(source + ": byte " + std::to_string(bad) + " is no valid UTF-8");
    try {
        return Converter(source).convert(YAML::Load(std::string(text)), 0);
    } catch (const YAML::Exception& e) {
        throw inputError(source + ": not valid YAML: " + e.what());
    }
}

Json readYamlFile(const std::filesystem::path& file)
{
    return parseYaml(readTextFile(file, kMaxBytes), file.string());
}

} // namespace postnas
