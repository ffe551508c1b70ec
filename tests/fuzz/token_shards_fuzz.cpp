// Fuzz target: any bytes as a folder of token shards; every document and batch of an accepted one can be read, with ids in range.
#include "core/data/batch_sampler.h"
#include "core/data/shard_writer.h"
#include "core/data/token_dataset.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

namespace {

const std::vector<std::string> kFiles {"index.json", "shard-00000.safetensors", "shard-00001.safetensors"};

/// The files that the writer makes of three documents.
std::string seed(std::int64_t vocabulary, bool weighted)
{
    const test::TemporaryFolder folder;
    DatasetInfo info;
    info.vocabularySize = vocabulary;
    info.tokenizerHash = "t";
    info.endOfText = 0;
    ShardWriter writer(folder / "d", info, 4);
    for (const std::vector<std::int32_t>& ids : {std::vector<std::int32_t> {1, 2, 3, 4, 5}, {}, {7, static_cast<std::int32_t>(vocabulary - 1)}})
        writer.add({ids, std::vector<std::uint8_t>(weighted ? ids.size() : 0, 127)});
    writer.finish();
    std::vector<std::string> files;
    for (const std::string& name : kFiles)
        files.push_back(std::filesystem::exists(folder / "d" / name) ? test::readFile(folder / "d" / name) : std::string());
    return fuzz::joined(files);
}

void readAll(const TokenDataset& dataset)
{
    const DatasetInfo& info = dataset.info();
    std::int64_t sum = 0;
    for (std::int64_t d = 0; d < dataset.documentCount(); ++d) {
        fuzz::require(dataset.documentStart(d) == sum);
        const auto length = static_cast<std::size_t>(dataset.documentLength(d));
        std::vector<std::int32_t> tokens(length);
        std::vector<float> weights(length);
        dataset.read(d, 0, tokens, weights);
        for (std::size_t i = 0; i < length; ++i)
            fuzz::require(tokens[i] >= 0 && tokens[i] < info.vocabularySize && weights[i] >= 0 && weights[i] <= 1);
        sum += dataset.documentLength(d);
    }
    fuzz::require(sum == dataset.tokenCount());
}

} // namespace

std::vector<std::string> fuzzSeeds() { return {seed(300, false), seed(300, true), seed(100'000, true)}; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::vector<std::string_view> files = fuzz::cut(data, size, kFiles.size());
    for (std::size_t i = 0; i < kFiles.size(); ++i)
        fuzz::put(folder.path() / kFiles[i], files[i]);
    fuzz::accepted([&] { TokenDataset::open(folder.path(), true); });
    fuzz::accepted([&] {
        const auto dataset = TokenDataset::open(folder.path());
        readAll(*dataset);
        for (const bool packing : {false, true}) {
            SamplerOptions options;
            options.sequenceLength = 3;
            options.batchSize = 2;
            options.packing = packing;
            const BatchSampler sampler({DataPhase {0, {{dataset, 1}}}}, options);
            for (const std::int64_t step : {0, 1, 1'000'000})
                for (const std::int32_t id : sampler.batch(step).tokens)
                    fuzz::require(id >= 0 && id < dataset->info().vocabularySize);
        }
    });
    return 0;
}
