// Asks the operator that libpostnas_cuda.so brings.
#include "kernels/include/slow_paths.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace postnas {

std::vector<std::string> slowPathsTaken()
{
    const auto op = c10::Dispatcher::singleton().findSchema({"postnas::take_slow_paths", ""});
    return op ? op->typed<std::vector<std::string>()>().call() : std::vector<std::string>();
}

} // namespace postnas
