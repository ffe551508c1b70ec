// The reader half of safetensors: length checks, then views into the map.
#include "core/huggingface/safetensors.h"

#include <array>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/huggingface/safetensors_header.h"

namespace postnas {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian and views are not converted");

struct DTypeInfo {
    DType dtype;
    const char* name;
    std::size_t size;
};

constexpr std::array<DTypeInfo, 15> kDTypes = {{
    {DType::Bool, "BOOL", 1},
    {DType::U8, "U8", 1},
    {DType::I8, "I8", 1},
    {DType::F8_E4M3, "F8_E4M3", 1},
    {DType::F8_E5M2, "F8_E5M2", 1},
    {DType::U16, "U16", 2},
    {DType::I16, "I16", 2},
    {DType::F16, "F16", 2},
    {DType::BF16, "BF16", 2},
    {DType::U32, "U32", 4},
    {DType::I32, "I32", 4},
    {DType::F32, "F32", 4},
    {DType::U64, "U64", 8},
    {DType::I64, "I64", 8},
    {DType::F64, "F64", 8},
}};

const DTypeInfo& info(DType dtype)
{
    for (const DTypeInfo& i : kDTypes)
        if (i.dtype == dtype)
            return i;
    throw internalError("unknown dtype number " + std::to_string(static_cast<int>(dtype)));
}

} // namespace

std::size_t dtypeSize(DType dtype) { return info(dtype).size; }
const char* dtypeName(DType dtype) { return info(dtype).name; }

std::optional<DType> dtypeFromName(std::string_view name)
{
    for (const DTypeInfo& i : kDTypes)
        if (name == i.name)
            return i.dtype;
    return std::nullopt;
}

std::string shapeText(std::span<const std::uint64_t> shape)
{
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return out + "]";
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& file)
{
    auto content = std::make_shared<Content>();
    content->source = file.string();
    content->map = MappedFile(file);
    parseInto(*content, content->map.bytes());
    SafetensorsFile out;
    out.m_content = std::move(content);
    return out;
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, const std::string& source)
{
    auto content = std::make_shared<Content>();
    content->source = source;
    parseInto(*content, bytes);
    SafetensorsFile out;
    out.m_content = std::move(content);
    return out;
}

void SafetensorsFile::parseInto(Content& content, std::span<const std::byte> bytes)
{
    const std::string& source = content.source;
    const std::string hint = "The file is truncated or no safetensors file; copy or download it again.";
    constexpr std::size_t kPrefix = 8;
    if (bytes.size() < kPrefix)
        throw inputError(source + ": has " + std::to_string(bytes.size()) + " bytes; a safetensors file has at least 8", hint);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), kPrefix);
    if (length > kMaxSafetensorsHeader)
        throw inputError(source + ": says that its header has " + std::to_string(length) + " bytes; at most "
                             + std::to_string(kMaxSafetensorsHeader) + " are allowed",
                         hint);
    if (length > bytes.size() - kPrefix)
        throw inputError(source + ": says that its header has " + std::to_string(length) + " bytes, but only "
                             + std::to_string(bytes.size() - kPrefix) + " follow",
                         hint);
    const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + kPrefix, static_cast<std::size_t>(length));
    if (json.empty() || json.front() != '{')
        throw inputError(source + ": the header must begin with '{'", hint);
    SafetensorsHeader header = parseSafetensorsHeader(json, source);
    const std::span<const std::byte> data = bytes.subspan(kPrefix + static_cast<std::size_t>(length));
    checkOffsets(header, data.size(), source);

    content.metadata = std::move(header.metadata);
    while (!header.tensors.empty()) {
        auto node = header.tensors.extract(header.tensors.begin());
        TensorEntry& entry = node.mapped();
        const std::size_t size = static_cast<std::size_t>(entry.end - entry.begin);
        TensorView view{node.key(), entry.dtype, std::move(entry.shape), data.subspan(static_cast<std::size_t>(entry.begin), size)};
        content.tensors.emplace_hint(content.tensors.end(), std::move(node.key()), std::move(view));
    }
}

const TensorView* SafetensorsFile::find(const std::string& name) const
{
    const auto it = m_content->tensors.find(name);
    return it == m_content->tensors.end() ? nullptr : &it->second;
}

const TensorView& SafetensorsFile::at(const std::string& name) const
{
    if (const TensorView* view = find(name))
        return *view;
    throw inputError(source() + ": tensor \"" + name + "\" is missing");
}

} // namespace postnas
