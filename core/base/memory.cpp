// Reads /proc/meminfo and the control groups of this process.
#include "core/base/memory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "core/base/text.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// The number that a file of one number holds; nothing for "max" and for files that are not there.
std::optional<std::uint64_t> readNumber(const fs::path& file)
{
    std::ifstream in(file);
    std::string text;
    if (!(in >> text))
        return std::nullopt;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

/// The value of `key` in a file of "key value" lines.
std::optional<std::uint64_t> readField(const fs::path& file, const std::string& key)
{
    std::ifstream in(file);
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream fields(line);
        std::string name;
        std::uint64_t value = 0;
        if (fields >> name >> value && name == key)
            return value;
    }
    return std::nullopt;
}

/// What one control group leaves: its limit less what is in use, where clean page cache does not count as used.
std::uint64_t groupLeaves(const fs::path& folder, const char* limitFile, const char* usageFile, const char* cacheField)
{
    const std::optional<std::uint64_t> limit = readNumber(folder / limitFile);
    const std::optional<std::uint64_t> usage = readNumber(folder / usageFile);
    if (!limit || !usage)
        return kUnknown;
    const std::uint64_t cache = readField(folder / "memory.stat", cacheField).value_or(0);
    const std::uint64_t used = *usage - std::min(*usage, cache);
    return *limit - std::min(*limit, used);
}

/// The least that the group `path` under `root` and its ancestors leave.
std::uint64_t hierarchyLeaves(const fs::path& root, fs::path path, bool version2)
{
    std::uint64_t least = kUnknown;
    path = path.relative_path();
    while (true) {
        const fs::path folder = path.empty() ? root : root / path;
        least = std::min(least, version2 ? groupLeaves(folder, "memory.max", "memory.current", "inactive_file")
                                         : groupLeaves(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"));
        if (path.empty())
            return least;
        path = path.parent_path();
    }
}

} // namespace

std::uint64_t availableMemoryBytes()
{
    std::uint64_t least = kUnknown;
    if (const auto kibibytes = readField("/proc/meminfo", "MemAvailable:"))
        least = *kibibytes * 1024;
    std::ifstream groups("/proc/self/cgroup");
    std::string line;
    while (std::getline(groups, line)) {
        // hierarchy-id:controllers:path; version 2 has id 0 and no controllers.
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos)
            continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const fs::path path = line.substr(second + 1);
        if (controllers.empty())
            least = std::min(least, hierarchyLeaves("/sys/fs/cgroup", path, true));
        else if (("," + controllers + ",").find(",memory,") != std::string::npos)
            least = std::min(least, hierarchyLeaves("/sys/fs/cgroup/memory", path, false));
    }
    return least;
}

void requireMemory(std::uint64_t bytes, const std::string& what, const std::string& hint, ErrorClass errorClass)
{
    const std::uint64_t available = availableMemoryBytes();
    if (bytes > available)
        throw Error(errorClass,
                    what + " needs " + formatBytes(static_cast<double>(bytes)) + " of memory, but only "
                        + formatBytes(static_cast<double>(available)) + " are available",
                    hint);
}

} // namespace postnas
