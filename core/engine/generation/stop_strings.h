// Streams text up to the first stop string, holding back what may still become one. No torch.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace postnas::engine {

class StopStringFilter {
public:
    explicit StopStringFilter(std::vector<std::string> stops)
        : m_stops(std::move(stops))
    {
        std::erase_if(m_stops, [](const std::string& stop) { return stop.empty(); });
    }

    /// Adds text and returns what is certain not to be part of a stop string.
    std::string push(const std::string& text)
    {
        if (m_stopped)
            return {};
        m_held += text;
        std::size_t first = std::string::npos;
        for (const std::string& stop : m_stops)
            first = std::min(first, m_held.find(stop));
        if (first != std::string::npos) {
            m_stopped = true;
            return m_held.substr(0, first);
        }
        std::size_t hold = 0;
        for (const std::string& stop : m_stops)
            for (std::size_t n = std::min(stop.size() - 1, m_held.size()); n > hold; --n)
                if (m_held.compare(m_held.size() - n, n, stop, 0, n) == 0)
                    hold = n;
        std::string out = m_held.substr(0, m_held.size() - hold);
        m_held.erase(0, m_held.size() - hold);
        return out;
    }

    /// What was held back, at the end of the text.
    std::string finish() { return m_stopped ? std::string() : std::exchange(m_held, {}); }

    bool stopped() const { return m_stopped; }

private:
    std::vector<std::string> m_stops;
    std::string m_held;
    bool m_stopped = false;
};

} // namespace postnas::engine
