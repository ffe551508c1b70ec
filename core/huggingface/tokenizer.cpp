// The public face of the tokenizer: loading, checks of the input, templates, decoding.
#include "core/huggingface/tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/huggingface/bpe_alphabet.h"
#include "core/huggingface/tokenizer_encoder.h"

namespace postnas {
namespace {

constexpr std::size_t kMaxText = std::size_t(1) << 31;

void checkText(std::string_view text)
{
    if (text.size() > kMaxText)
        throw inputError("the text to tokenize is longer than 2 GiB", "Give it in parts.");
    if (const std::size_t bad = findInvalidUtf8(text); bad != std::string_view::npos)
        throw inputError("the text to tokenize is no valid UTF-8 at byte " + std::to_string(bad),
                         "Convert it to UTF-8, or remove the broken bytes.");
}

} // namespace

struct Tokenizer::Data {
    /// An added token by its id: which one, and the bytes that it decodes to.
    struct Added {
        std::size_t index;
        std::string bytes;
    };
    Data(TokenizerFile file, TokenizerSettings known)
        : encoder(sorted(std::move(file)))
        , settings(std::move(known))
    {
        for (std::size_t i = 0; i < encoder.file().added.size(); ++i) {
            const AddedToken& token = encoder.file().added[i];
            // Hugging Face's decoder reads added tokens in the byte alphabet too, where every character fits it.
            added.emplace(token.id, Added {i, alphabetToBytes(token.content).value_or(token.content)});
        }
    }
    static TokenizerFile sorted(TokenizerFile file)
    {
        file.sortAdded();
        return file;
    }
    const AddedToken* find(std::int32_t id) const
    {
        const auto it = added.find(id);
        return it == added.end() ? nullptr : &encoder.file().added[it->second.index];
    }

