// Which device is used, by what the machine has.
#include "core/engine/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace postnas::engine {
namespace {

using testing::HasSubstr;

CudaStatus machine(bool gpu, bool operators)
{
    CudaStatus status;
    status.available = gpu;
    status.reason = gpu ? "Some GPU" : "the NVIDIA driver reports no GPU";
    status.operators = operators;
    status.operatorsReason = operators ? "/lib/libpostnas_cuda.so" : "libpostnas_cuda.so is not beside the program";
    return status;
}

std::string refusal(const CudaStatus& status)
{
    try {
        chooseDevice("cuda", status);
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Usage);
        return e.what();
    }
    return "no error";
}

TEST(ChooseDevice, AGpuCountsWithItsOperators)
{
    EXPECT_EQ(chooseDevice("auto", machine(true, true)), "cuda");
    EXPECT_EQ(chooseDevice("cuda", machine(true, true)), "cuda");
    EXPECT_EQ(chooseDevice("auto", machine(true, false)), "cpu");
    EXPECT_EQ(chooseDevice("auto", machine(false, false)), "cpu");
    EXPECT_EQ(chooseDevice("cpu", machine(true, true)), "cpu");
}

TEST(ChooseDevice, SaysWhatIsMissing)
{
    EXPECT_THAT(refusal(machine(false, false)), HasSubstr("reports no GPU"));
    EXPECT_THAT(refusal(machine(true, false)), HasSubstr("libpostnas_cuda.so"));
    EXPECT_THROW(chooseDevice("tpu", machine(true, true)), Error);
}

} // namespace
} // namespace postnas::engine
