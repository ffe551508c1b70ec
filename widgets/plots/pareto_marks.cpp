// The core's Pareto front in the form that models and plots want: a mark per point.
#include "widgets/plots/pareto_marks.h"

#include "core/tasks/pareto.h"

namespace postnas {

QVector<bool> paretoMarks(const QVector<double>& x, const QVector<double>& y, bool largerXIsBetter)
{
    QVector<bool> marks(x.size(), false);
    const auto size = static_cast<std::size_t>(x.size());
    for (const std::size_t i : paretoFront({y.constData(), size}, Better::Higher, {x.constData(), size},
                                           largerXIsBetter ? Better::Higher : Better::Lower))
        marks[static_cast<qsizetype>(i)] = true;
    return marks;
}

} // namespace postnas
