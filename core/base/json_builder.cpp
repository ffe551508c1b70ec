// The strict JSON builder: containers in construction form a stack of pointers into the value.
#include "core/base/json_builder.h"

#include "core/base/error.h"

namespace postnas {

JsonBuilder::JsonBuilder(std::string source, int maxDepth)
    : m_source(std::move(source))
    , m_maxDepth(maxDepth)
    , m_path(1)
{
}

void JsonBuilder::parse(std::string_view text)
{
    try {
        if (!Json::sax_parse(text.begin(), text.end(), this))
            throw inputError(m_source + ": not valid JSON");
    } catch (const Json::exception& e) {
        throw inputError(m_source + ": not valid JSON: " + e.what());
    }
}

bool JsonBuilder::parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error)
{
    throw inputError(m_source + ": not valid JSON: " + error.what());
}

void JsonBuilder::failDuplicate(const std::string& key) const
{
    throw inputError(m_source + ": key \"" + key + "\" appears twice in one object",
                     "Remove one of the two; readers would disagree on which one counts.");
}

bool JsonBuilder::key(string_t& value)
{
    if (!m_keys.back().insert(value).second)
        failDuplicate(value);
    m_path.back() = std::move(value);
    return true;
}

bool JsonBuilder::add(Json value)
{
    if (m_open.empty()) {
        m_root = std::move(value);
    } else if (m_open.back()->is_array()) {
        m_open.back()->get_ref<Json::array_t&>().push_back(std::move(value));
    } else {
        // Past the duplicate check, so appending needs no search among the keys there are.
        m_open.back()->get_ref<Json::object_t&>().emplace_back(m_path.back(), std::move(value));
    }
    return true;
}

bool JsonBuilder::open(Json container)
{
    if (static_cast<int>(m_open.size()) >= m_maxDepth)
        throw inputError(m_source + ": JSON is nested deeper than " + std::to_string(m_maxDepth) + " levels");
    const bool isObject = container.is_object();
    add(std::move(container));
    Json* parent = m_open.empty() ? nullptr : m_open.back();
    Json* self = parent == nullptr ? &m_root : parent->is_array() ? &parent->get_ref<Json::array_t&>().back()
                                                                  : &parent->get_ref<Json::object_t&>().back().second;
    m_open.push_back(self);
    m_path.emplace_back();
    if (isObject)
        m_keys.emplace_back();
    return true;
}

bool JsonBuilder::end_object()
{
    m_open.pop_back();
    m_keys.pop_back();
    m_path.pop_back();
    return true;
}

bool JsonBuilder::end_array()
{
    m_open.pop_back();
    m_path.pop_back();
    return true;
}

} // namespace postnas
