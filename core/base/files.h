// Files: bounded reads, crash-safe writes, memory-mapped views, and hashes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace postnas {

/// The whole file as bytes. Throws Error(Input) when it is missing, no regular file, unreadable or over `maxBytes`.
std::string readTextFile(const std::filesystem::path& file, std::uint64_t maxBytes = 64u << 20);

/// Replaces `file` so that a crash leaves the old or the new content, never a mix: write beside, fsync, rename, fsync the
/// folder. Throws Error(Resource) when the disk is full or the folder is not writable; the old file is then untouched.
void writeFileAtomically(const std::filesystem::path& file, std::string_view content);

/// Streams into a temporary file beside `file`; `commit` makes it durable and renames it. Destroyed without `commit` it
/// leaves nothing behind.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path file);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, std::size_t size);
    void write(std::string_view text) { write(text.data(), text.size()); }
    void commit();

private:
    std::filesystem::path m_file;
    std::filesystem::path m_temporary;
    int m_descriptor = -1;
};

/// Makes the folder's own entries durable.
void syncFolder(const std::filesystem::path& folder);

/// A read-only memory map of a whole file; movable. An empty file maps to an empty span.
class MappedFile {
public:
    MappedFile() = default;
    explicit MappedFile(const std::filesystem::path& file);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;

    std::span<const std::byte> bytes() const { return {m_data, m_size}; }
    const std::filesystem::path& path() const { return m_path; }

private:
    std::filesystem::path m_path;
    const std::byte* m_data = nullptr;
    std::size_t m_size = 0;
};

/// XXH3-128 as 32 hex digits: finds torn and changed files; it is no protection against a forger.
std::string hashBytes(std::span<const std::byte> bytes);
std::string hashFile(const std::filesystem::path& file);

/// Free bytes for an unprivileged writer on the file system that holds `path`.
std::uint64_t freeDiskBytes(const std::filesystem::path& path);

/// Throws Error(Input) unless `name` is a plain base name: no separator, not "." or "..", no NUL.
void requireBaseName(std::string_view name, const std::string& source, const std::string& key);

} // namespace postnas
