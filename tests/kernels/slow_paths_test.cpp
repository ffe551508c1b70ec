// What is remembered of calls that left their kernels.
#include "kernels/include/slow_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using postnas::SlowPaths;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(SlowPaths, AreSaidOnceForEachTypeAndToldUntilTaken)
{
    SlowPaths paths;
    EXPECT_TRUE(paths.note("swiglu", "Float", "one row"));
    EXPECT_FALSE(paths.note("swiglu", "Float", "two rows"));
    EXPECT_TRUE(paths.note("swiglu", "BFloat16", "three rows"));
    EXPECT_TRUE(paths.note("rotate", "Float", "a head"));
    EXPECT_THAT(paths.take(), ElementsAre("rotate: a head", "swiglu: three rows"));
    EXPECT_THAT(paths.take(), IsEmpty());
    EXPECT_FALSE(paths.note("rotate", "Float", "a head again"));
    EXPECT_THAT(paths.take(), ElementsAre("rotate: a head again"));
}

TEST(SlowPaths, NoneAreTakenWithoutCudaOperators) { EXPECT_THAT(postnas::slowPathsTaken(), IsEmpty()); }

} // namespace
