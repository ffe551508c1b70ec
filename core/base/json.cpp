// Strict JSON parsing, and typed access with good errors.
#include "core/base/json.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_builder.h"

namespace postnas {

Json parseJson(std::string_view text, const std::string& source, int maxDepth)
{
    JsonBuilder builder(source, maxDepth);
    builder.parse(text);
    return std::move(builder.root());
}

Json readJsonFile(const std::filesystem::path& file, std::uint64_t maxBytes)
{
    return parseJson(readTextFile(file, maxBytes), file.string());
}

std::string dumpJson(const Json& value, int indent)
{
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

JsonReader::JsonReader(const Json& object, std::string source, std::string path)
    : m_object(&object)
    , m_source(std::move(source))
    , m_path(std::move(path))
{
    if (!object.is_object())
        throw inputError(m_source + ": " + (m_path.empty() ? std::string("the top level") : "\"" + m_path + "\"")
                         + " must be a JSON object");
}

void JsonReader::fail(const std::string& key, const std::string& problem, const std::string& hint) const
{
    throw inputError(m_source + ": key \"" + (m_path.empty() ? key : m_path + "." + key) + "\" " + problem, hint);
}

bool JsonReader::has(const std::string& key) const
{
    const auto it = m_object->find(key);
    return it != m_object->end() && !it->is_null();
}

const Json& JsonReader::value(const std::string& key) const
{
    const auto it = m_object->find(key);
    if (it == m_object->end())
        fail(key, "is missing");
    return *it;
}

std::int64_t JsonReader::integer(const std::string& key, std::int64_t min, std::int64_t max) const
{
    const Json& v = value(key);
    std::int64_t n = 0;
    if (v.is_number_unsigned() && v.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
        fail(key, "is too large");
    if (v.is_number_integer())
        n = v.get<std::int64_t>();
    else if (v.is_number_float() && v.get<double>() == std::floor(v.get<double>()) && std::abs(v.get<double>()) < 9e15)
        n = static_cast<std::int64_t>(v.get<double>());
    else
        fail(key, "must be an integer");
    if (n < min || n > max)
        fail(key, "is " + std::to_string(n) + "; it must be between " + std::to_string(min) + " and " + std::to_string(max));
    return n;
}

std::int64_t JsonReader::integer(const std::string& key, std::int64_t min, std::int64_t max, std::int64_t fallback) const
{
    return has(key) ? integer(key, min, max) : fallback;
}

double JsonReader::number(const std::string& key, double min, double max) const
{
    const Json& v = value(key);
    if (!v.is_number())
        fail(key, "must be a number");
    const auto n = v.get<double>();
    if (!(n >= min && n <= max))
        fail(key, "is " + v.dump() + "; it must be between " + std::to_string(min) + " and " + std::to_string(max));
    return n;
}

double JsonReader::number(const std::string& key, double min, double max, double fallback) const
{
    return has(key) ? number(key, min, max) : fallback;
}

bool JsonReader::boolean(const std::string& key, bool fallback) const
{
    if (!has(key))
        return fallback;
    const Json& v = value(key);
    if (!v.is_boolean())
        fail(key, "must be true or false");
    return v.get<bool>();
}

std::string JsonReader::string(const std::string& key) const
{
    const Json& v = value(key);
    if (!v.is_string())
        fail(key, "must be a string");
    return v.get<std::string>();
}

std::string JsonReader::string(const std::string& key, const std::string& fallback) const
{
    return has(key) ? string(key) : fallback;
}

std::vector<std::string> JsonReader::strings(const std::string& key) const
{
    const Json& v = value(key);
    if (!v.is_array())
        fail(key, "must be a list of strings");
    std::vector<std::string> out;
    for (const Json& item : v) {
        if (!item.is_string())
            fail(key, "must be a list of strings");
        out.push_back(item.get<std::string>());
    }
    return out;
}

JsonReader JsonReader::object(const std::string& key) const
{
    const Json& v = value(key);
    if (!v.is_object())
        fail(key, "must be a JSON object");
    return {v, m_source, m_path.empty() ? key : m_path + "." + key};
}

} // namespace postnas
