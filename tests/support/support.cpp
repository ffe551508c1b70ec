// Temporary folders, reference data and child processes for the tests.
#include "tests/support/support.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace postnas::test {
namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder()
{
    std::string pattern = (fs::temp_directory_path() / "postnas-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
        throw std::runtime_error("no temporary folder");
    m_path = pattern;
}

TemporaryFolder::~TemporaryFolder()
{
    std::error_code ignored;
    fs::remove_all(m_path, ignored);
}

fs::path sourceFolder() { return POSTNAS_SOURCE_DIR; }
fs::path testData(const std::string& name) { return sourceFolder() / "tests" / "data" / name; }
fs::path programFolder() { return fs::path(POSTNAS_BINARY_DIR) / "bin"; }

std::optional<fs::path> qwenTokenizerFolder()
{
    if (const char* named = std::getenv("POSTNAS_QWEN_TOKENIZER"); named != nullptr && fs::exists(fs::path(named) / "tokenizer.json"))
        return fs::path(named);
    const fs::path shared = sourceFolder().parent_path() / "shared" / "qwen2.5-tokenizer";
    if (fs::exists(shared / "tokenizer.json"))
        return shared;
    return std::nullopt;
}

void writeFile(const fs::path& file, std::string_view content)
{
    fs::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!out)
        throw std::runtime_error("cannot write " + file.string());
}

std::filesystem::path writeGenerationTask(const std::filesystem::path& folder, const std::string& name, const std::string& docToText, int maxTokens,
                                          const std::vector<std::pair<std::string, std::string>>& items)
{
    std::string lines;
    for (const auto& [problem, answer] : items)
        lines += R"({"problem": ")" + problem + R"(", "answer": ")" + answer + "\"}\n";
    writeFile(folder / (name + ".jsonl"), lines);
    const std::filesystem::path file = folder / (name + ".yaml");
    writeFile(file, "task: " + name + "\ndataset_path: json\ndataset_kwargs: {data_files: " + name + R"(.jsonl}
test_split: train
output_type: generate_until
doc_to_text: ")" + docToText + R"("
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: )" + std::to_string(maxTokens) + R"(}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
)");
    return file;
}

std::string readFile(const fs::path& file)
{
    std::ifstream in(file, std::ios::binary);
    if (!in)
        throw std::runtime_error("cannot read " + file.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

ProcessResult runProcess(const std::vector<std::string>& arguments, const std::string& input, double timeoutSeconds)
{
    int in[2], out[2], err[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0)
        throw std::runtime_error("no pipe");
    std::vector<char*> argv;
    for (const std::string& a : arguments)
        argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(in[0], 0);
        ::dup2(out[1], 1);
        ::dup2(err[1], 2);
        ::execvp(argv[0], argv.data());
        ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    ::close(err[1]);
    ::signal(SIGPIPE, SIG_IGN);
    std::thread writer([&] {
        std::size_t done = 0;
        while (done < input.size()) {
            const ssize_t n = ::write(in[1], input.data() + done, input.size() - done);
            if (n <= 0)
                break;
            done += static_cast<std::size_t>(n);
        }
        ::close(in[1]);
    });
    ProcessResult result;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeoutSeconds);
    pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    int open = 2;
    bool killed = false;
    while (open > 0) {
        ::poll(fds, 2, 200);
        for (int i = 0; i < 2; ++i) {
            if (fds[i].fd < 0 || (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0)
                continue;
            char buffer[65536];
            const ssize_t n = ::read(fds[i].fd, buffer, sizeof buffer);
            if (n <= 0) {
                ::close(fds[i].fd);
                fds[i].fd = -1;
                --open;
            } else {
                (i == 0 ? result.output : result.errors).append(buffer, static_cast<std::size_t>(n));
            }
        }
        if (!killed && std::chrono::steady_clock::now() > deadline) {
            ::kill(child, SIGKILL);
            killed = true;
        }
    }
    writer.join();
    int status = 0;
    ::waitpid(child, &status, 0);
    result.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

} // namespace postnas::test
