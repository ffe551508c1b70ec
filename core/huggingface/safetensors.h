// Strict reading and crash-safe writing of safetensors files; tensors are views into a memory map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"

namespace postnas {

enum class DType { Bool, U8, I8, F8_E4M3, F8_E5M2, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64 };

/// Bytes of one element.
std::size_t dtypeSize(DType dtype);
/// The name in a safetensors header: "F32", "BF16", ...
const char* dtypeName(DType dtype);
std::optional<DType> dtypeFromName(std::string_view name);

/// One tensor of a mapped file. `data` is row-major, little-endian, of exactly product(shape) * dtypeSize bytes; its
/// address is not promised to be aligned to the element (files of other writers may start anywhere).
struct TensorView {
    std::string name;
    DType dtype = DType::F32;
    std::vector<std::uint64_t> shape;
    std::span<const std::byte> data;
};

/// "[2, 3]"
std::string shapeText(std::span<const std::uint64_t> shape);

/// Limits of the format that the reader keeps.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
inline constexpr std::size_t kMaxSafetensorsTensors = 1'000'000;
inline constexpr std::size_t kMaxTensorRank = 64;

/// A checked file. Copies share one mapping; views stay valid while any copy, or the shared_ptr of `mapping()`, lives.
class SafetensorsFile {
public:
    /// Throws Error(Input) that names file and tensor: header longer than 100,000,000 bytes or than the file, no valid
    /// UTF-8 JSON, a key twice, an unknown dtype or key, a shape whose size overflows or is not what the offsets say, or
    /// offsets that leave a hole, overlap, or do not end with the file.
    static SafetensorsFile open(const std::filesystem::path& file);
    /// The same checks on bytes in memory, which must outlive the result; `source` is what errors call it.
    static SafetensorsFile parse(std::span<const std::byte> bytes, const std::string& source);

    const std::map<std::string, TensorView>& tensors() const { return m_content->tensors; }
    /// Null when there is none of that name.
    const TensorView* find(const std::string& name) const;
    /// The tensor, or Error(Input) that names it and the file.
    const TensorView& at(const std::string& name) const;
    /// The strings of `__metadata__`.
    const std::map<std::string, std::string>& metadata() const { return m_content->metadata; }
    /// File name as errors show it.
    const std::string& source() const { return m_content->source; }
    /// Keeps the bytes of all views alive.
    std::shared_ptr<const void> mapping() const { return m_content; }

private:
    struct Content {
        MappedFile map;
        std::string source;
        std::map<std::string, TensorView> tensors;
        std::map<std::string, std::string> metadata;
    };
    static void parseInto(Content& content, std::span<const std::byte> bytes);
    std::shared_ptr<const Content> m_content;
};

/// Collects tensors by reference and streams them into files; it never holds a copy of the data.
class SafetensorsWriter {
public:
    using Sink = std::function<void(std::span<const std::byte>)>;
    /// Passes the tensor's bytes to the sink in one or more parts; called once while writing.
    using Producer = std::function<void(const Sink&)>;

    /// `data` must stay valid until the last write. Throws Error(Internal) when its size does not fit the shape or the
    /// name is already there.
    void add(std::string name, DType dtype, std::vector<std::uint64_t> shape, std::span<const std::byte> data);
    /// For tensors that are made while writing, such as those that lie on a GPU.
    void add(std::string name, DType dtype, std::vector<std::uint64_t> shape, Producer produce);

    /// Bytes of all tensors.
    std::uint64_t dataBytes() const { return m_bytes; }

    /// Writes one file atomically: after a failure (Error(Resource) when the disk is full) the old file is untouched and
    /// nothing half-written remains. Tensor data starts at a multiple of 8 bytes and is ordered by falling element size.
    void write(const std::filesystem::path& file, const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) const;

    /// Writes `folder`/model.safetensors, or, over `maxShardBytes`, model-0000i-of-0000n.safetensors and
    /// model.safetensors.index.json. All files are complete on disk before the first one gets its name, and the index
    /// comes last. Weights of an earlier save in the same folder are replaced.
    void writeModel(const std::filesystem::path& folder, std::uint64_t maxShardBytes = 5'000'000'000,
                    const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) const;

private:
    struct Entry {
        std::string name;
        DType dtype;
        std::vector<std::uint64_t> shape;
        std::uint64_t bytes;
        Producer produce;
    };
    static void stream(AtomicFile& out, std::vector<const Entry*> entries, const std::map<std::string, std::string>& metadata);
    static void requireDisk(const std::filesystem::path& folder, std::uint64_t bytes);
    std::vector<Entry> m_entries;
    std::map<std::string, std::size_t> m_index;
    std::uint64_t m_bytes = 0;
};

} // namespace postnas
