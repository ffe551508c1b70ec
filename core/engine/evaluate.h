// Scores a checkpoint on tasks. No torch.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/cancellation.h"
#include "core/engine/language_model.h"

namespace postnas::engine {

struct EvaluationReport {
    struct Line {
        std::string task;
        double accuracy = 0;
        double standardError = 0;
        double loss = 0; ///< mean loss on the correct answer, nats; NaN for generated text
        std::int64_t items = 0;
        std::map<std::string, double> groups;
    };
    std::vector<Line> lines;
};

/// `tasks`: names or files of task definitions. Writes `output` in lm-evaluation-harness's layout unless it is empty.
EvaluationReport evaluateModel(const std::filesystem::path& model, const LoadOptions& load, const std::vector<std::string>& tasks,
                               std::int64_t limit, const std::filesystem::path& output, const CancellationToken& cancellation);

} // namespace postnas::engine
