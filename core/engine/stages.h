// `postnas run STAGE`: what a stage does between its spec and its artifacts. No torch.
#pragma once

#include <filesystem>

#include "core/base/cancellation.h"

namespace postnas::engine {

/// Runs or resumes a stage in `runFolder`: takes the folder's lock, writes events, checkpoints and artifacts, and exit.json
/// last. A fresh run reads `spec`; a resumed one goes on by the folder's own spec.json (`spec` may then be empty; if given
/// it must say the same). Returns the process's exit code; errors are reported as events and on stderr, not thrown, once
/// the folder is locked. `echoDescriptor`, when not negative, gets a copy of each event line.
int runStage(const std::string& stage, const std::filesystem::path& spec, const std::filesystem::path& runFolder, bool resume,
             const CancellationToken& cancellation, int echoDescriptor = -1);

} // namespace postnas::engine
