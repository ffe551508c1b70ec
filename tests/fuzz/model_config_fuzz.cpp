// Fuzz target: any text as config.json and generation_config.json; what is accepted must be valid, countable and writable.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/architecture/model_summary.h"
#include "core/base/error.h"
#include "core/huggingface/generation_config.h"
#include "core/huggingface/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace postnas;
    try {
        const Json json = parseJson({reinterpret_cast<const char*>(data), size}, "fuzz.json");
        const Architecture a = parseModelConfig(json, "fuzz.json");
        try {
            modelSummary(a, 65536);
            const Architecture back = parseModelConfig(writeModelConfig(a), "written.json");
            if (back.layers != a.layers || parameterCount(back) != parameterCount(a))
                std::abort();
        } catch (const Error&) {
            std::abort(); // an accepted config must be usable
        }
        parseGenerationConfig(json, "fuzz.json", a);
    } catch (const Error& e) {
        if (e.errorClass() != ErrorClass::Input)
            std::abort();
    }
    return 0;
}
