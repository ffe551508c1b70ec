// Finds the `postnas` program that does the model work.
#pragma once

#include <QString>

namespace postnas {

/// POSTNAS_PROGRAM when it is set, else `postnas` beside this program, else on the PATH; empty when there is none.
QString findPostnasProgram();

/// Says what to do when findPostnasProgram found nothing.
QString missingProgramHint();

} // namespace postnas
