// What one rendering has: its limits and what is left of them, its dialect, the arguments of a call, and the scopes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/huggingface/jinja_value.h"

namespace postnas {

/// What a template may use up before it ends in an error. Templates come with checkpoints and are untrusted.
struct JinjaLimits {
    std::uint64_t steps = 5'000'000;           ///< evaluated nodes, plus one for each 256 bytes worked on
    std::uint64_t allocatedBytes = 512u << 20; ///< all texts and lists made during one rendering, also those freed again
    std::size_t outputBytes = 64u << 20;
    std::size_t templateBytes = 1u << 20;
    std::size_t rangeItems = 100'000; ///< as Jinja's sandbox
    int recursion = 300;              ///< nested statements, expressions and macro calls
};

/// The settings of the environment that a template was written for.
struct JinjaDialect {
    bool trimBlocks = true;          ///< the first newline after a block tag is dropped
    bool lstripBlocks = true;        ///< white space before a block tag at the start of a line is dropped
    bool keepTrailingNewline = false;
    bool strictUndefined = false;    ///< printing or testing something undefined is an error
    /// Seconds since 1970 for strftime_now; the clock's time when not set.
    std::optional<std::int64_t> now;

    /// transformers' apply_chat_template.
    static JinjaDialect chat() { return {}; }
    /// lm-evaluation-harness' doc_to_text and its like.
    static JinjaDialect evaluation() { return {false, false, true, true, std::nullopt}; }
};

/// The arguments of one call of a function, filter, test, method or macro.
class JinjaArguments {
public:
    std::vector<JinjaValue> positional;
    std::vector<std::pair<std::string, JinjaValue>> keyword;
    bool namesTrusted = true; ///< false when names of `keyword` came from a user's dictionary

    /// Assigns positional and keyword arguments to parameter names as Python does; what was not given has no value.
    /// Throws JinjaFailure naming `function` on a surplus, doubled, unknown or missing argument.
    std::vector<std::optional<JinjaValue>> bind(std::string_view function, std::initializer_list<const char*> names,
                                                std::size_t required = 0) const;
};

/// One level of variables. Scopes that a macro captured live until the rendering ends.
struct JinjaScope {
    std::unordered_map<std::string, JinjaValue> variables;
    std::shared_ptr<JinjaScope> parent;
    bool kept = false; ///< owned by the runtime
};

/// Counts what a rendering uses and throws JinjaFailure when a limit is passed.
class JinjaRuntime {
public:
    JinjaRuntime(const JinjaLimits& limits, const JinjaDialect& dialect)
        : m_limits(limits)
        , m_dialect(dialect)
    {
    }
    ~JinjaRuntime();
    JinjaRuntime(const JinjaRuntime&) = delete;
    JinjaRuntime& operator=(const JinjaRuntime&) = delete;

    const JinjaLimits& limits() const { return m_limits; }
    const JinjaDialect& dialect() const { return m_dialect; }

    void step(std::uint64_t count = 1)
    {
        m_steps += count;
        if (m_steps > m_limits.steps)
            failSteps();
    }
    /// Work over this many bytes.
    void work(std::size_t bytes) { step(bytes / 256 + 1); }
    /// A new text or list of about this many bytes.
    void allocate(std::size_t bytes);
    /// A new text; counts it.
    JinjaValue text(JinjaString value);
    JinjaValue text(std::string_view value, bool trusted) { return text(JinjaString(value, trusted)); }
    /// A new list; counts it.
    JinjaValue list(std::vector<JinjaValue> items, JinjaListKind kind = JinjaListKind::List, bool trusted = true);

    JinjaValue makeNamespace(std::unordered_map<std::string, JinjaValue> values);
    void keepScope(std::shared_ptr<JinjaScope> scope);

    /// Held while something recursive runs.
    class Level {
    public:
        explicit Level(JinjaRuntime& runtime)
            : m_runtime(runtime)
        {
            if (++m_runtime.m_level > m_runtime.m_limits.recursion) {
                --m_runtime.m_level;
                m_runtime.failLevel();
            }
        }
        ~Level() { --m_runtime.m_level; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

    private:
        JinjaRuntime& m_runtime;
    };

    int line = 0; ///< of the statement or expression being evaluated, for messages

private:
    [[noreturn]] void failSteps() const;
    [[noreturn]] void failLevel() const;

    const JinjaLimits& m_limits;
    const JinjaDialect& m_dialect;
    std::uint64_t m_steps = 0;
    std::uint64_t m_allocated = 0;
    int m_level = 0;
    std::vector<std::shared_ptr<JinjaNamespace>> m_namespaces;
    std::vector<std::shared_ptr<JinjaScope>> m_scopes;
};

} // namespace postnas
