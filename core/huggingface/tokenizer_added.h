// Added tokens: strings that become one token before any splitting, found as Hugging Face finds them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace postnas {

/// An entry of `added_tokens`, with Hugging Face's flags.
struct AddedToken {
    std::string content;
    std::int32_t id = -1;
    bool singleWord = false; ///< not when a word character touches it
    bool lstrip = false;     ///< takes the white space before it along
    bool rstrip = false;     ///< and after it
    bool normalized = false; ///< looked for in the normalised text instead of the original
    bool special = false;

    /// Special tokens, and others that are written like markup: <tool_call>, </think>, [INST]. Untrusted text never becomes
    /// one of these. Plain added tokens (runs of spaces, say) are found in any text.
    bool isControl() const;
};

/// Which parts of a text may hold control tokens.
class TrustRuns {
public:
    struct Run {
        std::size_t begin;
        std::size_t end;
        bool trusted;
    };
    TrustRuns() = default;
    TrustRuns(std::size_t size, bool trusted) { append(size, trusted); }
    /// Neighbours of equal trust become one run.
    void append(std::size_t size, bool trusted);
    /// The run that holds byte `offset`.
    const Run& at(std::size_t offset) const;
    const std::vector<Run>& runs() const { return m_runs; }

private:
    std::vector<Run> m_runs;
};

/// Finds a set of added tokens in a text: the leftmost one, of those the longest.
class AddedTokenFinder {
public:
    /// A stretch of the text: an added token, or (id -1) text for the model.
    struct Span {
        std::size_t begin;
        std::size_t end;
        std::int32_t id;
    };

    void add(const AddedToken& token, std::string_view content);
    bool empty() const { return m_tokens.empty(); }
    bool hasControl() const { return m_hasControl; }
    /// Appends spans that cover `text`. Control tokens are found only where they lie inside one trusted run, and what
    /// stands in a neighbouring run neither hides them nor counts as a word beside them.
    void find(std::string_view text, const TrustRuns& trust, std::vector<Span>& out) const;

private:
    struct Match {
        std::size_t end = 0;
        const AddedToken* token = nullptr;
    };
    Match longestAt(std::string_view text, std::size_t begin, const TrustRuns& trust) const;

    std::vector<AddedToken> m_tokens;
    std::vector<std::int32_t> m_terminal {-1};                 ///< node of the trie -> index of a token
    std::unordered_map<std::uint64_t, std::uint32_t> m_edges;  ///< node and byte -> node
    bool m_first[256] = {};
    bool m_hasControl = false;
};

} // namespace postnas