    TokenizerEncoder encoder;
    TokenizerSettings settings;
    std::unordered_map<std::int32_t, Added> added;
};

Tokenizer::Tokenizer(std::shared_ptr<const Data> data)
    : m_data(std::move(data))
{
}

Tokenizer Tokenizer::load(const std::filesystem::path& folderOrFile)
{
    std::error_code ignored; // reading says what is wrong with a path that cannot be looked at
    const bool isFolder = std::filesystem::is_directory(folderOrFile, ignored);
    const std::filesystem::path file = isFolder ? folderOrFile / "tokenizer.json" : folderOrFile;
    if (isFolder && !std::filesystem::exists(std::filesystem::symlink_status(file, ignored)))
        throw inputError(file.string() + " is missing",
                         "A checkpoint's tokenizer is read from tokenizer.json; copy it into the folder.");
    TokenizerFile tokenizer = readTokenizerFile(file);
    TokenizerSettings settings = readTokenizerSettings(file.parent_path(), tokenizer);
    return Tokenizer(std::make_shared<const Data>(std::move(tokenizer), std::move(settings)));
}

Encoding Tokenizer::run(std::string_view text, const TrustRuns& trust, AddTemplate addTemplate, bool withOffsets) const
{
    checkText(text);
    const TokenizerFile& file = m_data->encoder.file();
    Encoding out;
    if (addTemplate == AddTemplate::Yes)
        out.ids = file.before;
    if (withOffsets)
        out.starts.assign(out.ids.size(), 0);
    m_data->encoder.encode(text, trust, {out.ids, withOffsets ? &out.starts : nullptr});
    if (addTemplate == AddTemplate::Yes)
        out.ids.insert(out.ids.end(), file.after.begin(), file.after.end());
    if (withOffsets)
        out.starts.resize(out.ids.size(), text.size());
    return out;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, SpecialTokens specials, AddTemplate addTemplate) const
{
    return run(text, TrustRuns(text.size(), specials == SpecialTokens::Parse), addTemplate, false).ids;
}

Encoding Tokenizer::encodeWithOffsets(std::string_view text, SpecialTokens specials, AddTemplate addTemplate) const
{
    return run(text, TrustRuns(text.size(), specials == SpecialTokens::Parse), addTemplate, true);
}

Encoding Tokenizer::runSegments(std::span<const TextSegment> segments, bool withOffsets) const
{
    std::string text;
    TrustRuns trust;
    for (const TextSegment& segment : segments) {
        // Checked one by one: a character must not be put together from a trusted and an untrusted part.
        checkText(segment.text);
        if (segment.text.empty())
            continue;
        text += segment.text;
        trust.append(segment.text.size(), segment.trusted);
    }
    return run(text, trust, AddTemplate::No, withOffsets);
}

std::vector<std::int32_t> Tokenizer::encodeSegments(std::span<const TextSegment> segments) const
{
    return runSegments(segments, false).ids;
}

Encoding Tokenizer::encodeSegmentsWithOffsets(std::span<const TextSegment> segments) const
{
    return runSegments(segments, true);
}

std::string_view Tokenizer::tokenBytes(std::int32_t id) const
{
    if (const auto it = m_data->added.find(id); it != m_data->added.end())
        return it->second.bytes;
    return m_data->encoder.file().model.vocabulary().bytes(id);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skipSpecial) const
{
    std::string bytes;
    for (const std::int32_t id : ids)
        if (!skipSpecial || !isSpecial(id))
            bytes += tokenBytes(id);
    return repairUtf8(bytes);
}

std::int32_t Tokenizer::vocabularySize() const
{
    const TokenizerFile& file = m_data->encoder.file();
    return std::max(file.model.vocabulary().endId(), file.added.empty() ? 0 : file.added.back().id + 1);
}

std::optional<std::int32_t> Tokenizer::tokenToId(std::string_view token) const
{
    const std::int32_t id = m_data->encoder.file().idOf(std::string(token));
    return id >= 0 ? std::optional(id) : std::nullopt;
}

std::optional<std::string> Tokenizer::idToToken(std::int32_t id) const
{
    if (const AddedToken* token = m_data->find(id))
        return token->content;
    const BpeVocabulary& vocabulary = m_data->encoder.file().model.vocabulary();
    return vocabulary.contains(id) ? std::optional<std::string>(vocabulary.token(id)) : std::nullopt;
}

bool Tokenizer::isSpecial(std::int32_t id) const
{
    const AddedToken* token = m_data->find(id);
    return token != nullptr && token->special;
}

bool Tokenizer::isControl(std::int32_t id) const
{
    const AddedToken* token = m_data->find(id);
    return token != nullptr && token->isControl();
}

std::vector<AddedToken> Tokenizer::specialTokens() const
{
    std::vector<AddedToken> out;
    std::copy_if(addedTokens().begin(), addedTokens().end(), std::back_inserter(out), [](const AddedToken& t) { return t.special; });
    return out;
}

const std::vector<AddedToken>& Tokenizer::addedTokens() const { return m_data->encoder.file().added; }
std::optional<std::int32_t> Tokenizer::bosId() const { return m_data->settings.bosId; }
std::optional<std::int32_t> Tokenizer::eosId() const { return m_data->settings.eosId; }
std::optional<std::int32_t> Tokenizer::padId() const { return m_data->settings.padId; }
std::optional<std::int32_t> Tokenizer::unknownId() const { return m_data->settings.unknownId; }
const std::optional<std::string>& Tokenizer::chatTemplate() const { return m_data->settings.chatTemplate; }

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skipSpecial)
    : m_tokenizer(std::move(tokenizer))
    , m_skipSpecial(skipSpecial)
{
}

std::string StreamDecoder::push(std::int32_t id)
{
    if (m_skipSpecial && m_tokenizer.isSpecial(id))
        return {};
    m_pending += m_tokenizer.tokenBytes(id);
    const std::size_t complete = completeUtf8Prefix(m_pending);
    std::string out = repairUtf8(std::string_view(m_pending).substr(0, complete));
    m_pending.erase(0, complete);
    return out;
}

std::string StreamDecoder::finish() { return repairUtf8(std::exchange(m_pending, {})); }

} // namespace postnas
