// Both formatters parse their own syntax and share the conversion of one value by a spec.
#include "core/huggingface/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

constexpr int kMaxWidth = 10'000;
constexpr int kMaxPrecision = 100;

struct Spec {
    std::string fill = " ";
    char align = '\0'; ///< < > ^ = or none
    char sign = '-';
    bool alternate = false;
    bool thousands = false;
    int width = 0;
    int precision = -1;
    char type = '\0';
    bool trusted = true; ///< of the text that the spec is written in, and so of its fill
};

bool isDigit(char c) { return c >= '0' && c <= '9'; }

int parseNumber(const std::string& text, std::size_t& pos, int limit)
{
    int out = 0;
    while (pos < text.size() && isDigit(text[pos])) {
        out = out * 10 + (text[pos++] - '0');
        if (out > limit)
            throw JinjaFailure("a format asks for more than " + std::to_string(limit) + " characters");
    }
    return out;
}

std::string printFloat(double value, const Spec& spec)
{
    const char type = spec.type == '%' ? 'f' : spec.type;
    const int precision = spec.precision < 0 ? 6 : spec.precision;
    const char format[] = {'%', '.', '*', type, '\0'};
    char buffer[512];
    const int length = std::snprintf(buffer, sizeof buffer, format, precision, spec.type == '%' ? value * 100.0 : value);
    return std::string(buffer, static_cast<std::size_t>(std::clamp(length, 0, 511))) + (spec.type == '%' ? "%" : "");
}

std::string printInteger(std::int64_t value, const Spec& spec)
{
    const int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
    std::uint64_t rest = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
    std::string out;
    do {
        const char digit = "0123456789abcdef"[rest % static_cast<std::uint64_t>(base)];
        out += spec.type == 'X' && digit >= 'a' ? static_cast<char>(digit - 32) : digit;
        rest /= static_cast<std::uint64_t>(base);
    } while (rest != 0);
    if (spec.alternate && base != 10) {
        out += spec.type;
        out += '0';
    }
    if (value < 0)
        out += '-';
    std::reverse(out.begin(), out.end());
    return out;
}

void groupDigits(std::string& number)
{
    const std::size_t start = number[0] == '-' ? 1 : 0;
    std::size_t end = number.find_first_not_of("0123456789", start);
    end = end == std::string::npos ? number.size() : end;
    for (std::size_t pos = end; pos > start + 3; pos -= 3)
        number.insert(pos - 3, ",");
}

std::string formatNumber(const JinjaValue& value, Spec& spec)
{
    const bool wantsInteger = std::string_view("dxXob").find(spec.type) != std::string_view::npos && spec.type != '\0';
    std::string out;
    if (wantsInteger) {
        if (!value.isIntegral())
            throw JinjaFailure(std::string("the format '") + spec.type + "' needs an integer, not " + value.typeName());
        out = printInteger(value.asInteger(), spec);
    } else if (spec.type == '\0' && spec.precision < 0) {
        out = value.isIntegral() ? std::to_string(value.asInteger()) : pythonFloatText(value.asDouble());
    } else {
        if (spec.type == '\0')
            spec.type = 'g';
        out = printFloat(value.asDouble(), spec);
    }
    if (spec.thousands)
        groupDigits(out);
    if (spec.sign != '-' && out[0] != '-')
        out.insert(0, 1, spec.sign);
    return out;
}

/// `text` padded to the spec's width.
JinjaString pad(const JinjaString& text, const Spec& spec, char defaultAlign)
{
    const auto length = static_cast<int>(std::min<std::size_t>(text.codePoints(), kMaxWidth));
    const int missing = std::max(0, spec.width - length);
    const char align = spec.align != '\0' ? spec.align : defaultAlign;
    const int before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
    JinjaString out;
    std::size_t signEnd = 0;
    if (align == '=' && !text.empty() && (text.text()[0] == '-' || text.text()[0] == '+' || text.text()[0] == ' '))
        signEnd = 1;
    out.appendSlice(text, 0, signEnd);
    for (int i = 0; i < before; ++i)
        out.append(spec.fill, spec.trusted);
    out.appendSlice(text, signEnd, text.size());
    for (int i = before; i < missing; ++i)
        out.append(spec.fill, spec.trusted);
    return out;
}

JinjaString truncated(const JinjaString& text, int precision)
{
    return precision < 0 ? text : text.slice(0, text.offsetOfCodePoint(static_cast<std::size_t>(precision)));
}

