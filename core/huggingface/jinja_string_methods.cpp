// The methods of str.
#include <algorithm>
#include <unordered_map>

#include <utf8proc.h>

#include "core/huggingface/jinja_format.h"
#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"

namespace postnas {
namespace {

using Value = JinjaValue;
using Runtime = JinjaRuntime;
using Arguments = JinjaArguments;

const std::string& textArgument(const std::optional<Value>& argument, const char* method)
{
    if (!argument || !argument->isString())
        throw JinjaFailure(std::string(method) + " needs a string");
    return argument->asText();
}

std::int64_t integerArgument(const std::optional<Value>& argument, std::int64_t fallback, const char* method)
{
    if (!argument || argument->isNone())
        return fallback;
    if (!argument->isIntegral())
        throw JinjaFailure(std::string(method) + " needs an integer");
    return argument->asInteger();
}

Value stripped(Runtime& rt, const Value& self, Arguments& a, const char* name, bool left, bool right)
{
    rt.work(self.asText().size());
    return rt.text(jinjaStrip(self.asString(), a.bind(name, {"chars"})[0], left, right));
}

/// The part of `text` that code point indices [start, stop) mean, as byte offsets.
std::pair<std::size_t, std::size_t> range(const JinjaString& text, const std::optional<Value>& start, const std::optional<Value>& stop,
                                          const char* method)
{
    const auto length = static_cast<std::int64_t>(text.codePoints());
    const auto place = [&](const std::optional<Value>& v, std::int64_t fallback) {
        const std::int64_t index = integerArgument(v, fallback, method);
        return text.offsetOfCodePoint(static_cast<std::size_t>(std::clamp<std::int64_t>(index < 0 ? std::max(index, -length) + length : index, 0, length)));
    };
    return {place(start, 0), place(stop, length)};
}

Value affix(Runtime& rt, const Value& self, Arguments& a, const char* name, bool atStart)
{
    const auto args = a.bind(name, {"affix", "start", "end"}, 1);
    rt.work(self.asText().size());
    const auto [begin, end] = range(self.asString(), args[1], args[2], name);
    const std::string_view text = std::string_view(self.asText()).substr(begin, end < begin ? 0 : end - begin);
    const auto matches = [&](const Value& candidate) {
        const std::string& part = textArgument(candidate, name);
        return atStart ? text.starts_with(part) : text.ends_with(part);
    };
    bool found = false;
    if (args[0]->isList() && args[0]->asList().kind == JinjaListKind::Tuple) {
        for (const Value& candidate : args[0]->asList().items) {
            rt.work(text.size());
            found = found || matches(candidate);
        }
    } else {
        found = matches(*args[0]);
    }
    return Value::boolean(found);
}

std::int64_t findIn(Runtime& rt, const Value& self, Arguments& a, const char* name, bool fromRight)
{
    const auto args = a.bind(name, {"sub", "start", "end"}, 1);
    const std::string& needle = textArgument(args[0], name);
    rt.work(2 * self.asText().size());
    const auto [begin, end] = range(self.asString(), args[1], args[2], name);
    const std::string_view head = std::string_view(self.asText()).substr(0, std::max(begin, end));
    std::size_t hit = std::string::npos;
    if (fromRight) {
        rt.step(std::min(needle.size(), head.size()) * head.size() / 256); // the search is quadratic at worst
        hit = head.rfind(needle);
        hit = hit == std::string::npos || hit < begin ? std::string::npos : hit;
    } else {
        hit = self.asString().find(needle, begin);
        hit = hit == std::string::npos || hit + needle.size() > head.size() ? std::string::npos : hit;
    }
    return hit == std::string::npos ? -1 : static_cast<std::int64_t>(self.asString().slice(0, hit).codePoints());
}

Value indexOf(Runtime& rt, const Value& self, Arguments& a, const char* name, bool fromRight)
{
    const std::int64_t index = findIn(rt, self, a, name, fromRight);
    if (index < 0)
        throw JinjaFailure(std::string(name) + ": the text does not occur");
    return Value::integer(index);
}

/// str.split and str.rsplit. Splits from the right are found from the left and the first ones joined again.
Value split(Runtime& rt, const Value& self, Arguments& a, const char* name, bool fromRight)
{
    const auto args = a.bind(name, {"sep", "maxsplit"});
    const std::int64_t limit = integerArgument(args[1], -1, name);
    const JinjaString& text = self.asString();
    rt.work(text.size());
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    if (!args[0] || args[0]->isNone()) {
        for (std::size_t i = 0; i < text.size();) {
            while (i < text.size() && isPythonSpace(codePointAt(text.text(), i)))
                i += utf8Length(text.text()[i]);
            if (i == text.size())
                break;
            const std::size_t begin = i;
            while (i < text.size() && !isPythonSpace(codePointAt(text.text(), i)))
                i += utf8Length(text.text()[i]);
            parts.emplace_back(begin, i);
            rt.allocate(sizeof parts[0]);
        }
        if (limit >= 0 && parts.size() > static_cast<std::size_t>(limit)) { // the rest keeps its inner white space
            const auto keep = static_cast<std::ptrdiff_t>(limit);
            if (fromRight) {
                const auto first = parts.end() - keep;
                const std::size_t restEnd = (first - 1)->second;
                parts.erase(parts.begin(), first);
                parts.emplace(parts.begin(), 0, restEnd);
            } else {
                const std::size_t restBegin = parts[static_cast<std::size_t>(keep)].first;
                parts.resize(static_cast<std::size_t>(keep));
                parts.emplace_back(restBegin, text.size());
            }
        }
    } else {
        const std::string& separator = textArgument(args[0], name);
        if (separator.empty())
            throw JinjaFailure(std::string(name) + ": the separator is empty");
        std::size_t begin = 0;
        while (fromRight || limit < 0 || parts.size() < static_cast<std::size_t>(limit)) {
            const std::size_t hit = text.find(separator, begin);
            if (hit == std::string::npos)
                break;
            parts.emplace_back(begin, hit);
            rt.allocate(sizeof parts[0]);
            begin = hit + separator.size();
        }
        parts.emplace_back(begin, text.size());
        if (fromRight && limit >= 0 && parts.size() > static_cast<std::size_t>(limit) + 1) {
            const auto first = parts.end() - static_cast<std::ptrdiff_t>(limit) - 1;
            parts.erase(parts.begin() + 1, first + 1);
            parts[0].second = limit == 0 ? text.size() : parts[1].first - separator.size();
        }
    }
    std::vector<Value> out;
    for (const auto& [begin, end] : parts)
        out.push_back(rt.text(text.slice(begin, end)));
    return rt.list(std::move(out));
}

bool isCased(utf8proc_int32_t c, bool upper)
{
    const auto category = utf8proc_category(c);
    return upper ? category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT : category == UTF8PROC_CATEGORY_LL;
}

Value title(Runtime& rt, const Value& self, Arguments&)
{
    const JinjaString& text = self.asString();
    rt.work(2 * text.size());
    JinjaString out;
    bool inWord = false;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t next = i + utf8Length(text.text()[i]);
        const auto code = static_cast<utf8proc_int32_t>(codePointAt(text.text(), i));
        const JinjaString letter = text.slice(i, next);
        out.append(inWord ? jinjaLower(letter) : jinjaCapitalize(letter));
        inWord = isCased(code, true) || isCased(code, false);
        i = next;
    }
    return rt.text(std::move(out));
}

template <typename Predicate>
Value all(Runtime& rt, const Value& self, Predicate predicate)
{
    const std::string& text = self.asText();
    rt.work(text.size());
    for (std::size_t i = 0; i < text.size(); i += utf8Length(text[i]))
        if (!predicate(static_cast<utf8proc_int32_t>(codePointAt(text, i))))
            return Value::boolean(false);
    return Value::boolean(!text.empty());
}

bool isAlpha(utf8proc_int32_t c)
{
    const auto category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool isNumeric(utf8proc_int32_t c)
{
    const auto category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}
bool isDecimal(utf8proc_int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_ND; }

Value hasCase(Runtime& rt, const Value& self, bool upper)
{
    const std::string& text = self.asText();
    rt.work(text.size());
    bool any = false;
    for (std::size_t i = 0; i < text.size(); i += utf8Length(text[i])) {
        const auto c = static_cast<utf8proc_int32_t>(codePointAt(text, i));
        if (isCased(c, !upper))
            return Value::boolean(false);
        any = any || isCased(c, upper);
    }
    return Value::boolean(any);
}

Value justified(Runtime& rt, const Value& self, Arguments& a, const char* name, char align)
{
    const auto args = a.bind(name, {"width", "fillchar"}, 1);
    const std::int64_t width = integerArgument(args[0], 0, name);
    const std::string fill = args[1] ? textArgument(args[1], name) : align == '0' ? "0" : " ";
    rt.work(self.asText().size());
    const auto missing = width - static_cast<std::int64_t>(self.asString().codePoints());
    if (missing <= 0)
        return self;
    if (static_cast<std::uint64_t>(missing) > JinjaString::kMaxBytes)
        throw JinjaFailure(std::string(name) + ": the width is too large");
    rt.allocate(static_cast<std::size_t>(missing) * fill.size());
    const bool trusted = !args[1] || args[1]->trusted();
    // CPython centres with the extra column on the left when both the gap and the width are odd.
    const std::int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 + (missing & width & 1) : missing;
    const bool hasSign = align == '0' && !self.asText().empty() && (self.asText()[0] == '-' || self.asText()[0] == '+');
    JinjaString out = self.asString().slice(0, hasSign ? 1 : 0);
    for (std::int64_t i = 0; i < before; ++i)
        out.append(fill, trusted);
    out.appendSlice(self.asString(), hasSign ? 1 : 0, self.asText().size());
    for (std::int64_t i = before; i < missing; ++i)
        out.append(fill, trusted);
    return rt.text(std::move(out));
}

Value removeAffix(Runtime& rt, const Value& self, Arguments& a, const char* name, bool prefix)
{
    const std::string part = textArgument(a.bind(name, {"affix"}, 1)[0], name);
    const std::string_view text = self.asText();
    if (prefix && text.starts_with(part))
        return rt.text(self.asString().slice(part.size(), text.size()));
    if (!prefix && text.ends_with(part))
        return rt.text(self.asString().slice(0, text.size() - part.size()));
    return self;
}

Value replace(Runtime& rt, const Value& self, Arguments& a)
{
    const auto args = a.bind("replace", {"old", "new", "count"}, 2);
    textArgument(args[0], "replace");
    textArgument(args[1], "replace");
    return rt.text(jinjaReplace(rt, self.asString(), args[0]->asString(), args[1]->asString(), integerArgument(args[2], -1, "replace")));
}

Value count(Runtime& rt, const Value& self, Arguments& a)
{
    const auto args = a.bind("count", {"sub"}, 1);
    const std::string& needle = textArgument(args[0], "count");
    rt.work(self.asText().size());
    if (needle.empty())
        return Value::integer(static_cast<std::int64_t>(self.asString().codePoints()) + 1);
    std::int64_t hits = 0;
    for (std::size_t pos = 0; (pos = self.asString().find(needle, pos)) != std::string::npos; pos += needle.size())
        ++hits;
    return Value::integer(hits);
}

Value splitLines(Runtime& rt, const Value& self, Arguments& a)
{
    const auto args = a.bind("splitlines", {"keepends"});
    rt.allocate(self.asText().size() * 2);
    std::vector<Value> out;
    for (JinjaString& line : jinjaSplitLines(self.asString(), args[0] && args[0]->truth()))
        out.push_back(rt.text(std::move(line)));
    return rt.list(std::move(out));
}

Value partition(Runtime& rt, const Value& self, Arguments& a)
{
    const auto args = a.bind("partition", {"sep"}, 1);
    const std::string& separator = textArgument(args[0], "partition");
    if (separator.empty())
        throw JinjaFailure("partition: the separator is empty");
    const JinjaString& text = self.asString();
    rt.work(text.size());
    const std::size_t hit = std::min(text.find(separator), text.size());
    const std::size_t after = std::min(hit + separator.size(), text.size());
    std::vector<Value> out;
    out.push_back(rt.text(text.slice(0, hit)));
    out.push_back(rt.text(text.slice(hit, after)));
    out.push_back(rt.text(text.slice(after, text.size())));
    return rt.list(std::move(out), JinjaListKind::Tuple);
}

} // namespace

JinjaMethod findJinjaStringMethod(std::string_view name)
{
    using R = Runtime&;
    using V = const Value&;
    using A = Arguments&;
    static const std::unordered_map<std::string_view, JinjaMethod> kMethods = {
        {"strip", [](R r, V s, A a) { return stripped(r, s, a, "strip", true, true); }},
        {"lstrip", [](R r, V s, A a) { return stripped(r, s, a, "lstrip", true, false); }},
        {"rstrip", [](R r, V s, A a) { return stripped(r, s, a, "rstrip", false, true); }},
        {"startswith", [](R r, V s, A a) { return affix(r, s, a, "startswith", true); }},
        {"endswith", [](R r, V s, A a) { return affix(r, s, a, "endswith", false); }},
        {"find", [](R r, V s, A a) { return Value::integer(findIn(r, s, a, "find", false)); }},
        {"rfind", [](R r, V s, A a) { return Value::integer(findIn(r, s, a, "rfind", true)); }},
        {"index", [](R r, V s, A a) { return indexOf(r, s, a, "index", false); }},
        {"rindex", [](R r, V s, A a) { return indexOf(r, s, a, "rindex", true); }},
        {"split", [](R r, V s, A a) { return split(r, s, a, "split", false); }},
        {"rsplit", [](R r, V s, A a) { return split(r, s, a, "rsplit", true); }},
        {"upper", [](R r, V s, A) { return r.text(jinjaUpper(s.asString())); }},
        {"lower", [](R r, V s, A) { return r.text(jinjaLower(s.asString())); }},
        {"capitalize", [](R r, V s, A) { return r.text(jinjaCapitalize(s.asString())); }},
        {"title", title},
        {"replace", replace},
        {"count", count},
        {"splitlines", splitLines},
        {"partition", partition},
        {"join", [](R r, V s, A a) { return r.text(jinjaJoin(r, s.asString(), jinjaIterate(r, *a.bind("join", {"iterable"}, 1)[0]), false)); }},
        {"format", [](R r, V s, A a) { return r.text(jinjaFormatBraces(r, s.asString(), a)); }},
        {"isalpha", [](R r, V s, A) { return all(r, s, isAlpha); }},
        {"isdigit", [](R r, V s, A) { return all(r, s, isDecimal); }},
        {"isdecimal", [](R r, V s, A) { return all(r, s, isDecimal); }},
        {"isnumeric", [](R r, V s, A) { return all(r, s, isNumeric); }},
        {"isalnum", [](R r, V s, A) { return all(r, s, [](utf8proc_int32_t c) { return isAlpha(c) || isNumeric(c); }); }},
        {"isspace", [](R r, V s, A) { return all(r, s, [](utf8proc_int32_t c) { return isPythonSpace(static_cast<char32_t>(c)); }); }},
        {"isupper", [](R r, V s, A) { return hasCase(r, s, true); }},
        {"islower", [](R r, V s, A) { return hasCase(r, s, false); }},
        {"ljust", [](R r, V s, A a) { return justified(r, s, a, "ljust", '<'); }},
        {"rjust", [](R r, V s, A a) { return justified(r, s, a, "rjust", '>'); }},
        {"center", [](R r, V s, A a) { return justified(r, s, a, "center", '^'); }},
        {"zfill", [](R r, V s, A a) { return justified(r, s, a, "zfill", '0'); }},
        {"removeprefix", [](R r, V s, A a) { return removeAffix(r, s, a, "removeprefix", true); }},
        {"removesuffix", [](R r, V s, A a) { return removeAffix(r, s, a, "removesuffix", false); }},
    };
    const auto it = kMethods.find(name);
    return it == kMethods.end() ? nullptr : it->second;
}

} // namespace postnas
