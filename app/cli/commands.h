// The subcommands of `postnas`: one function a file, each adds its own to the application. They throw postnas::Error.
#pragma once

namespace CLI {
class App;
}

namespace postnas {

void addInspectCommand(CLI::App& app);
void addTokenizeCommand(CLI::App& app);
void addLogitsCommand(CLI::App& app);
void addGenerateCommand(CLI::App& app);
void addChatCommand(CLI::App& app);
void addWorkerCommand(CLI::App& app);
void addRunCommand(CLI::App& app);
void addEvaluateCommand(CLI::App& app);
void addBenchmarkCommand(CLI::App& app);
void addExportCommand(CLI::App& app);
void addProjectCommand(CLI::App& app);
void addDataCommand(CLI::App& app);
void addReportCommand(CLI::App& app);
void addDoctorCommand(CLI::App& app);

} // namespace postnas
