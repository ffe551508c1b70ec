// Progress and checkpoint timing.
#include "core/engine/training/run_context.h"

namespace postnas::engine {
namespace {

using Clock = std::chrono::steady_clock;

} // namespace

ProgressReporter::ProgressReporter(const RunContext& run, std::string unit, std::int64_t start, std::int64_t total)
    : m_run(run)
    , m_unit(std::move(unit))
    , m_start(start)
    , m_total(total)
    , m_begin(Clock::now())
    , m_last(m_begin - std::chrono::hours(1))
{
}

void ProgressReporter::update(std::int64_t done, bool force)
{
    const auto now = Clock::now();
    if (!force && done < m_total && now - m_last < std::chrono::milliseconds(400))
        return;
    m_last = now;
    event::Progress progress;
    progress.done = done;
    progress.total = m_total;
    progress.unit = m_unit;
    const double seconds = std::chrono::duration<double>(now - m_begin).count();
    if (done > m_start && seconds > 0) {
        progress.rate = double(done - m_start) / seconds;
        if (m_total > 0)
            progress.etaSeconds = double(m_total - done) / progress.rate;
    }
    m_run.events.write(progress);
}

CheckpointClock::CheckpointClock(std::int64_t every)
    : m_every(every)
    , m_last(Clock::now())
{
}

bool CheckpointClock::due(std::int64_t step)
{
    const auto now = Clock::now();
    const bool due = m_every > 0 ? step % m_every == 0 : now - m_last > std::chrono::seconds(60);
    if (due)
        m_last = now;
    return due;
}

} // namespace postnas::engine
