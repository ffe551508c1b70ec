// `postnas data`: token shards from text files, and what is in them.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/cli/commands.h"
#include "core/base/cancellation.h"
#include "core/base/text.h"
#include "core/data/dataset_builder.h"
#include "core/data/token_dataset.h"
#include "core/data/tokenizer_adapter.h"

namespace postnas {
namespace {

struct BuildArguments {
    std::string tokenizer;
    std::string output;
    std::vector<std::string> files;
    int threads = 0;
    double promptWeight = 0;
    std::int64_t shardTokens = BuildOptions {}.shardTokens;
    bool appendEndOfText = false;
    bool controlTokens = false;
    std::int64_t limit = 0;
};

struct InfoArguments {
    std::string folder;
    bool verify = false;
    bool json = false;
};

void printInfo(const std::string& folder, const DatasetInfo& info)
{
    std::printf("%s\n", sanitizeForTerminal(folder).c_str());
    std::printf("  documents   %s\n", groupThousands(info.documents).c_str());
    std::printf("  tokens      %s\n", groupThousands(info.tokens).c_str());
    std::printf("  shards      %s\n", groupThousands(info.shards).c_str());
    std::printf("  vocabulary  %s\n", groupThousands(info.vocabularySize).c_str());
    std::printf("  weights     %s\n", info.weighted ? "yes" : "no (every token counts)");
    if (!info.tokenizerHash.empty())
        std::printf("  tokenizer   %s\n", sanitizeForTerminal(info.tokenizerHash).c_str());
}

void build(const BuildArguments& arguments)
{
    const BuilderTokenizer tokenizer = loadBuilderTokenizer(arguments.tokenizer);
    BuildOptions options;
    options.threads = arguments.threads;
    options.promptWeight = arguments.promptWeight;
    options.shardTokens = arguments.shardTokens;
    options.appendEndOfText = arguments.appendEndOfText;
    options.controlTokens = arguments.controlTokens;
    options.maxDocuments = arguments.limit;
    options.cancellation = processCancellation();
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    auto shown = start;
    const bool terminal = ::isatty(2) != 0;
    options.progress = [&](std::int64_t documents, std::int64_t tokens, std::int64_t bytes, std::int64_t total) {
        const auto now = Clock::now();
        if (!terminal || now - shown < std::chrono::milliseconds(200))
            return;
        shown = now;
        const double seconds = std::chrono::duration<double>(now - start).count();
        std::fprintf(stderr, "\r%3.0f%%  %s documents  %s tokens  %s tokens/s ", total > 0 ? 100.0 * static_cast<double>(bytes) / static_cast<double>(total) : 0.0,
                     groupThousands(documents).c_str(), groupThousands(tokens).c_str(),
                     groupThousands(static_cast<std::int64_t>(static_cast<double>(tokens) / seconds)).c_str());
    };
    const std::vector<std::filesystem::path> files(arguments.files.begin(), arguments.files.end());
    const DatasetInfo info = buildDataset(files, arguments.output, tokenizer, options);
    if (terminal)
        std::fprintf(stderr, "\r\033[K");
    printInfo(arguments.output, info);
    std::printf("  built in    %.1f s\n", std::chrono::duration<double>(Clock::now() - start).count());
}

void showInfo(const InfoArguments& arguments)
{
    const auto dataset = TokenDataset::open(arguments.folder, arguments.verify);
    const DatasetInfo& info = dataset->info();
    if (!arguments.json) {
        printInfo(arguments.folder, info);
        return;
    }
    const Json out {{"documents", info.documents},         {"tokens", info.tokens},       {"shards", info.shards},
                    {"vocabulary_size", info.vocabularySize}, {"weighted", info.weighted}, {"end_of_text", info.endOfText},
                    {"tokenizer", info.tokenizerHash},     {"provenance", info.provenance}};
    std::printf("%s\n", dumpJson(out, 2).c_str());
}

} // namespace

void addDataCommand(CLI::App& app)
{
    CLI::App* data = app.add_subcommand("data", "Token shards for training: build them, look at them");
    data->require_subcommand(1);

    CLI::App* buildCommand = data->add_subcommand("build", "Tokenise .jsonl and .txt files (also .gz, .zst) into a folder of shards");
    const auto arguments = std::make_shared<BuildArguments>();
    buildCommand->add_option("--tokenizer", arguments->tokenizer, "Model folder with tokenizer.json")->required();
    buildCommand->add_option("--output", arguments->output, "Folder to make")->required();
    buildCommand->add_option("files", arguments->files, "Input files, read in this order")->required();
    buildCommand->add_option("--threads", arguments->threads, "Threads (0: all cores)")->check(CLI::Range(0, 1024));
    buildCommand->add_option("--prompt-weight", arguments->promptWeight, "Loss weight of prompts and of what is not an assistant's turn")
        ->check(CLI::Range(0.0, 1.0));
    buildCommand->add_option("--shard-tokens", arguments->shardTokens, "Tokens after which a shard is closed")
        ->check(CLI::Range(std::int64_t {1}, std::int64_t {1} << 32));
    buildCommand->add_option("--limit", arguments->limit, "Documents at most (0: all)")->check(CLI::NonNegativeNumber);
    buildCommand->add_flag("--append-end-of-text", arguments->appendEndOfText, "End each document with the end-of-text token");
    buildCommand->add_flag("--control-tokens", arguments->controlTokens,
                           "Recognise control tokens that the files spell out (only for files you trust)");
    buildCommand->callback([arguments] { build(*arguments); });

    CLI::App* infoCommand = data->add_subcommand("info", "Counts of a folder of shards; checks it while reading");
    const auto info = std::make_shared<InfoArguments>();
    infoCommand->add_option("folder", info->folder, "Folder of shards")->required();
    infoCommand->add_flag("--verify", info->verify, "Check the hash of each shard too");
    infoCommand->add_flag("--json", info->json, "JSON output");
    infoCommand->callback([info] { showInfo(*info); });
}

} // namespace postnas
