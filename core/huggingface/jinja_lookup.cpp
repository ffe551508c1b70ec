// Indexing, attributes, slices and iteration of template values.
#include <algorithm>

#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"
#include "core/huggingface/jinja_text.h"

namespace postnas {
namespace {

using Kind = JinjaValue::Kind;

JinjaValue missingItem(const JinjaValue& object, const std::string& name)
{
    return JinjaValue::undefined(std::string("'") + object.typeName() + "' has no '" + name.substr(0, 60) + "'");
}

JinjaValue loopAttribute(const JinjaValue& object, const std::string& name)
{
    const JinjaLoop& loop = object.asLoop();
    const auto& items = loop.items.asList().items;
    const auto index = static_cast<std::int64_t>(loop.index);
    const auto length = static_cast<std::int64_t>(items.size());
    if (name == "index")
        return JinjaValue::integer(index + 1);
    if (name == "index0")
        return JinjaValue::integer(index);
    if (name == "revindex")
        return JinjaValue::integer(length - index);
    if (name == "revindex0")
        return JinjaValue::integer(length - index - 1);
    if (name == "first")
        return JinjaValue::boolean(index == 0);
    if (name == "last")
        return JinjaValue::boolean(index + 1 == length);
    if (name == "length")
        return JinjaValue::integer(length);
    if (name == "depth")
        return JinjaValue::integer(1); // only recursive loops, which are not supported, go deeper
    if (name == "depth0")
        return JinjaValue::integer(0);
    if (name == "previtem")
        return index == 0 ? JinjaValue::undefined("there is no previous item") : items[loop.index - 1];
    if (name == "nextitem")
        return index + 1 == length ? JinjaValue::undefined("there is no next item") : items[loop.index + 1];
    if (name == "cycle") {
        JinjaCallable cycle;
        cycle.name = "cycle";
        cycle.call = [index](JinjaRuntime&, JinjaArguments& arguments) {
            if (arguments.positional.empty())
                throw JinjaFailure("loop.cycle needs items");
            return arguments.positional[static_cast<std::size_t>(index) % arguments.positional.size()];
        };
        return JinjaValue::callable(std::move(cycle));
    }
    return missingItem(object, name);
}

/// Methods and attributes alone; items are not looked at.
std::optional<JinjaValue> ownAttribute(const JinjaValue& object, const std::string& name)
{
    if (object.kind() == Kind::Namespace) {
        const auto& values = object.asNamespace().values;
        const auto it = values.find(name);
        return it == values.end() ? std::nullopt : std::optional(it->second);
    }
    if (object.kind() == Kind::Loop)
        return loopAttribute(object, name);
    if (const JinjaMethod method = findJinjaMethod(object, name)) {
        JinjaCallable bound;
        bound.name = name;
        bound.depth = object.depth() + 1;
        bound.call = [object, method](JinjaRuntime& runtime, JinjaArguments& arguments) { return method(runtime, object, arguments); };
        return JinjaValue::callable(std::move(bound));
    }
    return std::nullopt;
}

void requireDefined(const JinjaValue& object)
{
    if (object.isUndefined())
        throw JinjaFailure(object.missing());
}

} // namespace

JinjaValue jinjaItem(JinjaRuntime& runtime, const JinjaValue& object, const JinjaValue& key)
{
    requireDefined(object);
    if (object.isDict()) {
        const bool hashable = !key.isDict() && !(key.isList() && key.asList().kind == JinjaListKind::List);
        if (const JinjaValue* found = hashable && !key.isUndefined() ? object.asDict().find(key) : nullptr)
            return *found;
    }
    if (key.isIntegral() && object.isList() && object.asList().kind <= JinjaListKind::Tuple) {
        const auto& items = object.asList().items;
        std::int64_t index = key.asInteger();
        if (index < 0)
            index += static_cast<std::int64_t>(items.size());
        if (index >= 0 && index < static_cast<std::int64_t>(items.size()))
            return items[static_cast<std::size_t>(index)];
    }
    if (key.isIntegral() && object.isString()) {
        const JinjaString& text = object.asString();
        runtime.work(text.size());
        std::int64_t index = key.asInteger();
        if (index < 0)
            index += static_cast<std::int64_t>(text.codePoints());
        const std::size_t offset = index < 0 ? text.size() : text.offsetOfCodePoint(static_cast<std::size_t>(index));
        if (offset < text.size())
            return runtime.text(text.slice(offset, offset + utf8Length(text.text()[offset])));
    }
    if (key.isString())
        if (auto attribute = ownAttribute(object, key.asText()))
            return *attribute;
    std::string name = key.isString() ? key.asText() : key.isIntegral() ? std::to_string(key.asInteger()) : key.typeName();
    return missingItem(object, name);
}

JinjaValue jinjaAttribute(JinjaRuntime&, const JinjaValue& object, const std::string& name)
{
    requireDefined(object);
    if (auto attribute = ownAttribute(object, name))
        return *attribute;
    if (object.isDict())
        if (const JinjaValue* found = object.asDict().find(std::string_view(name)))
            return *found;
    return missingItem(object, name);
}

JinjaValue jinjaPath(JinjaRuntime& runtime, JinjaValue object, const JinjaValue& path)
{
    if (!path.isString())
        return jinjaItem(runtime, object, path);
    const std::string& text = path.asText();
    for (std::size_t begin = 0; begin <= text.size();) {
        runtime.step();
        const std::size_t dot = std::min(text.find('.', begin), text.size());
        const std::string part = text.substr(begin, dot - begin);
        const bool isIndex = !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == std::string::npos;
        object = jinjaItem(runtime, object, isIndex ? JinjaValue::integer(std::stoll(part)) : JinjaValue::string(part, true));
        begin = dot + 1;
    }
    return object;
}

JinjaValue jinjaSlice(JinjaRuntime& runtime, const JinjaValue& object, const JinjaValue& start, const JinjaValue& stop,
                      const JinjaValue& step)
{
    requireDefined(object);
    const bool isText = object.isString();
    if (!isText && !(object.isList() && object.asList().kind <= JinjaListKind::Tuple))
        throw JinjaFailure(std::string("'") + object.typeName() + "' cannot be sliced");
    const auto bound = [](const JinjaValue& value) -> std::optional<std::int64_t> {
        if (value.isNone())
            return std::nullopt;
        if (!value.isIntegral())
            throw JinjaFailure("slice indices must be integers or none");
        return value.asInteger();
    };
    if (isText)
        runtime.work(object.asText().size());
    const auto length = static_cast<std::int64_t>(isText ? object.asString().codePoints() : object.asList().items.size());
    const std::int64_t stride = bound(step).value_or(1);
    if (stride == 0)
        throw JinjaFailure("slice step cannot be zero");
    const std::int64_t lowest = stride > 0 ? 0 : -1;
    const std::int64_t highest = stride > 0 ? length : length - 1;
    const auto place = [&](std::optional<std::int64_t> index, std::int64_t fallback) {
        if (!index)
            return fallback;
        return std::clamp(*index < 0 ? std::max(*index, -length - 1) + length : *index, lowest, highest);
    };
    const std::int64_t first = place(bound(start), stride > 0 ? lowest : highest);
    const std::int64_t last = place(bound(stop), stride > 0 ? highest : lowest);

    if (isText && stride == 1) {
        const JinjaString& text = object.asString();
        const std::size_t begin = text.offsetOfCodePoint(static_cast<std::size_t>(first));
        const std::size_t end = text.offsetOfCodePoint(static_cast<std::size_t>(std::max(first, last)));
        return runtime.text(text.slice(begin, end));
    }
    const std::int64_t span = stride > 0 ? last - first : first - last;
    const std::uint64_t magnitude = stride > 0 ? static_cast<std::uint64_t>(stride) : 0 - static_cast<std::uint64_t>(stride);
    const auto count = span <= 0 ? 0 : (static_cast<std::uint64_t>(span) - 1) / magnitude + 1;
    runtime.allocate(count * sizeof(JinjaValue));
    std::vector<std::size_t> offsets;
    if (isText) {
        runtime.allocate(object.asText().size() * sizeof(std::size_t));
        for (std::size_t i = 0; i < object.asText().size(); i += utf8Length(object.asText()[i]))
            offsets.push_back(i);
    }
    JinjaString text;
    std::vector<JinjaValue> items;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(first + static_cast<std::int64_t>(i) * stride);
        if (isText)
            text.appendSlice(object.asString(), offsets[index], offsets[index] + utf8Length(object.asText()[offsets[index]]));
        else
            items.push_back(object.asList().items[index]);
    }
    if (isText)
        return runtime.text(std::move(text));
    return runtime.list(std::move(items), object.asList().kind, object.asList().trusted);
}

