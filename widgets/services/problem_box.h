// A message box for a problem: plain text whatever the text quotes.
#pragma once

#include "widgets/services/problem.h"

class QWidget;

namespace postnas {

/// Opens beside the event loop (does not block) and deletes itself when it is closed.
void showProblem(QWidget* parent, const QString& title, const Problem& problem);

} // namespace postnas
