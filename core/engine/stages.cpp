// Runs a stage in its folder and records how it ended.
#include "core/engine/stages.h"

#include <cstdio>
#include <new>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/engine/postnas/placement_stage.h"
#include "core/engine/runtime.h"
#include "core/engine/training/pretrain.h"

namespace postnas::engine {
namespace {

/// Whatever was thrown, as the project's error.
Error currentError()
{
    try {
        throw;
    } catch (const Error& e) {
        return e;
    } catch (const std::bad_alloc&) {
        return resourceError("memory ran out", "Use a smaller batch or shorter sequences.");
    } catch (const std::filesystem::filesystem_error& e) {
        return resourceError(e.what());
    } catch (const std::exception& e) {
        const std::string what = e.what();
        const std::string line = what.substr(0, what.find('\n'));
        if (what.find("out of memory") != std::string::npos || what.find("can't allocate memory") != std::string::npos)
            return resourceError("memory ran out: " + line, "Use a smaller batch or shorter sequences.");
        return internalError(line);
    }
}

RunFolder openRun(const std::string& stage, const std::filesystem::path& spec, const std::filesystem::path& folder, bool resume, JobSpec& job)
{
    if (resume) {
        RunFolder run = RunFolder::open(folder);
        job = parseJobSpec(run.spec(), run.specFile().string(), folder);
        if (!spec.empty() && toJson(readJobSpec(spec)) != run.spec())
            throw usageError(spec.string() + ": is not the spec that this run was started with",
                             "Resume without --spec, or start a new run in another folder.");
        if (job.stage != stage)
            throw usageError(folder.string() + ": is a run of the stage \"" + job.stage + "\", not \"" + stage + "\"");
        return run;
    }
    if (spec.empty())
        throw usageError("a new run needs --spec");
    job = readJobSpec(spec);
    if (job.stage != stage)
        throw usageError(spec.string() + ": key \"stage\" is \"" + job.stage + "\", but the stage \"" + stage + "\" was asked for");
    RunFolder run = RunFolder::create(folder, toJson(job));
    if (std::filesystem::exists(run.eventsFile()) && std::filesystem::file_size(run.eventsFile()) > 0)
        throw usageError(folder.string() + ": this run was started before", "Add --resume to continue it, or choose another folder.");
    return run;
}

void dispatch(const JobSpec& job, const RunContext& run)
{
    if (const auto* pretrain = std::get_if<PretrainSpec>(&job.body))
        runPretrain(*pretrain, run);
    else if (const auto* placement = std::get_if<PlacementSpec>(&job.body))
        runPlacement(*placement, run);
    else
        throw usageError("stage \"" + job.stage + "\" is not part of this version", "This version runs: placement, pretrain.");
}

} // namespace

int runStage(const std::string& stage, const std::filesystem::path& spec, const std::filesystem::path& runFolder, bool resume,
             const CancellationToken& cancellation, int echoDescriptor)
{
    JobSpec job;
    const RunFolder folder = openRun(stage, spec, runFolder, resume, job);
    const RunLock lock = folder.lock();
    folder.clearExit();
    folder.removeStaleTemporaries();
    initialiseRuntime(job.common().threads);
    ExitRecord record {0, "done", false, utcTimestamp()};
    try {
        EventWriter events(folder.eventsFile(), echoDescriptor);
        try {
            events.write(event::Hello {versions(), describeDevice(resolveDevice(deviceChoiceName(job.common().device))), ::getpid(), stage});
            dispatch(job, {folder, events, cancellation});
        } catch (...) {
            const Error error = currentError();
            const bool interrupted = error.errorClass() == ErrorClass::Interrupted;
            record = {exitCode(error.errorClass()), interrupted ? "interrupted" : error.what(),
                      interrupted || error.errorClass() == ErrorClass::Resource, utcTimestamp()};
            if (!interrupted) {
                std::fprintf(stderr, "error: %s\n", sanitizeForTerminal(error.what()).c_str());
                if (!error.hint().empty())
                    std::fprintf(stderr, "hint: %s\n", sanitizeForTerminal(error.hint()).c_str());
                events.write(event::ErrorEvent::from(error));
            }
        }
        record.time = utcTimestamp();
        events.write(event::Bye {record.code, record.code == 0 ? "done" : record.code == 130 ? "interrupted" : "error"});
        events.sync();
    } catch (...) {
        // Not even the event could be written: the disk is full.
        const Error error = currentError();
        if (record.code == 0)
            record = {exitCode(error.errorClass()), error.what(), true, utcTimestamp()};
        std::fprintf(stderr, "error: %s\n", sanitizeForTerminal(error.what()).c_str());
    }
    try {
        folder.writeExit(record);
    } catch (const Error& error) {
        std::fprintf(stderr, "error: %s\n", sanitizeForTerminal(error.what()).c_str());
    }
    return record.code;
}

} // namespace postnas::engine
