// Limits, argument binding, and the ownership that frees reference cycles at the end of a rendering.
#include "core/huggingface/jinja_runtime.h"

#include <algorithm>

namespace postnas {

JinjaRuntime::~JinjaRuntime()
{
    // Namespaces and captured scopes may refer to each other in cycles and in long chains. All are still owned here while
    // each is emptied, so nothing leaks and no destructor recurses along a chain.
    for (const auto& space : m_namespaces)
        space->values.clear();
    for (const auto& scope : m_scopes)
        scope->variables.clear();
    for (const auto& scope : m_scopes)
        scope->parent.reset();
}

void JinjaRuntime::allocate(std::size_t bytes)
{
    m_allocated += bytes;
    if (m_allocated > m_limits.allocatedBytes)
        throw JinjaFailure("it needs more than " + std::to_string(m_limits.allocatedBytes >> 20) + " MiB of texts and lists");
    work(bytes);
}

JinjaValue JinjaRuntime::text(JinjaString value)
{
    allocate(value.size() + 64);
    return JinjaValue::string(std::move(value));
}

JinjaValue JinjaRuntime::list(std::vector<JinjaValue> items, JinjaListKind kind, bool trusted)
{
    allocate(items.size() * sizeof(JinjaValue) + 64);
    return JinjaValue::list(std::move(items), kind, trusted);
}

JinjaValue JinjaRuntime::makeNamespace(std::unordered_map<std::string, JinjaValue> values)
{
    allocate(128 + values.size() * 96);
    m_namespaces.push_back(std::make_shared<JinjaNamespace>());
    m_namespaces.back()->values = std::move(values);
    return JinjaValue::ofNamespace(m_namespaces.back());
}

void JinjaRuntime::keepScope(std::shared_ptr<JinjaScope> scope)
{
    for (; scope && !scope->kept; scope = scope->parent) { // once one is kept, all its parents are
        allocate(256);
        scope->kept = true;
        m_scopes.push_back(scope);
    }
}

void JinjaRuntime::failSteps() const
{
    throw JinjaFailure("it does not come to an end within " + std::to_string(m_limits.steps) + " steps");
}

void JinjaRuntime::failLevel() const
{
    throw JinjaFailure("it nests deeper than " + std::to_string(m_limits.recursion) + " levels");
}

std::vector<std::optional<JinjaValue>> JinjaArguments::bind(std::string_view function, std::initializer_list<const char*> names,
                                                            std::size_t required) const
{
    const std::string title(function);
    if (positional.size() > names.size())
        throw JinjaFailure(title + " takes at most " + std::to_string(names.size()) + " arguments, got "
                           + std::to_string(positional.size()));
    std::vector<std::optional<JinjaValue>> out(names.size());
    for (std::size_t i = 0; i < positional.size(); ++i)
        out[i] = positional[i];
    for (const auto& [name, value] : keyword) {
        const auto it = std::find(names.begin(), names.end(), std::string_view(name));
        if (it == names.end())
            throw JinjaFailure(title + " got an unexpected argument '" + name + "'");
        auto& slot = out[static_cast<std::size_t>(it - names.begin())];
        if (slot)
            throw JinjaFailure(title + " got the argument '" + name + "' twice");
        slot = value;
    }
    for (std::size_t i = 0; i < required; ++i)
        if (!out[i])
            throw JinjaFailure(title + " is missing its argument '" + *(names.begin() + i) + "'");
    return out;
}

} // namespace postnas
