// A flag that long work polls so that a stop is clean: set by a signal, a worker command or another thread.
#pragma once

#include <atomic>
#include <memory>

#include "core/base/error.h"

namespace postnas {

/// Copies share one flag.
class CancellationToken {
public:
    CancellationToken()
        : m_flag(std::make_shared<std::atomic<bool>>(false))
    {
    }
    void cancel() const { m_flag->store(true, std::memory_order_relaxed); }
    bool cancelled() const { return m_flag->load(std::memory_order_relaxed); }
    void throwIfCancelled() const
    {
        if (cancelled())
            throw Error(ErrorClass::Interrupted, "interrupted");
    }

private:
    std::shared_ptr<std::atomic<bool>> m_flag;
};

/// The token that SIGINT and SIGTERM set once `installSignalHandlers` has run. A second signal ends the process at once.
CancellationToken& processCancellation();
void installSignalHandlers();

} // namespace postnas
