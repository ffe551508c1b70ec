// Filters on sequences and dictionaries.
#include <algorithm>
#include <unordered_map>

#include "core/huggingface/jinja_filters.h"
#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

using Value = JinjaValue;
using Runtime = JinjaRuntime;
using Arguments = JinjaArguments;
using Values = std::vector<Value>;

/// What values are ordered or told apart by: their attribute, without case unless asked for.
Value sortKey(Runtime& rt, const Value& item, const std::optional<Value>& attribute, bool caseSensitive)
{
    Value key = attribute && !attribute->isNone() ? jinjaPath(rt, item, *attribute) : item;
    if (key.isString() && !caseSensitive)
        return rt.text(jinjaLower(key.asString()));
    return key;
}

bool isTrue(const std::optional<Value>& value) { return value && value->truth(); }

Values sorted(Runtime& rt, const Values& items, const std::vector<Values>& keys, bool reverse)
{
    std::vector<std::size_t> order(items.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    rt.allocate(items.size() * (sizeof(Value) + sizeof(std::size_t)));
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        for (std::size_t k = 0; k < keys[a].size(); ++k) {
            const int c = reverse ? jinjaCompare(rt, keys[b][k], keys[a][k]) : jinjaCompare(rt, keys[a][k], keys[b][k]);
            if (c != 0)
                return c < 0;
        }
        return false;
    });
    Values out;
    for (const std::size_t i : order)
        out.push_back(items[i]);
    return out;
}

Value sort(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("sort", {"reverse", "case_sensitive", "attribute"});
    const Values items = jinjaIterate(rt, input);
    std::vector<std::optional<Value>> attributes;
    if (args[2] && args[2]->isString()) {
        const std::string& text = args[2]->asText();
        for (std::size_t begin = 0; begin <= text.size();) {
            const std::size_t comma = std::min(text.find(',', begin), text.size());
            attributes.push_back(Value::string(text.substr(begin, comma - begin), true));
            begin = comma + 1;
        }
    } else {
        attributes.push_back(args[2]);
    }
    std::vector<Values> keys;
    for (const Value& item : items) {
        keys.emplace_back();
        for (const auto& attribute : attributes)
            keys.back().push_back(sortKey(rt, item, attribute, isTrue(args[1])));
    }
    return rt.list(sorted(rt, items, keys, isTrue(args[0])));
}

Value dictSort(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("dictsort", {"case_sensitive", "by", "reverse"});
    if (!input.isDict())
        throw JinjaFailure(std::string("dictsort needs a dictionary, not ") + input.typeName());
    const std::string by = args[1] && args[1]->isString() ? args[1]->asText() : "key";
    if (by != "key" && by != "value")
        throw JinjaFailure("dictsort: by must be 'key' or 'value'");
    Values items;
    std::vector<Values> keys;
    for (const auto& [key, value] : input.asDict().entries()) {
        items.push_back(rt.list({key, value}, JinjaListKind::Tuple));
        keys.push_back({sortKey(rt, by == "key" ? key : value, std::nullopt, isTrue(args[0]))});
    }
    return rt.list(sorted(rt, items, keys, isTrue(args[2])));
}

Value unique(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("unique", {"case_sensitive", "attribute"});
    JinjaDict seen;
    Values out;
    for (const Value& item : jinjaIterate(rt, input)) {
        const Value key = sortKey(rt, item, args[1], isTrue(args[0]));
        rt.allocate(key.isString() ? 2 * key.asText().size() + 128 : 128);
        if (seen.find(key) != nullptr)
            continue;
        seen.set(key, Value::none());
        out.push_back(item);
    }
    return rt.list(std::move(out), JinjaListKind::Generator);
}

Value extreme(Runtime& rt, const Value& input, Arguments& a, const char* name, bool largest)
{
    const auto args = a.bind(name, {"case_sensitive", "attribute"});
    const Values items = jinjaIterate(rt, input);
    if (items.empty())
        return Value::undefined("no aggregated item, the sequence was empty");
    std::size_t best = 0;
    Value bestKey = sortKey(rt, items[0], args[1], isTrue(args[0]));
    for (std::size_t i = 1; i < items.size(); ++i) {
        Value key = sortKey(rt, items[i], args[1], isTrue(args[0]));
        const int c = jinjaCompare(rt, key, bestKey);
        if (largest ? c > 0 : c < 0) {
            best = i;
            bestKey = std::move(key);
        }
    }
    return items[best];
}

Value sum(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("sum", {"attribute", "start"});
    Value total = args[1].value_or(Value::integer(0));
    if (total.isString())
        throw JinjaFailure("sum cannot add up strings");
    for (const Value& item : jinjaIterate(rt, input))
        total = jinjaBinary(rt, "+", total, args[0] && !args[0]->isNone() ? jinjaPath(rt, item, *args[0]) : item);
    return total;
}

Value map(Runtime& rt, const Value& input, Arguments& a)
{
    Values out;
    if (a.positional.empty()) {
        const auto args = a.bind("map", {"attribute", "default"}, 1);
        for (const Value& item : jinjaIterate(rt, input)) {
            Value value = jinjaPath(rt, item, *args[0]);
            out.push_back(value.isUndefined() && args[1] ? *args[1] : std::move(value));
        }
        return rt.list(std::move(out), JinjaListKind::Generator);
    }
    const JinjaFilter filter = a.positional[0].isString() ? findJinjaFilter(a.positional[0].asText()) : nullptr;
    if (filter == nullptr)
        throw JinjaFailure("map needs an attribute or the name of a filter");
    const JinjaRuntime::Level level(rt);
    Arguments rest;
    rest.positional.assign(a.positional.begin() + 1, a.positional.end());
    rest.keyword = a.keyword;
    for (const Value& item : jinjaIterate(rt, input)) {
        rt.step();
        out.push_back(filter(rt, item, rest));
    }
    return rt.list(std::move(out), JinjaListKind::Generator);
}

