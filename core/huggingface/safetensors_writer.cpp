// The writer half of safetensors: header first, then each tensor's bytes straight from where they lie.
#include <algorithm>
#include <cstring>
#include <regex>
#include <set>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/huggingface/safetensors.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::string quoted(const std::string& text) { return dumpJson(Json(text)); }

std::string shardName(std::size_t number, std::size_t count)
{
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number, count);
    return name;
}

/// Removes shards of earlier saves. A file that cannot be removed wastes space but misleads nobody, since no index names it.
void removeOtherShards(const fs::path& folder, const std::set<std::string>& keep)
{
    static const std::regex kPattern(R"(model-\d{5}-of-\d{5}\.safetensors)");
    std::vector<fs::path> old;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (std::regex_match(name, kPattern) && keep.count(name) == 0)
            old.push_back(entry.path());
    }
    for (const fs::path& file : old)
        fs::remove(file, ignored);
}

} // namespace

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<std::uint64_t> shape, std::span<const std::byte> data)
{
    const std::string label = name;
    add(std::move(name), dtype, std::move(shape), [data](const Sink& sink) { sink(data); });
    if (m_entries.back().bytes != data.size())
        throw internalError("tensor \"" + label + "\" was given " + std::to_string(data.size()) + " bytes; its shape "
                            + shapeText(m_entries.back().shape) + " has " + std::to_string(m_entries.back().bytes));
}

void SafetensorsWriter::add(std::string name, DType dtype, std::vector<std::uint64_t> shape, Producer produce)
{
    const std::optional<std::uint64_t> elements = checkedProduct(shape);
    const std::optional<std::uint64_t> bytes = elements ? checkedMultiply(*elements, dtypeSize(dtype)) : std::nullopt;
    const std::optional<std::uint64_t> total = bytes ? checkedAdd(m_bytes, *bytes) : std::nullopt;
    if (!total)
        throw internalError("tensor \"" + name + "\" of shape " + shapeText(shape) + " has a size that does not fit 64 bits");
    if (name == "__metadata__" || !m_index.emplace(name, m_entries.size()).second)
        throw internalError("tensor \"" + name + "\" cannot be written twice or under this name");
    m_bytes = *total;
    m_entries.push_back({std::move(name), dtype, std::move(shape), *bytes, std::move(produce)});
}

void SafetensorsWriter::stream(AtomicFile& out, std::vector<const Entry*> entries, const std::map<std::string, std::string>& metadata)
{
    // Wide elements first: every tensor is then aligned to its element, whatever the lengths before it are.
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry* a, const Entry* b) { return dtypeSize(a->dtype) > dtypeSize(b->dtype); });
    std::string header = "{";
    if (!metadata.empty()) {
        header += "\"__metadata__\":{";
        for (const auto& [key, value] : metadata)
            header += quoted(key) + ":" + quoted(value) + ",";
        header.back() = '}';
        header += ',';
    }
    std::uint64_t position = 0;
    for (const Entry* e : entries) {
        header += quoted(e->name) + ":{\"dtype\":\"" + dtypeName(e->dtype) + "\",\"shape\":" + shapeText(e->shape)
            + ",\"data_offsets\":[" + std::to_string(position) + "," + std::to_string(position + e->bytes) + "]},";
        position += e->bytes;
    }
    if (header.back() == ',')
        header.pop_back();
    header += '}';
    header.append((8 - header.size() % 8) % 8, ' ');
    if (header.size() > kMaxSafetensorsHeader)
        throw internalError("a safetensors header of " + std::to_string(header.size()) + " bytes is longer than the format allows");

    const std::uint64_t length = header.size();
    out.write(&length, sizeof length);
    out.write(header);
    for (const Entry* e : entries) {
        std::uint64_t written = 0;
        e->produce([&](std::span<const std::byte> part) {
            written += part.size();
            if (written <= e->bytes)
                out.write(part.data(), part.size());
        });
        if (written != e->bytes)
            throw internalError("tensor \"" + e->name + "\" gave " + std::to_string(written) + " bytes; its shape has "
                                + std::to_string(e->bytes));
    }
}

void SafetensorsWriter::requireDisk(const fs::path& folder, std::uint64_t bytes)
{
    const std::uint64_t free = freeDiskBytes(folder);
    if (fs::exists(folder.empty() ? fs::path(".") : folder) && free < bytes)
        throw resourceError(folder.string() + ": saving needs " + formatBytes(static_cast<double>(bytes)) + " of disk, but only "
                                + formatBytes(static_cast<double>(free)) + " are free",
                            "Free some disk space or choose another folder.");
}

void SafetensorsWriter::write(const fs::path& file, const std::map<std::string, std::string>& metadata) const
{
    requireDisk(file.parent_path(), m_bytes);
    std::vector<const Entry*> entries;
    for (const Entry& e : m_entries)
        entries.push_back(&e);
    AtomicFile out(file);
    stream(out, std::move(entries), metadata);
    out.commit();
}

void SafetensorsWriter::writeModel(const fs::path& folder, std::uint64_t maxShardBytes,
                                   const std::map<std::string, std::string>& metadata) const
{
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (failed)
        throw resourceError(folder.string() + ": cannot be created: " + failed.message());
    if (m_bytes <= maxShardBytes) {
        write(folder / kSingle, metadata);
        // Readers take the single file first, so what is removed from here on is already out of use.
        std::error_code ignored;
        fs::remove(folder / kIndex, ignored);
        removeOtherShards(folder, {});
        return;
    }

    std::vector<std::vector<const Entry*>> shards(1);
    std::uint64_t filled = 0;
    for (const Entry& e : m_entries) {
        if (filled + e.bytes > maxShardBytes && !shards.back().empty()) {
            shards.emplace_back();
            filled = 0;
        }
        shards.back().push_back(&e);
        filled += e.bytes;
    }
    requireDisk(folder, m_bytes);
    std::string map;
    std::set<std::string> names;
    std::vector<std::unique_ptr<AtomicFile>> files;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const std::string name = shardName(i + 1, shards.size());
        names.insert(name);
        for (const Entry* e : shards[i])
            map += (map.empty() ? "" : ",") + std::string("\n    ") + quoted(e->name) + ": " + quoted(name);
        files.push_back(std::make_unique<AtomicFile>(folder / name));
        stream(*files.back(), shards[i], metadata);
    }
    AtomicFile index(folder / kIndex);
    index.write("{\n  \"metadata\": {\"total_size\": " + std::to_string(m_bytes) + "},\n  \"weight_map\": {" + map + "\n  }\n}\n");
    // An index of an earlier save must not describe shards of this one, so it goes before they are renamed.
    fs::remove(folder / kIndex, failed);
    std::size_t committed = 0;
    try {
        for (; committed < files.size(); ++committed)
            files[committed]->commit();
        index.commit();
    } catch (...) {
        for (std::size_t i = 0; i < committed; ++i)
            fs::remove(folder / shardName(i + 1, shards.size()), failed);
        throw;
    }
    fs::remove(folder / kSingle, failed);
    removeOtherShards(folder, names);
    syncFolder(folder);
}

} // namespace postnas
