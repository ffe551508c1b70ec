// Reading tokenizer.json: vocabulary and merges go straight from the parser into the model, the small rest is a JSON value.
#include "core/huggingface/tokenizer_file.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_builder.h"
#include "core/base/text.h"
#include "core/huggingface/tokenizer_components.h"

namespace postnas {
namespace {

constexpr std::uint64_t kMaxFileBytes = 256u << 20;
constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxAddedLength = 256; ///< a hostile text may cost as many steps for each of its bytes

/// A token as error messages show it.
std::string showToken(std::string_view token)
{
    const std::string clean = sanitizeForTerminal(token.substr(0, completeUtf8Prefix(token.substr(0, 60))));
    return "\"" + clean + (token.size() > 60 ? "...\"" : "\"");
}

class TokenizerJsonReader : public JsonBuilder {
public:
    explicit TokenizerJsonReader(std::string source)
        : JsonBuilder(std::move(source), kMaxDepth)
    {
    }

    struct MergeText {
        std::uint64_t at; ///< offset in mergeTexts
        std::uint32_t left;
        std::uint32_t right;
    };

    BpeVocabulary vocabulary;
    bool hasVocabulary = false;
    std::string mergeTexts;
    std::vector<MergeText> merges;

    bool start_object(std::size_t n) override
    {
        if (m_mode != Mode::Rest)
            unexpected();
        if (isModelKey("vocab")) {
            m_mode = Mode::Vocabulary;
            hasVocabulary = true;
            return true;
        }
        return JsonBuilder::start_object(n);
    }
    bool key(string_t& value) override
    {
        if (m_mode != Mode::Vocabulary)
            return JsonBuilder::key(value);
        m_token = std::move(value);
        return true;
    }
    bool end_object() override
    {
        if (m_mode != Mode::Vocabulary)
            return JsonBuilder::end_object();
        m_mode = Mode::Rest;
        return true;
    }
    bool start_array(std::size_t n) override
    {
        if (m_mode == Mode::Merges) {
            m_mode = Mode::MergePair;
            m_parts = 0;
            merges.push_back({mergeTexts.size(), 0, 0});
            return true;
        }
        if (m_mode != Mode::Rest)
            unexpected();
        if (isModelKey("merges")) {
            m_mode = Mode::Merges;
            return true;
        }
        return JsonBuilder::start_array(n);
    }
    bool end_array() override
    {
        if (m_mode == Mode::MergePair) {
            if (m_parts != 2)
                failMerge("must have two parts");
            m_mode = Mode::Merges;
            return true;
        }
        if (m_mode == Mode::Merges) {
            m_mode = Mode::Rest;
            return true;
        }
        return JsonBuilder::end_array();
    }
    bool string(string_t& value) override
    {
        if (m_mode == Mode::Rest)
            return JsonBuilder::string(value);
        if (m_mode == Mode::Vocabulary)
            unexpected();
        if (m_mode == Mode::MergePair) {
            if (++m_parts > 2)
                failMerge("must have two parts");
            (m_parts == 1 ? merges.back().left : merges.back().right) = static_cast<std::uint32_t>(value.size());
            mergeTexts += value;
            return true;
        }
        if (value.starts_with("#version")) // the first line of merges.txt, which some converters kept
            return true;
        const std::size_t space = value.find(' ');
        merges.push_back({mergeTexts.size(), 0, 0});
        if (space == std::string::npos || value.find(' ', space + 1) != std::string::npos)
            failMerge("must be two parts with one space between them, and is " + showToken(value));
        merges.back().left = static_cast<std::uint32_t>(space);
        merges.back().right = static_cast<std::uint32_t>(value.size() - space - 1);
        mergeTexts.append(value, 0, space).append(value, space + 1);
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override
    {
        if (m_mode == Mode::Rest)
            return JsonBuilder::number_unsigned(value);
        if (m_mode != Mode::Vocabulary)
            unexpected();
        if (value > static_cast<number_unsigned_t>(BpeVocabulary::kMaxId))
            failToken("has id " + std::to_string(value) + "; the largest allowed is " + std::to_string(BpeVocabulary::kMaxId));
        switch (vocabulary.insert(m_token, static_cast<std::int32_t>(value))) {
        case BpeVocabulary::Insertion::Done: return true;
        case BpeVocabulary::Insertion::DuplicateToken: failDuplicate(m_token);
        case BpeVocabulary::Insertion::DuplicateId:
            failToken("has id " + std::to_string(value) + ", which "
                      + showToken(vocabulary.token(static_cast<std::int32_t>(value))) + " has too");
        }
        return true;
    }
    bool null() override { return m_mode == Mode::Rest ? JsonBuilder::null() : unexpected(); }
    bool boolean(bool v) override { return m_mode == Mode::Rest ? JsonBuilder::boolean(v) : unexpected(); }
    bool number_integer(number_integer_t v) override { return m_mode == Mode::Rest ? JsonBuilder::number_integer(v) : unexpected(); }
    bool number_float(number_float_t v, const string_t& text) override
    {
        return m_mode == Mode::Rest ? JsonBuilder::number_float(v, text) : unexpected();
    }

    [[noreturn]] void failMerge(const std::string& problem) const { failMerge(merges.size() - 1, problem); }
    [[noreturn]] void failMerge(std::size_t index, const std::string& problem) const
    {
        throw inputError(source() + ": key \"model.merges[" + std::to_string(index) + "]\" " + problem,
                         "The tokenizer's files do not belong together or are damaged; fetch them again.");
    }

private:
    enum class Mode { Rest, Vocabulary, Merges, MergePair };

    bool isModelKey(std::string_view name) const
    {
        return path().size() == 3 && path()[1] == "model" && path()[2] == name;
    }
    [[noreturn]] void failToken(const std::string& problem) const
    {
        throw inputError(source() + ": key \"model.vocab\": token " + showToken(m_token) + " " + problem);
    }
    [[noreturn]] bool unexpected() const
    {
        if (m_mode == Mode::Vocabulary)
            failToken("must have a whole number from 0 on as its id");
        throw inputError(source() + ": key \"model.merges[" + std::to_string(merges.size() - (m_mode == Mode::MergePair ? 1 : 0))
                         + "]\" must be a string or a pair of strings");
    }

    Mode m_mode = Mode::Rest;
    std::string m_token;
    int m_parts = 0;
};

/// Every merge joins two entries of the vocabulary into a third one.
void addMerges(const TokenizerJsonReader& reader, BpeModel& model)
{
    model.reserveMerges(reader.merges.size());
    const BpeVocabulary& vocabulary = model.vocabulary();
    for (std::size_t i = 0; i < reader.merges.size(); ++i) {
        const auto& m = reader.merges[i];
        const std::string_view both = std::string_view(reader.mergeTexts).substr(m.at, std::size_t(m.left) + m.right);
        const auto idOf = [&](std::string_view part, const char* what) {
            const std::int32_t id = vocabulary.find(part);
            if (id < 0 || part.empty())
                reader.failMerge(i, std::string("is broken: its ") + what + " " + showToken(part) + " is not in model.vocab");
            return id;
        };
        const std::int32_t left = idOf(both.substr(0, m.left), "left part");
        const std::int32_t right = idOf(both.substr(m.left), "right part");
        model.addMerge(left, right, idOf(both, "result"), static_cast<std::uint32_t>(i));
    }
}

void readModel(const JsonReader& root, TokenizerJsonReader& reader, TokenizerFile& out)
{
    const JsonReader model = root.object("model");
    if (const std::string type = model.string("type", "BPE"); type != "BPE")
        model.fail("type", "is " + showToken(type) + "; only BPE tokenizers are supported");
    if (!reader.hasVocabulary)
        model.fail("vocab", "is missing or no object");
    if (reader.vocabulary.size() == 0)
        model.fail("vocab", "is empty");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!model.string(key, "").empty())
            model.fail(key, "is not supported for byte-level tokenizers");
    if (model.number("dropout", 0, 1, 0) != 0)
        model.fail("dropout", "must be null or 0: with dropout the same text gets different ids each time");
    BpeModel::Options options;
    options.ignoreMerges = model.boolean("ignore_merges", false);
    options.fuseUnknown = model.boolean("fuse_unk", false);
    bool unknownMissing = false;
    if (const std::string unknown = model.string("unk_token", ""); !unknown.empty()) {
        options.unknownId = reader.vocabulary.find(unknown);
        unknownMissing = options.unknownId < 0;
    }
    out.model.setVocabulary(std::move(reader.vocabulary), options);
    if (unknownMissing && !out.model.coversAllBytes()) // otherwise nothing is ever unknown
        model.fail("unk_token", "is not in model.vocab, which also lacks some bytes");
    if (model.boolean("byte_fallback", false) && !out.model.coversAllBytes())
        model.fail("byte_fallback", "is not supported for a vocabulary that lacks bytes");
    addMerges(reader, out.model);
}

void readAddedTokens(const JsonReader& root, TokenizerFile& out)
{
    if (!root.has("added_tokens"))
        return;
    const Json& list = root.value("added_tokens");
    if (!list.is_array())
        root.fail("added_tokens", "must be a list");
    for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string path = "added_tokens[" + std::to_string(i) + "]";
        const JsonReader item(list[i], root.source(), path);
        const auto id = static_cast<std::int32_t>(item.integer("id", 0, BpeVocabulary::kMaxId));
        out.addToken(readAddedToken(item, id), root.source() + ": key \"" + path + "\"");
    }
}

} // namespace

