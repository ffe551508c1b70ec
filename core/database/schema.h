// The tables of the project database, version by version.
#pragma once

#include <vector>

#include "core/database/database.h"

namespace postnas {

/// Never change an old step: databases of that version exist. Append new ones.
const std::vector<Migration>& projectMigrations();

} // namespace postnas
