// The only way to include QCustomPlot: its header needs Qt's keywords, which the rest of the project switches off.
#pragma once

#include <QObject>

#ifdef QT_NO_KEYWORDS
#define signals Q_SIGNALS
#define slots Q_SLOTS
#define emit
#define foreach Q_FOREACH
#define forever for (;;)
#endif
#include <qcustomplot.h>
#ifdef QT_NO_KEYWORDS
#undef signals
#undef slots
#undef emit
#undef foreach
#undef forever
#endif
