// Heatmap, search record, comparison with uniform placements, and the exported hybrid.
#include "core/engine/postnas/placement_report.h"

#include <algorithm>
#include <cmath>

#include "core/base/files.h"
#include "core/engine/export.h"
#include "core/engine/model/save_model.h"

namespace postnas::engine {
namespace {

LayerSet allLayers(const Supernet& supernet)
{
    LayerSet all;
    for (int i = 0; i < supernet.layerCount(); ++i)
        all.push_back(i);
    return all;
}

void writeArtifact(const RunContext& run, const std::string& name, const std::string& file, const Json& content, const Json& summary)
{
    writeFileAtomically(run.folder.artifactsFolder() / file, dumpJson(content, 2) + "\n");
    run.events.write(event::Result {name, "artifacts/" + file, summary});
}

Json scoresOf(PlacementLedger& ledger, const TaskSuite& suite, const Placement& placement)
{
    Json out = Json::object();
    for (int task = 0; task < suite.taskCount(); ++task)
        out[suite.name(task)] = ledger.scores(placement, task, "exhaustive");
    return out;
}

Json beamJson(PlacementLedger& ledger, const TaskSuite& suite, const BeamResult& beam, const LayerSet& full)
{
    Json best = Json::array();
    for (const ScoredSet& set : beam.best) {
        const Placement placement = full.empty() ? Placement {set.layers, {}} : Placement {full, set.layers};
        best.push_back({{"layers", set.layers}, {"objective", set.value}, {"scores", scoresOf(ledger, suite, placement)}});
    }
    return {{"asked", beam.evaluations}, {"best", best}};
}

/// Where the beam's placement stands among all of K layers, 1 for the best; equal values share the better rank.
Json rankJson(PlacementLedger& ledger, const FoundPlacements& found, int task, const LayerSet& chosen)
{
    const double value = ledger.objective({chosen, {}}, task, "exhaustive");
    std::vector<double> values;
    for (const LayerSet& set : found.all)
        values.push_back(ledger.objective({set, {}}, task, "exhaustive"));
    std::sort(values.begin(), values.end(), std::greater<>());
    const auto rank = std::lower_bound(values.begin(), values.end(), value, std::greater<>()) - values.begin() + 1;
    return {{"rank", rank}, {"of", values.size()}, {"best", values.front()}, {"median", values[values.size() / 2]}, {"worst", values.back()}};
}

/// Accuracy of the found and of the uniform placements, on held-out items where there are some.
Json comparison(PlacementLedger& ledger, const TaskSuite& suite, const Supernet& supernet, const FoundPlacements& found, int task)
{
    const bool heldOut = suite.itemCount(task, TaskSuite::Split::Report) > 0;
    const auto accuracy = [&](const Placement& placement) {
        return heldOut ? ledger.heldOutAccuracy(placement, task) : ledger.scores(placement, task, "exhaustive").at("accuracy");
    };
    const LayerSet& chosen = found.byTask[static_cast<std::size_t>(task)].best.front().layers;
    const double value = accuracy({chosen, {}});
    Json out = {{"task", suite.name(task)},
                {"objective", suite.objective(task)},
                {"items", suite.itemCount(task, heldOut ? TaskSuite::Split::Report : TaskSuite::Split::Search)},
                {"held_out", heldOut},
                {"found_layers", chosen},
                {"found", value},
                {"exported", accuracy(found.placement)},
                {"teacher", accuracy({allLayers(supernet), {}})},
                {"linear", accuracy({{}, {}})}};
    if (!found.uniform.empty()) {
        Json uniform = Json::array();
        double best = 0, sum = 0;
        for (const LayerSet& set : found.uniform) {
            const double u = accuracy({set, {}});
            uniform.push_back({{"layers", set}, {"accuracy", u}});
            best = std::max(best, u);
            sum += u;
        }
        out["uniform"] = uniform;
        out["uniform_best"] = best;
        out["uniform_mean"] = sum / double(found.uniform.size());
        out["gain_over_best_uniform"] = value - best;
        out["gain_over_mean_uniform"] = value - sum / double(found.uniform.size());
    }
    if (!found.all.empty())
        out["rank"] = rankJson(ledger, found, task, chosen);
    return out;
}

} // namespace

void writeHeatmap(const RunContext& run, const PlacementSpec& spec, const Supernet& supernet, const TaskSuite& suite, PlacementLedger& ledger)
{
    Json tasks = Json::array();
    for (int task = 0; task < suite.taskCount(); ++task) {
        const auto cell = [&](const Placement& placement, const char* origin) {
            Json out = Json::object();
            const auto& scores = ledger.scores(placement, task, origin);
            for (const char* metric : {"accuracy", "negative_loss", "objective"})
                if (scores.contains(metric)) // generated text has no loss
                    out[metric] = scores.at(metric);
            return out;
        };
        Json cells = Json::array();
        for (int layer = 0; layer < supernet.layerCount(); ++layer) {
            Json one = {{"layer", layer}};
            one.update(cell({{layer}, {}}, "heatmap"));
            cells.push_back(one);
        }
        tasks.push_back({{"name", suite.name(task)},
                         {"metric", "accuracy"},
                         {"objective", suite.objective(task)},
                         {"cells", cells},
                         {"none", cell({{}, {}}, "linear")},
                         {"all", cell({allLayers(supernet), {}}, "teacher")}});
    }
    writeArtifact(run, "heatmap", "heatmap.json",
                  {{"version", 1}, {"model", spec.model.string()}, {"layers", supernet.layerCount()}, {"block", spec.linearBlock}, {"tasks", tasks}},
                  {{"tasks", suite.taskCount()}, {"layers", supernet.layerCount()}});
}

void writePlacementArtifacts(const RunContext& run, const PlacementSpec& spec, const Supernet& supernet, const TaskSuite& suite,
                             PlacementLedger& ledger, const FoundPlacements& found)
{
    Json summary = Json::array();
    for (int task = 0; task < suite.taskCount(); ++task)
        summary.push_back(comparison(ledger, suite, supernet, found, task));

    Json beams = Json::object();
    for (int task = 0; task < suite.taskCount(); ++task)
        beams[suite.name(task)] = beamJson(ledger, suite, found.byTask[static_cast<std::size_t>(task)], {});
    if (found.byMean)
        beams["mean"] = beamJson(ledger, suite, *found.byMean, {});
    Json uniform = Json::array();
    for (const LayerSet& set : found.uniform)
        uniform.push_back({{"layers", set}, {"scores", scoresOf(ledger, suite, {set, {}})}});
    Json placements = Json::array();
    for (const auto& [placement, candidate] : ledger.candidates()) {
        Json cost = {{"state_bytes", candidate.cost.stateBytes}, {"parameters", candidate.cost.parameters}};
        if (candidate.cost.decodeTokensPerSecond)
            cost["decode_tokens_per_second"] = *candidate.cost.decodeTokensPerSecond;
        placements.push_back({{"full", placement.full}, {"sliding", placement.sliding}, {"origin", candidate.origin}, {"scores", candidate.scores}, {"cost", cost}});
    }
    Json search = {{"version", 1},
                   {"model", spec.model.string()},
                   {"linear_block", spec.linearBlock},
                   {"full_layers", spec.fullLayers},
                   {"beam_width", spec.beamWidth},
                   {"placement_task", spec.placementTask},
                   {"beams", beams},
                   {"uniform", uniform},
                   {"placements", placements}};
    if (found.bySliding)
        search["sliding_window"] = beamJson(ledger, suite, *found.bySliding, found.placement.full);
    search["exported"] = {{"full", found.placement.full}, {"sliding", found.placement.sliding}};
    writeArtifact(run, "search", "search.json", search, {{"placements", placements.size()}, {"evaluations", ledger.evaluations()}});

    const std::filesystem::path folder = run.folder.artifactsFolder() / "hybrid";
    const Architecture architecture = supernet.architectureOf(found.placement.full, found.placement.sliding);
    const torch::ScalarType dtype = supernet.teacher().dtype();
    const std::uint64_t bytes = saveModel(architecture, supernet.weightsOf(found.placement.full, found.placement.sliding), dtype, folder);
    copyTokenizerFiles(spec.model, folder);
    run.events.write(event::Result {"hybrid", "artifacts/hybrid",
                                    {{"full", found.placement.full},
                                     {"sliding", found.placement.sliding},
                                     {"parameters", parameterCount(architecture)},
                                     {"bytes", bytes}}});
    writeArtifact(run, "results", "results.json",
                  {{"version", 1}, {"stage", "placement"}, {"seed", spec.seed}, {"full_layers", spec.fullLayers}, {"comparison", summary}},
                  {{"comparison", summary}});
}

} // namespace postnas::engine
