// Scores placements on demand and remembers them.
#include "core/engine/postnas/placement_ledger.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/engine/generation/decode_speed.h"
#include "core/jobs/event_reader.h"

namespace postnas::engine {
namespace {

constexpr const char* kHeldOut = "held_out_accuracy";

/// A placement that several parts of the search meet keeps the most telling origin.
int rank(const std::string& origin)
{
    static const std::vector<std::string> order = {"exhaustive", "beam", "sliding_window", "uniform", "heatmap", "linear", "teacher", "found"};
    return static_cast<int>(std::find(order.begin(), order.end(), origin) - order.begin());
}

} // namespace

std::string Placement::id() const
{
    return "full " + layerSetText(full) + (sliding.empty() ? "" : " sliding " + layerSetText(sliding));
}

PlacementLedger::PlacementLedger(const RunContext& run, const Supernet& supernet, const TaskSuite& suite, std::int64_t context)
    : m_run(run)
    , m_supernet(supernet)
    , m_suite(suite)
    , m_context(context)
{
}

void PlacementLedger::restore()
{
    EventReader reader(m_run.folder.eventsFile());
    const int layers = m_supernet.layerCount();
    for (std::vector<Event> events = reader.readNew(); !events.empty(); events = reader.readNew()) {
        for (const Event& e : events) {
            const auto* known = std::get_if<event::Candidate>(&e.body);
            if (known == nullptr || static_cast<int>(known->placement.size()) != layers)
                continue;
            Placement placement;
            for (int i = 0; i < layers; ++i) {
                const std::string& block = known->placement[static_cast<std::size_t>(i)];
                if (block == m_supernet.teacher().architecture().layers[static_cast<std::size_t>(i)].block)
                    placement.full.push_back(i);
                else if (block == "sliding_window")
                    placement.sliding.push_back(i);
            }
            m_candidates[placement] = *known;
        }
    }
}

event::Candidate& PlacementLedger::candidate(const Placement& placement, const std::string& origin, const std::string& objective)
{
    const auto [it, fresh] = m_candidates.try_emplace(placement);
    event::Candidate& out = it->second;
    if (fresh) {
        const Architecture architecture = m_supernet.architectureOf(placement.full, placement.sliding);
        out.id = placement.id();
        for (const LayerSpec& layer : architecture.layers)
            out.placement.push_back(layer.block);
        out.cost.parameters = parameterCount(architecture);
        out.cost.stateBytes = static_cast<std::int64_t>(stateSize(architecture, m_context).total());
        out.origin = origin;
        out.objective = objective;
        if (placement.full.size() == 1 && placement.sliding.empty())
            out.layer = placement.full.front();
    } else if (rank(origin) > rank(out.origin)) {
        out.origin = origin;
        out.objective = objective;
        announce(out);
    }
    return out;
}

TaskScores PlacementLedger::evaluate(const Placement& placement, int task, TaskSuite::Split split)
{
    const std::vector<const Block*> mixers = m_supernet.mixers(placement.full, placement.sliding);
    ++m_evaluations;
    return m_suite.score(task, split, m_supernet.teacher(), &mixers, m_run.cancellation);
}

const std::map<std::string, double>& PlacementLedger::scores(const Placement& placement, int task, const std::string& origin, const std::string& objective)
{
    event::Candidate& entry = candidate(placement, origin, objective);
    auto& metrics = entry.scores[m_suite.name(task)];
    if (!metrics.contains("objective")) {
        for (const auto& [metric, value] : evaluate(placement, task, TaskSuite::Split::Search).metrics)
            metrics[metric] = value;
        announce(entry);
    }
    return metrics;
}

double PlacementLedger::objective(const Placement& placement, int task, const std::string& origin, const std::string& objective)
{
    return scores(placement, task, origin, objective).at("objective");
}

double PlacementLedger::heldOutAccuracy(const Placement& placement, int task)
{
    if (m_suite.itemCount(task, TaskSuite::Split::Report) == 0)
        return event::kUnknown;
    event::Candidate& entry = candidate(placement, "exhaustive", {});
    auto& metrics = entry.scores[m_suite.name(task)];
    if (!metrics.contains(kHeldOut)) {
        metrics[kHeldOut] = evaluate(placement, task, TaskSuite::Split::Report).metrics.at("accuracy");
        announce(entry);
    }
    return metrics.at(kHeldOut);
}

void PlacementLedger::scoreAll(const Placement& placement, const std::string& origin)
{
    for (int task = 0; task < m_suite.taskCount(); ++task)
        scores(placement, task, origin);
}

void PlacementLedger::measureSpeeds()
{
    // Layers of one block cost the same wherever they stand, so a mixture is measured once.
    std::map<std::pair<std::size_t, std::size_t>, double> speeds;
    for (const auto& [placement, entry] : m_candidates)
        if (entry.cost.decodeTokensPerSecond)
            speeds[{placement.full.size(), placement.sliding.size()}] = *entry.cost.decodeTokensPerSecond;
    constexpr int kSteps = 24;
    for (auto& [placement, entry] : m_candidates) {
        if (entry.cost.decodeTokensPerSecond)
            continue;
        m_run.cancellation.throwIfCancelled();
        const auto key = std::make_pair(placement.full.size(), placement.sliding.size());
        if (!speeds.contains(key)) {
            const std::vector<const Block*> mixers = m_supernet.mixers(placement.full, placement.sliding);
            speeds[key] = measureDecodeSpeed(m_supernet.teacher(), &mixers, m_context, 1, kSteps, m_run.cancellation);
        }
        entry.cost.decodeTokensPerSecond = speeds[key];
        announce(entry);
    }
}

} // namespace postnas::engine
