// Opens checkpoints for the window without ever holding their weights.
#include "widgets/checkpoint/checkpoint_summary.h"

#include <memory>

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QPointer>
#include <QThreadPool>

#include "core/base/json.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/model_config.h"
#include "widgets/services/convert.h"

namespace postnas {
namespace {

QString tr(const char* text) { return QCoreApplication::translate("CheckpointSummary", text); }

bool chatTemplateIn(const std::filesystem::path& folder)
{
    std::error_code code;
    if (std::filesystem::exists(folder / "chat_template.jinja", code))
        return true;
    if (!std::filesystem::exists(folder / "tokenizer_config.json", code))
        return false;
    const Json json = readJsonFile(folder / "tokenizer_config.json");
    return json.is_object() && json.contains("chat_template") && !json["chat_template"].is_null();
}

} // namespace

CheckpointSummary readCheckpoint(const std::filesystem::path& path)
{
    CheckpointSummary out;
    std::error_code code;
    if (!std::filesystem::exists(path, code))
        throw inputError(path.string() + ": does not exist", toStd(tr("Choose the folder that holds config.json.")));
    const bool folder = std::filesystem::is_directory(path, code);
    out.path = toQString(path);
    out.name = QFileInfo(out.path).fileName();
    if (folder && hasSafetensorsWeights(path)) {
        const Checkpoint checkpoint = Checkpoint::open(path);
        out.architecture = checkpoint.architecture();
        out.hasWeights = true;
        out.weightBytes = checkpoint.weightBytes();
        out.weightFiles = static_cast<int>(checkpoint.files().size());
        out.dtype = QString::fromLatin1(dtypeName(checkpoint.dtype()));
        for (const std::string& warning : checkpoint.warnings())
            out.warnings.append(displayText(toQString(warning)));
    } else {
        out.architecture = readModelConfig(path);
        out.dtype = toQString(out.architecture.dtype);
        out.warnings.append(tr("There are no weights here: the architecture can be edited, but nothing can run it."));
    }
    out.parameters = parameterCount(out.architecture);
    if (!folder)
        return out;
    out.hasTokenizer = std::filesystem::exists(path / "tokenizer.json", code);
    if (!out.hasTokenizer)
        out.warnings.append(tr("There is no tokenizer.json: text cannot be encoded, so chat and tasks will not work."));
    try {
        out.hasChatTemplate = chatTemplateIn(path);
    } catch (...) {
        // The model itself is sound; only chat suffers.
        out.warnings.append(displayText(Problem::current().message));
    }
    return out;
}

bool looksLikeCheckpoint(const QString& path)
{
    const QFileInfo info(path);
    return info.isDir() ? QFileInfo::exists(QDir(path).filePath(QStringLiteral("config.json")))
                        : info.isFile() && info.suffix() == QLatin1String("json");
}

void readCheckpointAsync(const QString& path, QObject* receiver, std::function<void(const CheckpointSummary&)> done,
                         std::function<void(const Problem&)> failed)
{
    QThreadPool::globalInstance()->start([path, guard = QPointer<QObject>(receiver), done = std::move(done), failed = std::move(failed)] {
        auto summary = std::make_shared<CheckpointSummary>();
        Problem problem;
        try {
            *summary = readCheckpoint(toPath(path));
        } catch (...) {
            problem = Problem::current();
        }
        QMetaObject::invokeMethod(QCoreApplication::instance(), [guard, done, failed, summary, problem] {
            if (!guard)
                return;
            if (problem.isEmpty())
                done(*summary);
            else
                failed(problem);
        });
    });
}

} // namespace postnas
