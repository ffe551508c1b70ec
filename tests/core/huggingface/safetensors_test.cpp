// The strict safetensors reader: what a real file gives, and every hostile header is refused by name.
#include "core/huggingface/safetensors.h"

#include <chrono>
#include <fstream>

#include <gmock/gmock.h>

#include "tests/core/huggingface/model_files.h"

namespace postnas {
namespace {

using test::inputErrorOf;
using test::parseBytes;
using test::rawSafetensors;
using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::string& header, std::size_t dataBytes)
{
    return inputErrorOf([&] { parseBytes(rawSafetensors(header, dataBytes)); });
}

TEST(Safetensors, ReadsAReferenceFile)
{
    const SafetensorsFile file = SafetensorsFile::open(test::testData("jet-tiny/expected.safetensors"));
    ASSERT_EQ(file.tensors().size(), 3u);
    const TensorView& ids = file.at("input_ids");
    EXPECT_EQ(ids.dtype, DType::I64);
    EXPECT_EQ(ids.shape, (std::vector<std::uint64_t>{2, 56}));
    EXPECT_EQ(ids.data.size(), 896u);
    for (std::size_t i = 0; i < 112; ++i) {
        std::int64_t id = -1;
        std::memcpy(&id, ids.data.data() + 8 * i, 8);
        EXPECT_GE(id, 0);
        EXPECT_LT(id, 320);
    }
    EXPECT_EQ(file.find("nothing"), nullptr);
    EXPECT_THAT(inputErrorOf([&] { file.at("nothing"); }), HasSubstr("tensor \"nothing\" is missing"));
    EXPECT_EQ(SafetensorsFile::open(test::testData("jet-tiny/model.safetensors")).metadata().at("format"), "pt");
}

TEST(Safetensors, ViewsOutliveTheFileObjectThroughTheMapping)
{
    std::shared_ptr<const void> mapping;
    TensorView view;
    {
        const SafetensorsFile file = SafetensorsFile::open(test::testData("jet-tiny/expected.safetensors"));
        view = file.at("logits");
        mapping = file.mapping();
    }
    float first = 0;
    std::memcpy(&first, view.data.data(), 4);
    EXPECT_TRUE(std::isfinite(first));
}

TEST(Safetensors, AcceptsWhatTheFormatAllows)
{
    EXPECT_TRUE(parseBytes(rawSafetensors("{}", 0)).tensors().empty());
    // Scalars, empty tensors, padding after the header, tensors listed in another order than their bytes.
    const SafetensorsFile file = parseBytes(rawSafetensors(
        R"({"b":{"dtype":"F16","shape":[],"data_offsets":[4,6]},"e":{"shape":[3,0],"data_offsets":[4,4],"dtype":"F64"},)"
        R"("a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"k":"v"}}   )", 6));
    EXPECT_EQ(file.at("b").data.size(), 2u);
    EXPECT_EQ(file.at("e").data.size(), 0u);
    EXPECT_EQ(file.at("a").data.data() + 4, file.at("b").data.data());
    EXPECT_EQ(file.metadata().at("k"), "v");
    for (const char* name : {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64", "I64", "F64"}) {
        const auto dtype = dtypeFromName(name);
        ASSERT_TRUE(dtype) << name;
        EXPECT_STREQ(dtypeName(*dtype), name);
    }
}

TEST(Safetensors, RefusesHeaderLengthsThatCannotBe)
{
    EXPECT_THAT(inputErrorOf([] { parseBytes(""); }), HasSubstr("x.safetensors: has 0 bytes"));
    EXPECT_THAT(inputErrorOf([] { parseBytes("1234567"); }), HasSubstr("has 7 bytes"));
    const auto withLength = [](std::uint64_t length, std::size_t rest) {
        std::string out(8 + rest, ' ');
        std::memcpy(out.data(), &length, 8);
        return inputErrorOf([&] { parseBytes(out); });
    };
    EXPECT_THAT(withLength(std::uint64_t{1} << 60, 100), HasSubstr("1152921504606846976 bytes; at most 100000000"));
    EXPECT_THAT(withLength(~std::uint64_t{0}, 100), HasSubstr("18446744073709551615"));
    EXPECT_THAT(withLength(100'000'001, 100), HasSubstr("at most 100000000"));
    EXPECT_THAT(withLength(101, 100), HasSubstr("101 bytes, but only 100 follow"));
    EXPECT_THAT(withLength(100, 100), HasSubstr("must begin with '{'"));
    EXPECT_THAT(withLength(0, 100), HasSubstr("must begin with '{'"));
}

TEST(Safetensors, RefusesOffsetsThatOverlapLeaveHolesOrLeaveTheFile)
{
    const auto two = [](const std::string& a, const std::string& b) {
        return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
    };
    EXPECT_EQ(parseBytes(rawSafetensors(two("[0,4]", "[4,8]"), 8)).tensors().size(), 2u);
    EXPECT_THAT(refusal(two("[0,4]", "[2,6]"), 6), AllOf(HasSubstr("x.safetensors: tensor \"b\""), HasSubstr("overlaps")));
    EXPECT_THAT(refusal(two("[0,4]", "[0,4]"), 4), HasSubstr("overlaps"));
    EXPECT_THAT(refusal(two("[0,4]", "[5,9]"), 9), HasSubstr("leaves a hole after byte 4"));
    EXPECT_THAT(refusal(two("[1,5]", "[5,9]"), 9), AllOf(HasSubstr("tensor \"a\""), HasSubstr("hole")));
    EXPECT_THAT(refusal(two("[0,4]", "[4,8]"), 7), AllOf(HasSubstr("tensor \"b\""), HasSubstr("has only 7")));
    EXPECT_THAT(refusal(two("[0,4]", "[4,8]"), 9), HasSubstr("the tensors end at byte 8 of the data, but the file has 9"));
    EXPECT_THAT(refusal(two("[4,0]", "[4,8]"), 8), HasSubstr("end before they begin"));
    EXPECT_THAT(refusal(two("[0,4]", "[18446744073709551612,18446744073709551615]"), 8), HasSubstr("tensor \"b\""));
    EXPECT_THAT(refusal(two("[0,4]", "[4,99999999999999999999]"), 8), HasSubstr("no 64-bit integer"));
    EXPECT_THAT(refusal(two("[0,4]", "[-4,0]"), 8), HasSubstr("negative"));
    EXPECT_THAT(refusal(two("[0,4]", "[4,8,9]"), 8), HasSubstr("two data_offsets"));
    EXPECT_THAT(refusal(two("[0,4]", "[4]"), 8), HasSubstr("two data_offsets"));
}

TEST(Safetensors, RefusesShapesThatOverflowOrDoNotFit)
{
    const auto shape = [](const std::string& s, const std::string& dtype = "F32") {
        return refusal(R"({"w":{"dtype":")" + dtype + R"(","shape":)" + s + R"(,"data_offsets":[0,16]}})", 16);
    };
    EXPECT_THAT(shape("[4294967296,4294967296]"), AllOf(HasSubstr("tensor \"w\""), HasSubstr("does not fit 64 bits")));
    // The product fits, the size in bytes does not.
    EXPECT_THAT(shape("[4611686018427387908]"), HasSubstr("does not fit 64 bits"));
    // A product that wraps around to 4 elements.
    EXPECT_THAT(shape("[9223372036854775810,2]"), HasSubstr("does not fit 64 bits"));
    EXPECT_THAT(shape("[5]"), AllOf(HasSubstr("20 bytes"), HasSubstr("span 16")));
    EXPECT_THAT(shape("[2.0]"), HasSubstr("no 64-bit integer"));
    EXPECT_THAT(shape("[[4]]"), HasSubstr("must not have a list"));
    EXPECT_THAT(shape("4"), HasSubstr("must not have a number"));
    EXPECT_THAT(shape("[4]", "F4"), HasSubstr("unknown dtype \"F4\""));
    std::string many = "[1";
    for (int i = 0; i < 64; ++i)
        many += ",1";
    EXPECT_THAT(shape(many + "]"), HasSubstr("more than 64 dimensions"));
}

TEST(Safetensors, RefusesJsonThatReadersWouldDisagreeOn)
{
    const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
    EXPECT_THAT(refusal("{" + a + "," + a + "}", 4), HasSubstr("has the tensor \"a\" twice"));
    EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}})", 4), HasSubstr("has the key \"dtype\" twice"));
    EXPECT_THAT(refusal(R"({"__metadata__":{"k":"1","k":"2"}})", 0), HasSubstr("has the key \"k\" twice"));
    EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("__metadata__"));
    EXPECT_THAT(refusal(R"({"__metadata__":{"k":1}})", 0), HasSubstr("__metadata__ must not have a number"));
    EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[4]}})", 4), HasSubstr("lacks the key \"data_offsets\""));
    EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"more":1}})", 4), HasSubstr("unknown key \"more\""));
    EXPECT_THAT(refusal(R"({"a":null})", 0), HasSubstr("must not have null"));
    EXPECT_THAT(refusal("{" + a, 4), HasSubstr("not valid JSON"));
    EXPECT_THAT(refusal("{" + a + "} x", 4), HasSubstr("not valid JSON"));
    EXPECT_THAT(refusal("{\"\xff\":1}", 4), HasSubstr("not valid JSON"));
    EXPECT_THAT(refusal("{\"a\":" + std::string(1'000'000, '['), 4), HasSubstr("must not have a list"));
}