std::vector<JinjaValue> jinjaIterate(JinjaRuntime& runtime, const JinjaValue& value)
{
    std::vector<JinjaValue> out;
    if (value.isList()) {
        runtime.allocate(value.asList().items.size() * sizeof(JinjaValue));
        return value.asList().items;
    }
    if (value.isDict()) {
        runtime.allocate(value.asDict().size() * sizeof(JinjaValue));
        for (const auto& [key, item] : value.asDict().entries())
            out.push_back(key);
        return out;
    }
    if (value.isString()) {
        const JinjaString& text = value.asString();
        for (std::size_t i = 0; i < text.size(); i += utf8Length(text.text()[i])) {
            runtime.allocate(sizeof(JinjaValue));
            out.push_back(runtime.text(text.slice(i, i + utf8Length(text.text()[i]))));
        }
        return out;
    }
    if (value.isUndefined() && !runtime.dialect().strictUndefined)
        return out;
    requireDefined(value);
    throw JinjaFailure(std::string("'") + value.typeName() + "' is not iterable");
}

std::size_t jinjaLength(JinjaRuntime& runtime, const JinjaValue& value)
{
    if (value.isString()) {
        runtime.work(value.asText().size());
        return value.asString().codePoints();
    }
    if (value.isList() && value.asList().kind != JinjaListKind::Generator)
        return value.asList().items.size();
    if (value.isDict())
        return value.asDict().size();
    if (value.isUndefined() && !runtime.dialect().strictUndefined)
        return 0;
    requireDefined(value);
    throw JinjaFailure(std::string("'") + value.typeName() + "' has no length");
}

} // namespace postnas
