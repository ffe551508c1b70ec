// Strict JSON: what is refused, and that errors name the file and the key.
#include "core/base/json.h"

#include <gmock/gmock.h>

#include "core/base/error.h"

namespace postnas {
namespace {

using testing::HasSubstr;

std::string messageOf(const std::function<void()>& action)
{
    try {
        action();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input);
        return e.what();
    }
    return "no error";
}

TEST(StrictJson, RefusesDuplicateKeysAtAnyDepth)
{
    EXPECT_THAT(messageOf([] { parseJson(R"({"a":1,"a":2})", "x.json"); }), HasSubstr("x.json: key \"a\" appears twice"));
    EXPECT_THAT(messageOf([] { parseJson(R"([{"b":{"c":1,"c":1}}])", "x.json"); }), HasSubstr("key \"c\""));
    EXPECT_EQ(parseJson(R"({"a":{"a":1},"b":{"a":2}})", "x.json").size(), 2u);
}

TEST(StrictJson, RefusesDeepNestingWithoutRecursing)
{
    const std::string deep = std::string(5'000'000, '[');
    EXPECT_THAT(messageOf([&] { parseJson(deep, "x.json"); }), HasSubstr("nested deeper than 64"));
    EXPECT_NO_THROW(parseJson("[\"" + std::string(200, '[') + "\"]", "x.json"));
}

TEST(StrictJson, RefusesInvalidUtf8AndTrailingText)
{
    EXPECT_THAT(messageOf([] { parseJson("{\"a\":\"\xff\"}", "x.json"); }), HasSubstr("not valid JSON"));
    EXPECT_THAT(messageOf([] { parseJson("{} {}", "x.json"); }), HasSubstr("not valid JSON"));
    EXPECT_THAT(messageOf([] { parseJson("{\"a\":NaN}", "x.json"); }), HasSubstr("not valid JSON"));
}

TEST(JsonReader, NamesFileAndKeyOfWhatDoesNotFit)
{
    const Json json = parseJson(R"({"n":5,"f":1.5,"s":"x","o":{"deep":"no"},"big":18446744073709551615})", "c.json");
    const JsonReader reader(json, "c.json");
    EXPECT_EQ(reader.integer("n", 0, 10), 5);
    EXPECT_EQ(reader.integer("absent", 0, 10, 7), 7);
    EXPECT_THAT(messageOf([&] { reader.integer("n", 6, 10); }), HasSubstr("c.json: key \"n\" is 5; it must be between 6 and 10"));
    EXPECT_THAT(messageOf([&] { reader.integer("f", 0, 10); }), HasSubstr("\"f\" must be an integer"));
    EXPECT_THAT(messageOf([&] { reader.integer("big", 0, 10); }), HasSubstr("\"big\" is too large"));
    EXPECT_THAT(messageOf([&] { reader.object("o").integer("deep", 0, 1); }), HasSubstr("\"o.deep\" must be an integer"));
    EXPECT_THAT(messageOf([&] { reader.string("missing"); }), HasSubstr("\"missing\" is missing"));
}

} // namespace
} // namespace postnas
