// The way of a text through a tokenizer: added tokens, normalisation, splitting, byte-pair encoding.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "core/huggingface/tokenizer_file.h"

namespace postnas {

/// Where an Encoding's parts go; `starts` may be null.
struct EncodingOutput {
    std::vector<std::int32_t>& ids;
    std::vector<std::size_t>* starts;
};

/// Safe to share between threads: each run borrows a cache of its own from a pool.
class TokenizerEncoder {
public:
    explicit TokenizerEncoder(TokenizerFile file);

    const TokenizerFile& file() const { return m_file; }
    /// `text` is valid UTF-8 and `trust` covers it. Appends to `out`; adds no template.
    void encode(std::string_view text, const TrustRuns& trust, EncodingOutput out) const;

private:
    class CacheLease;
    class Run;

    TokenizerFile m_file;
    AddedTokenFinder m_inOriginal;   ///< tokens looked for before normalisation
    AddedTokenFinder m_inNormalized; ///< and after it
    mutable std::mutex m_mutex;
    mutable std::vector<std::unique_ptr<PieceCache>> m_caches;
};

} // namespace postnas
