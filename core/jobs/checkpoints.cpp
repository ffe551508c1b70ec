// Checkpoint folders of a run: a folder counts once its manifest, written last, agrees with every file.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/run_folder.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-";
const char* const kManifest = "MANIFEST.json";
constexpr std::size_t kMaxFiles = 100'000;

std::optional<std::int64_t> stepOf(const fs::path& folder)
{
    const std::string name = folder.filename().string();
    if (name.rfind(kPrefix, 0) != 0)
        return std::nullopt;
    std::int64_t step = 0;
    const char* const end = name.data() + name.size();
    const auto [at, code] = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (code != std::errc() || at != end || step < 0 || name != std::string(kPrefix) + std::to_string(step))
        return std::nullopt;
    return step;
}

void syncFile(const fs::path& file)
{
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const bool good = descriptor >= 0 && ::fsync(descriptor) == 0;
    const int code = errno;
    if (descriptor >= 0)
        ::close(descriptor);
    if (!good)
        throw resourceError(file.string() + ": cannot be made durable: " + std::strerror(code));
}

struct ManifestEntry {
    std::string name;
    std::uint64_t bytes = 0;
    std::string hash;
};

std::vector<ManifestEntry> readManifest(const fs::path& folder)
{
    const fs::path file = folder / kManifest;
    const Json json = readJsonFile(file, 64u << 20);
    const JsonReader in(json, file.string());
    in.integer("format", 1, 1);
    const JsonReader files = in.object("files");
    if (files.json().size() > kMaxFiles)
        in.fail("files", "has too many entries");
    std::vector<ManifestEntry> out;
    for (const auto& item : files.json().items()) {
        requireBaseName(item.key(), file.string(), "files");
        const JsonReader entry(item.value(), file.string(), "files." + item.key());
        out.push_back({item.key(), static_cast<std::uint64_t>(entry.integer("bytes", 0, std::int64_t {1} << 53)), entry.string("xxh3")});
    }
    return out;
}

} // namespace

void writeManifest(const fs::path& folder)
{
    Json files = Json::object();
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().filename() == kManifest)
            continue;
        if (!entry.is_regular_file() || entry.is_symlink())
            throw internalError(entry.path().string() + ": is no regular file; a checkpoint holds only regular files");
        paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) {
        syncFile(path);
        files[path.filename().string()] = {{"bytes", fs::file_size(path)}, {"xxh3", hashFile(path)}};
    }
    writeFileAtomically(folder / kManifest, dumpJson(Json {{"format", 1}, {"files", std::move(files)}}, 2) + "\n");
}

void verifyManifest(const fs::path& folder)
{
    const std::vector<ManifestEntry> entries = readManifest(folder);
    // Sizes first: they cost nothing, hashes read everything.
    for (const ManifestEntry& entry : entries) {
        const fs::path file = folder / entry.name;
        std::error_code code;
        const auto size = fs::file_size(file, code);
        if (code)
            throw inputError(file.string() + ": is named by " + kManifest + " but missing");
        if (size != entry.bytes)
            throw inputError(file.string() + ": has " + std::to_string(size) + " bytes where " + kManifest + " says "
                             + std::to_string(entry.bytes));
    }
    for (const ManifestEntry& entry : entries)
        if (const fs::path file = folder / entry.name; hashFile(file) != entry.hash)
            throw inputError(file.string() + ": has changed: its hash is not the one in " + kManifest);
}

std::vector<CheckpointInfo> RunFolder::checkpoints() const
{
    std::vector<CheckpointInfo> out;
    std::error_code code;
    for (fs::directory_iterator it(checkpointsFolder(), code), end; !code && it != end; it.increment(code)) {
        const auto step = stepOf(it->path());
        if (!step || !it->is_directory() || it->is_symlink())
            continue;
        try {
            readManifest(it->path());
            out.push_back({*step, it->path()});
        } catch (const Error&) {
            // Incomplete: a crash before its manifest. newestCheckpoint reports it.
        }
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
    return out;
}

std::optional<CheckpointInfo> RunFolder::newestCheckpoint(std::vector<std::string>* problems) const
{
    std::vector<CheckpointInfo> all;
    std::error_code code;
    for (fs::directory_iterator it(checkpointsFolder(), code), end; !code && it != end; it.increment(code))
        if (const auto step = stepOf(it->path()); step && it->is_directory() && !it->is_symlink())
            all.push_back({*step, it->path()});
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
    for (const CheckpointInfo& info : all) {
        try {
            verifyManifest(info.folder);
            return info;
        } catch (const Error& error) {
            if (problems != nullptr)
                problems->push_back(error.what());
        }
    }
    return std::nullopt;
}

CheckpointWriter RunFolder::beginCheckpoint(std::int64_t step) const
{
    if (step < 0)
        throw internalError("a checkpoint needs a step of 0 or more");
    return {checkpointsFolder(), step};
}

void RunFolder::pruneCheckpoints(int keep) const
{
    std::vector<CheckpointInfo> all = checkpoints();
    const std::size_t kept = static_cast<std::size_t>(std::max(1, keep));
    std::error_code code;
    for (std::size_t i = 0; i + kept < all.size(); ++i) {
        // The manifest goes first, so that a half-removed folder is not taken for a checkpoint.
        fs::remove(all[i].folder / kManifest, code);
        fs::remove_all(all[i].folder, code);
    }
}

CheckpointWriter::CheckpointWriter(fs::path checkpoints, std::int64_t step)
    : m_checkpoints(std::move(checkpoints))
    , m_folder(m_checkpoints / (".tmp-" + std::string(kPrefix) + std::to_string(step)))
    , m_step(step)
{
    std::error_code code;
    fs::remove_all(m_folder, code);
    fs::create_directories(m_folder, code);
    if (code)
        throw resourceError(m_folder.string() + ": cannot be created: " + code.message(), "Check the free space and the rights of the run folder.");
    m_open = true;
}

CheckpointWriter::CheckpointWriter(CheckpointWriter&& other) noexcept
    : m_checkpoints(std::move(other.m_checkpoints))
    , m_folder(std::move(other.m_folder))
    , m_step(other.m_step)
    , m_open(std::exchange(other.m_open, false))
{
}

CheckpointWriter::~CheckpointWriter()
{
    if (!m_open)
        return;
    std::error_code code;
    fs::remove_all(m_folder, code);
}

CheckpointInfo CheckpointWriter::commit()
{
    if (!m_open)
        throw internalError("a checkpoint was committed twice");
    writeManifest(m_folder);
    syncFolder(m_folder);
    const fs::path target = m_checkpoints / (std::string(kPrefix) + std::to_string(m_step));
    std::error_code code;
    if (fs::exists(fs::symlink_status(target, code))) {
        // A folder cannot be renamed over a full one. Aside first: between the two renames the step before it is newest.
        const fs::path old = m_checkpoints / (".tmp-old-" + std::to_string(m_step));
        fs::remove_all(old, code);
        fs::rename(target, old, code);
    }
    if (::rename(m_folder.c_str(), target.c_str()) != 0)
        throw resourceError(target.string() + ": cannot be put in place: " + std::strerror(errno));
    m_open = false;
    syncFolder(m_checkpoints);
    fs::remove_all(m_checkpoints / (".tmp-old-" + std::to_string(m_step)), code);
    return {m_step, target};
}

} // namespace postnas
