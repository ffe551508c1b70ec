// One sweep from the best x to the worst.
#include "widgets/plots/pareto_marks.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace postnas {

QVector<bool> paretoMarks(const QVector<double>& x, const QVector<double>& y, bool largerXIsBetter)
{
    QVector<bool> marks(x.size(), false);
    QVector<qsizetype> order;
    for (qsizetype i = 0; i < x.size(); ++i) {
        if (!std::isnan(x[i]) && !std::isnan(y[i]))
            order += i;
    }
    const double sign = largerXIsBetter ? 1 : -1;
    std::sort(order.begin(), order.end(), [&](qsizetype a, qsizetype b) {
        return x[a] != x[b] ? sign * x[a] > sign * x[b] : y[a] > y[b];
    });
    double best = -std::numeric_limits<double>::infinity(), bestX = 0;
    for (const qsizetype i : order) {
        if (y[i] > best) {
            best = y[i];
            bestX = x[i];
            marks[i] = true;
        } else if (y[i] == best && x[i] == bestX) {
            marks[i] = true;
        }
    }
    return marks;
}

} // namespace postnas
