// Finds the bundled quick-start model and its search spec.
#pragma once

#include <QString>

namespace postnas {

/// The quick-start folder: POSTNAS_QUICKSTART when it is set, else projects/quickstart beside the resources folder; empty when
/// it is not there.
QString quickStartFolder();

/// The model in the quick-start folder (the folder itself or a sub-folder with config.json); empty when there is none.
QString quickStartModel();

/// The .json file of the quick-start folder that is a spec of `stage`; empty when there is none.
QString quickStartSpec(const QString& stage);

/// Where "Open quick-start" keeps its project: under the user's data folder, since the bundled folder may be read-only.
QString quickStartProjectFolder();

} // namespace postnas
