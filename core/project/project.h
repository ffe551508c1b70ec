// A project: a folder with project.json, the workbench's database and the runs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/jobs/run_folder.h"

namespace postnas {

/// What project.json says.
struct ProjectInfo {
    static constexpr int kFormat = 1;
    std::string name;
    int format = kFormat;
    std::string created;              ///< UTC
    std::filesystem::path teacher;    ///< the starting checkpoint; relative paths are against the project folder; may be empty
    Json settings = Json::object();   ///< free for the workbench
    Json provenance = Json::object(); ///< who made it with what: see makeProvenance
};

/// A run folder as found on disk. Broken ones are listed too, with `problem`.
struct RunListing {
    std::string id;
    std::filesystem::path folder;
    std::string stage;
    std::string problem; ///< empty: fine
};

class Project {
public:
    /// Makes the folder (it may exist if empty). Throws Error(Usage) when something else lies there.
    static Project create(const std::filesystem::path& folder, const std::string& name, const std::filesystem::path& teacher = {});
    /// Throws Error(Input) when there is no valid project.json, or one of a newer format.
    static Project open(const std::filesystem::path& folder);
    static bool isProject(const std::filesystem::path& folder);

    const std::filesystem::path& path() const { return m_path; }
    const ProjectInfo& info() const { return m_info; }
    /// `info().teacher` made absolute; empty when there is none.
    std::filesystem::path teacher() const;
    /// Writes project.json atomically. A teacher inside the project is stored relative to it.
    void setInfo(ProjectInfo info);

    std::filesystem::path databaseFile() const { return m_path / "workbench.db"; }
    std::filesystem::path runsFolder() const { return m_path / "runs"; }

    /// Folders under runs/, oldest first; complete without the database.
    std::vector<RunListing> runs() const;
    /// Makes runs/<yyyymmdd-hhmmss>-<stage>[-n] with spec.json.
    RunFolder newRun(const std::string& stage, const Json& spec) const;
    /// Throws Error(Input) when `id` is no base name or no run.
    RunFolder run(const std::string& id) const;

private:
    Project(std::filesystem::path folder, ProjectInfo info);
    std::filesystem::path m_path;
    ProjectInfo m_info;
};

/// {"program": version, "platform": ..., "created": ..., "files": {name: {"bytes", "xxh3"}}} for results that travel: which
/// program made them, and from which files (a folder stands for its regular files, not deeper).
Json makeProvenance(const std::vector<std::filesystem::path>& files);

} // namespace postnas