Spec parseSpec(const std::string& text)
{
    Spec spec;
    std::size_t pos = 0;
    const auto isAlign = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    if (!text.empty()) {
        const std::size_t fill = utf8Length(text[0]);
        if (fill < text.size() && isAlign(text[fill])) {
            spec.fill = text.substr(0, fill);
            spec.align = text[fill];
            pos = fill + 1;
        } else if (isAlign(text[0])) {
            spec.align = text[0];
            pos = 1;
        }
    }
    if (pos < text.size() && (text[pos] == '+' || text[pos] == '-' || text[pos] == ' '))
        spec.sign = text[pos++];
    if (pos < text.size() && text[pos] == '#') {
        spec.alternate = true;
        ++pos;
    }
    if (pos < text.size() && text[pos] == '0') {
        if (spec.align == '\0') {
            spec.fill = "0";
            spec.align = '=';
        }
        ++pos;
    }
    spec.width = parseNumber(text, pos, kMaxWidth);
    if (pos < text.size() && text[pos] == ',') {
        spec.thousands = true;
        ++pos;
    }
    if (pos < text.size() && text[pos] == '.')
        spec.precision = parseNumber(text, ++pos, kMaxPrecision);
    if (pos < text.size())
        spec.type = text[pos++];
    if (pos != text.size() || (spec.type != '\0' && std::string_view("sdxXobeEfFgG%").find(spec.type) == std::string_view::npos))
        throw JinjaFailure("the format spec '" + text.substr(0, 40) + "' is not supported");
    return spec;
}

JinjaString formatBySpec(JinjaRuntime& runtime, const JinjaValue& value, const std::string& specText, bool trusted)
{
    Spec spec = parseSpec(specText);
    spec.trusted = trusted;
    if (value.isNumber() && spec.type != 's' && !(value.kind() == JinjaValue::Kind::Boolean && spec.type == '\0'))
        return pad({formatNumber(value, spec), value.trusted()}, spec, '>');
    if (spec.type != '\0' && spec.type != 's')
        throw JinjaFailure(std::string("the format '") + spec.type + "' does not fit " + value.typeName());
    return pad(truncated(jinjaToText(runtime, value), spec.precision), spec, '<');
}

JinjaString reprOf(JinjaRuntime& runtime, const JinjaValue& value)
{
    const JinjaString list = jinjaToText(runtime, JinjaValue::list({value}));
    return {std::string_view(list.text()).substr(1, list.size() - 2), value.trusted()};
}

} // namespace

JinjaString jinjaFormatPercent(JinjaRuntime& runtime, const JinjaString& format, const JinjaValue& values)
{
    const bool isTuple = values.isList() && values.asList().kind == JinjaListKind::Tuple;
    std::size_t next = 0;
    const auto nextValue = [&]() -> const JinjaValue& {
        const std::size_t count = isTuple ? values.asList().items.size() : 1;
        if (next >= count)
            throw JinjaFailure("there are not enough values for the format");
        ++next;
        return isTuple ? values.asList().items[next - 1] : values;
    };
    const std::string& text = format.text();
    runtime.work(text.size());
    JinjaString out;
    for (std::size_t pos = 0; pos < text.size();) {
        const std::size_t percent = std::min(text.find('%', pos), text.size());
        out.appendSlice(format, pos, percent);
        pos = percent + 1;
        if (percent == text.size())
            break;
        runtime.step();
        Spec spec;
        spec.trusted = format.trusted();
        const JinjaValue* value = nullptr;
        if (pos < text.size() && text[pos] == '(') {
            const std::size_t close = text.find(')', pos);
            if (close == std::string::npos || !values.isDict())
                throw JinjaFailure("a named format needs a dictionary");
            value = values.asDict().find(std::string_view(text).substr(pos + 1, close - pos - 1));
            if (value == nullptr)
                throw JinjaFailure("the format names a key that is missing");
            pos = close + 1;
        }
        for (; pos < text.size() && std::string_view("-+ #0").find(text[pos]) != std::string_view::npos; ++pos) {
            if (text[pos] == '-')
                spec.align = '<';
            else if (text[pos] == '#')
                spec.alternate = true;
            else if (text[pos] == '0' && spec.align == '\0')
                spec.fill = "0";
            else if (text[pos] == '+' || text[pos] == ' ')
                spec.sign = text[pos];
        }
        spec.width = parseNumber(text, pos, kMaxWidth);
        if (pos < text.size() && text[pos] == '.')
            spec.precision = parseNumber(text, ++pos, kMaxPrecision);
        if (pos >= text.size())
            throw JinjaFailure("the format ends within a conversion");
        const char type = text[pos++];
        if (type == '%') {
            out.append("%", format.trustedAt(pos - 1));
            continue;
        }
        if (value == nullptr)
            value = &nextValue();
        if (spec.fill == "0" && spec.align == '\0')
            spec.align = '=';
        if (spec.align == '<')
            spec.fill = " ";
        if (type == 's' || type == 'r') {
            if (spec.align == '=')
                spec.align = '>';
            spec.fill = " ";
            out.append(pad(truncated(type == 's' ? jinjaToText(runtime, *value) : reprOf(runtime, *value), spec.precision), spec, '>'));
        } else if (std::string_view("diuxXofFeEgG").find(type) != std::string_view::npos) {
            if (!value->isNumber())
                throw JinjaFailure(std::string("the format %") + type + " needs a number, not " + value->typeName());
            spec.type = type == 'i' || type == 'u' ? 'd' : type;
            JinjaValue number = *value;
            if (spec.type == 'd' && !number.isIntegral()) {
                if (!(std::abs(number.asDouble()) < 9e18))
                    throw JinjaFailure("a number is too large for %d");
                number = JinjaValue::integer(static_cast<std::int64_t>(number.asDouble()), number.trusted());
            }
            out.append(pad({formatNumber(number, spec), number.trusted()}, spec, '>'));
        } else {
            throw JinjaFailure(std::string("the format %") + type + " is not supported");
        }
    }
    if (isTuple && next < values.asList().items.size())
        throw JinjaFailure("not all values were used by the format");
    return out;
}