AddedToken readAddedToken(const JsonReader& item, std::int32_t id)
{
    AddedToken token;
    token.id = id;
    token.content = item.string("content");
    if (token.content.size() > kMaxAddedLength)
        item.fail("content", "is longer than " + std::to_string(kMaxAddedLength) + " bytes");
    token.singleWord = item.boolean("single_word", false);
    token.lstrip = item.boolean("lstrip", false);
    token.rstrip = item.boolean("rstrip", false);
    token.special = item.boolean("special", false);
    token.normalized = item.boolean("normalized", !token.special);
    return token;
}

const AddedToken* TokenizerFile::findAdded(const std::string& content) const
{
    const auto it = m_addedByContent.find(content);
    return it == m_addedByContent.end() ? nullptr : &added[it->second];
}

std::int32_t TokenizerFile::idOf(const std::string& content) const
{
    const AddedToken* token = findAdded(content);
    return token != nullptr ? token->id : model.vocabulary().find(content);
}

void TokenizerFile::addToken(const AddedToken& token, const std::string& where)
{
    if (token.content.empty())
        return; // Hugging Face passes over it too
    const std::string hint = "The tokenizer's files do not belong together or are damaged; fetch them again.";
    if (const std::int32_t known = idOf(token.content); known >= 0 && known != token.id)
        throw inputError(where + " gives " + showToken(token.content) + " the id " + std::to_string(token.id) + ", but it is already "
                             + std::to_string(known), hint);
    if (model.vocabulary().contains(token.id) && model.vocabulary().token(token.id) != token.content)
        throw inputError(where + " gives " + showToken(token.content) + " the id " + std::to_string(token.id)
                             + ", which model.vocab has for " + showToken(model.vocabulary().token(token.id)), hint);
    const auto [byId, newId] = m_addedById.emplace(token.id, added.size());
    if (!newId && added[byId->second].content != token.content)
        throw inputError(where + " gives " + showToken(token.content) + " the id " + std::to_string(token.id) + ", which "
                             + showToken(added[byId->second].content) + " has too", hint);
    if (newId) {
        m_addedByContent.emplace(token.content, added.size());
        added.push_back(token);
    } else {
        added[byId->second] = token;
    }
}

void TokenizerFile::sortAdded()
{
    std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    for (std::size_t i = 0; i < added.size(); ++i)
        m_addedById[added[i].id] = m_addedByContent[added[i].content] = i;
}

TokenizerFile readTokenizerFile(const std::filesystem::path& file)
{
    const std::string source = file.string();
    TokenizerJsonReader reader(source);
    reader.parse(readTextFile(file, kMaxFileBytes));
    const JsonReader root(reader.root(), source);
    TokenizerFile out;
    readModel(root, reader, out);
    readAddedTokens(root, out);
    readNormalizer(root, out);
    readPreTokenizer(root, out);
    readPostProcessor(root, out);
    readDecoder(root);
    return out;
}

} // namespace postnas
