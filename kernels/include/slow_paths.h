// What ran by torch's own functions, or on the CPU, because the GPU's kernel does not take it: noted by the CUDA operators, asked for by doctor.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace postnas {

/// Of one process. Safe from several threads.
class SlowPaths {
public:
    /// Whether this operator takes it with this type for the first time, so that it should be said. `reason`: what the kernel takes, and what it got.
    bool note(const std::string& name, const std::string& type, const std::string& reason)
    {
        const std::lock_guard guard(m_mutex);
        m_taken[name] = reason;
        return m_said.emplace(name, type).second;
    }
    /// "NAME: REASON" of each operator that took it since the last call, by name.
    std::vector<std::string> take()
    {
        const std::lock_guard guard(m_mutex);
        std::vector<std::string> out;
        for (const auto& [name, reason] : m_taken)
            out.push_back(name + ": " + reason);
        m_taken.clear();
        return out;
    }

private:
    std::mutex m_mutex;
    std::map<std::string, std::string> m_taken;
    std::set<std::pair<std::string, std::string>> m_said;
};

/// SlowPaths::take of the CUDA operators; nothing where they are not open.
std::vector<std::string> slowPathsTaken();

} // namespace postnas