JinjaString jinjaFormatBraces(JinjaRuntime& runtime, const JinjaString& format, const JinjaArguments& arguments)
{
    const std::string& text = format.text();
    runtime.work(text.size());
    std::size_t next = 0;
    JinjaString out;
    for (std::size_t pos = 0; pos < text.size();) {
        const std::size_t brace = std::min(text.find_first_of("{}", pos), text.size());
        out.appendSlice(format, pos, brace);
        pos = brace;
        if (pos == text.size())
            break;
        runtime.step();
        if (pos + 1 < text.size() && text[pos + 1] == text[pos]) {
            out.appendSlice(format, pos, pos + 1);
            pos += 2;
            continue;
        }
        const std::size_t close = text.find('}', pos);
        if (text[pos] == '}' || close == std::string::npos)
            throw JinjaFailure("a format has a single brace");
        std::string field = text.substr(pos + 1, close - pos - 1);
        if (field.find('{') != std::string::npos)
            throw JinjaFailure("nested format fields are not supported");
        pos = close + 1;
        std::string spec;
        if (const std::size_t colon = field.find(':'); colon != std::string::npos) {
            spec = field.substr(colon + 1);
            field.resize(colon);
        }
        char conversion = 's';
        if (field.size() >= 2 && field[field.size() - 2] == '!') {
            conversion = field.back();
            field.resize(field.size() - 2);
        }
        const std::size_t end = std::min(field.find_first_of(".["), field.size());
        const std::string name = field.substr(0, end);
        JinjaValue value;
        if (name.find_first_not_of("0123456789") == std::string::npos) {
            const std::size_t index = name.empty() ? next++ : name.size() > 6 ? SIZE_MAX : std::stoul(name);
            if (index >= arguments.positional.size())
                throw JinjaFailure("the format asks for more values than there are");
            value = arguments.positional[index];
        } else {
            const auto it = std::find_if(arguments.keyword.begin(), arguments.keyword.end(), [&](const auto& k) { return k.first == name; });
            if (it == arguments.keyword.end())
                throw JinjaFailure("the format asks for '" + name.substr(0, 40) + "', which was not given");
            value = it->second;
        }
        for (std::size_t at = end; at < field.size();) {
            const bool isItem = field[at] == '[';
            const std::size_t stop = std::min(isItem ? field.find(']', at) : field.find_first_of(".[", at + 1), field.size());
            const std::string key = field.substr(at + 1, stop - at - 1);
            value = jinjaPath(runtime, value, JinjaValue::string(key, true));
            at = stop + (isItem ? 1 : 0);
        }
        if (conversion == 'r')
            value = JinjaValue::string(reprOf(runtime, value));
        else if (conversion != 's')
            throw JinjaFailure("a format has an unknown conversion");
        out.append(formatBySpec(runtime, value, spec, format.trusted()));
    }
    return out;
}

} // namespace postnas
