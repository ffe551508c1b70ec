// Reads heatmap.json and takes over the numbers of live candidate events.
#include "widgets/heatmap/heatmap_data.h"

#include <set>

#include "core/base/error.h"

namespace postnas {

namespace {

QString text(const std::string& utf8)
{
    return QString::fromUtf8(utf8.data(), static_cast<qsizetype>(utf8.size()));
}

double numberOrNan(const JsonReader& object, const std::string& key)
{
    constexpr double kLimit = 1e300;
    return object.has(key) ? object.number(key, -kLimit, kLimit) : std::numeric_limits<double>::quiet_NaN();
}

HeatmapCell readCell(const JsonReader& object)
{
    HeatmapCell cell;
    cell.accuracy = numberOrNan(object, "accuracy");
    cell.negativeLoss = numberOrNan(object, "negative_loss");
    cell.objective = numberOrNan(object, "objective");
    return cell;
}

HeatmapTask readTask(const JsonReader& object, int layers)
{
    HeatmapTask task;
    task.name = text(object.string("name"));
    task.metric = text(object.string("metric", "accuracy"));
    task.objective = text(object.string("objective", task.metric.toStdString()));
    task.cells.resize(layers);
    const Json& cells = object.value("cells");
    if (!cells.is_array())
        object.fail("cells", "is not a list");
    std::set<std::int64_t> seen;
    for (const Json& item : cells) {
        if (!item.is_object())
            object.fail("cells", "holds something that is no object");
        const JsonReader reader(item, object.source(), "cells");
        const std::int64_t layer = reader.integer("layer", 0, layers - 1);
        if (!seen.insert(layer).second)
            reader.fail("layer", "names layer " + std::to_string(layer) + " twice");
        task.cells[static_cast<qsizetype>(layer)] = readCell(reader);
    }
    if (object.has("none"))
        task.none = readCell(object.object("none"));
    if (object.has("all"))
        task.all = readCell(object.object("all"));
    return task;
}

void mergeScores(HeatmapCell& cell, const std::map<std::string, double>& scores, const QString& objective)
{
    const auto take = [&](const char* key, double& into) {
        if (const auto found = scores.find(key); found != scores.end())
            into = found->second;
    };
    take("accuracy", cell.accuracy);
    take("negative_loss", cell.negativeLoss);
    take("objective", cell.objective);
    if (std::isnan(cell.objective))
        cell.objective = objective == QLatin1String("negative_loss") ? cell.negativeLoss : cell.accuracy;
}

} // namespace

double HeatmapCell::value(ScoreMetric metric) const
{
    switch (metric) {
    case ScoreMetric::Accuracy: return accuracy;
    case ScoreMetric::NegativeLoss: return negativeLoss;
    case ScoreMetric::Objective: break;
    }
    return objective;
}

int HeatmapData::taskIndex(const QString& name) const
{
    for (int i = 0; i < tasks.size(); ++i) {
        if (tasks[i].name == name)
            return i;
    }
    return -1;
}

HeatmapData heatmapFromJson(const Json& json, const std::string& source)
{
    if (!json.is_object())
        throw inputError(source + ": is no JSON object");
    const JsonReader reader(json, source);
    if (reader.integer("version", 1, 1'000'000) != 1)
        reader.fail("version", "is newer than this program knows", "Open the run with the program that made it.");
    HeatmapData data;
    data.model = text(reader.string("model", ""));
    data.block = text(reader.string("block", ""));
    data.layers = static_cast<int>(reader.integer("layers", 1, HeatmapData::kMaxLayers));
    const Json& tasks = reader.value("tasks");
    if (!tasks.is_array() || tasks.size() > HeatmapData::kMaxTasks)
        reader.fail("tasks", "is not a list of at most " + std::to_string(HeatmapData::kMaxTasks) + " tasks");
    for (const Json& item : tasks) {
        if (!item.is_object())
            reader.fail("tasks", "holds something that is no object");
        HeatmapTask task = readTask(JsonReader(item, source, "tasks"), data.layers);
        if (data.taskIndex(task.name) >= 0)
            reader.fail("tasks", "names the task '" + task.name.toStdString() + "' twice");
        data.tasks += std::move(task);
    }
    return data;
}

HeatmapData readHeatmapFile(const std::filesystem::path& file)
{
    return heatmapFromJson(readJsonFile(file), file.string());
}

bool applyCandidate(HeatmapData& data, const event::Candidate& candidate)
{
    const bool isCell = candidate.origin == "heatmap" && candidate.layer >= 0;
    const bool isNone = candidate.origin == "linear";
    const bool isAll = candidate.origin == "teacher";
    if (!isCell && !isNone && !isAll)
        return false;
    const auto layers = static_cast<int>(std::min<std::size_t>(candidate.placement.size(), HeatmapData::kMaxLayers));
    const int needed = std::max({data.layers, layers, isCell ? candidate.layer + 1 : 0});
    if (needed > HeatmapData::kMaxLayers)
        return false;
    data.layers = needed;
    for (HeatmapTask& task : data.tasks)
        task.cells.resize(needed);
    if (isNone && !candidate.placement.empty())
        data.block = text(candidate.placement.front());
    for (const auto& [name, scores] : candidate.scores) {
        int index = data.taskIndex(text(name));
        if (index < 0) {
            if (data.tasks.size() >= HeatmapData::kMaxTasks)
                continue;
            HeatmapTask task;
            task.name = text(name);
            task.metric = task.objective = QStringLiteral("accuracy");
            task.cells.resize(needed);
            data.tasks += std::move(task);
            index = static_cast<int>(data.tasks.size()) - 1;
        }
        HeatmapTask& task = data.tasks[index];
        mergeScores(isCell ? task.cells[candidate.layer] : isNone ? task.none : task.all, scores, task.objective);
    }
    return true;
}

} // namespace postnas
