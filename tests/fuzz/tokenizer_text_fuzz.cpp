// Fuzz target: any bytes as a text for tokenizers of the kinds that there are; the first byte chooses one.
#include "core/base/text.h"
#include "core/huggingface/tokenizer.h"
#include "tests/fuzz/tokenizer_checks.h"

using namespace postnas;

namespace {

constexpr const char* kNames[] = {"qwen", "llama3-template", "gpt2-prefix-space", "flags", "pcre2-pattern", "ignore-merges", "missing-bytes"};

} // namespace

std::vector<std::string> fuzzSeeds()
{
    std::vector<std::string> out;
    const std::string texts[] = {"Hello, world! It's 12345 o'clock.\r\n\r\n  \t x", "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
                                 "\xe4\xbd\xa0\xe5\xa5\xbd \xd9\x85\xd8\xb1 \xf0\x9f\x8e\x89\xf0\x9f\x8f\xbd e\xcc\x81\xcc\xa3 \xea\xb0\x80\xe1\x86\xa8 \xef\xac\x81 \xe2\x84\xab",
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                 "def f(x):\n    return x ** 2  # \xc2\xa0\xe3\x80\x80 \xc5\xbf '\xc5\xbf 'LL"};
    for (std::size_t i = 0; i < std::size(kNames); ++i)
        for (const std::string& text : texts)
            out.push_back(static_cast<char>('0' + i) + text);
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const std::vector<Tokenizer> tokenizers = [] {
        std::vector<Tokenizer> out;
        for (const char* name : kNames)
            out.push_back(Tokenizer::load(test::testData("tokenizer-fixtures") / name));
        return out;
    }();
    if (size == 0)
        return 0;
    const Tokenizer& tokenizer = tokenizers[(data[0] - '0') % tokenizers.size()];
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const bool encoded = fuzz::accepted([&] { tokenizer.encode(text); });
    fuzz::require(encoded == (findInvalidUtf8(text) == std::string_view::npos));
    fuzz::require(fuzz::checkText(tokenizer, repairUtf8(text)));
    return 0;
}
