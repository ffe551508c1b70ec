// POSIX file handling behind files.h.
#include "core/base/files.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <xxhash.h>

#include "core/base/error.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

std::string reason() { return std::strerror(errno); }

/// Opens for reading and makes sure that it is a regular file.
int openRegular(const fs::path& file, struct stat& info)
{
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        throw inputError(file.string() + ": cannot be opened: " + reason());
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(fd);
        throw inputError(file.string() + ": is not a regular file");
    }
    return fd;
}

[[noreturn]] void throwWriteError(const fs::path& file)
{
    const bool full = errno == ENOSPC || errno == EDQUOT;
    throw resourceError(file.string() + ": cannot be written: " + reason(),
                        full ? "Free some disk space and try again." : "Check that the folder exists and is writable.");
}

} // namespace

std::string readTextFile(const fs::path& file, std::uint64_t maxBytes)
{
    struct stat info {};
    const int fd = openRegular(file, info);
    if (static_cast<std::uint64_t>(info.st_size) > maxBytes) {
        ::close(fd);
        throw inputError(file.string() + ": has " + std::to_string(info.st_size) + " bytes; at most "
                         + std::to_string(maxBytes) + " are read");
    }
    std::string text(static_cast<std::size_t>(info.st_size), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = ::read(fd, text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const std::string why = reason();
            ::close(fd);
            throw inputError(file.string() + ": cannot be read: " + why);
        }
        if (n == 0)
            break;
        done += static_cast<std::size_t>(n);
    }
    ::close(fd);
    text.resize(done);
    return text;
}

void syncFolder(const fs::path& folder)
{
    const fs::path path = folder.empty() ? fs::path(".") : folder;
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    ::fsync(fd);
    ::close(fd);
}

AtomicFile::AtomicFile(fs::path file)
    : m_file(std::move(file))
{
    std::string pattern = (m_file.parent_path() / ("." + m_file.filename().string() + ".XXXXXX")).string();
    m_descriptor = ::mkostemp(pattern.data(), O_CLOEXEC);
    if (m_descriptor < 0)
        throwWriteError(m_file);
    m_temporary = pattern;
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::fchmod(m_descriptor, 0666 & ~mask);
}

AtomicFile::~AtomicFile()
{
    if (m_descriptor >= 0) {
        ::close(m_descriptor);
        ::unlink(m_temporary.c_str());
    }
}

void AtomicFile::write(const void* data, std::size_t size)
{
    const char* p = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t n = ::write(m_descriptor, p, size);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            throwWriteError(m_file);
        }
        p += n;
        size -= static_cast<std::size_t>(n);
    }
}

void AtomicFile::commit()
{
    if (::fsync(m_descriptor) != 0)
        throwWriteError(m_file);
    if (::rename(m_temporary.c_str(), m_file.c_str()) != 0)
        throwWriteError(m_file);
    ::close(m_descriptor);
    m_descriptor = -1;
    syncFolder(m_file.parent_path());
}

void writeFileAtomically(const fs::path& file, std::string_view content)
{
    AtomicFile out(file);
    out.write(content);
    out.commit();
}

MappedFile::MappedFile(const fs::path& file)
    : m_path(file)
{
    struct stat info {};
    const int fd = openRegular(file, info);
    m_size = static_cast<std::size_t>(info.st_size);
    if (m_size > 0) {
        void* data = ::mmap(nullptr, m_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            const std::string why = reason();
            ::close(fd);
            throw resourceError(file.string() + ": cannot be mapped: " + why);
        }
        m_data = static_cast<const std::byte*>(data);
    }
    ::close(fd);
}

MappedFile::~MappedFile()
{
    if (m_data != nullptr)
        ::munmap(const_cast<std::byte*>(m_data), m_size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : m_path(std::move(other.m_path))
    , m_data(std::exchange(other.m_data, nullptr))
    , m_size(std::exchange(other.m_size, 0))
{
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept
{
    std::swap(m_path, other.m_path);
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    return *this;
}

std::string hashBytes(std::span<const std::byte> bytes)
{
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    for (const unsigned char c : canonical.digest) {
        out += kDigits[c >> 4];
        out += kDigits[c & 15];
    }
    return out;
}

std::string hashFile(const fs::path& file) { return hashBytes(MappedFile(file).bytes()); }

std::uint64_t freeDiskBytes(const fs::path& path)
{
    struct statvfs info {};
    if (::statvfs(path.empty() ? "." : path.c_str(), &info) != 0)
        return 0;
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

void requireBaseName(std::string_view name, const std::string& source, const std::string& key)
{
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos
        || name.find('\\') != std::string_view::npos || name.find('\0') != std::string_view::npos)
        throw inputError(source + ": key \"" + key + "\" names \"" + std::string(name)
                             + "\", which is not a plain file name inside the folder",
                         "Shards must lie beside their index.");
}

} // namespace postnas
