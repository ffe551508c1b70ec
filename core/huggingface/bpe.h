// Byte-pair encoding of one piece of text by merge ranks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/huggingface/bpe_vocabulary.h"

namespace postnas {

/// Tokens of a piece. `lengths` (bytes of the piece each token covers) is filled only on request.
struct BpeOutput {
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> lengths;
};

class BpeModel {
public:
    struct Options {
        bool ignoreMerges = false;     ///< a piece that is in the vocabulary is one token, whatever the merges say
        std::int32_t unknownId = -1;   ///< for bytes without an entry; -1 leaves such bytes out, as Hugging Face does
        bool fuseUnknown = false;      ///< neighbouring unknown bytes become one token
    };

    void setVocabulary(BpeVocabulary vocabulary, const Options& options);
    /// The pair `left`, `right` becomes `result`. The lowest rank goes first; a later call for the same pair wins.
    void addMerge(std::int32_t left, std::int32_t right, std::int32_t result, std::uint32_t rank);
    void reserveMerges(std::size_t count);
    /// Tokens that text must never become when `encode` is told so.
    void setForbidden(std::vector<bool> forbidden);

    const BpeVocabulary& vocabulary() const { return m_vocabulary; }
    const Options& options() const { return m_options; }
    /// True when merges (or the whole-piece rule) could make a forbidden token from plain text.
    bool canMakeForbidden() const { return m_canMakeForbidden; }
    /// True when every byte that UTF-8 text may have is in the vocabulary: tokens then cover the text without a gap.
    bool coversAllBytes() const { return m_coversAllBytes; }

    /// Appends the tokens of `piece`. Short pieces are scanned, long ones go through a heap: O(n log n) in the worst case.
    void encode(std::string_view piece, bool allowForbidden, std::vector<std::int32_t>& ids,
                std::vector<std::uint32_t>* lengths = nullptr) const;

private:
    struct Symbol {
        std::int32_t id;
        std::uint32_t length;
    };
    struct Merge {
        std::uint32_t rank;
        std::int32_t result;
    };
    struct Slot {
        std::uint64_t pair = kFree;
        Merge merge {};
    };
    static constexpr std::uint64_t kFree = ~0ull;
    static constexpr Merge kNoMerge {~0u, -1};

    Merge mergeOf(std::int32_t left, std::int32_t right, bool allowForbidden) const;
    std::size_t slotOf(std::uint64_t pair) const;
    bool isForbidden(std::int32_t id) const;
    void symbolsOf(std::string_view piece, std::vector<Symbol>& out) const;
    void mergeByScan(std::vector<Symbol>& symbols, bool allowForbidden) const;
    void mergeByHeap(std::vector<Symbol>& symbols, bool allowForbidden) const;

    BpeVocabulary m_vocabulary;
    Options m_options;
    std::array<std::int32_t, 256> m_byteIds {};
    std::vector<Slot> m_slots; ///< open addressing
    /// One bit for each of many hashes: says "no such pair", the usual answer, without a visit to the large table.
    std::vector<std::uint64_t> m_filter;
    std::size_t m_mergeCount = 0;
    int m_shift = 64;
    std::vector<bool> m_forbidden;
    bool m_canMakeForbidden = false;
    bool m_coversAllBytes = false;
};

/// Remembers the tokens of short pieces. One user at a time.
class PieceCache {
public:
    static constexpr std::size_t kMaxPiece = 24;
    static constexpr std::size_t kMaxIds = 9;

    struct Key {
        std::array<std::uint64_t, 3> words;
        std::size_t slot;
    };
    struct Entry {
        std::array<std::uint64_t, 3> words {};
        std::uint8_t length = 0; ///< 0: free
        std::uint8_t count = 0;
        std::array<std::int32_t, kMaxIds> ids;
    };

    PieceCache();
    /// `piece` has 1 to kMaxPiece bytes.
    static Key keyOf(std::string_view piece);
    const Entry* find(const Key& key, std::size_t length) const
    {
        const Entry& e = m_entries[key.slot];
        const bool same = e.length == length
            && ((e.words[0] ^ key.words[0]) | (e.words[1] ^ key.words[1]) | (e.words[2] ^ key.words[2])) == 0;
        return same ? &e : nullptr;
    }
    void store(const Key& key, std::size_t length, std::span<const std::int32_t> ids);

private:
    std::vector<Entry> m_entries;
};

} // namespace postnas
