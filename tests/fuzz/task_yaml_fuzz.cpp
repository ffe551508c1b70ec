// Any bytes as a YAML task file: they become JSON or end in an Error.
#include <cstdlib>

#include "core/base/error.h"
#include "core/tasks/task_yaml.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/support.h"

std::vector<std::string> fuzzSeeds()
{
    std::vector<std::string> out = {"a: &x [1, 2.5, 'q', \"d\\n\", ~, true]\nb: {c: *x, d: !!str 5}\n? k\n: v\n",
                                    "task: t\nmetric_list:\n  - metric: acc\n    aggregation: mean\ndoc_to_text: |\n  Question: {{q}}\n  Answer:\nlist: >-\n  folded\n  text\n"};
    for (const auto& entry : std::filesystem::directory_iterator(postnas::test::sourceFolder() / "projects" / "quickstart" / "tasks"))
        if (entry.path().extension() == ".yaml")
            out.push_back(postnas::test::readFile(entry.path()));
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    try {
        const postnas::Json value = postnas::parseYaml(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.yaml");
        if (value.dump(-1, ' ', false, postnas::Json::error_handler_t::replace).size() > (64u << 20))
            std::abort();
    } catch (const postnas::Error& e) {
        if (e.errorClass() != postnas::ErrorClass::Input)
            std::abort();
    }
    return 0;
}
