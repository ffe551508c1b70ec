// Which of a task's numbers heatmap and search plot show.
#pragma once

class QComboBox;

namespace postnas {

enum class ScoreMetric { Accuracy, Objective, NegativeLoss };

/// Fills a chooser: ScoreMetric as the items' data, with a tooltip that explains them.
void offerMetrics(QComboBox* chooser);
ScoreMetric chosenMetric(const QComboBox* chooser);
void chooseMetric(QComboBox* chooser, ScoreMetric metric);

} // namespace postnas
