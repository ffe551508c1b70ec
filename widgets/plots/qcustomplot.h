// The only way to include QCustomPlot: its header needs Qt's keywords, which the rest of the project switches off.
#pragma once

#include <QObject>

// clang-format off
#define signals Q_SIGNALS
#define slots Q_SLOTS
#define emit
#define foreach Q_FOREACH
#include <qcustomplot.h>
#undef signals
#undef slots
#undef emit
#undef foreach
// clang-format on
