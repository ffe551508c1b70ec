// Measures how fast the tokenizer loads and encodes, on one core: postnas_tokenizer_benchmark FOLDER TEXT_FILE [SECONDS].
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/huggingface/tokenizer.h"

namespace {

/// Processor seconds of this process: on a shared machine the wall clock measures the neighbours too.
double processorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double secondsSince(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The text in documents of about `size` bytes, cut at line ends, as a data builder feeds it.
std::vector<std::string> documents(const std::string& text, std::size_t size)
{
    std::vector<std::string> out;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t newline = text.find('\n', std::min(begin + size, text.size() - 1));
        const std::size_t end = newline == std::string::npos ? text.size() : newline + 1;
        out.push_back(text.substr(begin, end - begin));
        begin = end;
    }
    return out;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s TOKENIZER_FOLDER TEXT_FILE [SECONDS]\n", argv[0]);
        return 2;
    }
    try {
        auto start = std::chrono::steady_clock::now();
        const postnas::Tokenizer tokenizer = postnas::Tokenizer::load(argv[1]);
        const double loading = secondsSince(start);
        const std::string text = postnas::readTextFile(argv[2], 1u << 30);
        const std::vector<std::string> parts = documents(text, 16 * 1024);
        const double enough = argc > 3 ? std::atof(argv[3]) : 3;
        std::size_t tokens = 0;
        std::size_t bytes = 0;
        start = std::chrono::steady_clock::now();
        const double processorStart = processorSeconds();
        do {
            tokens = 0;
            for (const std::string& part : parts)
                tokens += tokenizer.encode(part).size();
            bytes += text.size();
        } while (secondsSince(start) < enough);
        const double megabytes = static_cast<double>(bytes) / 1e6;
        std::printf("{\"load_seconds\": %.3f, \"bytes\": %zu, \"tokens\": %zu, \"mb_per_s\": %.2f, \"mb_per_cpu_s\": %.2f}\n", loading,
                    text.size(), tokens, megabytes / secondsSince(start), megabytes / (processorSeconds() - processorStart));
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
    return 0;
}
