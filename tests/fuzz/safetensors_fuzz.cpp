// Fuzz target: any bytes as a safetensors file, and as a shard index; only Error(Input) may come out.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "core/base/error.h"
#include "core/huggingface/checkpoint_index.h"
#include "core/huggingface/safetensors.h"

namespace {

/// Every byte of every view must be readable, and sizes must be what the shapes say.
void touch(const postnas::SafetensorsFile& file)
{
    unsigned sum = 0;
    for (const auto& [name, view] : file.tensors()) {
        std::uint64_t bytes = postnas::dtypeSize(view.dtype);
        for (const std::uint64_t extent : view.shape)
            bytes *= extent;
        if (bytes != view.data.size() || name != view.name)
            std::abort();
        for (const std::byte b : view.data)
            sum += static_cast<unsigned>(b);
    }
    volatile unsigned sink = sum;
    (void)sink;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto refused = [](const postnas::Error& e) {
        if (e.errorClass() != postnas::ErrorClass::Input)
            std::abort();
    };
    try {
        touch(postnas::SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz.safetensors"));
    } catch (const postnas::Error& e) {
        refused(e);
    }
    try {
        postnas::parseShardIndex({reinterpret_cast<const char*>(data), size}, "fuzz.index.json");
    } catch (const postnas::Error& e) {
        refused(e);
    }
    return 0;
}
