// The values a template computes with: Python's, as far as chat templates use them, each knowing whether it is trusted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/json.h"
#include "core/huggingface/jinja_string.h"

namespace postnas {

class JinjaValue;
class JinjaRuntime;
class JinjaArguments;
struct JinjaList;
class JinjaDict;
struct JinjaNamespace;
struct JinjaCallable;
struct JinjaLoop;

/// What a sequence was made by; decides how it prints and what may be asked of it.
enum class JinjaListKind { List, Tuple, Generator, DictKeys, DictValues, DictItems };

/// An immutable value with shared storage (namespaces and loops alone change). Copies are cheap.
class JinjaValue {
public:
    enum class Kind { Undefined, None, Boolean, Integer, Float, String, List, Dict, Namespace, Callable, Loop };
    /// Containers may nest this deep; deeper ones throw JinjaFailure when they are made.
    static constexpr int kMaxDepth = 100;

    JinjaValue() = default; ///< undefined
    /// The undefined value that says, when it is used, what was missing.
    static JinjaValue undefined(std::string whatIsMissing);
    static JinjaValue none(bool trusted = true);
    static JinjaValue boolean(bool value, bool trusted = true);
    static JinjaValue integer(std::int64_t value, bool trusted = true);
    static JinjaValue number(double value, bool trusted = true);
    static JinjaValue string(JinjaString value);
    static JinjaValue string(std::string_view value, bool trusted) { return string(JinjaString(value, trusted)); }
    static JinjaValue list(std::vector<JinjaValue> items, JinjaListKind kind = JinjaListKind::List, bool trusted = true);
    static JinjaValue dict(JinjaDict value);
    static JinjaValue ofNamespace(std::shared_ptr<JinjaNamespace> value);
    static JinjaValue callable(JinjaCallable value);
    static JinjaValue loop(std::shared_ptr<JinjaLoop> value);
    /// Every text and number in it gets the given trust; invalid UTF-8 is repaired.
    static JinjaValue fromJson(const Json& json, bool trusted);

    Kind kind() const { return static_cast<Kind>(m_data.index()); }
    bool isUndefined() const { return kind() == Kind::Undefined; }
    bool isNone() const { return kind() == Kind::None; }
    bool isString() const { return kind() == Kind::String; }
    bool isList() const { return kind() == Kind::List; }
    bool isDict() const { return kind() == Kind::Dict; }
    bool isInteger() const { return kind() == Kind::Integer; }
    /// Integers and booleans: Python takes True for 1.
    bool isIntegral() const { return kind() == Kind::Integer || kind() == Kind::Boolean; }
    bool isNumber() const { return isIntegral() || kind() == Kind::Float; }

    // Each needs the kind to be the right one.
    const std::string& missing() const;
    bool asBoolean() const { return std::get<bool>(m_data); }
    std::int64_t asInteger() const;
    double asDouble() const;
    const JinjaString& asString() const { return *std::get<std::shared_ptr<const JinjaString>>(m_data); }
    const std::string& asText() const { return asString().text(); }
    const JinjaList& asList() const { return *std::get<std::shared_ptr<const JinjaList>>(m_data); }
    const JinjaDict& asDict() const { return *std::get<std::shared_ptr<const JinjaDict>>(m_data); }
    JinjaNamespace& asNamespace() const { return *std::get<std::shared_ptr<JinjaNamespace>>(m_data); }
    const JinjaCallable& asCallable() const { return *std::get<std::shared_ptr<const JinjaCallable>>(m_data); }
    JinjaLoop& asLoop() const { return *std::get<std::shared_ptr<JinjaLoop>>(m_data); }

    /// Whether nothing in it, however deep, came from a user.
    bool trusted() const;
    int depth() const;
    /// Python's truth. Throws nothing.
    bool truth() const;
    /// Python's name of the type, for messages.
    const char* typeName() const;
    /// Whether two values share storage (Python's `is`).
    bool identical(const JinjaValue& other) const;

private:
    struct Undefined {
        std::shared_ptr<const std::string> missing;
    };
    std::variant<Undefined, std::monostate, bool, std::int64_t, double, std::shared_ptr<const JinjaString>,
                 std::shared_ptr<const JinjaList>, std::shared_ptr<const JinjaDict>, std::shared_ptr<JinjaNamespace>,
                 std::shared_ptr<const JinjaCallable>, std::shared_ptr<JinjaLoop>>
        m_data;
    bool m_trusted = true; ///< of values that are no text and no container
};

struct JinjaList {
    std::vector<JinjaValue> items;
    JinjaListKind kind = JinjaListKind::List;
    bool trusted = true;
    int depth = 1;
};

/// Keeps the order of insertion. Keys are compared as Python does: 1, 1.0 and True are the same key.
class JinjaDict {
public:
    using Entry = std::pair<JinjaValue, JinjaValue>;

    explicit JinjaDict(bool trusted = true)
        : m_trusted(trusted)
    {
    }
    /// Replaces the value of an existing key. Throws JinjaFailure on a key that cannot be hashed.
    void set(const JinjaValue& key, JinjaValue value);
    const JinjaValue* find(const JinjaValue& key) const;
    const JinjaValue* find(std::string_view key) const;
    const std::vector<Entry>& entries() const { return m_entries; }
    std::size_t size() const { return m_entries.size(); }
    bool trusted() const { return m_trusted; }
    int depth() const { return m_depth; }

private:
    std::vector<Entry> m_entries;
    std::unordered_map<std::string, std::size_t> m_index;
    bool m_trusted = true;
    int m_depth = 1;
};

/// What `namespace()` makes: the one thing a template can change. The runtime owns them all, so that cycles are freed.
struct JinjaNamespace {
    std::unordered_map<std::string, JinjaValue> values;
};

struct JinjaCallable {
    std::string name;
    std::function<JinjaValue(JinjaRuntime&, JinjaArguments&)> call;
    int depth = 1; ///< of what it holds
    bool trusted = true;
};

/// The `loop` variable of one running `for`.
struct JinjaLoop {
    JinjaValue items; ///< a list
    std::size_t index = 0;
};

} // namespace postnas
