// The template interpreter against stored renderings of real Jinja2 (tests/peers/jinja_parity.py makes them).
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/huggingface/jinja_template.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

TEST(JinjaParity, EveryStoredCaseRendersAsInJinja2)
{
    const Json cases = readJsonFile(test::testData("jinja/cases.json"));
    ASSERT_GE(cases.size(), 150u);
    int texts = 0;
    int failures = 0;
    for (const Json& item : cases) {
        const auto name = item["name"].get<std::string>();
        SCOPED_TRACE(name);
        const bool isEvaluation = item.value("dialect", "") == "evaluation";
        std::string text;
        std::string error;
        try {
            const auto parsed = JinjaTemplate::parse(item["template"].get<std::string>(), name, {},
                                                     isEvaluation ? JinjaDialect::evaluation() : JinjaDialect::chat());
            text = parsed.render(item.value("variables", Json::object()));
        } catch (const Error& e) {
            EXPECT_EQ(e.errorClass(), ErrorClass::Input);
            error = e.what();
            EXPECT_NE(error.find(name), std::string::npos) << "the error must name the template: " << error;
        }
        if (item.contains("error")) {
            EXPECT_FALSE(error.empty()) << "Jinja2 fails here with " << item["error"] << ", this rendered: " << text;
            ++failures;
        } else {
            EXPECT_EQ(error, "");
            EXPECT_EQ(text, item["expected"].get<std::string>());
            ++texts;
        }
    }
    EXPECT_GE(texts, 150);
    EXPECT_GE(failures, 30);
}

} // namespace
} // namespace postnas
