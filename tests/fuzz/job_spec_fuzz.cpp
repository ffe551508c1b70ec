// Fuzz target: any text as spec.json; an accepted spec is written and read back as the same.
#include "core/jobs/job_spec.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

std::vector<std::string> fuzzSeeds()
{
    const std::filesystem::path quickstart = test::sourceFolder() / "projects" / "quickstart";
    return {test::readFile(quickstart / "pretrain.json"), test::readFile(quickstart / "placement.json"),
            R"({"stage": "pretrain", "seed": 3, "architecture": {"model_type": "qwen2"}, "tokenizer": "tok", "dtype": "bfloat16",
                "data": [{"path": "a", "steps": 10}, {"path": "b", "steps": 30, "weight": 2}], "betas": [0.9, 0.99]})",
            R"({"stage": "placement", "model": "m", "data": [{"path": "t.jsonl.zst"}], "tasks": ["t.yaml"], "objectives": {"t": "accuracy"},
                "training": {"steps": 100}, "sliding_window": {"layers": 2, "window": 32, "task": "k"}, "exhaustive": "auto"})",
            R"({"stage": "evaluate", "threads": 3, "device": "cuda", "anything": [1]})"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto classes = {ErrorClass::Usage, ErrorClass::Input};
    fuzz::accepted(
        [&] {
            const Json json = parseJson({reinterpret_cast<const char*>(data), size}, "spec.json");
            const Json once = toJson(parseJobSpec(json, "spec.json", "/base"));
            const bool again = fuzz::accepted(
                [&] { fuzz::require(toJson(parseJobSpec(parseJson(dumpJson(once), "spec.json"), "spec.json", "/elsewhere")) == once); }, classes);
            fuzz::require(again);
        },
        classes);
    return 0;
}
