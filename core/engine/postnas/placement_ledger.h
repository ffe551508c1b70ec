// Every placement that was scored, so that none is scored twice, also over a resume: the event log is the store. Internal: torch.
#pragma once

#include <map>
#include <string>

#include "core/engine/evaluation/task_suite.h"
#include "core/engine/postnas/supernet.h"
#include "core/engine/training/run_context.h"

namespace postnas::engine {

/// Full layers and sliding-window layers; the rest is linear.
struct Placement {
    LayerSet full;
    LayerSet sliding;
    auto operator<=>(const Placement&) const = default;
    std::string id() const; ///< "full 3,7" or "full 3,7 sliding 1"
};

class PlacementLedger {
public:
    PlacementLedger(const RunContext& run, const Supernet& supernet, const TaskSuite& suite, std::int64_t context);

    /// Takes over the candidates of the run's event log.
    void restore();

    /// The scores of a placement on a task: TaskScores::metrics of the search split; remembered, or
    /// computed now and announced as a candidate of this origin.
    const std::map<std::string, double>& scores(const Placement& placement, int task, const std::string& origin,
                                                const std::string& objective = {});
    double objective(const Placement& placement, int task, const std::string& origin, const std::string& objective = {});
    /// Accuracy on the items that no search has seen; NaN when there are none.
    double heldOutAccuracy(const Placement& placement, int task);
    void scoreAll(const Placement& placement, const std::string& origin);

    /// Measures the decoding speed of each mixture of blocks once and announces the candidates again with it.
    void measureSpeeds();

    std::int64_t evaluations() const { return m_evaluations; } ///< done by this process
    const std::map<Placement, event::Candidate>& candidates() const { return m_candidates; }

private:
    event::Candidate& candidate(const Placement& placement, const std::string& origin, const std::string& objective);
    void announce(const event::Candidate& candidate) const { m_run.events.write(candidate); }
    TaskScores evaluate(const Placement& placement, int task, TaskSuite::Split split);

    const RunContext& m_run;
    const Supernet& m_supernet;
    const TaskSuite& m_suite;
    std::int64_t m_context;
    std::map<Placement, event::Candidate> m_candidates;
    std::int64_t m_evaluations = 0;
};

} // namespace postnas::engine
