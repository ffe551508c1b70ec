// The tests that follow `is`, and the global functions.
#include <ctime>
#include <unordered_map>

#include "core/huggingface/jinja_filters.h"
#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

using Value = JinjaValue;
using Kind = JinjaValue::Kind;
using Runtime = JinjaRuntime;
using Arguments = JinjaArguments;

template <int Comparison>
bool compares(Runtime& rt, const Value& v, Arguments& a)
{
    static constexpr const char* kOperators[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
    return jinjaCompareWith(rt, kOperators[Comparison], v, *a.bind("the test", {"value"}, 1)[0]);
}

bool divides(Runtime& rt, const Value& v, Arguments& a)
{
    return !jinjaBinary(rt, "%", v, *a.bind("divisibleby", {"num"}, 1)[0]).truth();
}

template <bool Odd>
bool parity(Runtime& rt, const Value& v, Arguments&)
{
    return jinjaBinary(rt, "%", v, Value::integer(2)).truth() == Odd;
}

/// Whether any letter is there and none has the other case.
template <bool Upper>
bool hasCase(Runtime& rt, const Value& v, Arguments& a)
{
    const Value text = rt.text(jinjaToText(rt, v));
    return findJinjaStringMethod(Upper ? "isupper" : "islower")(rt, text, a).asBoolean();
}

bool isSequence(const Value& v)
{
    return v.isString() || v.isDict() || v.isUndefined() || (v.isList() && v.asList().kind <= JinjaListKind::Tuple);
}

bool isCallable(const Value& v) { return v.kind() == Kind::Callable || v.kind() == Kind::Loop; }

Value raise(Runtime& rt, Arguments& a)
{
    const auto args = a.bind("raise_exception", {"message"}, 1);
    throw JinjaFailure("the template says: " + jinjaToText(rt, *args[0]).text().substr(0, 2000));
}

Value formatNow(Runtime& rt, Arguments& a)
{
    const auto args = a.bind("strftime_now", {"format"}, 1);
    if (!args[0]->isString() || args[0]->asText().size() > 200)
        throw JinjaFailure("strftime_now needs a format of at most 200 bytes");
    const auto now = static_cast<std::time_t>(rt.dialect().now.value_or(static_cast<std::int64_t>(std::time(nullptr))));
    std::tm parts{};
    ::localtime_r(&now, &parts);
    // A mark at the end tells an empty result from one that did not fit.
    const std::string format = args[0]->asText() + "|";
    char buffer[8192];
    const std::size_t length = std::strftime(buffer, sizeof buffer, format.c_str(), &parts);
    if (length == 0)
        throw JinjaFailure("strftime_now: the format gives too long a text");
    return rt.text(std::string_view(buffer, length - 1), args[0]->trusted());
}

Value range(Runtime& rt, Arguments& a)
{
    const auto args = a.bind("range", {"start", "stop", "step"}, 1);
    std::int64_t numbers[3] = {0, 0, 1};
    for (std::size_t i = 0; i < 3; ++i) {
        if (!args[i])
            continue;
        if (!args[i]->isIntegral())
            throw JinjaFailure(args[i]->isUndefined() ? args[i]->missing() : "range needs integers");
        numbers[i] = args[i]->asInteger();
    }
    if (!args[1])
        std::swap(numbers[0], numbers[1]);
    const auto [start, stop, step] = numbers;
    if (step == 0)
        throw JinjaFailure("range: the step is zero");
    const bool up = step > 0;
    std::uint64_t count = 0;
    if (up ? start < stop : start > stop) {
        const std::uint64_t span = up ? static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start)
                                      : static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop);
        count = (span - 1) / (up ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step)) + 1;
    }
    if (count > rt.limits().rangeItems)
        throw JinjaFailure("a range has more than " + std::to_string(rt.limits().rangeItems) + " numbers");
    std::vector<Value> items;
    for (std::uint64_t i = 0; i < count; ++i)
        items.push_back(Value::integer(start + static_cast<std::int64_t>(i) * step));
    return rt.list(std::move(items));
}

