// The subcommands of `postnas`: one function a file, each adds its own to the application.
#pragma once

namespace CLI {
class App;
}

namespace postnas {

void addDataCommand(CLI::App& app);
void addReportCommand(CLI::App& app);

} // namespace postnas
