// Fuzz target: any bytes as the files of a checkpoint folder, sharded or not; of an accepted one every weight can be read.
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/model_config.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

namespace {

const std::vector<std::string> kFiles {"config.json", "generation_config.json", "model.safetensors.index.json", "model.safetensors",
                                       "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};

/// A whole model of one narrow layer, as our own writer leaves it.
std::string seed(bool sharded)
{
    const Json config = parseJson(R"({"model_type":"qwen2","vocab_size":4,"hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,
        "num_attention_heads":2,"num_key_value_heads":1,"max_position_embeddings":16,"tie_word_embeddings":true,"eos_token_id":1})", "seed");
    const test::TemporaryFolder folder;
    test::writeFile(folder / "config.json", dumpJson(config));
    test::writeFile(folder / "generation_config.json", R"({"do_sample": true, "top_k": 20})");
    const std::vector<WeightSpec> weights = modelWeights(parseModelConfig(config, "seed"));
    std::vector<std::vector<std::byte>> data;
    SafetensorsWriter writer;
    for (const WeightSpec& weight : weights) {
        std::size_t bytes = dtypeSize(DType::F32);
        for (const auto extent : weight.shape)
            bytes *= static_cast<std::size_t>(extent);
        data.emplace_back(bytes, std::byte {1});
    }
    for (std::size_t i = 0; i < weights.size(); ++i)
        writer.add(weights[i].name, DType::F32, {weights[i].shape.begin(), weights[i].shape.end()}, data[i]);
    writer.writeModel(folder.path(), sharded ? writer.dataBytes() * 2 / 3 : writer.dataBytes());
    std::vector<std::string> files;
    for (const std::string& name : kFiles)
        files.push_back(std::filesystem::exists(folder / name) ? test::readFile(folder / name) : std::string());
    fuzz::require(files[sharded ? 5 : 3].empty() == false);
    return fuzz::joined(files);
}

} // namespace

std::vector<std::string> fuzzSeeds() { return {seed(false), seed(true)}; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::vector<std::string_view> files = fuzz::cut(data, size, kFiles.size());
    for (std::size_t i = 0; i < kFiles.size(); ++i)
        fuzz::put(folder.path() / kFiles[i], files[i]);
    fuzz::accepted([&] {
        const Checkpoint checkpoint = Checkpoint::open(folder.path());
        unsigned sum = 0;
        for (const std::string& name : checkpoint.names())
            for (const std::byte b : checkpoint.tensor(name).data)
                sum += static_cast<unsigned>(b);
        volatile unsigned sink = sum;
        (void)sink;
        fuzz::require(checkpoint.names().size() == modelWeights(checkpoint.architecture()).size());
    }, {ErrorClass::Input, ErrorClass::Resource}); // Resource: a config that asks for more memory than there is
    return 0;
}
