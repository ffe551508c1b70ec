// Merging by rank: a scan for short pieces, a heap over a linked list for long ones, and the cache in front of both.
#include "core/huggingface/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/huggingface/bpe_alphabet.h"
#include "core/huggingface/unicode_classes.h"

namespace postnas {
namespace {

constexpr std::size_t kScanLimit = 48; ///< symbols up to which the quadratic scan beats the heap
constexpr int kCacheBits = 16;
constexpr int kFilterBits = 21; ///< 256 KiB, which stays in the second-level cache
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ull;

std::uint64_t pairKey(std::int32_t left, std::int32_t right)
{
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

/// Up to 8 bytes as a number, padded with zeros, without reading past them.
std::uint64_t loadPadded(const char* at, std::size_t size)
{
    if (size >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, 8);
        return word;
    }
    if (size >= 4) {
        std::uint32_t low = 0;
        std::uint32_t high = 0;
        std::memcpy(&low, at, 4);
        std::memcpy(&high, at + size - 4, 4);
        return low | (static_cast<std::uint64_t>(high) << ((size - 4) * 8));
    }
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < size; ++i)
        word |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
    return word;
}

} // namespace

void BpeModel::setVocabulary(BpeVocabulary vocabulary, const Options& options)
{
    m_vocabulary = std::move(vocabulary);
    m_options = options;
    m_coversAllBytes = true;
    for (int b = 0; b < 256; ++b) {
        std::string character;
        unicode::appendUtf8(character, alphabetCharacter(static_cast<std::uint8_t>(b)));
        m_byteIds[static_cast<std::size_t>(b)] = m_vocabulary.find(character);
        const bool inUtf8 = b != 0xC0 && b != 0xC1 && b < 0xF5;
        m_coversAllBytes = m_coversAllBytes && (!inUtf8 || m_byteIds[static_cast<std::size_t>(b)] >= 0);
    }
}

std::size_t BpeModel::slotOf(std::uint64_t pair) const
{
    const std::size_t mask = m_slots.size() - 1;
    std::size_t slot = static_cast<std::size_t>((pair * kGolden) >> m_shift);
    while (m_slots[slot].pair != kFree && m_slots[slot].pair != pair)
        slot = (slot + 1) & mask;
    return slot;
}

void BpeModel::reserveMerges(std::size_t count)
{
    m_filter.resize((std::size_t(1) << kFilterBits) / 64);
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(16, count * 2));
    if (size <= m_slots.size())
        return;
    const std::vector<Slot> old = std::exchange(m_slots, std::vector<Slot>(size));
    m_shift = 64 - std::countr_zero(size);
    for (const Slot& s : old)
        if (s.pair != kFree)
            m_slots[slotOf(s.pair)] = s;
}

void BpeModel::addMerge(std::int32_t left, std::int32_t right, std::int32_t result, std::uint32_t rank)
{
    reserveMerges(m_mergeCount + 1);
    Slot& s = m_slots[slotOf(pairKey(left, right))];
    m_mergeCount += s.pair == kFree ? 1 : 0;
    s = {pairKey(left, right), {rank, result}};
    const std::uint64_t bit = (s.pair * kGolden) >> (64 - kFilterBits);
    m_filter[bit >> 6] |= 1ull << (bit & 63);
}

bool BpeModel::isForbidden(std::int32_t id) const
{
    return static_cast<std::size_t>(id) < m_forbidden.size() && m_forbidden[static_cast<std::size_t>(id)];
}

void BpeModel::setForbidden(std::vector<bool> forbidden)
{
    m_forbidden = std::move(forbidden);
    m_canMakeForbidden = false;
    for (const Slot& s : m_slots)
        m_canMakeForbidden = m_canMakeForbidden || (s.pair != kFree && isForbidden(s.merge.result));
    if (m_options.ignoreMerges)
        for (std::int32_t id = 0; id < m_vocabulary.endId(); ++id)
            m_canMakeForbidden = m_canMakeForbidden || (m_vocabulary.contains(id) && isForbidden(id));
}

BpeModel::Merge BpeModel::mergeOf(std::int32_t left, std::int32_t right, bool allowForbidden) const
{
    if (m_slots.empty())
        return kNoMerge;
    const std::uint64_t pair = pairKey(left, right);
    const std::uint64_t bit = (pair * kGolden) >> (64 - kFilterBits);
    if ((m_filter[bit >> 6] >> (bit & 63) & 1) == 0)
        return kNoMerge;
    const Slot& s = m_slots[slotOf(pair)];
    if (s.pair == kFree || (!allowForbidden && isForbidden(s.merge.result)))
        return kNoMerge;
    return s.merge;
}

void BpeModel::symbolsOf(std::string_view piece, std::vector<Symbol>& out) const
{
    out.clear();
    bool lastUnknown = false;
    for (const char c : piece) {
        const std::int32_t id = m_byteIds[static_cast<unsigned char>(c)];
        if (id >= 0) {
            out.push_back({id, 1});
            lastUnknown = false;
        } else if (m_options.unknownId >= 0) {
            if (lastUnknown && m_options.fuseUnknown)
                ++out.back().length;
            else
                out.push_back({m_options.unknownId, 1});
            lastUnknown = true;
        } else if (!out.empty()) {
            ++out.back().length; // left out of the ids; its place in the text goes to the token before it
        }
    }
}

