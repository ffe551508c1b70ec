// The numbers of a layer-by-task heatmap: each layer alone with full attention, scored on each task. See
// docs/run-artifacts.md for the file.
#pragma once

#include <cmath>
#include <filesystem>
#include <limits>

#include <QString>
#include <QVector>

#include "core/base/json.h"
#include "core/jobs/event.h"
#include "widgets/plots/score_metric.h"

namespace postnas {

/// One evaluated placement's scores on one task; NaN where not known (yet).
struct HeatmapCell {
    double accuracy = std::numeric_limits<double>::quiet_NaN();     ///< 0 to 1
    double negativeLoss = std::numeric_limits<double>::quiet_NaN(); ///< minus the loss on the correct answer, in nats
    double objective = std::numeric_limits<double>::quiet_NaN();    ///< what the search maximised

    double value(ScoreMetric metric) const;
    bool known() const { return !std::isnan(accuracy) || !std::isnan(negativeLoss) || !std::isnan(objective); }
};

struct HeatmapTask {
    QString name;
    QString metric;             ///< the metric that reports name: "accuracy"
    QString objective;          ///< the metric that the search maximised: "accuracy" or "negative_loss"
    QVector<HeatmapCell> cells; ///< [layers], layer 0 first
    HeatmapCell none;           ///< no layer full: all linear
    HeatmapCell all;            ///< every layer full: the teacher
};

struct HeatmapData {
    static constexpr int kMaxLayers = 4096;
    static constexpr int kMaxTasks = 1024;

    QString model; ///< the teacher, as the file names it
    QString block; ///< the linear block of the other layers
    int layers = 0;
    QVector<HeatmapTask> tasks;

    bool isEmpty() const { return tasks.isEmpty() || layers == 0; }
    int taskIndex(const QString& name) const; ///< -1 when there is none
};

/// Throws Error(Input) naming `source` and the key.
HeatmapData heatmapFromJson(const Json& json, const std::string& source);
HeatmapData readHeatmapFile(const std::filesystem::path& file);

/// Takes the scores of one candidate event: origin "heatmap" with a layer fills a column, "linear" the none column,
/// "teacher" the all column. Tasks and layers grow as needed. False when the event is none of these.
bool applyCandidate(HeatmapData& data, const event::Candidate& candidate);

} // namespace postnas