/// The keys and values that dict() and namespace() are called with.
template <typename Set>
void fillFrom(Runtime& rt, Arguments& a, const char* name, Set set)
{
    if (a.positional.size() > 1)
        throw JinjaFailure(std::string(name) + " takes at most one positional argument");
    if (!a.positional.empty() && a.positional[0].isDict()) {
        for (const auto& [key, value] : a.positional[0].asDict().entries())
            set(key, value);
    } else if (!a.positional.empty()) {
        for (const Value& pair : jinjaIterate(rt, a.positional[0])) {
            const auto parts = jinjaIterate(rt, pair);
            if (parts.size() != 2)
                throw JinjaFailure(std::string(name) + " needs pairs of key and value");
            set(parts[0], parts[1]);
        }
    }
    for (const auto& [key, value] : a.keyword)
        set(Value::string(key, a.namesTrusted), value);
}

Value makeDict(Runtime& rt, Arguments& a)
{
    JinjaDict out;
    fillFrom(rt, a, "dict", [&](const Value& key, const Value& value) {
        rt.allocate(128 + (key.isString() ? key.asText().size() : 0));
        out.set(key, value);
    });
    return Value::dict(std::move(out));
}

Value makeNamespace(Runtime& rt, Arguments& a)
{
    std::unordered_map<std::string, Value> values;
    fillFrom(rt, a, "namespace", [&](const Value& key, const Value& value) {
        if (!key.isString())
            throw JinjaFailure("the names in a namespace are strings");
        rt.allocate(key.asText().size());
        values[key.asText()] = value;
    });
    return rt.makeNamespace(std::move(values));
}

} // namespace

JinjaTest findJinjaTest(std::string_view name)
{
    using R = Runtime&;
    using V = const Value&;
    using A = Arguments&;
    static const std::unordered_map<std::string_view, JinjaTest> kTests = {
        {"defined", [](R, V v, A) { return !v.isUndefined(); }},
        {"undefined", [](R, V v, A) { return v.isUndefined(); }},
        {"none", [](R, V v, A) { return v.isNone(); }},
        {"string", [](R, V v, A) { return v.isString(); }},
        {"mapping", [](R, V v, A) { return v.isDict(); }},
        {"sequence", [](R, V v, A) { return isSequence(v); }},
        {"iterable", [](R, V v, A) { return v.isString() || v.isDict() || v.isList() || v.isUndefined() || v.kind() == Kind::Loop; }},
        {"boolean", [](R, V v, A) { return v.kind() == Kind::Boolean; }},
        {"number", [](R, V v, A) { return v.isNumber(); }},
        {"integer", [](R, V v, A) { return v.isInteger(); }},
        {"float", [](R, V v, A) { return v.kind() == Kind::Float; }},
        {"true", [](R, V v, A) { return v.kind() == Kind::Boolean && v.asBoolean(); }},
        {"false", [](R, V v, A) { return v.kind() == Kind::Boolean && !v.asBoolean(); }},
        {"callable", [](R, V v, A) { return isCallable(v); }},
        {"escaped", [](R, V, A) { return false; }},
        {"sameas", [](R, V v, A a) { return v.identical(*a.bind("sameas", {"other"}, 1)[0]); }},
        {"odd", parity<true>},
        {"even", parity<false>},
        {"divisibleby", divides},
        {"upper", hasCase<true>},
        {"lower", hasCase<false>},
        {"filter", [](R, V v, A) { return v.isString() && findJinjaFilter(v.asText()) != nullptr; }},
        {"test", [](R, V v, A) { return v.isString() && findJinjaTest(v.asText()) != nullptr; }},
        {"==", compares<0>},
        {"eq", compares<0>},
        {"equalto", compares<0>},
        {"!=", compares<1>},
        {"ne", compares<1>},
        {"<", compares<2>},
        {"lt", compares<2>},
        {"lessthan", compares<2>},
        {"<=", compares<3>},
        {"le", compares<3>},
        {">", compares<4>},
        {"gt", compares<4>},
        {"greaterthan", compares<4>},
        {">=", compares<5>},
        {"ge", compares<5>},
        {"in", compares<6>},
    };
    const auto it = kTests.find(name);
    return it == kTests.end() ? nullptr : it->second;
}

JinjaFunction findJinjaFunction(std::string_view name)
{
    static const std::unordered_map<std::string_view, JinjaFunction> kFunctions = {
        {"raise_exception", raise}, {"strftime_now", formatNow}, {"range", range}, {"dict", makeDict}, {"namespace", makeNamespace}};
    const auto it = kFunctions.find(name);
    return it == kFunctions.end() ? nullptr : it->second;
}

} // namespace postnas