/// select, reject, selectattr and rejectattr.
Value pick(Runtime& rt, const Value& input, Arguments& a, bool byAttribute, bool keep)
{
    std::size_t next = 0;
    if (byAttribute && a.positional.empty())
        throw JinjaFailure("selectattr and rejectattr need the name of an attribute");
    const std::optional<Value> attribute = byAttribute ? std::optional(a.positional[next++]) : std::nullopt;
    JinjaTest test = nullptr;
    if (next < a.positional.size()) {
        const Value& name = a.positional[next++];
        test = name.isString() ? findJinjaTest(name.asText()) : nullptr;
        if (test == nullptr)
            throw JinjaFailure("there is no test named '" + (name.isString() ? name.asText().substr(0, 40) : std::string(name.typeName())) + "'");
    }
    Arguments rest;
    rest.positional.assign(a.positional.begin() + static_cast<std::ptrdiff_t>(next), a.positional.end());
    rest.keyword = a.keyword;
    Values out;
    for (const Value& item : jinjaIterate(rt, input)) {
        rt.step();
        const Value value = attribute ? jinjaPath(rt, item, *attribute) : item;
        if ((test != nullptr ? test(rt, value, rest) : value.truth()) == keep)
            out.push_back(item);
    }
    return rt.list(std::move(out), JinjaListKind::Generator);
}

Value first(Runtime& rt, const Value& input, Arguments&)
{
    if (input.isList())
        return input.asList().items.empty() ? Value::undefined("no first item, the sequence was empty") : input.asList().items.front();
    const Values items = jinjaIterate(rt, input);
    return items.empty() ? Value::undefined("no first item, the sequence was empty") : items.front();
}

Value last(Runtime& rt, const Value& input, Arguments&)
{
    const Values items = jinjaIterate(rt, input);
    return items.empty() ? Value::undefined("no last item, the sequence was empty") : items.back();
}

Value reverse(Runtime& rt, const Value& input, Arguments&)
{
    if (input.isString())
        return jinjaSlice(rt, input, Value::none(), Value::none(), Value::integer(-1));
    Values items = jinjaIterate(rt, input);
    std::reverse(items.begin(), items.end());
    return rt.list(std::move(items), JinjaListKind::Generator);
}

Value join(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("join", {"d", "attribute"});
    Values items = jinjaIterate(rt, input);
    if (args[1] && !args[1]->isNone())
        for (Value& item : items)
            item = jinjaPath(rt, item, *args[1]);
    return rt.text(jinjaJoin(rt, args[0] ? jinjaToText(rt, *args[0]) : JinjaString(), items, true));
}

Value pairs(Runtime& rt, const Value& input, Arguments&)
{
    if (input.isUndefined())
        return rt.list({}, JinjaListKind::Generator);
    if (!input.isDict())
        throw JinjaFailure(std::string("items needs a dictionary, not ") + input.typeName());
    Values out;
    for (const auto& [key, value] : input.asDict().entries())
        out.push_back(rt.list({key, value}, JinjaListKind::Tuple));
    return rt.list(std::move(out), JinjaListKind::Generator);
}

Value attribute(Runtime& rt, const Value& input, Arguments& a)
{
    const auto args = a.bind("attr", {"name"}, 1);
    if (!args[0]->isString())
        throw JinjaFailure("attr needs a name");
    if (input.isDict()) // items are no attributes
        return Value::undefined("'dict' has no attribute '" + args[0]->asText().substr(0, 40) + "'");
    return jinjaAttribute(rt, input, args[0]->asText());
}

Value length(Runtime& rt, const Value& input, Arguments&) { return Value::integer(static_cast<std::int64_t>(jinjaLength(rt, input))); }

} // namespace

JinjaFilter findJinjaSequenceFilter(std::string_view name)
{
    using R = Runtime&;
    using V = const Value&;
    using A = Arguments&;
    static const std::unordered_map<std::string_view, JinjaFilter> kFilters = {
        {"length", length},
        {"count", length},
        {"first", first},
        {"last", last},
        {"reverse", reverse},
        {"join", join},
        {"items", pairs},
        {"attr", attribute},
        {"sort", sort},
        {"dictsort", dictSort},
        {"unique", unique},
        {"sum", sum},
        {"map", map},
        {"list", [](R r, V v, A) { return r.list(jinjaIterate(r, v)); }},
        {"min", [](R r, V v, A a) { return extreme(r, v, a, "min", false); }},
        {"max", [](R r, V v, A a) { return extreme(r, v, a, "max", true); }},
        {"select", [](R r, V v, A a) { return pick(r, v, a, false, true); }},
        {"reject", [](R r, V v, A a) { return pick(r, v, a, false, false); }},
        {"selectattr", [](R r, V v, A a) { return pick(r, v, a, true, true); }},
        {"rejectattr", [](R r, V v, A a) { return pick(r, v, a, true, false); }},
    };
    const auto it = kFilters.find(name);
    return it == kFilters.end() ? nullptr : it->second;
}

} // namespace postnas
