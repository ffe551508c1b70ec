// Split patterns through PCRE2 with JIT: the general fallback, and the oracle of the scanners' tests.
#define PCRE2_CODE_UNIT_WIDTH 8

#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include <pcre2.h>

#include "core/base/error.h"
#include "core/huggingface/split_pattern.h"
#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

constexpr std::size_t kMaxPattern = 16 * 1024;
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKib = 256 * 1024;
constexpr std::size_t kJitStackBytes = 8u << 20;
constexpr double kSecondsAtLeast = 10; ///< what any text may take; long texts get more
constexpr double kSecondsPerByte = 20e-6;

template <auto kFree>
struct Deleter {
    template <typename T>
    void operator()(T* p) const
    {
        kFree(p);
    }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

std::string explain(int code)
{
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<const char*>(text);
}

/// The members of a class (or, `negated`, all others) as the inside of a bracket expression.
std::string bracketContent(std::uint8_t mask, bool negated)
{
    auto ranges = unicode::ClassTable::instance().ranges(mask);
    if (negated) {
        std::vector<std::pair<char32_t, char32_t>> others;
        char32_t next = 0;
        for (const auto& [first, last] : ranges) {
            if (first > next)
                others.emplace_back(next, first - 1);
            next = last + 1;
        }
        if (next < 0x110000)
            others.emplace_back(next, 0x10FFFF);
        ranges = std::move(others);
    }
    std::string out;
    char buffer[48];
    const auto add = [&](char32_t first, char32_t last) {
        std::snprintf(buffer, sizeof buffer, "\\x{%x}-\\x{%x}", static_cast<unsigned>(first), static_cast<unsigned>(last));
        out += buffer;
    };
    for (const auto& [first, last] : ranges) {
        // Surrogates are no characters; PCRE2 refuses them in UTF mode.
        if (first < 0xD800 && last > 0xDFFF) {
            add(first, 0xD7FF);
            add(0xE000, last);
        } else if (first < 0xD800 || last > 0xDFFF) {
            add(first, last);
        }
    }
    return out;
}

/// Rewrites an Oniguruma pattern for PCRE2: classes from our own table, and a refusal of what would mean something else.
class Translator {
public:
    Translator(std::string_view pattern, const std::string& where)
        : m_pattern(pattern)
        , m_where(where)
    {
    }

    std::string run()
    {
        if (m_pattern.size() > kMaxPattern)
            refuse("is longer than " + std::to_string(kMaxPattern) + " bytes");
        while (m_at < m_pattern.size())
            step();
        return std::move(m_out);
    }

private:
    [[noreturn]] void refuse(const std::string& problem) const
    {
        throw inputError(m_where + " " + problem, "Patterns are read as Oniguruma reads them, as Hugging Face tokenizers do.");
    }
    bool starts(std::string_view text) const { return m_pattern.substr(m_at).starts_with(text); }
    void copy(std::size_t count)
    {
        m_out += m_pattern.substr(m_at, count);
        m_at += count;
    }

    void step()
    {
        if (m_pattern[m_at] == '\\')
            return escape();
        if (m_inClass) {
            if (m_pattern[m_at] == '[' && !starts("[:"))
                refuse("has a class inside a class, which is not supported");
            if (starts("&&"))
                refuse("has an intersection of classes, which is not supported");
            if (starts("[:")) {
                const std::size_t end = m_pattern.find(":]", m_at);
                if (end == std::string_view::npos)
                    refuse("has an unfinished [: :]");
                return copy(end + 2 - m_at);
            }
            m_inClass = m_pattern[m_at] != ']' || m_at == m_classStart;
            return copy(1);
        }
        if (m_pattern[m_at] == '[') {
            m_inClass = true;
            copy(1);
            if (starts("^"))
                copy(1);
            m_classStart = m_at;
            return;
        }
        if (starts("(?"))
            group();
        copy(1);
    }

    /// Inline options other than i mean different things in the two engines; conditions and calls are not needed.
    void group() const
    {
        const std::string_view rest = m_pattern.substr(m_at + 2);
        const std::size_t end = rest.find_first_of(":)");
        if (rest.starts_with(":") || rest.starts_with("=") || rest.starts_with("!") || rest.starts_with(">")
            || rest.starts_with("<=") || rest.starts_with("<!"))
            return;
        if (end == std::string_view::npos || rest.substr(0, end).find_first_not_of("i-") != std::string_view::npos)
            refuse("has a (?...) group that is not supported");
    }

