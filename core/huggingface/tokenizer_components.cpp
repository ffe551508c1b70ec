// Which normalisers, pre-tokenisers, post-processors and decoders are supported, and what they set.
#include "core/huggingface/tokenizer_components.h"

#include <functional>

#include "core/base/error.h"

namespace postnas {
namespace {

constexpr std::size_t kMaxParts = 64;

/// Calls `visit` for the component at `key`, or, for a Sequence, for each of its parts (which `listKey` holds).
void visitComponents(const JsonReader& parent, const std::string& key, const std::string& listKey,
                     const std::function<void(const JsonReader&, const std::string& type)>& visit)
{
    if (!parent.has(key))
        return;
    const JsonReader component = parent.object(key);
    const std::string type = component.string("type");
    if (type != "Sequence") {
        visit(component, type);
        return;
    }
    const Json& parts = component.value(listKey);
    if (!parts.is_array() || parts.size() > kMaxParts)
        component.fail(listKey, "must be a list of at most " + std::to_string(kMaxParts));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const JsonReader part(parts[i], parent.source(), key + "." + listKey + "[" + std::to_string(i) + "]");
        visit(part, part.string("type"));
    }
}

[[noreturn]] void refuseType(const JsonReader& component, const std::string& supported)
{
    component.fail("type", "is " + dumpJson(component.value("type")) + "; supported is " + supported);
}

void readSplit(const JsonReader& split, TokenizerFile& out)
{
    const JsonReader pattern = split.object("pattern");
    if (split.string("behavior") != "Isolated")
        split.fail("behavior", "is " + dumpJson(split.value("behavior")) + "; supported is Isolated");
    if (split.boolean("invert", false))
        split.fail("invert", "must be false");
    const bool isRegex = pattern.has("Regex");
    if (!isRegex && !pattern.has("String"))
        split.fail("pattern", "must have a Regex or a String");
    const std::string key = isRegex ? "Regex" : "String";
    const std::string text = pattern.string(key);
    if (text.empty())
        split.fail("pattern", "is empty");
    std::string where;
    try {
        pattern.fail(key, "");
    } catch (const Error& e) { // the reader knows how to say where a key is
        where = e.what();
        where.pop_back();
    }
    out.splits.push_back(makeSplitPattern(isRegex ? text : escapePattern(text), where));
}

void readTemplate(const JsonReader& processor, TokenizerFile& out)
{
    const Json& single = processor.value("single");
    const JsonReader specials = processor.object("special_tokens");
    if (!single.is_array() || single.size() > kMaxParts)
        processor.fail("single", "must be a list of at most " + std::to_string(kMaxParts));
    bool textSeen = false;
    for (const Json& item : single) {
        if (item.is_object() && item.contains("Sequence") && !textSeen) {
            textSeen = true;
        } else if (item.is_object() && item.contains("SpecialToken") && item["SpecialToken"].is_object()) {
            const JsonReader token(item["SpecialToken"], processor.source(), "post_processor.single.SpecialToken");
            const JsonReader special = specials.object(token.string("id"));
            const Json& ids = special.value("ids");
            if (!ids.is_array() || ids.size() > kMaxParts)
                special.fail("ids", "must be a list of ids");
            for (const Json& id : ids) {
                const bool known = id.is_number_unsigned() && id.get<std::uint64_t>() <= BpeVocabulary::kMaxId
                    && (out.model.vocabulary().contains(id.get<std::int32_t>()) || out.hasAddedId(id.get<std::int32_t>()));
                if (!known)
                    special.fail("ids", "has an id that no token has");
                (textSeen ? out.after : out.before).push_back(id.get<std::int32_t>());
            }
        } else {
            processor.fail("single", "must hold special tokens and the text (Sequence) once");
        }
    }
    if (!textSeen)
        processor.fail("single", "leaves the text out");
}

} // namespace

void readNormalizer(const JsonReader& root, TokenizerFile& out)
{
    visitComponents(root, "normalizer", "normalizers", [&](const JsonReader& part, const std::string& type) {
        if (type != "NFC")
            refuseType(part, "NFC, or none");
        out.nfc = true;
    });
}

void readPreTokenizer(const JsonReader& root, TokenizerFile& out)
{
    bool byteLevelSeen = false;
    if (!root.has("pre_tokenizer"))
        root.fail("pre_tokenizer", "is missing; byte-level tokenizers have one of type ByteLevel");
    out.prefixSpaceIsConfigurable = root.object("pre_tokenizer").string("type") == "ByteLevel";
    visitComponents(root, "pre_tokenizer", "pretokenizers", [&](const JsonReader& part, const std::string& type) {
        if (byteLevelSeen)
            part.fail("type", "comes after ByteLevel, which must be the last part");
        if (type == "Split") {
            readSplit(part, out);
        } else if (type == "ByteLevel") {
            byteLevelSeen = true;
            out.addPrefixSpace = part.boolean("add_prefix_space", true);
            if (part.boolean("use_regex", true))
                out.splitAfterPrefix = makeScanner(kGpt2Pattern);
        } else {
            refuseType(part, "Split and ByteLevel");
        }
    });
    if (!byteLevelSeen)
        root.fail("pre_tokenizer", "has no ByteLevel part; only byte-level tokenizers are supported");
}

void readPostProcessor(const JsonReader& root, TokenizerFile& out)
{
    bool templateSeen = false;
    visitComponents(root, "post_processor", "processors", [&](const JsonReader& part, const std::string& type) {
        if (type == "TemplateProcessing" && !templateSeen) {
            templateSeen = true;
            readTemplate(part, out);
        } else if (type != "ByteLevel") { // ByteLevel changes offsets only
            refuseType(part, "ByteLevel and one TemplateProcessing");
        }
    });
}

void readDecoder(const JsonReader& root)
{
    bool seen = false;
    visitComponents(root, "decoder", "decoders", [&](const JsonReader& part, const std::string& type) {
        if (type != "ByteLevel" || seen)
            refuseType(part, "ByteLevel");
        seen = true;
    });
    if (!seen)
        root.fail("decoder", "is missing; byte-level tokenizers have one of type ByteLevel");
}

} // namespace postnas
