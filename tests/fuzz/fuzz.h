// What a fuzz target defines: libFuzzer's entry point, and inputs to start from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "tests/support/support.h"

/// Hands one input to a parser. Only postnas::Error may come out of the parser, and the target catches it; anything else, a
/// crash or a broken promise (call std::abort) is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Well-formed inputs that fuzz_runner.cpp mutates. A target may leave it out and be given seed files instead.
__attribute__((weak)) std::vector<std::string> fuzzSeeds();

namespace postnas::fuzz {

/// Stands between the files of an input that is several files; nothing that is well-formed has it inside.
inline constexpr std::string_view kCut = "\x1e\x1e\x1e";

/// The `count` files of an input; those that it lacks are empty.
inline std::vector<std::string_view> cut(const std::uint8_t* data, std::size_t size, std::size_t count)
{
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::vector<std::string_view> out(count);
    for (std::size_t i = 0; i < count && !rest.empty(); ++i) {
        const std::size_t end = i + 1 < count ? std::min(rest.find(kCut), rest.size()) : rest.size();
        out[i] = rest.substr(0, end);
        rest.remove_prefix(std::min(end + kCut.size(), rest.size()));
    }
    return out;
}

inline std::string joined(const std::vector<std::string>& files)
{
    std::string out;
    for (std::size_t i = 0; i < files.size(); ++i)
        out.append(i > 0 ? kCut : std::string_view()).append(files[i]);
    return out;
}

/// Writes the file, or removes it when it is empty.
inline void put(const std::filesystem::path& file, std::string_view content)
{
    if (content.empty())
        std::filesystem::remove(file);
    else
        test::writeFile(file, content);
}

/// Runs `parse`; true when it succeeded. An Error of another class than these is a finding, as is any other exception.
template <typename Parse>
bool accepted(Parse&& parse, std::initializer_list<ErrorClass> classes = {ErrorClass::Input})
{
    try {
        parse();
        return true;
    } catch (const Error& e) {
        if (std::find(classes.begin(), classes.end(), e.errorClass()) == classes.end())
            std::abort();
        return false;
    }
}

inline void require(bool promise)
{
    if (!promise)
        std::abort();
}

} // namespace postnas::fuzz
