// Streaming checks of a safetensors header: memory stays proportional to the tensors that really are in it.
#include "core/huggingface/safetensors_header.h"

#include <algorithm>

#include "core/base/checked.h"
#include "core/huggingface/strict_sax.h"

namespace postnas {
namespace {

class HeaderSax final : public StrictSax {
public:
    HeaderSax(std::string source, SafetensorsHeader& header)
        : StrictSax(std::move(source))
        , m_header(header)
    {
    }

    bool start_object(std::size_t) override
    {
        switch (m_state) {
        case State::Start: m_state = State::Root; return true;
        case State::MetadataValue: m_state = State::Metadata; return true;
        case State::TensorValue: m_state = State::Tensor; return true;
        default: return unexpected("an object");
        }
    }

    bool key(string_t& name) override
    {
        switch (m_state) {
        case State::Root: beginEntry(name); return true;
        case State::Metadata:
            if (m_header.metadata.count(name) != 0)
                fail("has the key \"" + name + "\" twice");
            m_metadataKey = name;
            m_state = State::MetadataString;
            return true;
        case State::Tensor: beginField(name); return true;
        default: return unexpected("a key");
        }
    }

    bool string(string_t& text) override
    {
        if (m_state == State::MetadataString) {
            m_header.metadata.emplace(m_metadataKey, text);
            m_state = State::Metadata;
            return true;
        }
        if (m_state != State::Dtype)
            return unexpected("a string");
        const std::optional<DType> dtype = dtypeFromName(text);
        if (!dtype)
            fail("has the unknown dtype \"" + text + "\"", "Known: BOOL, U8, I8, F8_E4M3, F8_E5M2, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64.");
        m_entry->dtype = *dtype;
        m_state = State::Tensor;
        return true;
    }

    bool start_array(std::size_t) override
    {
        if (m_state == State::ShapeStart)
            m_state = State::Shape;
        else if (m_state == State::OffsetsStart)
            m_state = State::Offsets;
        else
            return unexpected("a list");
        return true;
    }

    bool number_unsigned(number_unsigned_t value) override
    {
        if (m_state == State::Shape) {
            if (m_entry->shape.size() >= kMaxTensorRank)
                fail("has more than " + std::to_string(kMaxTensorRank) + " dimensions");
            m_entry->shape.push_back(value);
        } else if (m_state == State::Offsets) {
            if (m_offsetCount >= 2)
                fail("must have two data_offsets");
            (m_offsetCount == 0 ? m_entry->begin : m_entry->end) = value;
            ++m_offsetCount;
        } else {
            return unexpected("a number");
        }
        return true;
    }

    bool end_array() override
    {
        if (m_state == State::Offsets && m_offsetCount != 2)
            fail("must have two data_offsets");
        m_state = State::Tensor;
        return true;
    }

    bool end_object() override
    {
        switch (m_state) {
        case State::Tensor: endTensor(); m_state = State::Root; return true;
        case State::Metadata: m_state = State::Root; return true;
        case State::Root: m_state = State::End; return true;
        default: return unexpected("the end of an object");
        }
    }

private:
    enum class State { Start, Root, MetadataValue, Metadata, MetadataString, TensorValue, Tensor, Dtype, ShapeStart, Shape, OffsetsStart, Offsets, End };

    std::string place() const override
    {
        switch (m_state) {
        case State::Start:
        case State::Root:
        case State::End: return "the header";
        case State::MetadataValue:
        case State::Metadata:
        case State::MetadataString: return "__metadata__";
        default: return "tensor \"" + m_name + "\"";
        }
    }

