// Runs a fuzz target without libFuzzer: replays files, or mutates the target's seeds with a fixed random seed.
//
//   NAME_fuzz_run [--mutate] [--runs N] [--seed S] [--seconds T] [FILE or FOLDER ...]
//   NAME_fuzz_run --write-seeds FOLDER [FILE ...]     the seeds as files, for NAME_fuzz (libFuzzer) to start from
//
// With files it replays them. Without, or with --mutate, it then goes on with N mutations of the target's seeds and the files, or
// as many as T seconds allow. An input that crashes the target, or keeps it busy for over 20 seconds, is written to crash-NAME
// in the current folder.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

namespace {

const std::string* g_input = nullptr;
char g_crashFile[256];

void saveInput(int signal)
{
    const int file = ::open(g_crashFile, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (file >= 0 && g_input != nullptr)
        (void)!::write(file, g_input->data(), g_input->size());
    const char message[] = "the input was written to crash-NAME in the current folder\n";
    (void)!::write(2, message, sizeof message - 1);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const std::string& input)
{
    g_input = &input;
    ::alarm(20);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    ::alarm(0);
}

/// One to eight small changes: bytes changed, removed, doubled or inserted, and pieces of other seeds put in.
std::string mutate(const std::vector<std::string>& seeds, std::mt19937& random)
{
    std::string out = seeds[random() % seeds.size()];
    static constexpr const char* kPieces[] = {"{", "}", "[", "]", "\"", "'", "-", "0", "9999999999", "-1", "1e308", "\\", "\xff", "\xf0\x9f\x8e\x89", "\n", ":", ",", "null"};
    for (std::size_t change = 1 + random() % 8; change > 0; --change) {
        const std::size_t at = random() % (out.size() + 1);
        const std::size_t length = std::min<std::size_t>(out.size() - at, 1 + random() % 16);
        switch (random() % 6) {
        case 0:
            if (at < out.size())
                out[at] = static_cast<char>(random());
            break;
        case 1:
            out.erase(at, length);
            break;
        case 2:
            out.insert(at, out.substr(at, length));
            break;
        case 3:
            out.insert(at, kPieces[random() % std::size(kPieces)]);
            break;
        case 4:
            if (at < out.size())
                out[at] ^= static_cast<char>(1u << (random() % 8));
            break;
        default: {
            const std::string& other = seeds[random() % seeds.size()];
            const std::size_t from = random() % (other.size() + 1);
            out.insert(at, other.substr(from, 1 + random() % 64));
            break;
        }
        }
    }
    return out;
}

std::string readAll(const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace

int main(int argc, char** argv)
{
    unsigned long runs = 2000;
    unsigned long seed = 1;
    double seconds = 1e9;
    bool mutates = false;
    std::filesystem::path seedFolder;
    std::vector<std::string> inputs;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--runs" && i + 1 < argc)
            runs = std::strtoul(argv[++i], nullptr, 10);
        else if (argument == "--seed" && i + 1 < argc)
            seed = std::strtoul(argv[++i], nullptr, 10);
        else if (argument == "--seconds" && i + 1 < argc)
            seconds = std::strtod(argv[++i], nullptr);
        else if (argument == "--write-seeds" && i + 1 < argc)
            seedFolder = argv[++i];
        else if (argument == "--mutate")
            mutates = true;
        else if (std::filesystem::is_directory(argument))
            for (const auto& entry : std::filesystem::directory_iterator(argument))
                inputs.push_back(readAll(entry.path()));
        else
            inputs.push_back(readAll(argument));
    }
    std::snprintf(g_crashFile, sizeof g_crashFile, "crash-%s", std::filesystem::path(argv[0]).filename().c_str());
    for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL, SIGALRM})
        std::signal(signal, saveInput);

    mutates = mutates || inputs.empty() || !seedFolder.empty();
    std::vector<std::string> seeds = inputs;
    if (mutates && fuzzSeeds != nullptr)
        for (std::string& own : fuzzSeeds())
            seeds.push_back(std::move(own));
    if (seeds.empty()) {
        std::fprintf(stderr, "there are no inputs\n");
        return 1;
    }
    if (!seedFolder.empty()) {
        std::filesystem::create_directories(seedFolder);
        for (std::size_t i = 0; i < seeds.size(); ++i)
            std::ofstream(seedFolder / ("seed-" + std::to_string(i)), std::ios::binary) << seeds[i];
        return 0;
    }
    for (const std::string& input : seeds)
        run(input);
    std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
    const auto start = std::chrono::steady_clock::now();
    unsigned long done = 0;
    for (; mutates && done < runs; ++done) {
        if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > seconds)
            break;
        run(mutate(seeds, random));
    }
    std::printf("%zu inputs replayed, %lu mutations\n", seeds.size(), done);
    return 0;
}
