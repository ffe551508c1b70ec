// The progress bar of `postnas run`.
#include "app/cli/progress_line.h"

#include <chrono>
#include <cmath>
#include <cstdio>

#include <unistd.h>

#include "core/base/text.h"

namespace postnas {
namespace {

std::string duration(double seconds)
{
    if (!std::isfinite(seconds))
        return "?";
    char buffer[32];
    const auto s = static_cast<long>(seconds + 0.5);
    if (s >= 3600)
        std::snprintf(buffer, sizeof buffer, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        std::snprintf(buffer, sizeof buffer, "%ld:%02ld", s / 60, s % 60);
    return buffer;
}

} // namespace

ProgressLine::ProgressLine(std::filesystem::path events, bool enabled)
    : m_reader(events, std::filesystem::exists(events) ? static_cast<std::int64_t>(std::filesystem::file_size(events)) : 0)
    , m_enabled(enabled)
    , m_terminal(::isatty(STDERR_FILENO) == 1)
{
    if (m_enabled)
        m_thread = std::thread([this] { follow(); });
}

ProgressLine::~ProgressLine() { finish(); }

void ProgressLine::finish()
{
    m_stop = true;
    if (m_thread.joinable())
        m_thread.join();
}

void ProgressLine::follow()
{
    while (!m_stop) {
        drain(false);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    drain(true);
    endLine();
}

void ProgressLine::drain(bool)
{
    for (std::vector<Event> events = m_reader.readNew(); !events.empty(); events = m_reader.readNew())
        for (const Event& e : events)
            show(e);
}

void ProgressLine::show(const Event& e)
{
    if (const auto* stage = std::get_if<event::Stage>(&e.body)) {
        endLine();
        m_stage = stage->name;
        m_metric.clear();
        m_lastPlain = -1;
    } else if (const auto* metric = std::get_if<event::Metric>(&e.body)) {
        if (metric->name == "loss") {
            char buffer[48];
            std::snprintf(buffer, sizeof buffer, "  loss %.4f", metric->value);
            m_metric = buffer;
        }
    } else if (const auto* progress = std::get_if<event::Progress>(&e.body)) {
        draw(*progress);
    } else if (const auto* warning = std::get_if<event::Warning>(&e.body)) {
        endLine();
        std::fprintf(stderr, "warning: %s\n", sanitizeForTerminal(warning->message).c_str());
    }
}

void ProgressLine::draw(const event::Progress& p)
{
    const double share = p.total > 0 ? double(p.done) / double(p.total) : 0;
    char text[256];
    std::snprintf(text, sizeof text, "%-12s %3.0f%%  %lld/%lld %s  %.3g/s  left %s%s", sanitizeForTerminal(m_stage).c_str(), share * 100,
                  static_cast<long long>(p.done), static_cast<long long>(p.total), sanitizeForTerminal(p.unit).c_str(),
                  std::isfinite(p.rate) ? p.rate : 0.0, duration(p.etaSeconds).c_str(), m_metric.c_str());
    if (m_terminal) {
        constexpr int kWidth = 28;
        std::string bar(static_cast<std::size_t>(share * kWidth), '#');
        bar.resize(kWidth, '.');
        std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), text);
        std::fflush(stderr);
        m_lineOpen = true;
    } else if (m_lastPlain < 0 || share >= m_lastPlain + 0.1 || p.done == p.total) {
        if (share != m_lastPlain)
            std::fprintf(stderr, "%s\n", text);
        m_lastPlain = share;
    }
}

void ProgressLine::endLine()
{
    if (m_lineOpen)
        std::fprintf(stderr, "\n");
    m_lineOpen = false;
}

} // namespace postnas
