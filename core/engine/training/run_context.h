// What a stage has at hand while it runs: its folder, its events, its stop flag, and when to report or to save. No torch.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "core/base/cancellation.h"
#include "core/jobs/event_writer.h"
#include "core/jobs/job_spec.h"
#include "core/jobs/run_folder.h"

namespace postnas::engine {

struct RunContext {
    const RunFolder& folder;
    EventWriter& events;
    CancellationToken cancellation;

    void warn(const std::string& message, const std::string& hint = {}) const { events.write(event::Warning {message, hint}); }
    void stage(const std::string& name, std::int64_t index, std::int64_t count) const { events.write(event::Stage {name, index, count}); }
    void metric(const std::string& name, double value, std::int64_t step) const { events.write(event::Metric {name, value, step}); }
};

/// Progress events of one stage: at most about two a second, with the rate since this process started on it.
class ProgressReporter {
public:
    ProgressReporter(const RunContext& run, std::string unit, std::int64_t start, std::int64_t total);
    void update(std::int64_t done, bool force = false);

private:
    const RunContext& m_run;
    std::string m_unit;
    std::int64_t m_start;
    std::int64_t m_total;
    std::chrono::steady_clock::time_point m_begin;
    std::chrono::steady_clock::time_point m_last;
};

/// Says when a checkpoint is due: every N steps, or about once a minute when N is 0.
class CheckpointClock {
public:
    explicit CheckpointClock(std::int64_t every);
    bool due(std::int64_t step);

private:
    std::int64_t m_every;
    std::chrono::steady_clock::time_point m_last;
};

} // namespace postnas::engine
