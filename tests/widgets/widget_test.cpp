// Helpers of the widget tests.
#include "tests/widgets/widget_test.h"

#include <QCoreApplication>
#include <QElapsedTimer>
#include <QTest>

#include "core/jobs/job_spec.h"
#include "widgets/services/convert.h"

namespace postnas::test {

bool waitUntil(const std::function<bool()>& condition, int milliseconds)
{
    QElapsedTimer clock;
    clock.start();
    while (!condition()) {
        if (clock.hasExpired(milliseconds))
            return false;
        QTest::qWait(10);
    }
    return true;
}

QString fakeWorker() { return toQString(sourceFolder() / "tests" / "widgets" / "fake_worker.py"); }

Json placementSpec(const std::filesystem::path& folder, const std::filesystem::path& model, int steps)
{
    writeFile(folder / "data.jsonl", "{\"text\": \"a b c\"}\n");
    writeFile(folder / "retrieval.jsonl", "{\"question\": \"Say b.\", \"answer\": \"b\"}\n");
    writeFile(folder / "retrieval.yaml", "task: retrieval\ndataset_path: json\ndataset_kwargs:\n  data_files: retrieval.jsonl\n"
                                         "test_split: train\noutput_type: loglikelihood\ndoc_to_text: \"{{question}}\"\n"
                                         "doc_to_target: \"{{answer}}\"\n");
    PlacementSpec spec;
    spec.model = model;
    spec.data = {{folder / "data.jsonl", std::nullopt, 1}};
    spec.tasks = {folder / "retrieval.yaml"};
    spec.training.steps = steps;
    spec.fullLayers = 1;
    return toJson(JobSpec {"placement", spec});
}

} // namespace postnas::test
