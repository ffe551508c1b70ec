// What a tokenizer folder says: the model, the added tokens, and how text is prepared and finished.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/huggingface/bpe.h"
#include "core/huggingface/split_pattern.h"
#include "core/huggingface/tokenizer_added.h"

namespace postnas {

struct TokenizerFile {
    BpeModel model;
    std::vector<AddedToken> added;                                ///< each id and each content once
    bool nfc = false;
    std::vector<std::shared_ptr<const SplitPattern>> splits;      ///< one after the other, before the prefix space
    bool addPrefixSpace = false;                                  ///< before each piece that does not begin with a space
    std::shared_ptr<const SplitPattern> splitAfterPrefix;         ///< ByteLevel with use_regex; may be null
    bool prefixSpaceIsConfigurable = false;                       ///< tokenizer_config.json may override addPrefixSpace
    std::vector<std::int32_t> before;                             ///< what TemplateProcessing puts around a text
    std::vector<std::int32_t> after;

    /// The added token of this content, or null.
    const AddedToken* findAdded(const std::string& content) const;
    bool hasAddedId(std::int32_t id) const { return m_addedById.contains(id); }
    /// Id of a token by its text: added tokens first, then the vocabulary. -1: none.
    std::int32_t idOf(const std::string& content) const;
    /// Adds or replaces. Throws Error(Input), beginning with `where`, when content and id contradict what is there.
    void addToken(const AddedToken& token, const std::string& where);
    /// Orders `added` by id.
    void sortAdded();

private:
    std::unordered_map<std::string, std::size_t> m_addedByContent;
    std::unordered_map<std::int32_t, std::size_t> m_addedById;
};

/// Reads tokenizer.json. Throws Error(Input) naming file and key when it is broken or of a kind that is not supported.
TokenizerFile readTokenizerFile(const std::filesystem::path& file);

/// What stands beside tokenizer.json.
struct TokenizerSettings {
    std::optional<std::int32_t> bosId;
    std::optional<std::int32_t> eosId;
    std::optional<std::int32_t> padId;
    std::optional<std::int32_t> unknownId;
    std::optional<std::string> chatTemplate;
};

/// Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja as far as they are in
/// `folder`, and applies to `tokenizer` what they change.
TokenizerSettings readTokenizerSettings(const std::filesystem::path& folder, TokenizerFile& tokenizer);

} // namespace postnas
