// Construction of template values with their trust and depth, and the questions every value answers.
#include "core/huggingface/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/text.h"

namespace postnas {
namespace {

void requireDepth(int depth)
{
    if (depth > JinjaValue::kMaxDepth)
        throw JinjaFailure("lists and dictionaries are nested deeper than " + std::to_string(JinjaValue::kMaxDepth) + " levels");
}

/// Equal keys, and only those, get the same text.
std::string keyText(const JinjaValue& key)
{
    using Kind = JinjaValue::Kind;
    switch (key.kind()) {
    case Kind::String:
        return "s" + key.asText();
    case Kind::Boolean:
    case Kind::Integer:
        return "n" + std::to_string(key.asInteger());
    case Kind::Float: {
        const double d = key.asDouble();
        if (d == std::floor(d) && std::abs(d) < 9e18)
            return "n" + std::to_string(static_cast<std::int64_t>(d));
        char buffer[64];
        const auto end = std::to_chars(buffer, buffer + sizeof buffer, d).ptr;
        return "f" + std::string(buffer, end);
    }
    case Kind::None:
        return "N";
    case Kind::List:
        if (key.asList().kind == JinjaListKind::Tuple) {
            std::string out = "t";
            for (const JinjaValue& item : key.asList().items) {
                const std::string part = keyText(item);
                if (out.size() + part.size() > (1u << 20))
                    throw JinjaFailure("a dictionary key is too large");
                out += std::to_string(part.size()) + ":" + part;
            }
            return out;
        }
        break;
    default:
        break;
    }
    throw JinjaFailure(std::string("unhashable type: '") + key.typeName() + "'");
}

} // namespace

JinjaValue JinjaValue::undefined(std::string whatIsMissing)
{
    JinjaValue out;
    out.m_data = Undefined{std::make_shared<const std::string>(std::move(whatIsMissing))};
    return out;
}

JinjaValue JinjaValue::none(bool trusted)
{
    JinjaValue out;
    out.m_data = std::monostate();
    out.m_trusted = trusted;
    return out;
}

JinjaValue JinjaValue::boolean(bool value, bool trusted)
{
    JinjaValue out;
    out.m_data = value;
    out.m_trusted = trusted;
    return out;
}

JinjaValue JinjaValue::integer(std::int64_t value, bool trusted)
{
    JinjaValue out;
    out.m_data = value;
    out.m_trusted = trusted;
    return out;
}

JinjaValue JinjaValue::number(double value, bool trusted)
{
    JinjaValue out;
    out.m_data = value;
    out.m_trusted = trusted;
    return out;
}

JinjaValue JinjaValue::string(JinjaString value)
{
    JinjaValue out;
    out.m_data = std::make_shared<const JinjaString>(std::move(value));
    return out;
}

JinjaValue JinjaValue::list(std::vector<JinjaValue> items, JinjaListKind kind, bool trusted)
{
    JinjaList list;
    list.items = std::move(items);
    list.kind = kind;
    list.trusted = trusted;
    for (const JinjaValue& item : list.items) {
        list.depth = std::max(list.depth, item.depth() + 1);
        list.trusted = list.trusted && item.trusted();
    }
    requireDepth(list.depth);
    JinjaValue out;
    out.m_data = std::make_shared<const JinjaList>(std::move(list));
    return out;
}

JinjaValue JinjaValue::dict(JinjaDict value)
{
    requireDepth(value.depth());
    JinjaValue out;
    out.m_data = std::make_shared<const JinjaDict>(std::move(value));
    return out;
}

JinjaValue JinjaValue::ofNamespace(std::shared_ptr<JinjaNamespace> value)
{
    JinjaValue out;
    out.m_data = std::move(value);
    return out;
}

JinjaValue JinjaValue::callable(JinjaCallable value)
{
    requireDepth(value.depth);
    JinjaValue out;
    out.m_data = std::make_shared<const JinjaCallable>(std::move(value));
    return out;
}

JinjaValue JinjaValue::loop(std::shared_ptr<JinjaLoop> value)
{
    JinjaValue out;
    out.m_data = std::move(value);
    return out;
}

JinjaValue JinjaValue::fromJson(const Json& json, bool trusted)
{
    switch (json.type()) {
    case Json::value_t::boolean:
        return boolean(json.get<bool>(), trusted);
    case Json::value_t::number_integer:
        return integer(json.get<std::int64_t>(), trusted);
    case Json::value_t::number_unsigned: {
        const auto n = json.get<std::uint64_t>();
        return n > static_cast<std::uint64_t>(INT64_MAX) ? number(static_cast<double>(n), trusted)
                                                         : integer(static_cast<std::int64_t>(n), trusted);
    }
    case Json::value_t::number_float:
        return number(json.get<double>(), trusted);
    case Json::value_t::string: {
        const auto& text = json.get_ref<const std::string&>();
        return findInvalidUtf8(text) == std::string::npos ? string(text, trusted) : string(repairUtf8(text), trusted);
    }
    case Json::value_t::array: {
        std::vector<JinjaValue> items;
        items.reserve(json.size());
        for (const Json& item : json)
            items.push_back(fromJson(item, trusted));
        return list(std::move(items), JinjaListKind::List, trusted);
    }
    case Json::value_t::object: {
        JinjaDict out(trusted);
        for (const auto& [key, item] : json.items())
            out.set(fromJson(key, trusted), fromJson(item, trusted));
        return dict(std::move(out));
    }
    default:
        return none(trusted);
    }
}

const std::string& JinjaValue::missing() const
{
    static const std::string kNothing = "the value is undefined";
    const auto& text = std::get<Undefined>(m_data).missing;
    return text ? *text : kNothing;
}

std::int64_t JinjaValue::asInteger() const
{
    return kind() == Kind::Boolean ? (asBoolean() ? 1 : 0) : std::get<std::int64_t>(m_data);
}

double JinjaValue::asDouble() const
{
    return kind() == Kind::Float ? std::get<double>(m_data) : static_cast<double>(asInteger());
}

bool JinjaValue::trusted() const
{
    switch (kind()) {
    case Kind::String:
        return asString().trusted();
    case Kind::List:
        return asList().trusted;
    case Kind::Dict:
        return asDict().trusted();
    case Kind::Callable:
        return asCallable().trusted;
    case Kind::Namespace: // what it holds may change after it was put somewhere, so nobody vouches for it
    case Kind::Loop:
        return false;
    default:
        return m_trusted;
    }
}

int JinjaValue::depth() const
{
    switch (kind()) {
    case Kind::List:
        return asList().depth;
    case Kind::Dict:
        return asDict().depth();
    case Kind::Callable:
        return asCallable().depth;
    case Kind::Loop:
        return asLoop().items.depth() + 1;
    default:
        return 0;
    }
}

bool JinjaValue::truth() const
{
    switch (kind()) {
    case Kind::Undefined:
    case Kind::None:
        return false;
    case Kind::Boolean:
        return asBoolean();
    case Kind::Integer:
        return asInteger() != 0;
    case Kind::Float:
        return asDouble() != 0.0;
    case Kind::String:
        return !asString().empty();
    case Kind::List:
        return asList().kind == JinjaListKind::Generator || !asList().items.empty();
    case Kind::Dict:
        return asDict().size() != 0;
    default:
        return true;
    }
}

const char* JinjaValue::typeName() const
{
    static constexpr const char* kLists[] = {"list", "tuple", "generator", "dict_keys", "dict_values", "dict_items"};
    static constexpr const char* kNames[] = {"Undefined", "NoneType", "bool", "int", "float", "str", "list", "dict", "Namespace",
                                             "function", "LoopContext"};
    return isList() ? kLists[static_cast<int>(asList().kind)] : kNames[static_cast<int>(kind())];
}

bool JinjaValue::identical(const JinjaValue& other) const
{
    if (kind() != other.kind())
        return false;
    switch (kind()) {
    case Kind::Undefined:
    case Kind::None:
        return true;
    case Kind::Boolean:
    case Kind::Integer:
        return asInteger() == other.asInteger();
    case Kind::Float:
        return asDouble() == other.asDouble();
    case Kind::String:
        return &asString() == &other.asString();
    case Kind::List:
        return &asList() == &other.asList();
    case Kind::Dict:
        return &asDict() == &other.asDict();
    case Kind::Namespace:
        return &asNamespace() == &other.asNamespace();
    case Kind::Callable:
        return &asCallable() == &other.asCallable();
    case Kind::Loop:
        return &asLoop() == &other.asLoop();
    }
    return false;
}

void JinjaDict::set(const JinjaValue& key, JinjaValue value)
{
    m_trusted = m_trusted && key.trusted() && value.trusted();
    m_depth = std::max({m_depth, key.depth() + 1, value.depth() + 1});
    const auto [it, added] = m_index.emplace(keyText(key), m_entries.size());
    if (added)
        m_entries.emplace_back(key, std::move(value));
    else
        m_entries[it->second].second = std::move(value);
}

const JinjaValue* JinjaDict::find(const JinjaValue& key) const
{
    const auto it = m_index.find(keyText(key));
    return it == m_index.end() ? nullptr : &m_entries[it->second].second;
}

const JinjaValue* JinjaDict::find(std::string_view key) const
{
    const auto it = m_index.find("s" + std::string(key));
    return it == m_index.end() ? nullptr : &m_entries[it->second].second;
}

} // namespace postnas
