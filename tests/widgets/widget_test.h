// What the widget tests share: waiting on the event loop, the fake worker, and sample folders.
#pragma once

#include <filesystem>
#include <functional>

#include <QString>

#include "core/base/json.h"
#include "tests/support/support.h"

namespace postnas::test {

/// Runs the event loop until `condition` holds; false when it does not within `milliseconds`.
bool waitUntil(const std::function<bool()>& condition, int milliseconds = 20000);

/// The stand-in for `postnas`; see fake_worker.py. Tests that need it skip without python3.
QString fakeWorker();

/// A complete placement spec object for a model, with existing data and task files in `folder`.
Json placementSpec(const std::filesystem::path& folder, const std::filesystem::path& model, int steps);

} // namespace postnas::test