    void escape()
    {
        if (m_at + 1 >= m_pattern.size())
            refuse("ends in a backslash");
        const char c = m_pattern[m_at + 1];
        if (c == 's' || c == 'S') {
            m_at += 2;
            return emitClass(unicode::kSpace, c == 'S');
        }
        if (c == 'p' || c == 'P') {
            for (const auto& [name, mask] : {std::pair<std::string_view, std::uint8_t> {"{L}", unicode::kLetter},
                                             {"{N}", unicode::kNumber},
                                             {"{M}", unicode::kMark}}) {
                if (m_pattern.substr(m_at + 2).starts_with(name)) {
                    m_at += 2 + name.size();
                    return emitClass(mask, c == 'P');
                }
            }
        } else if (std::string_view("hHRXKGgkyYONQE").find(c) != std::string_view::npos) {
            refuse(std::string("has \\") + c + ", which is not supported");
        }
        copy(2);
    }

    void emitClass(std::uint8_t mask, bool negated)
    {
        if (m_inClass)
            m_out += bracketContent(mask, negated);
        else
            m_out += (negated ? "[^" : "[") + bracketContent(mask, false) + "]";
    }

    std::string_view m_pattern;
    const std::string& m_where;
    std::string m_out;
    std::size_t m_at = 0;
    bool m_inClass = false;
    std::size_t m_classStart = 0;
};

class Pcre2Pattern : public SplitPattern {
public:
    Pcre2Pattern(std::string_view pattern, std::string where)
        : m_where(std::move(where))
    {
        const std::string translated = Translator(pattern, m_where).run();
        const CompileContext context(pcre2_compile_context_create(nullptr));
        pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
        int error = 0;
        PCRE2_SIZE offset = 0;
        // In Oniguruma's Ruby syntax ^ and $ always mean lines.
        m_code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                   context.get()));
        if (!m_code)
            throw inputError(m_where + " is not a pattern that can be compiled: " + explain(error));
        m_hasJit = pcre2_jit_compile(m_code.get(), PCRE2_JIT_COMPLETE) == 0; // without JIT it is only slower
    }

    void split(std::string_view text, PieceSink& sink) const override
    {
        const MatchContext context(pcre2_match_context_create(nullptr));
        const MatchData data(pcre2_match_data_create_from_pattern(m_code.get(), nullptr));
        const JitStack stack(m_hasJit ? pcre2_jit_stack_create(64 * 1024, kJitStackBytes, nullptr) : nullptr);
        if (!context || !data)
            throw resourceError("out of memory while splitting text");
        pcre2_set_match_limit(context.get(), kMatchLimit);
        pcre2_set_heap_limit(context.get(), kHeapLimitKib);
        if (stack)
            pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
        const auto deadline = std::chrono::steady_clock::now()
            + std::chrono::duration<double>(kSecondsAtLeast + kSecondsPerByte * static_cast<double>(text.size()));
        std::size_t done = 0;  // everything before it went to the sink
        std::size_t start = 0; // where the search goes on
        const auto cut = [&](std::size_t end) {
            if (end > done)
                sink.piece(done, end);
            done = std::max(done, end);
        };
        while (start < text.size()) {
            if (!match(text, start, data.get(), context.get()))
                break;
            if (std::chrono::steady_clock::now() > deadline)
                throw inputError(m_where + " takes too long on this text");
            const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(data.get());
            cut(ends[0]);
            cut(ends[1]);
            start = ends[1];
            if (ends[0] == ends[1] && start < text.size()) { // an empty match cuts, and the search moves on
                std::size_t length = 0;
                unicode::decodeAt(text.data() + start, length);
                start += length;
            }
        }
        cut(text.size());
    }

private:
    bool match(std::string_view text, std::size_t start, pcre2_match_data* data, pcre2_match_context* context) const
    {
        const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
        int rc = pcre2_match(m_code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK, data, context);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(m_code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context);
        if (rc == PCRE2_ERROR_NOMATCH)
            return false;
        if (rc < 0)
            throw inputError(m_where + " cannot be matched against this text: " + explain(rc));
        return true;
    }

    std::string m_where;
    Code m_code;
    bool m_hasJit = false;
};

} // namespace

std::unique_ptr<SplitPattern> makePcre2Pattern(std::string_view pattern, std::string where)
{
    return std::make_unique<Pcre2Pattern>(pattern, std::move(where));
}

std::string escapePattern(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (std::string_view(R"(\.+*?()|[]{}^$#&-~)").find(c) != std::string_view::npos)
            out += '\\';
        out += c;
    }
    return out;
}

} // namespace postnas
