// Project folders: project.json and the runs beside it.
#include "core/project/project.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <sys/utsname.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "core/base/version.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

const char* const kFileName = "project.json";
constexpr std::size_t kMaxNameBytes = 256;

fs::path cleanFolder(const fs::path& folder)
{
    const fs::path path = fs::absolute(folder).lexically_normal();
    return path.has_filename() ? path : path.parent_path();
}

void makeFolder(const fs::path& folder)
{
    std::error_code code;
    fs::create_directories(folder, code);
    if (code)
        throw resourceError(folder.string() + ": cannot be created: " + code.message(), "Choose a folder where you may write.");
}

Json toJson(const ProjectInfo& info)
{
    return {{"format", info.format},     {"name", info.name},         {"created", info.created},
            {"teacher", info.teacher.string()}, {"settings", info.settings}, {"provenance", info.provenance}};
}

ProjectInfo readInfo(const fs::path& file)
{
    const Json json = readJsonFile(file, 16u << 20);
    const JsonReader in(json, file.string());
    ProjectInfo info;
    info.format = static_cast<int>(in.integer("format", 1, 1'000'000));
    if (info.format > ProjectInfo::kFormat)
        in.fail("format", "is " + std::to_string(info.format) + "; this program knows up to " + std::to_string(ProjectInfo::kFormat),
                "The project was made with a newer version of the workbench: update it.");
    info.name = in.string("name");
    if (info.name.size() > kMaxNameBytes)
        in.fail("name", "is too long");
    info.created = in.string("created", "");
    const std::string teacher = in.string("teacher", "");
    if (teacher.find('\0') != std::string::npos)
        in.fail("teacher", "must be a path");
    info.teacher = teacher;
    if (in.has("settings"))
        info.settings = in.object("settings").json();
    if (in.has("provenance"))
        info.provenance = in.object("provenance").json();
    return info;
}

/// "2026-01-01T00:00:00.000Z" -> "20260101-000000"
std::string compactTime(const std::string& utc)
{
    std::string out;
    for (const char c : utc.substr(0, 19)) {
        if (c == 'T')
            out += '-';
        else if (std::isdigit(static_cast<unsigned char>(c)) != 0)
            out += c;
    }
    return out;
}

} // namespace

Project::Project(fs::path folder, ProjectInfo info)
    : m_path(std::move(folder))
    , m_info(std::move(info))
{
}

Project Project::create(const fs::path& folder, const std::string& name, const fs::path& teacher)
{
    const fs::path path = cleanFolder(folder);
    makeFolder(path);
    if (fs::exists(path / kFileName))
        throw usageError(path.string() + ": is a project already", "Open it instead.");
    if (!fs::is_empty(path))
        throw usageError(path.string() + ": is not empty", "Choose an empty or new folder for the project.");
    if (name.size() > kMaxNameBytes)
        throw usageError("the project's name is longer than " + std::to_string(kMaxNameBytes) + " bytes");
    ProjectInfo info;
    info.name = name.empty() ? path.filename().string() : name;
    info.created = utcTimestamp();
    info.teacher = teacher;
    info.provenance = makeProvenance({});
    makeFolder(path / "runs");
    Project project(path, {});
    project.setInfo(std::move(info));
    return project;
}

Project Project::open(const fs::path& folder)
{
    const fs::path path = cleanFolder(folder);
    std::error_code ignored; // of a path that cannot be looked at
    if (!fs::is_directory(path, ignored))
        throw inputError(path.string() + ": is no folder");
    if (!fs::exists(path / kFileName, ignored))
        throw inputError(path.string() + ": holds no project.json", "Choose a project's folder, or create a project there.");
    return {path, readInfo(path / kFileName)};
}

bool Project::isProject(const fs::path& folder)
{
    std::error_code code;
    return fs::is_regular_file(folder / kFileName, code);
}

fs::path Project::teacher() const
{
    return m_info.teacher.empty() ? fs::path() : (m_path / m_info.teacher).lexically_normal();
}

void Project::setInfo(ProjectInfo info)
{
    if (info.teacher.is_absolute()) {
        // A project that is moved with its checkpoint keeps working; an outside one stays where it is.
        const fs::path inside = info.teacher.lexically_normal().lexically_relative(m_path);
        if (!inside.empty() && *inside.begin() != "..")
            info.teacher = inside;
    } else if (!info.teacher.empty() && !fs::exists(m_path / info.teacher)) {
        info.teacher = fs::absolute(info.teacher).lexically_normal();
    }
    writeFileAtomically(m_path / kFileName, dumpJson(toJson(info), 2) + "\n");
    m_info = std::move(info);
}

std::vector<RunListing> Project::runs() const
{
    std::vector<RunListing> out;
    std::error_code code;
    for (fs::directory_iterator it(runsFolder(), code), end; !code && it != end; it.increment(code)) {
        std::error_code ignored;
        const std::string id = it->path().filename().string();
        if (id.front() == '.' || it->is_symlink(ignored) || !it->is_directory(ignored))
            continue;
        RunListing listing {id, it->path(), {}, {}};
        try {
            listing.stage = RunFolder::open(it->path()).stage();
        } catch (const Error& error) {
            listing.problem = error.what();
        }
        out.push_back(std::move(listing));
    }
    std::sort(out.begin(), out.end(), [](const RunListing& a, const RunListing& b) { return a.id < b.id; });
    return out;
}

RunFolder Project::newRun(const std::string& stage, const Json& spec) const
{
    requireBaseName(stage, "the run's stage", "stage");
    makeFolder(runsFolder());
    const std::string base = compactTime(utcTimestamp()) + "-" + stage;
    for (int n = 1; n < 10'000; ++n) {
        const fs::path folder = runsFolder() / (n == 1 ? base : base + "-" + std::to_string(n));
        std::error_code code;
        if (fs::create_directory(folder, code)) {
            syncFolder(runsFolder());
            return RunFolder::create(folder, spec);
        }
        if (code && code != std::errc::file_exists)
            throw resourceError(folder.string() + ": cannot be created: " + code.message());
    }
    throw resourceError(runsFolder().string() + ": holds too many runs of this second");
}

RunFolder Project::run(const std::string& id) const
{
    requireBaseName(id, "the run's name", "id");
    return RunFolder::open(runsFolder() / id);
}

Json makeProvenance(const std::vector<fs::path>& files)
{
    utsname system {};
    ::uname(&system);
    Json entries = Json::object();
    const auto add = [&](const std::string& name, const fs::path& file) {
        entries[name] = {{"bytes", fs::file_size(file)}, {"xxh3", hashFile(file)}};
    };
    for (const fs::path& path : files) {
        std::error_code code;
        if (!fs::is_directory(path, code)) {
            add(path.string(), path);
            continue;
        }
        std::vector<fs::path> inside;
        for (const auto& entry : fs::directory_iterator(path))
            if (entry.is_regular_file())
                inside.push_back(entry.path());
        std::sort(inside.begin(), inside.end());
        for (const fs::path& file : inside)
            add((path.filename() / file.filename()).string(), file);
    }
    return {{"program", std::string("postnas ") + kVersion},
            {"platform", std::string(system.sysname) + " " + system.release + " " + system.machine},
            {"created", utcTimestamp()},
            {"files", std::move(entries)}};
}

} // namespace postnas
