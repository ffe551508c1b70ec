// Fuzz target: any bytes as a tokenizer's files and as a text; an accepted tokenizer encodes every valid text or says why not,
// keeps its promises about offsets and trust, and decodes any ids.
#include "core/base/text.h"
#include "core/huggingface/tokenizer.h"
#include "tests/fuzz/tokenizer_checks.h"

using namespace postnas;

namespace {

const std::vector<std::string> kFiles {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"};

/// Small enough that a mutation hits something that counts: letters, a few merges, and what tokenizers of the wild have.
std::string seed(const std::string& modelKeys, const std::string& normalizer, const std::string& preTokenizer, const std::string& postProcessor)
{
    const std::string tokenizer = R"({"added_tokens":[{"id":12,"content":"<|im_start|>","special":true,"normalized":false,"lstrip":false,"rstrip":true,"single_word":false},
{"id":13,"content":"xy","special":false,"normalized":true,"lstrip":true,"single_word":true},{"id":14,"content":"<t>","special":false,"normalized":true}],
"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" + preTokenizer + R"(,"post_processor":)" + postProcessor
        + R"(,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE",)" + modelKeys
        + R"("vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"Ġa":4,"<":5,"t":6,">":7,"Ã":8,"©":9,"Ã©":10,"aba":11,"<t":15},"merges":["a b",["Ġ","a"],"Ã ©","ab a","< t"]}})";
    return fuzz::joined({tokenizer,
                         R"({"bos_token":null,"eos_token":{"content":"<|im_start|>"},"pad_token":"b","add_prefix_space":true,"chat_template":[{"name":"default","template":"{{ x }}"}],
"added_tokens_decoder":{"12":{"content":"<|im_start|>","special":true},"16":{"content":"new"}}})",
                         R"({"additional_special_tokens":["<t>"],"unk_token":"a"})", R"({"old":17})", "{{ messages }}",
                         "aba \xc3\xa9 e\xcc\x81 <|im_start|>  xy <t>12 don't\n\n"});
}

} // namespace

std::vector<std::string> fuzzSeeds()
{
    const std::string byteLevel = R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":true})";
    const std::string split = R"x({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[^\\s\\p{L}]+|\\p{L}+|(?i:'s)|\\s+(?!\\S)"},"behavior":"Isolated","invert":false},
{"type":"Split","pattern":{"String":"b"},"behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})x";
    const std::string around = R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s","type_id":0}},{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"s"}}],"special_tokens":{"s":{"id":"s","ids":[12,2],"tokens":["x"]}}})";
    return {seed("", "null", byteLevel, "null"), seed(R"("ignore_merges":true,"unk_token":"a","fuse_unk":true,)", R"({"type":"NFC"})", split, around),
            seed(R"("unk_token":"b","byte_fallback":false,)", R"({"type":"Sequence","normalizers":[{"type":"NFC"}]})", split, R"({"type":"ByteLevel"})")};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::vector<std::string_view> files = fuzz::cut(data, size, kFiles.size() + 1);
    for (std::size_t i = 0; i < kFiles.size(); ++i)
        fuzz::put(folder.path() / kFiles[i], files[i]);
    fuzz::accepted([&] {
        const Tokenizer tokenizer = Tokenizer::load(folder.path());
        fuzz::accepted([&] { tokenizer.encode(files.back()); }); // not always UTF-8
        fuzz::checkText(tokenizer, repairUtf8(files.back().substr(0, 4096)));
    });
    return 0;
}
