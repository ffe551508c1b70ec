// How much memory there is, and that asking for more is an error.
#include "core/base/memory.h"

#include <gmock/gmock.h>

namespace postnas {
namespace {

TEST(Memory, SomeIsAvailableAndNotWithoutBound)
{
    const std::uint64_t available = availableMemoryBytes();
    EXPECT_GT(available, std::uint64_t{1} << 20);
    EXPECT_LT(available, std::uint64_t{1} << 50);
}

TEST(Memory, AskingForMoreThanThereIsNamesWhatAsks)
{
    EXPECT_NO_THROW(requireMemory(1, "x"));
    try {
        requireMemory(std::uint64_t{1} << 60, "config.json: the weights", "Use less.");
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        EXPECT_THAT(e.what(), testing::StartsWith("config.json: the weights needs 1099511627776.00 MiB of memory, but only "));
        EXPECT_EQ(e.hint(), "Use less.");
    }
    try {
        requireMemory(std::uint64_t{1} << 60, "x", {}, ErrorClass::Resource);
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Resource);
    }
}

} // namespace
} // namespace postnas
