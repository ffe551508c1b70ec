// A trie over the added tokens' bytes, and Hugging Face's rules for words and white space around them.
#include "core/huggingface/tokenizer_added.h"

#include <algorithm>

#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

using unicode::ClassTable;

std::uint64_t edgeKey(std::uint32_t node, char byte)
{
    return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
}

std::uint8_t classAt(std::string_view text, std::size_t i, std::size_t& length)
{
    return ClassTable::instance()[unicode::decodeAt(text.data() + i, length)];
}

bool endsWithWord(std::string_view text, std::size_t begin, std::size_t end)
{
    std::size_t length = 0;
    return end > begin && (classAt(text, unicode::previousCharacter(text, end), length) & unicode::kWord) != 0;
}

bool startsWithWord(std::string_view text, std::size_t begin, std::size_t end)
{
    std::size_t length = 0;
    return begin < end && (classAt(text, begin, length) & unicode::kWord) != 0;
}

} // namespace

bool AddedToken::isControl() const
{
    const bool markup = content.size() > 2
        && ((content.front() == '<' && content.back() == '>') || (content.front() == '[' && content.back() == ']'));
    return special || markup;
}

void TrustRuns::append(std::size_t size, bool trusted)
{
    const std::size_t begin = m_runs.empty() ? 0 : m_runs.back().end;
    if (!m_runs.empty() && (m_runs.back().trusted == trusted || size == 0))
        m_runs.back().end += size;
    else
        m_runs.push_back({begin, begin + size, trusted});
}

const TrustRuns::Run& TrustRuns::at(std::size_t offset) const
{
    const auto after = std::upper_bound(m_runs.begin(), m_runs.end(), offset,
                                        [](std::size_t value, const Run& run) { return value < run.begin; });
    return *std::prev(after);
}

void AddedTokenFinder::add(const AddedToken& token, std::string_view content)
{
    if (content.empty())
        return;
    std::uint32_t node = 0;
    for (const char byte : content) {
        const auto [it, isNew] = m_edges.emplace(edgeKey(node, byte), static_cast<std::uint32_t>(m_terminal.size()));
        if (isNew)
            m_terminal.push_back(-1);
        node = it->second;
    }
    if (m_terminal[node] >= 0)
        return; // two tokens that normalise to the same text: the first one counts
    m_terminal[node] = static_cast<std::int32_t>(m_tokens.size());
    m_tokens.push_back(token);
    m_first[static_cast<unsigned char>(content.front())] = true;
    m_hasControl = m_hasControl || token.isControl();
}

AddedTokenFinder::Match AddedTokenFinder::longestAt(std::string_view text, std::size_t begin, const TrustRuns& trust) const
{
    Match best;
    std::uint32_t node = 0;
    for (std::size_t i = begin; i < text.size(); ++i) {
        const auto edge = m_edges.find(edgeKey(node, text[i]));
        if (edge == m_edges.end())
            break;
        node = edge->second;
        if (m_terminal[node] < 0)
            continue;
        const AddedToken& token = m_tokens[static_cast<std::size_t>(m_terminal[node])];
        if (token.isControl()) {
            const TrustRuns::Run& run = trust.at(begin);
            if (!run.trusted || i + 1 > run.end)
                continue;
        }
        best = {i + 1, &token};
    }
    return best;
}

void AddedTokenFinder::find(std::string_view text, const TrustRuns& trust, std::vector<Span>& out) const
{
    std::size_t done = 0;
    for (std::size_t i = 0; !m_tokens.empty() && i < text.size();) {
        if (!m_first[static_cast<unsigned char>(text[i])]) {
            ++i;
            continue;
        }
        const Match match = longestAt(text, i, trust);
        if (match.token == nullptr) {
            ++i;
            continue;
        }
        const AddedToken& token = *match.token;
        std::size_t begin = i;
        std::size_t end = match.end;
        i = match.end;
        if (token.singleWord) {
            // Nobody may hide a control token by typing a letter beside it.
            const bool ownRun = token.isControl();
            const std::size_t from = ownRun ? trust.at(begin).begin : 0;
            const std::size_t to = ownRun ? trust.at(begin).end : text.size();
            if (endsWithWord(text, from, begin) || startsWithWord(text, end, to))
                continue;
        }
        std::size_t length = 0;
        if (token.lstrip) {
            while (begin > done) {
                const std::size_t previous = unicode::previousCharacter(text, begin);
                if ((classAt(text, previous, length) & unicode::kSpace) == 0)
                    break;
                begin = previous;
            }
        }
        if (token.rstrip)
            while (end < text.size() && (classAt(text, end, length) & unicode::kSpace) != 0)
                end += length;
        if (done < begin)
            out.push_back({done, begin, -1});
        out.push_back({begin, end, token.id});
        done = std::max(done, end);
    }
    if (done < text.size())
        out.push_back({done, text.size(), -1});
}

} // namespace postnas
