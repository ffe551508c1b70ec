// The box that tells problems.
#include "widgets/services/problem_box.h"

#include <QMessageBox>

#include "widgets/services/convert.h"

namespace postnas {

void showProblem(QWidget* parent, const QString& title, const Problem& problem)
{
    auto* box = new QMessageBox(parent);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->setObjectName(QStringLiteral("problemBox"));
    box->setIcon(QMessageBox::Warning);
    box->setWindowTitle(title);
    box->setTextFormat(Qt::PlainText);
    box->setText(displayText(problem.hint.isEmpty() ? problem.message : problem.message + QStringLiteral("\n\n") + problem.hint));
    box->setStandardButtons(QMessageBox::Ok);
    box->open();
}

} // namespace postnas
