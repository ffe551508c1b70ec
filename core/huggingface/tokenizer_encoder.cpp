// One run of the encoder: stretches between added tokens are normalised, split into pieces, and looked up or merged.
#include "core/huggingface/tokenizer_encoder.h"

#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "core/huggingface/unicode_nfc.h"

namespace postnas {
namespace {

/// What all calls of split patterns together may take; each of them has limits of its own.
constexpr double kSplitSecondsAtLeast = 8; // less than one pattern may take (split_pattern_pcre2.cpp), or the first would be blamed for the later ones
constexpr double kSplitSecondsPerByte = 20e-6;

/// A stretch of the original text after normalisation, with the way back to the original's offsets.
struct PreparedText {
    struct Part {
        std::size_t begin;    ///< in the prepared text
        std::size_t original; ///< in the original text
        bool normalized;
        unicode::NormalizedText map;
    };
    std::string_view text;
    std::string storage;
    std::vector<Part> parts;
    TrustRuns trust;

    std::size_t originalOffset(std::size_t offset) const
    {
        const auto after = std::upper_bound(parts.begin(), parts.end(), offset,
                                            [](std::size_t value, const Part& part) { return value < part.begin; });
        const Part& part = *std::prev(after);
        const std::size_t inside = offset - part.begin;
        return part.original + (part.normalized ? part.map.originalOffset(inside) : inside);
    }
};

} // namespace

/// Borrows a piece cache for one run.
class TokenizerEncoder::CacheLease {
public:
    explicit CacheLease(const TokenizerEncoder& owner)
        : m_owner(owner)
    {
        const std::lock_guard lock(m_owner.m_mutex);
        if (!m_owner.m_caches.empty()) {
            m_cache = std::move(m_owner.m_caches.back());
            m_owner.m_caches.pop_back();
        }
    }
    ~CacheLease()
    {
        if (m_cache == nullptr)
            return;
        const std::lock_guard lock(m_owner.m_mutex);
        m_owner.m_caches.push_back(std::move(m_cache));
    }
    CacheLease(const CacheLease&) = delete;
    CacheLease& operator=(const CacheLease&) = delete;

    PieceCache& get()
    {
        if (m_cache == nullptr)
            m_cache = std::make_unique<PieceCache>();
        return *m_cache;
    }

private:
    const TokenizerEncoder& m_owner;
    std::unique_ptr<PieceCache> m_cache;
};

class TokenizerEncoder::Run {
public:
    Run(const TokenizerEncoder& encoder, std::string_view original, const TrustRuns& trust, EncodingOutput out)
        : m_encoder(encoder)
        , m_file(encoder.m_file)
        , m_original(original)
        , m_trust(trust)
        , m_out(out)
        , m_lease(encoder)
        , m_cache(m_lease.get())
    {
        bool allTrusted = true;
        for (const TrustRuns::Run& run : trust.runs())
            allTrusted = allTrusted && run.trusted;
        // Where plain text could merge into a control token, text of mixed trust is not allowed to. The cache holds what
        // trusted text becomes, so it stays out of it.
        m_allowForbidden = allTrusted || !m_file.model.canMakeForbidden();
        m_splitDeadline = std::chrono::steady_clock::now()
            + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                  std::chrono::duration<double>(kSplitSecondsAtLeast + kSplitSecondsPerByte * static_cast<double>(original.size())));
        m_useCache = m_allowForbidden && (m_out.starts == nullptr || m_file.model.coversAllBytes());
    }

    void run()
    {
        std::vector<AddedTokenFinder::Span> spans;
        m_encoder.m_inOriginal.find(m_original, m_trust, spans);
        std::vector<AddedTokenFinder::Span> inner;
        for (const auto& span : spans) {
            if (span.id >= 0) {
                emit(span.id, span.begin);
                continue;
            }
            PreparedText prepared;
            prepare(span.begin, span.end, prepared);
            m_prepared = &prepared;
            inner.clear();
            m_encoder.m_inNormalized.find(prepared.text, prepared.trust, inner);
            for (const auto& part : inner) {
                if (part.id >= 0)
                    emit(part.id, prepared.originalOffset(part.begin));
                else
                    splitStage(0, prepared.text.substr(part.begin, part.end - part.begin), {part.begin, 0});
            }
        }
    }

private:
    /// Where a piece lies in the prepared text, and how many bytes (a prefix space) were put before it.
    struct Place {
        std::size_t begin;
        std::size_t inserted;
    };

    class StageSink final : public PieceSink {
    public:
        StageSink(Run& run, std::size_t stage, std::string_view text, Place place)
            : m_run(run)
            , m_stage(stage)
            , m_text(text)
            , m_place(place)
        {
        }
        void piece(std::size_t begin, std::size_t end) override
        {
            const std::string_view piece = m_text.substr(begin, end - begin);
            if (begin == 0)
                m_run.splitStage(m_stage, piece, m_place);
            else
                m_run.splitStage(m_stage, piece, {m_place.begin + begin - m_place.inserted, 0});
        }

    private:
        Run& m_run;
        std::size_t m_stage;
        std::string_view m_text;
        Place m_place;
    };