void BpeModel::mergeByScan(std::vector<Symbol>& symbols, bool allowForbidden) const
{
    std::array<Merge, kScanLimit> merges; // merges[i]: of symbols i and i + 1
    std::size_t n = symbols.size();
    for (std::size_t i = 0; i + 1 < n; ++i)
        merges[i] = mergeOf(symbols[i].id, symbols[i + 1].id, allowForbidden);
    while (n > 1) {
        std::size_t best = 0;
        for (std::size_t i = 1; i + 1 < n; ++i)
            if (merges[i].rank < merges[best].rank)
                best = i;
        if (merges[best].result < 0)
            break;
        symbols[best].id = merges[best].result;
        symbols[best].length += symbols[best + 1].length;
        for (std::size_t i = best + 1; i + 1 < n; ++i) {
            symbols[i] = symbols[i + 1];
            merges[i - 1] = merges[i];
        }
        --n;
        if (best + 1 < n)
            merges[best] = mergeOf(symbols[best].id, symbols[best + 1].id, allowForbidden);
        if (best > 0)
            merges[best - 1] = mergeOf(symbols[best - 1].id, symbols[best].id, allowForbidden);
    }
    symbols.resize(n);
}

void BpeModel::mergeByHeap(std::vector<Symbol>& symbols, bool allowForbidden) const
{
    struct Candidate {
        std::uint32_t rank;
        std::uint32_t at;
        std::int32_t left;
        std::int32_t right;
        bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    constexpr std::uint32_t kEnd = ~0u;
    const auto n = static_cast<std::uint32_t>(symbols.size());
    std::vector<std::uint32_t> next(n);
    std::vector<std::uint32_t> previous(n);
    std::vector<Candidate> heap;
    const auto candidate = [&](std::uint32_t at, bool push) {
        const std::uint32_t right = next[at];
        if (right == kEnd)
            return;
        const Merge m = mergeOf(symbols[at].id, symbols[right].id, allowForbidden);
        if (m.result < 0)
            return;
        heap.push_back({m.rank, at, symbols[at].id, symbols[right].id});
        if (push)
            std::push_heap(heap.begin(), heap.end(), std::greater<> {});
    };
    for (std::uint32_t i = 0; i < n; ++i) {
        next[i] = i + 1 < n ? i + 1 : kEnd;
        previous[i] = i > 0 ? i - 1 : kEnd;
    }
    for (std::uint32_t i = 0; i < n; ++i)
        candidate(i, false);
    std::make_heap(heap.begin(), heap.end(), std::greater<> {});
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), std::greater<> {});
        const Candidate c = heap.back();
        heap.pop_back();
        const std::uint32_t right = next[c.at];
        // A symbol that was merged away has length 0; one that changed has another id.
        if (symbols[c.at].length == 0 || symbols[c.at].id != c.left || right == kEnd || symbols[right].id != c.right)
            continue;
        symbols[c.at].id = mergeOf(c.left, c.right, allowForbidden).result;
        symbols[c.at].length += symbols[right].length;
        symbols[right].length = 0;
        next[c.at] = next[right];
        if (next[c.at] != kEnd)
            previous[next[c.at]] = c.at;
        candidate(c.at, true);
        if (previous[c.at] != kEnd)
            candidate(previous[c.at], true);
    }
    std::erase_if(symbols, [](const Symbol& s) { return s.length == 0; });
}

void BpeModel::encode(std::string_view piece, bool allowForbidden, std::vector<std::int32_t>& ids,
                      std::vector<std::uint32_t>* lengths) const
{
    if (m_options.ignoreMerges) {
        const std::int32_t whole = m_vocabulary.find(bytesToAlphabet(piece));
        if (whole >= 0 && (allowForbidden || !isForbidden(whole))) {
            ids.push_back(whole);
            if (lengths != nullptr)
                lengths->push_back(static_cast<std::uint32_t>(piece.size()));
            return;
        }
    }
    thread_local std::vector<Symbol> symbols;
    symbolsOf(piece, symbols);
    if (symbols.size() <= kScanLimit)
        mergeByScan(symbols, allowForbidden);
    else
        mergeByHeap(symbols, allowForbidden);
    for (const Symbol& s : symbols) {
        ids.push_back(s.id);
        if (lengths != nullptr)
            lengths->push_back(s.length);
    }
    if (symbols.capacity() > (1u << 16)) // a hostile text must not pin its memory to the thread
        symbols = {};
}

PieceCache::PieceCache()
    : m_entries(std::size_t(1) << kCacheBits)
{
}

PieceCache::Key PieceCache::keyOf(std::string_view piece)
{
    Key key {};
    const char* at = piece.data();
    const std::size_t size = piece.size();
    key.words[0] = loadPadded(at, std::min<std::size_t>(size, 8));
    if (size > 8) {
        key.words[1] = loadPadded(at + 8, std::min<std::size_t>(size - 8, 8));
        if (size > 16)
            key.words[2] = loadPadded(at + 16, size - 16);
    }
    std::uint64_t hash = (key.words[0] ^ (static_cast<std::uint64_t>(size) << 56)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 32;
    hash = (hash ^ key.words[1]) * 0xD6E8FEB86659FD93ull;
    hash ^= hash >> 32;
    hash = (hash ^ key.words[2]) * 0xA0761D6478BD642Full;
    key.slot = static_cast<std::size_t>(hash >> (64 - kCacheBits));
    return key;
}

void PieceCache::store(const Key& key, std::size_t length, std::span<const std::int32_t> ids)
{
    if (ids.size() > kMaxIds)
        return;
    Entry& e = m_entries[key.slot];
    e.words = key.words;
    e.length = static_cast<std::uint8_t>(length);
    e.count = static_cast<std::uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), e.ids.begin());
}

} // namespace postnas
