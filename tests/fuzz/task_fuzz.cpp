// Fuzz target: any bytes as a task file and its data file; the items of an accepted task can be scored.
#include <cmath>

#include "core/tasks/task.h"
#include "core/tasks/task_metrics.h"
#include "tests/fuzz/fuzz.h"

using namespace postnas;

std::vector<std::string> fuzzSeeds()
{
    std::vector<std::string> out;
    const std::filesystem::path tasks = test::sourceFolder() / "projects" / "quickstart" / "tasks";
    for (const auto& entry : std::filesystem::directory_iterator(tasks)) {
        if (entry.path().extension() != ".yaml")
            continue;
        std::string yaml = test::readFile(entry.path());
        const std::size_t at = yaml.find(".jsonl");
        const std::size_t begin = yaml.find_last_of(" :/\"'", at) + 1;
        const std::string lines = test::readFile(tasks / yaml.substr(begin, at + 6 - begin));
        out.push_back(fuzz::joined({yaml.replace(begin, at + 6 - begin, "data.jsonl"), lines.substr(0, lines.find('\n', 300) + 1)}));
    }
    out.push_back(fuzz::joined({R"(task: t
dataset_path: json
dataset_kwargs: {data_files: data.jsonl}
output_type: multiple_choice
doc_to_text: "{{q}} is"
doc_to_target: a
doc_to_choice: "{{[x, 'y', 3, -1.5]}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {group_by: g, version: 1}
)", R"({"q": "what", "x": "no", "a": 1, "g": true})" "\n" R"({"q": "who", "x": "it's", "a": "y", "g": "k"})" "\n"}));
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const test::TemporaryFolder folder;
    const std::vector<std::string_view> files = fuzz::cut(data, size, 2);
    fuzz::put(folder / "task.yaml", files[0]);
    fuzz::put(folder / "data.jsonl", files[1]);
    fuzz::accepted([&] {
        const TaskDefinition task = loadTask(folder / "task.yaml");
        for (const TaskItem& item : loadItems(task, 100)) {
            if (task.outputType == OutputType::MultipleChoice) {
                fuzz::require(item.answer >= 0 && static_cast<std::size_t>(item.answer) < item.choices.size());
                scoreMultipleChoice(item, std::vector<double>(item.choices.size(), -1.0));
            } else {
                scoreLoglikelihood(item, -1.0, true);
                scoreGeneration(task, item, item.target);
            }
        }
    });
    return 0;
}
