// Arithmetic and comparison; lookups are in jinja_lookup.cpp.
#include "core/huggingface/jinja_operations.h"

#include <algorithm>
#include <cmath>

#include "core/huggingface/jinja_format.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

using Kind = JinjaValue::Kind;

[[noreturn]] void failOperands(std::string_view op, const JinjaValue& left, const JinjaValue& right)
{
    for (const JinjaValue* value : {&left, &right})
        if (value->isUndefined())
            throw JinjaFailure(value->missing());
    throw JinjaFailure("'" + std::string(op) + "' does not work between " + left.typeName() + " and " + right.typeName());
}

bool isPlainList(const JinjaValue& value)
{
    return value.isList() && (value.asList().kind == JinjaListKind::List || value.asList().kind == JinjaListKind::Tuple);
}

std::int64_t powerOf(std::int64_t base, std::int64_t exponent, bool& overflow)
{
    std::int64_t out = 1;
    while (exponent > 0 && !overflow) {
        if ((exponent & 1) != 0)
            overflow = __builtin_mul_overflow(out, base, &out);
        exponent >>= 1;
        if (exponent > 0)
            overflow = overflow || __builtin_mul_overflow(base, base, &base);
    }
    return out;
}

JinjaValue integerArithmetic(std::string_view op, std::int64_t a, std::int64_t b, bool trusted)
{
    std::int64_t out = 0;
    bool overflow = false;
    if (op == "+") {
        overflow = __builtin_add_overflow(a, b, &out);
    } else if (op == "-") {
        overflow = __builtin_sub_overflow(a, b, &out);
    } else if (op == "*") {
        overflow = __builtin_mul_overflow(a, b, &out);
    } else if (op == "**") {
        if (b < 0) {
            if (a == 0)
                throw JinjaFailure("0 cannot be raised to a negative power");
            return JinjaValue::number(std::pow(static_cast<double>(a), static_cast<double>(b)), trusted);
        }
        const bool trivial = a == 0 || a == 1 || a == -1;
        out = powerOf(a, trivial ? (b == 0 ? 0 : 2 - (b & 1)) : b, overflow);
    } else {
        if (b == 0)
            throw JinjaFailure("division by zero");
        if (op == "/")
            return JinjaValue::number(static_cast<double>(a) / static_cast<double>(b), trusted);
        if (a == INT64_MIN && b == -1) {
            overflow = op == "//";
        } else {
            const std::int64_t remainder = a % b;
            const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
            out = op == "//" ? a / b - (adjust ? 1 : 0) : remainder + (adjust ? b : 0);
        }
    }
    if (overflow)
        throw JinjaFailure("an integer leaves 64 bits");
    return JinjaValue::integer(out, trusted);
}

JinjaValue floatArithmetic(std::string_view op, double a, double b, bool trusted)
{
    double out = 0.0;
    if (op == "+") {
        out = a + b;
    } else if (op == "-") {
        out = a - b;
    } else if (op == "*") {
        out = a * b;
    } else if (op == "**") {
        out = std::pow(a, b);
    } else {
        if (b == 0.0)
            throw JinjaFailure("division by zero");
        double remainder = std::fmod(a, b);
        if (remainder != 0.0 && (remainder < 0) != (b < 0))
            remainder += b;
        out = op == "/" ? a / b : op == "//" ? std::floor((a - remainder) / b + 0.5) : remainder;
    }
    return JinjaValue::number(out, trusted);
}

JinjaValue repeat(JinjaRuntime& runtime, const JinjaValue& what, std::int64_t count)
{
    const auto times = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
    if (what.isString()) {
        const JinjaString& text = what.asString();
        if (!text.empty() && times > JinjaString::kMaxBytes / text.size())
            throw JinjaFailure("a text grows over " + std::to_string(JinjaString::kMaxBytes >> 20) + " MiB");
        runtime.allocate(text.size() * times);
        JinjaString out;
        for (std::size_t i = 0; i < times && !text.empty(); ++i)
            out.append(text);
        return JinjaValue::string(std::move(out));
    }
    const JinjaList& list = what.asList();
    if (!list.items.empty() && times > runtime.limits().allocatedBytes / sizeof(JinjaValue) / list.items.size())
        throw JinjaFailure("a list grows too long");
    runtime.allocate(list.items.size() * times * sizeof(JinjaValue));
    std::vector<JinjaValue> items;
    for (std::size_t i = 0; i < times && !list.items.empty(); ++i)
        items.insert(items.end(), list.items.begin(), list.items.end());
    return JinjaValue::list(std::move(items), list.kind, list.trusted);
}

} // namespace

