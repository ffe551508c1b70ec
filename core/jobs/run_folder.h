// A run folder: the contract between worker and workbench (spec, events, checkpoints, artifacts, exit record).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace postnas {

/// exit.json: how the last worker process of the run ended.
struct ExitRecord {
    int code = 0;
    std::string reason; ///< "done", "interrupted", or the error's message
    bool resumable = false;
    std::string time; ///< UTC
};

/// A complete checkpoint: its manifest was there and every file had the stated size and hash.
struct CheckpointInfo {
    std::int64_t step = 0;
    std::filesystem::path folder;
};

/// Held by the worker for as long as it writes the run; freed by the kernel when the process dies.
class RunLock {
public:
    RunLock() = default;
    ~RunLock();
    RunLock(RunLock&& other) noexcept;
    RunLock& operator=(RunLock&& other) noexcept;
    explicit operator bool() const { return m_descriptor >= 0; }

private:
    friend class RunFolder;
    int m_descriptor = -1;
};

/// Writes one checkpoint: fill `folder()` with files, then `commit`. Without commit the folder is removed again.
class CheckpointWriter {
public:
    ~CheckpointWriter();
    CheckpointWriter(CheckpointWriter&& other) noexcept;
    CheckpointWriter& operator=(CheckpointWriter&&) = delete;

    /// checkpoints/.tmp-step-N; sub-folders are not supported.
    const std::filesystem::path& folder() const { return m_folder; }

    /// fsync of all files, MANIFEST.json last, rename to step-N, fsync of the parent. Replaces an older step-N.
    /// Throws Error(Resource) when the disk is full; the older checkpoints are untouched then.
    CheckpointInfo commit();

private:
    friend class RunFolder;
    CheckpointWriter(std::filesystem::path checkpoints, std::int64_t step);
    std::filesystem::path m_checkpoints;
    std::filesystem::path m_folder;
    std::int64_t m_step = 0;
    bool m_open = false;
};

class RunFolder {
public:
    /// Makes the folder with spec.json. The folder may exist if it is empty or holds only an equal spec.json (the workbench
    /// prepares it so). Throws Error(Usage) when another run lies there. `spec` should be toJson(JobSpec): absolute paths.
    static RunFolder create(const std::filesystem::path& folder, const Json& spec);

    /// Opens an existing one. Throws Error(Input) when there is no readable spec.json.
    static RunFolder open(const std::filesystem::path& folder);

    const std::filesystem::path& path() const { return m_path; }
    std::string id() const { return m_path.filename().string(); }
    const Json& spec() const { return m_spec; }
    std::string stage() const; ///< "" when the spec has none
    std::filesystem::path specFile() const { return m_path / "spec.json"; }
    std::filesystem::path eventsFile() const { return m_path / "events.jsonl"; }
    std::filesystem::path logFile() const { return m_path / "stderr.log"; }
    std::filesystem::path exitFile() const { return m_path / "exit.json"; }
    std::filesystem::path checkpointsFolder() const { return m_path / "checkpoints"; }
    std::filesystem::path artifactsFolder() const { return m_path / "artifacts"; } ///< exists

    /// Takes the writer's lock. Throws Error(Usage) when another worker holds it.
    RunLock lock() const;
    /// Whether a worker holds the lock now (on this machine).
    bool isRunning() const;

    /// Newest complete checkpoint, every hash verified; broken ones are skipped with a sentence in `problems`.
    std::optional<CheckpointInfo> newestCheckpoint(std::vector<std::string>* problems = nullptr) const;
    /// All checkpoint folders that have a manifest of the right shape, oldest first; hashes are not verified.
    std::vector<CheckpointInfo> checkpoints() const;
    /// Removes a stale temporary of the same step first. Only while holding the lock.
    CheckpointWriter beginCheckpoint(std::int64_t step) const;
    /// Removes all but the newest `keep` checkpoints (at least one is kept).
    void pruneCheckpoints(int keep) const;
    /// Removes what a killed writer left in checkpoints/ and artifacts/. Only while holding the lock.
    void removeStaleTemporaries() const;

    /// exit.json, replaced atomically.
    void writeExit(const ExitRecord& record) const;
    /// Nothing when there is none or it is broken: the worker was killed or still runs.
    std::optional<ExitRecord> readExit() const;
    /// Removes exit.json: the run goes on.
    void clearExit() const;

private:
    explicit RunFolder(std::filesystem::path folder, Json spec);
    std::filesystem::path m_path;
    Json m_spec;
};

/// Throws Error(Input) that names the first file of `folder` that MANIFEST.json does not describe correctly.
void verifyManifest(const std::filesystem::path& folder);
/// Writes MANIFEST.json (sizes, XXH3-128 hashes) over all regular files of `folder`, each made durable first.
void writeManifest(const std::filesystem::path& folder);

} // namespace postnas
