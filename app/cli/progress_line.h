// Follows a run's events in a thread and shows them to a person: a bar on a terminal, a line now and then elsewhere.
#pragma once

#include <atomic>
#include <filesystem>
#include <thread>

#include "core/jobs/event_reader.h"

namespace postnas {

class ProgressLine {
public:
    ProgressLine(std::filesystem::path events, bool enabled);
    ~ProgressLine();
    /// Shows the last events and ends the line.
    void finish();

private:
    void follow();
    void drain(bool last);
    void show(const Event& event);
    void draw(const event::Progress& progress);
    void endLine();

    EventReader m_reader;
    bool m_enabled;
    bool m_terminal;
    bool m_lineOpen = false;
    double m_lastPlain = -1;
    std::string m_stage;
    std::string m_metric;
    std::atomic<bool> m_stop {false};
    std::thread m_thread;
};

} // namespace postnas
