// Reads the shard index without a document tree; only `weight_map` counts.
#include "core/huggingface/checkpoint_index.h"

#include <set>

#include "core/base/files.h"
#include "core/huggingface/strict_sax.h"

namespace postnas {
namespace {

constexpr int kMaxDepth = 64;

class IndexSax final : public StrictSax {
public:
    IndexSax(std::string source, std::map<std::string, std::string>& shards)
        : StrictSax(std::move(source))
        , m_shards(shards)
    {
    }

    bool hasMap() const { return m_hasMap; }

    bool null() override { return skipValue("null"); }
    bool boolean(bool) override { return skipValue("a boolean"); }
    bool number_integer(number_integer_t) override { return skipValue("a number"); }
    bool number_unsigned(number_unsigned_t) override { return skipValue("a number"); }
    bool number_float(number_float_t, const string_t&) override { return skipValue("a number"); }

    bool string(string_t& text) override
    {
        if (!inMap())
            return skipValue("a string");
        requireBaseName(text, m_source, "weight_map." + m_key);
        if (!text.ends_with(".safetensors"))
            fail("names \"" + text + "\", which is no .safetensors file", "Convert the checkpoint to safetensors.");
        m_shards[m_key] = text;
        return true;
    }

    bool start_object(std::size_t) override
    {
        if (m_depth == 1 && m_key == "weight_map")
            m_hasMap = true;
        else if (inMap())
            return unexpected("an object");
        return deeper();
    }

    bool key(string_t& name) override
    {
        m_key = name;
        if (m_depth == 1) {
            m_root = name;
            if (!m_rootKeys.insert(name).second)
                fail("appears twice");
        } else if (inMap() && m_shards.count(name) != 0) {
            fail("appears twice");
        }
        return true;
    }

    bool end_object() override
    {
        --m_depth;
        return true;
    }

    bool start_array(std::size_t) override
    {
        if (m_depth == 0 || inMap() || (m_depth == 1 && m_root == "weight_map"))
            return unexpected("a list");
        return deeper();
    }

    bool end_array() override
    {
        --m_depth;
        return true;
    }

private:
    bool inMap() const { return m_depth == 2 && m_root == "weight_map"; }

    bool deeper()
    {
        if (++m_depth > kMaxDepth)
            fail("is nested deeper than " + std::to_string(kMaxDepth) + " levels");
        return true;
    }

    bool skipValue(const char* what)
    {
        if (m_depth == 0 || inMap() || (m_depth == 1 && m_root == "weight_map"))
            return unexpected(what);
        return true;
    }

    std::string place() const override
    {
        if (m_depth == 0)
            return "the top level";
        return "key \"" + (m_depth == 2 && m_root == "weight_map" ? "weight_map." : std::string()) + m_key + "\"";
    }

    std::map<std::string, std::string>& m_shards;
    std::set<std::string> m_rootKeys;
    std::string m_root;
    std::string m_key;
    int m_depth = 0;
    bool m_hasMap = false;
};

} // namespace

std::map<std::string, std::string> parseShardIndex(std::string_view json, const std::string& source)
{
    std::map<std::string, std::string> shards;
    IndexSax sax(source, shards);
    sax.parse(json);
    if (!sax.hasMap())
        throw inputError(source + ": key \"weight_map\" is missing");
    return shards;
}

std::map<std::string, std::string> readShardIndex(const std::filesystem::path& file)
{
    return parseShardIndex(readTextFile(file, 16u << 20), file.string());
}

} // namespace postnas