    void beginEntry(const std::string& name)
    {
        if (name == "__metadata__") {
            if (m_hasMetadata)
                fail("has the key \"__metadata__\" twice");
            m_hasMetadata = true;
            m_state = State::MetadataValue;
            return;
        }
        if (m_header.tensors.size() >= kMaxSafetensorsTensors)
            fail("has more than " + std::to_string(kMaxSafetensorsTensors) + " tensors");
        const auto [it, added] = m_header.tensors.try_emplace(name);
        if (!added)
            fail("has the tensor \"" + name + "\" twice");
        m_name = name;
        m_entry = &it->second;
        m_hasDtype = m_hasShape = m_hasOffsets = false;
        m_offsetCount = 0;
        m_state = State::TensorValue;
    }

    void beginField(const std::string& name)
    {
        const auto begin = [&](bool& seen, State next) {
            if (seen)
                fail("has the key \"" + name + "\" twice");
            seen = true;
            m_state = next;
        };
        if (name == "dtype")
            begin(m_hasDtype, State::Dtype);
        else if (name == "shape")
            begin(m_hasShape, State::ShapeStart);
        else if (name == "data_offsets")
            begin(m_hasOffsets, State::OffsetsStart);
        else
            fail("has the unknown key \"" + name + "\"");
    }

    void endTensor()
    {
        for (const auto& [seen, name] : {std::pair{m_hasDtype, "dtype"}, {m_hasShape, "shape"}, {m_hasOffsets, "data_offsets"}})
            if (!seen)
                fail(std::string("lacks the key \"") + name + "\"");
        if (m_entry->begin > m_entry->end)
            fail("has data_offsets that end before they begin");
        const std::optional<std::uint64_t> elements = checkedProduct(m_entry->shape);
        const std::optional<std::uint64_t> bytes = elements ? checkedMultiply(*elements, dtypeSize(m_entry->dtype)) : std::nullopt;
        if (!bytes)
            fail("has the shape " + shapeText(m_entry->shape) + ", whose size does not fit 64 bits");
        if (*bytes != m_entry->end - m_entry->begin)
            fail("has the shape " + shapeText(m_entry->shape) + " of " + dtypeName(m_entry->dtype) + ", which is "
                 + std::to_string(*bytes) + " bytes, but data_offsets span " + std::to_string(m_entry->end - m_entry->begin));
    }

    SafetensorsHeader& m_header;
    State m_state = State::Start;
    std::string m_name;
    std::string m_metadataKey;
    TensorEntry* m_entry = nullptr;
    int m_offsetCount = 0;
    bool m_hasDtype = false, m_hasShape = false, m_hasOffsets = false, m_hasMetadata = false;
};

} // namespace

SafetensorsHeader parseSafetensorsHeader(std::string_view json, const std::string& source)
{
    SafetensorsHeader header;
    HeaderSax(source, header).parse(json);
    return header;
}

void checkOffsets(const SafetensorsHeader& header, std::uint64_t dataBytes, const std::string& source)
{
    using Item = std::pair<const std::string, TensorEntry>;
    std::vector<const Item*> order;
    order.reserve(header.tensors.size());
    for (const Item& item : header.tensors)
        order.push_back(&item);
    std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
        return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
    });
    std::uint64_t position = 0;
    for (const Item* item : order) {
        const TensorEntry& entry = item->second;
        const std::string where = source + ": tensor \"" + item->first + "\" ";
        if (entry.begin < position)
            throw inputError(where + "overlaps the tensor before it: it begins at byte " + std::to_string(entry.begin)
                             + " of the data, which is used up to " + std::to_string(position));
        if (entry.begin > position)
            throw inputError(where + "begins at byte " + std::to_string(entry.begin) + " of the data and leaves a hole after byte "
                             + std::to_string(position));
        if (entry.end > dataBytes)
            throw inputError(where + "ends at byte " + std::to_string(entry.end) + " of the data, but the file has only "
                                 + std::to_string(dataBytes),
                             "The file is truncated or damaged; copy or download it again.");
        position = entry.end;
    }
    if (position != dataBytes)
        throw inputError(source + ": the tensors end at byte " + std::to_string(position) + " of the data, but the file has "
                         + std::to_string(dataBytes));
}

} // namespace postnas