    void prepare(std::size_t begin, std::size_t end, PreparedText& out) const
    {
        const std::string_view whole = m_original.substr(begin, end - begin);
        // A mark that a user typed must not compose with the last character of a control token that is only looked for
        // after normalisation; where there are such tokens, each run of trust is normalised by itself.
        const bool byRuns = m_encoder.m_inNormalized.hasControl() && m_trust.runs().size() > 1;
        if (!byRuns) {
            out.parts.push_back({0, begin, false, {}});
            out.parts[0].normalized = m_file.nfc && unicode::normalizeNfc(whole, out.parts[0].map);
            out.text = out.parts[0].normalized ? std::string_view(out.parts[0].map.text) : whole;
            out.trust = TrustRuns(out.text.size(), m_trust.runs().empty() || m_trust.at(begin).trusted);
            return;
        }
        for (std::size_t at = begin; at < end;) {
            const TrustRuns::Run& run = m_trust.at(at);
            const std::size_t stop = std::min(end, run.end);
            const std::string_view text = m_original.substr(at, stop - at);
            out.parts.push_back({out.storage.size(), at, false, {}});
            out.parts.back().normalized = m_file.nfc && unicode::normalizeNfc(text, out.parts.back().map);
            const std::string_view normal = out.parts.back().normalized ? std::string_view(out.parts.back().map.text) : text;
            out.storage += normal;
            out.trust.append(normal.size(), run.trusted);
            at = stop;
        }
        out.text = out.storage;
    }

    /// Stages: each split pattern, then the prefix space, then ByteLevel's own pattern, then the model.
    void splitStage(std::size_t stage, std::string_view text, Place place)
    {
        if (stage < m_file.splits.size()) {
            // One call is limited, but a pattern may cut a text into as many pieces for the next one as it has bytes.
            if (std::chrono::steady_clock::now() > m_splitDeadline)
                throw inputError("the tokenizer's split patterns take too long on this text");
            StageSink sink(*this, stage + 1, text, place);
            m_file.splits[stage]->split(text, sink);
            return;
        }
        const bool wantsPrefix = m_file.addPrefixSpace && !text.starts_with(' ') && stage == m_file.splits.size();
        if (wantsPrefix) {
            const std::string prefixed = " " + std::string(text);
            splitAfterPrefix(prefixed, {place.begin, 1});
        } else if (stage == m_file.splits.size()) {
            splitAfterPrefix(text, place);
        } else {
            model(text, place);
        }
    }

    void splitAfterPrefix(std::string_view text, Place place)
    {
        if (m_file.splitAfterPrefix == nullptr) {
            model(text, place);
            return;
        }
        StageSink sink(*this, m_file.splits.size() + 1, text, place);
        m_file.splitAfterPrefix->split(text, sink);
    }

    void emit(std::int32_t id, std::size_t start)
    {
        m_out.ids.push_back(id);
        if (m_out.starts != nullptr)
            m_out.starts->push_back(start);
    }

    void model(std::string_view piece, Place place)
    {
        const std::size_t firstId = m_out.ids.size();
        const bool cacheable = m_useCache && piece.size() <= PieceCache::kMaxPiece;
        m_lengths.clear();
        if (cacheable) {
            const PieceCache::Key key = PieceCache::keyOf(piece);
            if (const PieceCache::Entry* entry = m_cache.find(key, piece.size())) {
                for (std::size_t i = 0; i < entry->count; ++i)
                    m_out.ids.push_back(entry->ids[i]);
            } else {
                m_file.model.encode(piece, m_allowForbidden, m_out.ids);
                m_cache.store(key, piece.size(), std::span(m_out.ids).subspan(firstId));
            }
        } else {
            m_file.model.encode(piece, m_allowForbidden, m_out.ids, m_out.starts != nullptr ? &m_lengths : nullptr);
        }
        if (m_out.starts != nullptr)
            addStarts(firstId, piece.size(), place);
    }

    void addStarts(std::size_t firstId, std::size_t pieceSize, Place place)
    {
        const std::size_t count = m_out.ids.size() - firstId;
        std::size_t at = 0;
        if (!m_lengths.empty()) { // bytes that were left out before the first token
            at = pieceSize;
            for (const std::uint32_t length : m_lengths)
                at -= length;
        }
        for (std::size_t i = 0; i < count; ++i) {
            m_out.starts->push_back(m_prepared->originalOffset(place.begin + (at > place.inserted ? at - place.inserted : 0)));
            at += m_lengths.empty() ? m_file.model.vocabulary().bytes(m_out.ids[firstId + i]).size() : m_lengths[i];
        }
    }

    const TokenizerEncoder& m_encoder;
    const TokenizerFile& m_file;
    std::string_view m_original;
    const TrustRuns& m_trust;
    EncodingOutput m_out;
    CacheLease m_lease;
    PieceCache& m_cache;
    const PreparedText* m_prepared = nullptr;
    std::vector<std::uint32_t> m_lengths;
    bool m_allowForbidden = true;
    bool m_useCache = true;
    std::chrono::steady_clock::time_point m_splitDeadline;
};

TokenizerEncoder::TokenizerEncoder(TokenizerFile file)
    : m_file(std::move(file))
{
    std::vector<bool> forbidden(static_cast<std::size_t>(m_file.model.vocabulary().endId()));
    for (const AddedToken& token : m_file.added) {
        if (token.isControl() && m_file.model.vocabulary().contains(token.id))
            forbidden[static_cast<std::size_t>(token.id)] = true;
        if (!token.normalized) {
            m_inOriginal.add(token, token.content);
            continue;
        }
        unicode::NormalizedText normal;
        const bool changed = m_file.nfc && unicode::normalizeNfc(token.content, normal);
        m_inNormalized.add(token, changed ? std::string_view(normal.text) : std::string_view(token.content));
    }
    m_file.model.setForbidden(std::move(forbidden));
}

void TokenizerEncoder::encode(std::string_view text, const TrustRuns& trust, EncodingOutput out) const
{
    if (text.empty())
        return;
    out.ids.reserve(out.ids.size() + text.size() / 3 + 16);
    Run(*this, text, trust, out).run();
}

} // namespace postnas
