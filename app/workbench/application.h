// The program around the main window: command line, look, screenshot.
#pragma once

namespace postnas {

/// Runs the desktop to its end; returns the exit code.
int runWorkbench(int argc, char** argv, const char* version);

} // namespace postnas
