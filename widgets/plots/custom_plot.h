// QCustomPlot behind QT_NO_KEYWORDS: its header needs Qt's keywords and foreach, so they exist only while it is read.
#pragma once

#include <QtWidgets>
#include <QPrinter>

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
