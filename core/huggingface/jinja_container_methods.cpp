// The methods of list, tuple and dict; those that would change one are refused, as in Jinja's immutable sandbox.
#include <algorithm>
#include <unordered_map>

#include "core/huggingface/jinja_methods.h"
#include "core/huggingface/jinja_operations.h"

namespace postnas {
namespace {

using Value = JinjaValue;

std::vector<Value> columns(JinjaRuntime& rt, const Value& self, int which)
{
    std::vector<Value> out;
    for (const auto& [key, item] : self.asDict().entries())
        out.push_back(which == 0 ? key : which == 1 ? item : rt.list({key, item}, JinjaListKind::Tuple));
    return out;
}

Value keys(JinjaRuntime& rt, const Value& self, JinjaArguments&) { return rt.list(columns(rt, self, 0), JinjaListKind::DictKeys, self.trusted()); }
Value values(JinjaRuntime& rt, const Value& self, JinjaArguments&) { return rt.list(columns(rt, self, 1), JinjaListKind::DictValues, self.trusted()); }
Value items(JinjaRuntime& rt, const Value& self, JinjaArguments&) { return rt.list(columns(rt, self, 2), JinjaListKind::DictItems, self.trusted()); }
Value copy(JinjaRuntime&, const Value& self, JinjaArguments&) { return self; }

Value get(JinjaRuntime&, const Value& self, JinjaArguments& arguments)
{
    const auto args = arguments.bind("get", {"key", "default"}, 1);
    const Value* found = self.asDict().find(*args[0]);
    return found != nullptr ? *found : args[1].value_or(Value::none());
}

Value index(JinjaRuntime& rt, const Value& self, JinjaArguments& arguments)
{
    const auto args = arguments.bind("index", {"value"}, 1);
    const auto& list = self.asList().items;
    for (std::size_t i = 0; i < list.size(); ++i)
        if (jinjaEqual(rt, list[i], *args[0]))
            return Value::integer(static_cast<std::int64_t>(i));
    throw JinjaFailure("index: the value is not in the list");
}

Value count(JinjaRuntime& rt, const Value& self, JinjaArguments& arguments)
{
    const auto args = arguments.bind("count", {"value"}, 1);
    return Value::integer(std::count_if(self.asList().items.begin(), self.asList().items.end(),
                                        [&](const Value& item) { return jinjaEqual(rt, item, *args[0]); }));
}

void refuseChange(std::string_view name, std::initializer_list<std::string_view> changing)
{
    if (std::find(changing.begin(), changing.end(), name) != changing.end())
        throw JinjaFailure("'" + std::string(name) + "' would change a list or dictionary, which templates must not do");
}

} // namespace

JinjaMethod findJinjaMethod(const JinjaValue& object, std::string_view name)
{
    if (object.isString())
        return findJinjaStringMethod(name);
    if (object.isDict()) {
        static const std::unordered_map<std::string_view, JinjaMethod> kMethods = {
            {"keys", keys}, {"values", values}, {"items", items}, {"get", get}, {"copy", copy}};
        const auto it = kMethods.find(name);
        if (it != kMethods.end())
            return it->second;
        refuseChange(name, {"clear", "pop", "popitem", "setdefault", "update"});
    } else if (object.isList() && object.asList().kind <= JinjaListKind::Tuple) {
        if (name == "index")
            return index;
        if (name == "count")
            return count;
        if (object.asList().kind == JinjaListKind::List) {
            if (name == "copy")
                return copy;
            refuseChange(name, {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"});
        }
    }
    return nullptr;
}

} // namespace postnas
