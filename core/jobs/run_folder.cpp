// Creating, locking and describing run folders.
#include "core/jobs/run_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kMaxSpecBytes = 16u << 20;
const char* const kLockName = ".lock";

void makeFolder(const fs::path& folder)
{
    std::error_code code;
    fs::create_directories(folder, code);
    if (code)
        throw resourceError(folder.string() + ": cannot be created: " + code.message());
}

/// What a killed writer of AtomicFile leaves beside a file: .name.XXXXXX
bool isTemporaryName(const std::string& name)
{
    if (name.rfind(".tmp-", 0) == 0)
        return true;
    const std::size_t dot = name.rfind('.');
    return name.size() > 8 && name.front() == '.' && dot > 0 && name.size() - dot == 7 && name.substr(1, dot - 1).find('.') != std::string::npos;
}

void removeTemporariesIn(const fs::path& folder)
{
    std::error_code code;
    std::vector<fs::path> stale;
    for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
        if (isTemporaryName(it->path().filename().string()))
            stale.push_back(it->path());
    for (const fs::path& path : stale)
        fs::remove_all(path, code);
}

} // namespace

RunLock::~RunLock()
{
    if (m_descriptor >= 0)
        ::close(m_descriptor);
}

RunLock::RunLock(RunLock&& other) noexcept
    : m_descriptor(std::exchange(other.m_descriptor, -1))
{
}

RunLock& RunLock::operator=(RunLock&& other) noexcept
{
    std::swap(m_descriptor, other.m_descriptor);
    return *this;
}

RunFolder::RunFolder(fs::path folder, Json spec)
    : m_path(std::move(folder))
    , m_spec(std::move(spec))
{
}

RunFolder RunFolder::create(const fs::path& folder, const Json& spec)
{
    const fs::path path = fs::absolute(folder).lexically_normal();
    const fs::path clean = path.has_filename() ? path : path.parent_path();
    makeFolder(clean);
    bool sameSpec = false;
    for (const auto& entry : fs::directory_iterator(clean)) {
        const std::string name = entry.path().filename().string();
        if (name == "spec.json") {
            sameSpec = readJsonFile(entry.path(), kMaxSpecBytes) == spec;
            if (!sameSpec)
                throw usageError(clean.string() + ": holds a run with another spec.json",
                                 "Choose another run folder; a run's spec is never changed.");
        } else if (name == "events.jsonl" || name == "checkpoints") {
            throw usageError(clean.string() + ": holds a run that has started", "Add --resume to continue it, or choose another folder.");
        } else if (name != kLockName && name != "stderr.log" && name != "artifacts" && !isTemporaryName(name)) {
            throw usageError(clean.string() + ": is not empty: it holds " + name, "Choose an empty or new folder for the run.");
        }
    }
    makeFolder(clean / "artifacts");
    if (!sameSpec)
        writeFileAtomically(clean / "spec.json", dumpJson(spec, 2) + "\n");
    return RunFolder(clean, spec);
}

RunFolder RunFolder::open(const fs::path& folder)
{
    const fs::path path = fs::absolute(folder).lexically_normal();
    const fs::path clean = path.has_filename() ? path : path.parent_path();
    Json spec = readJsonFile(clean / "spec.json", kMaxSpecBytes);
    if (!spec.is_object())
        throw inputError((clean / "spec.json").string() + ": must be a JSON object");
    return RunFolder(clean, std::move(spec));
}

std::string RunFolder::stage() const
{
    const auto it = m_spec.find("stage");
    return it != m_spec.end() && it->is_string() ? it->get<std::string>() : std::string();
}

RunLock RunFolder::lock() const
{
    const fs::path file = m_path / kLockName;
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor < 0)
        throw resourceError(file.string() + ": cannot be opened: " + std::strerror(errno), "Check that the run folder is writable.");
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        const int code = errno;
        ::close(descriptor);
        if (code == EWOULDBLOCK)
            throw usageError(m_path.string() + ": another worker is writing this run", "Wait for it or stop it first.");
        throw resourceError(file.string() + ": cannot be locked: " + std::strerror(code));
    }
    RunLock lock;
    lock.m_descriptor = descriptor;
    makeFolder(artifactsFolder());
    makeFolder(checkpointsFolder());
    return lock;
}

bool RunFolder::isRunning() const
{
    const int descriptor = ::open((m_path / kLockName).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return false;
    const bool held = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ::close(descriptor);
    return held;
}

void RunFolder::removeStaleTemporaries() const
{
    removeTemporariesIn(m_path);
    removeTemporariesIn(checkpointsFolder());
    removeTemporariesIn(artifactsFolder());
}

void RunFolder::writeExit(const ExitRecord& record) const
{
    const Json json {{"code", record.code},
                     {"reason", record.reason},
                     {"resumable", record.resumable},
                     {"time", record.time.empty() ? utcTimestamp() : record.time}};
    writeFileAtomically(exitFile(), dumpJson(json, 2) + "\n");
}

std::optional<ExitRecord> RunFolder::readExit() const
{
    std::error_code code;
    if (!fs::exists(exitFile(), code))
        return std::nullopt;
    try {
        const Json json = readJsonFile(exitFile(), 1u << 20);
        const JsonReader in(json, exitFile().string());
        return ExitRecord {static_cast<int>(in.integer("code", -1, 255)), in.string("reason", ""), in.boolean("resumable", false),
                           in.string("time", "")};
    } catch (const Error&) {
        return std::nullopt;
    }
}

void RunFolder::clearExit() const
{
    std::error_code code;
    if (fs::remove(exitFile(), code))
        syncFolder(m_path);
}

} // namespace postnas
