// Signal handling for the worker and the command line.
#include "core/base/cancellation.h"

#include <csignal>
#include <unistd.h>

namespace postnas {
namespace {

std::atomic<int> g_signals {0};
CancellationToken* g_token = nullptr;

void onSignal(int)
{
    if (g_signals.fetch_add(1) > 0)
        ::_exit(130);
    g_token->cancel();
}

} // namespace

CancellationToken& processCancellation()
{
    static CancellationToken token;
    return token;
}

void installSignalHandlers()
{
    g_token = &processCancellation();
    struct sigaction action {};
    action.sa_handler = onSignal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

} // namespace postnas