JinjaValue jinjaBinary(JinjaRuntime& runtime, std::string_view op, const JinjaValue& left, const JinjaValue& right)
{
    const bool trusted = left.trusted() && right.trusted();
    if (left.isIntegral() && right.isIntegral())
        return integerArithmetic(op, left.asInteger(), right.asInteger(), trusted);
    if (left.isNumber() && right.isNumber())
        return floatArithmetic(op, left.asDouble(), right.asDouble(), trusted);
    if (op == "+" && left.isString() && right.isString()) {
        JinjaString out = left.asString();
        out.append(right.asString());
        return runtime.text(std::move(out));
    }
    if (op == "+" && isPlainList(left) && isPlainList(right) && left.asList().kind == right.asList().kind) {
        runtime.allocate((left.asList().items.size() + right.asList().items.size()) * sizeof(JinjaValue));
        std::vector<JinjaValue> items = left.asList().items;
        items.insert(items.end(), right.asList().items.begin(), right.asList().items.end());
        return JinjaValue::list(std::move(items), left.asList().kind, trusted);
    }
    if (op == "*" && (left.isString() || isPlainList(left)) && right.isIntegral())
        return repeat(runtime, left, right.asInteger());
    if (op == "*" && (right.isString() || isPlainList(right)) && left.isIntegral())
        return repeat(runtime, right, left.asInteger());
    if (op == "%" && left.isString())
        return JinjaValue::string(jinjaFormatPercent(runtime, left.asString(), right));
    failOperands(op, left, right);
}

JinjaValue jinjaNegate(const JinjaValue& value)
{
    if (value.isIntegral())
        return integerArithmetic("-", 0, value.asInteger(), value.trusted());
    if (value.isNumber())
        return JinjaValue::number(-value.asDouble(), value.trusted());
    failOperands("-", value, value);
}

bool jinjaEqual(JinjaRuntime& runtime, const JinjaValue& left, const JinjaValue& right)
{
    runtime.step();
    if (left.isIntegral() && right.isIntegral())
        return left.asInteger() == right.asInteger();
    if (left.isNumber() && right.isNumber())
        return left.asDouble() == right.asDouble();
    if (left.kind() != right.kind())
        return false;
    if (left.isString()) {
        if (left.asText().size() != right.asText().size())
            return false;
        runtime.work(left.asText().size());
        return left.asText() == right.asText();
    }
    if (isPlainList(left) && isPlainList(right)) {
        const JinjaList& a = left.asList();
        const JinjaList& b = right.asList();
        if (a.kind != b.kind || a.items.size() != b.items.size())
            return false;
        for (std::size_t i = 0; i < a.items.size(); ++i)
            if (!jinjaEqual(runtime, a.items[i], b.items[i]))
                return false;
        return true;
    }
    if (left.isDict()) {
        if (left.asDict().size() != right.asDict().size())
            return false;
        for (const auto& [key, item] : left.asDict().entries()) {
            const JinjaValue* other = right.asDict().find(key);
            if (other == nullptr || !jinjaEqual(runtime, item, *other))
                return false;
        }
        return true;
    }
    return left.identical(right);
}

int jinjaCompare(JinjaRuntime& runtime, const JinjaValue& left, const JinjaValue& right)
{
    runtime.step();
    if (left.isIntegral() && right.isIntegral())
        return left.asInteger() < right.asInteger() ? -1 : left.asInteger() > right.asInteger() ? 1 : 0;
    if (left.isNumber() && right.isNumber())
        return left.asDouble() < right.asDouble() ? -1 : left.asDouble() > right.asDouble() ? 1 : 0;
    if (left.isString() && right.isString()) { // the order of UTF-8 bytes is that of code points
        runtime.work(std::min(left.asText().size(), right.asText().size()));
        return left.asText().compare(right.asText());
    }
    if (isPlainList(left) && isPlainList(right) && left.asList().kind == right.asList().kind) {
        const auto& a = left.asList().items;
        const auto& b = right.asList().items;
        for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
            if (!jinjaEqual(runtime, a[i], b[i]))
                return jinjaCompare(runtime, a[i], b[i]);
        return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
    }
    failOperands("<", left, right);
}

bool jinjaContains(JinjaRuntime& runtime, const JinjaValue& container, const JinjaValue& item)
{
    if (container.isString()) {
        if (!item.isString())
            failOperands("in", item, container);
        runtime.work(container.asText().size());
        return container.asString().find(item.asText()) != std::string::npos;
    }
    if (container.isDict())
        return container.asDict().find(item) != nullptr;
    if (container.isList()) {
        for (const JinjaValue& other : container.asList().items)
            if (jinjaEqual(runtime, other, item))
                return true;
        return false;
    }
    if (container.isUndefined() && !runtime.dialect().strictUndefined)
        return false;
    failOperands("in", item, container);
}

bool jinjaCompareWith(JinjaRuntime& runtime, std::string_view op, const JinjaValue& left, const JinjaValue& right)
{
    if (op == "in" || op == "not in")
        return jinjaContains(runtime, right, left) == (op == "in");
    if (runtime.dialect().strictUndefined && (left.isUndefined() || right.isUndefined()))
        failOperands(op, left, right);
    if (op == "==" || op == "!=")
        return jinjaEqual(runtime, left, right) == (op == "==");
    const bool isNan = (left.kind() == Kind::Float && std::isnan(left.asDouble()))
        || (right.kind() == Kind::Float && std::isnan(right.asDouble()));
    const int order = jinjaCompare(runtime, left, right);
    if (isNan)
        return false;
    return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

} // namespace postnas
