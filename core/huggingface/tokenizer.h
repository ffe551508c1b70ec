// The byte-level BPE tokenizer of a Hugging Face checkpoint: text to ids and back, as the `tokenizers` package does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/huggingface/text_segment.h"
#include "core/huggingface/tokenizer_added.h"

namespace postnas {

/// Whether a text may hold control tokens (see AddedToken::isControl).
enum class SpecialTokens {
    Parse,  ///< "<|im_end|>" in the text is the token: for text from a template or a trusted file
    AsText, ///< "<|im_end|>" in the text is ten characters like any others: for what a user typed or a data file holds
};

/// What a tokenizer's post-processor adds around a text, such as a token for its beginning. Checkpoints of the Qwen
/// families add nothing. A chat template writes such tokens itself.
enum class AddTemplate { Yes, No };

/// Ids with the place each came from.
struct Encoding {
    std::vector<std::int32_t> ids;
    /// Byte offset in the input at which each token begins; same length as `ids`, ascending. A token may begin within a
    /// character. Where NFC changed a stretch (a base and its marks), its tokens have the offset of the stretch. Tokens
    /// that AddTemplate puts before and after the text have 0 and the size of the text.
    std::vector<std::size_t> starts;
};

/// Immutable after loading; copies share the data, and one object may be used from many threads at once.
class Tokenizer {
public:
    /// A folder with tokenizer.json (and, where they are, tokenizer_config.json, special_tokens_map.json, added_tokens.json,
    /// chat_template.jinja; nothing else of a checkpoint is needed), or the path of a tokenizer.json.
    /// Throws Error(Input) naming file and key when a file is missing, broken, or of a kind that is not supported.
    static Tokenizer load(const std::filesystem::path& folderOrFile);

    /// Throws Error(Input) with the byte offset when `text` is not valid UTF-8.
    std::vector<std::int32_t> encode(std::string_view text, SpecialTokens specials = SpecialTokens::Parse,
                                     AddTemplate addTemplate = AddTemplate::Yes) const;
    Encoding encodeWithOffsets(std::string_view text, SpecialTokens specials = SpecialTokens::Parse,
                               AddTemplate addTemplate = AddTemplate::Yes) const;

    /// The segments as one text, in which control tokens are found only inside trusted runs of segments: never in
    /// untrusted text, nor across a border, and nothing untrusted can hide one. Everything else (normalising, splitting,
    /// merging) is as for the whole text, so a border between segments by itself changes nothing. Adds no template.
    std::vector<std::int32_t> encodeSegments(std::span<const TextSegment> segments) const;
    /// Offsets count bytes of all segments' texts joined.
    Encoding encodeSegmentsWithOffsets(std::span<const TextSegment> segments) const;

    /// Bytes that form no UTF-8 become U+FFFD; ids that no token has contribute nothing: both as Hugging Face does.
    std::string decode(std::span<const std::int32_t> ids, bool skipSpecial = false) const;
    /// What one id contributes to a text; may be part of a character. Empty for an id that no token has.
    std::string_view tokenBytes(std::int32_t id) const;

    /// Largest id + 1, added tokens included. The model's embedding may have more rows.
    std::int32_t vocabularySize() const;
    /// By the text in the files (vocabulary entries are in the byte alphabet: "Ġthe").
    std::optional<std::int32_t> tokenToId(std::string_view token) const;
    std::optional<std::string> idToToken(std::int32_t id) const;
    bool isSpecial(std::int32_t id) const; ///< what `skipSpecial` leaves out
    bool isControl(std::int32_t id) const; ///< what untrusted text never becomes
    /// Added tokens with `special` set, by id.
    std::vector<AddedToken> specialTokens() const;
    /// All added tokens, by id.
    const std::vector<AddedToken>& addedTokens() const;

    /// From tokenizer_config.json or special_tokens_map.json, where they name one.
    std::optional<std::int32_t> bosId() const;
    std::optional<std::int32_t> eosId() const;
    std::optional<std::int32_t> padId() const;
    std::optional<std::int32_t> unknownId() const;

    /// The Jinja source: chat_template.jinja, else tokenizer_config.json's `chat_template` (of several, the "default").
    const std::optional<std::string>& chatTemplate() const;

private:
    struct Data;
    explicit Tokenizer(std::shared_ptr<const Data> data);
    Encoding run(std::string_view text, const TrustRuns& trust, AddTemplate addTemplate, bool withOffsets) const;
    Encoding runSegments(std::span<const TextSegment> segments, bool withOffsets) const;

    std::shared_ptr<const Data> m_data;
};

/// Decodes ids one by one and never cuts a character: bytes wait until their UTF-8 sequence is whole. All pieces joined
/// are what `decode` gives for all ids.
class StreamDecoder {
public:
    explicit StreamDecoder(Tokenizer tokenizer, bool skipSpecial = false);
    /// The text that is certain now; may be empty.
    std::string push(std::int32_t id);
    /// What is left (U+FFFD for an unfinished sequence); the decoder then starts anew.
    std::string finish();

private:
    Tokenizer m_tokenizer;
    bool m_skipSpecial;
    std::string m_pending;
};

} // namespace postnas
