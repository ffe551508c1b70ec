// str, repr and json.dumps.
#include "core/huggingface/jinja_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <utf8proc.h>

namespace postnas {
namespace {

using Kind = JinjaValue::Kind;

void requireSize(const std::string& out)
{
    if (out.size() > JinjaString::kMaxBytes)
        throw JinjaFailure("a text grows over " + std::to_string(JinjaString::kMaxBytes >> 20) + " MiB");
}

std::string hexDigits(char32_t code, int digits)
{
    static constexpr char kHex[] = "0123456789abcdef";
    std::string out;
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        out += kHex[(code >> shift) & 0xF];
    return out;
}

bool isPrintable(char32_t code)
{
    if (code == ' ')
        return true;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

void appendStringRepr(std::string& out, const std::string& text)
{
    const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
    out += quote;
    for (std::size_t i = 0; i < text.size(); i += utf8Length(text[i])) {
        const char32_t code = codePointAt(text, i);
        if (code == static_cast<char32_t>(quote) || code == '\\') {
            out += '\\';
            out += static_cast<char>(code);
        } else if (code == '\n') {
            out += "\\n";
        } else if (code == '\r') {
            out += "\\r";
        } else if (code == '\t') {
            out += "\\t";
        } else if (isPrintable(code)) {
            out.append(text, i, utf8Length(text[i]));
        } else {
            out += code < 0x100 ? "\\x" + hexDigits(code, 2) : code < 0x10000 ? "\\u" + hexDigits(code, 4) : "\\U" + hexDigits(code, 8);
        }
    }
    out += quote;
}

void appendRepr(JinjaRuntime& runtime, std::string& out, const JinjaValue& value)
{
    runtime.step();
    requireSize(out);
    switch (value.kind()) {
    case Kind::Undefined:
        out += "Undefined";
        return;
    case Kind::None:
        out += "None";
        return;
    case Kind::Boolean:
        out += value.asBoolean() ? "True" : "False";
        return;
    case Kind::Integer:
        out += std::to_string(value.asInteger());
        return;
    case Kind::Float:
        out += pythonFloatText(value.asDouble());
        return;
    case Kind::String:
        runtime.work(value.asText().size());
        appendStringRepr(out, value.asText());
        return;
    case Kind::Dict: {
        out += '{';
        bool first = true;
        for (const auto& [key, item] : value.asDict().entries()) {
            out += first ? "" : ", ";
            first = false;
            appendRepr(runtime, out, key);
            out += ": ";
            appendRepr(runtime, out, item);
        }
        out += '}';
        return;
    }
    case Kind::List: {
        const JinjaList& list = value.asList();
        const bool isTuple = list.kind == JinjaListKind::Tuple;
        if (list.kind == JinjaListKind::Generator) {
            out += "<generator object>";
            return;
        }
        const bool isView = list.kind != JinjaListKind::List && !isTuple;
        out += isView ? std::string(value.typeName()) + "([" : isTuple ? "(" : "[";
        for (std::size_t i = 0; i < list.items.size(); ++i) {
            out += i == 0 ? "" : ", ";
            appendRepr(runtime, out, list.items[i]);
        }
        out += isView ? "])" : isTuple ? (list.items.size() == 1 ? ",)" : ")") : "]";
        return;
    }
    case Kind::Namespace:
        out += "<Namespace>";
        return;
    case Kind::Callable:
        out += "<function " + value.asCallable().name + ">";
        return;
    case Kind::Loop:
        out += "<LoopContext " + std::to_string(value.asLoop().index + 1) + "/" + std::to_string(value.asLoop().items.asList().items.size())
            + ">";
        return;
    }
}

class JsonWriter {
public:
    JsonWriter(JinjaRuntime& runtime, const JinjaJsonStyle& style)
        : m_runtime(runtime)
        , m_style(style)
    {
    }

    void write(const JinjaValue& value, int level)
    {
        m_runtime.step();
        requireSize(out);
        switch (value.kind()) {
        case Kind::None:
            out += "null";
            return;
        case Kind::Boolean:
            out += value.asBoolean() ? "true" : "false";
            return;
        case Kind::Integer:
            out += std::to_string(value.asInteger());
            return;
        case Kind::Float:
            out += numberText(value.asDouble());
            return;
        case Kind::String:
            writeString(value.asText());
            return;
        case Kind::List:
            if (value.asList().kind == JinjaListKind::List || value.asList().kind == JinjaListKind::Tuple)
                return writeList(value.asList().items, level);
            break;
        case Kind::Dict:
            return writeDict(value.asDict(), level);
        default:
            break;
        }
        throw JinjaFailure(std::string("an object of type ") + value.typeName() + " cannot be written as JSON");
    }

    std::string out;

private:
    static std::string numberText(double d)
    {
        if (std::isnan(d))
            return "NaN";
        return std::isinf(d) ? (d > 0 ? "Infinity" : "-Infinity") : pythonFloatText(d);
    }

    void newLine(int level)
    {
        if (!m_style.indent)
            return;
        out += '\n';
        for (int i = 0; i < level; ++i)
            out += *m_style.indent;
    }

    void writeList(const std::vector<JinjaValue>& items, int level)
    {
        out += '[';
        for (std::size_t i = 0; i < items.size(); ++i) {
            out += i == 0 ? "" : m_style.itemSeparator;
            newLine(level + 1);
            write(items[i], level + 1);
        }
        if (!items.empty())
            newLine(level);
        out += ']';
    }

    void writeDict(const JinjaDict& dict, int level)
    {
        std::vector<std::pair<std::string, const JinjaValue*>> entries;
        for (const auto& [key, item] : dict.entries())
            entries.emplace_back(keyText(key), &item);
        m_runtime.allocate(entries.size() * 48);
        if (m_style.sortKeys)
            std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        out += '{';
        for (std::size_t i = 0; i < entries.size(); ++i) {
            out += i == 0 ? "" : m_style.itemSeparator;
            newLine(level + 1);
            writeString(entries[i].first);
            out += m_style.keySeparator;
            write(*entries[i].second, level + 1);
        }
        if (!entries.empty())
            newLine(level);
        out += '}';
    }

    static std::string keyText(const JinjaValue& key)
    {
        switch (key.kind()) {
        case Kind::String:
            return key.asText();
        case Kind::None:
            return "null";
        case Kind::Boolean:
            return key.asBoolean() ? "true" : "false";
        case Kind::Integer:
            return std::to_string(key.asInteger());
        case Kind::Float:
            return numberText(key.asDouble());
        default:
            throw JinjaFailure(std::string("a key of type ") + key.typeName() + " cannot be written as JSON");
        }
    }

    void writeString(const std::string& text)
    {
        m_runtime.work(text.size());
        out += '"';
        for (std::size_t i = 0; i < text.size();) {
            const std::size_t length = utf8Length(text[i]);
            const char32_t code = codePointAt(text, i);
            static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b";
            static constexpr std::string_view kTo = "\"\\nrtfb";
            const std::size_t simple = code < 0x80 ? kFrom.find(static_cast<char>(code)) : std::string_view::npos;
            if (simple != std::string_view::npos) {
                out += '\\';
                out += kTo[simple];
            } else if (code < 0x20 || (m_style.ensureAscii && code > 0x7E && code < 0x10000)) {
                out += "\\u" + hexDigits(code, 4);
            } else if (m_style.ensureAscii && code >= 0x10000) {
                out += "\\u" + hexDigits(0xD800 + ((code - 0x10000) >> 10), 4);
                out += "\\u" + hexDigits(0xDC00 + ((code - 0x10000) & 0x3FF), 4);
            } else {
                out.append(text, i, length);
            }
            i += length;
        }
        out += '"';
    }

    JinjaRuntime& m_runtime;
    const JinjaJsonStyle& m_style;
};

} // namespace

std::string pythonFloatText(double value)
{
    if (std::isnan(value))
        return "nan";
    if (std::isinf(value))
        return value > 0 ? "inf" : "-inf";
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    std::string text(buffer, end);
    std::string sign;
    if (text[0] == '-') {
        sign = "-";
        text.erase(0, 1);
    }
    const std::size_t e = text.find('e');
    const int exponent = std::stoi(text.substr(e + 1));
    std::string digits = text.substr(0, e);
    digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
    if (exponent >= 16 || exponent < -4) {
        if (digits.size() > 1)
            digits.insert(1, ".");
        const std::string power = std::to_string(std::abs(exponent));
        return sign + digits + (exponent < 0 ? "e-" : "e+") + (power.size() < 2 ? "0" : "") + power;
    }
    if (exponent < 0)
        return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= whole)
        return sign + digits + std::string(whole - digits.size(), '0') + ".0";
    return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

JinjaString jinjaToText(JinjaRuntime& runtime, const JinjaValue& value)
{
    if (value.isString())
        return value.asString();
    if (value.isUndefined()) {
        if (runtime.dialect().strictUndefined)
            throw JinjaFailure(value.missing());
        return {};
    }
    std::string out;
    appendRepr(runtime, out, value);
    runtime.allocate(out.size());
    return {out, value.trusted()};
}

JinjaString jinjaToJson(JinjaRuntime& runtime, const JinjaValue& value, const JinjaJsonStyle& style)
{
    JsonWriter writer(runtime, style);
    writer.write(value, 0);
    runtime.allocate(writer.out.size());
    return {writer.out, value.trusted() && style.trusted};
}

} // namespace postnas