TEST(Safetensors, RefusesATruncatedFile)
{
    const test::TemporaryFolder folder;
    const std::string whole = test::readFile(test::testData("qwen2-tiny/model.safetensors"));
    for (const std::size_t size : {std::size_t{4}, std::size_t{100}, std::size_t{5000}, whole.size() - 1}) {
        test::writeFile(folder / "cut.safetensors", whole.substr(0, size));
        EXPECT_THAT(inputErrorOf([&] { SafetensorsFile::open(folder / "cut.safetensors"); }), HasSubstr("cut.safetensors")) << size;
    }
    EXPECT_THAT(inputErrorOf([&] { SafetensorsFile::open(folder / "none.safetensors"); }), HasSubstr("none.safetensors"));
    EXPECT_THAT(inputErrorOf([&] { SafetensorsFile::open(folder.path()); }), HasSubstr("not a regular file"));
}

TEST(Safetensors, ManyTensorsAreReadQuickly)
{
    std::string header = "{";
    constexpr int kCount = 100'000;
    for (int i = 0; i < kCount; ++i)
        header += (i == 0 ? "\"" : ",\"") + std::string("model.layers.") + std::to_string(i) + R"(.w":{"dtype":"U8","shape":[1],"data_offsets":[)"
            + std::to_string(i) + "," + std::to_string(i + 1) + "]}";
    const std::string bytes = rawSafetensors(header + "}", kCount);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(parseBytes(bytes).tensors().size(), static_cast<std::size_t>(kCount));
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5.0);
}

} // namespace
} // namespace postnas
