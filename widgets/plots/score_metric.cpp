// The chooser of metrics.
#include "widgets/plots/score_metric.h"

#include <QComboBox>

namespace postnas {

void offerMetrics(QComboBox* chooser)
{
    chooser->addItem(QObject::tr("Accuracy"), int(ScoreMetric::Accuracy));
    chooser->addItem(QObject::tr("Objective"), int(ScoreMetric::Objective));
    chooser->addItem(QObject::tr("Minus loss"), int(ScoreMetric::NegativeLoss));
    chooser->setToolTip(QObject::tr("Objective: what the search maximised on each task. Minus loss: of the correct answer, in nats; nearer "
                                    "to 0 is better."));
    chooser->setAccessibleName(QObject::tr("Metric"));
}

ScoreMetric chosenMetric(const QComboBox* chooser) { return static_cast<ScoreMetric>(chooser->currentData().toInt()); }

void chooseMetric(QComboBox* chooser, ScoreMetric metric) { chooser->setCurrentIndex(chooser->findData(int(metric))); }

} // namespace postnas
