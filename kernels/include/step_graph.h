// Work that is the same every time, recorded once on a GPU and replayed as one launch.
#pragma once

#include <functional>
#include <memory>

namespace postnas {

class StepGraph {
public:
    virtual ~StepGraph() = default;
    virtual void replay() = 0;

    /// Records what `step` starts on the current CUDA device; nothing of it runs yet. `step` must have run before, allocate what outlives it
    /// nowhere but in torch, and never wait for the device. Null where the CUDA operators are not open, and where recording is not possible.
    static std::unique_ptr<StepGraph> record(const std::function<void()>& step);
};

} // namespace postnas
