// The emulation itself: what would be undefined on a GPU, and may hang there, ends it with a sentence.
#include <gtest/gtest.h>

#include "kernels/emulation/cuda_emulation.h"

namespace {

using postnas::emulation::namedBarrier;

int thread() { return int(postnas::emulation::context().thread.x); }

void runBlock(const std::function<void()>& body) { postnas::emulation::run(dim3(1), dim3(64), 0, body); }

TEST(Emulation, NamedBarriersLetProducersGoOn)
{
    int produced = 0, seen = 0;
    runBlock([&] {
        if (thread() < 32) {
            ++produced;
            namedBarrier(1, 64, false);
        } else {
            namedBarrier(1, 64, true);
            seen += produced;
        }
    });
    EXPECT_EQ(seen, 32 * 32);
}

TEST(EmulationDeathTest, AThreadThatArrivesTwiceInATurnIsFound)
{
    const auto twice = [] {
        namedBarrier(1, 64, thread() >= 32);
        if (thread() < 32) // nobody says that the others have arrived
            namedBarrier(1, 64, false);
        else
            namedBarrier(1, 64, true);
    };
    EXPECT_DEATH(
        {
            for (int i = 0; i < 50; ++i) // threads run in shuffled order
                runBlock(twice);
        },
        "barrier 1 a thread arrives twice");
}

TEST(EmulationDeathTest, DifferentNumbersOfThreadsAtABarrierAreFound)
{
    EXPECT_DEATH(runBlock([] { namedBarrier(2, thread() < 32 ? 64 : 32, true); }), "barrier 2 threads wait for different numbers");
}

} // namespace
