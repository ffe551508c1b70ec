// What the checkpoint page shows of a model folder, read and checked on a thread.
#pragma once

#include <filesystem>
#include <functional>

#include <QObject>
#include <QString>
#include <QStringList>

#include "core/architecture/architecture.h"
#include "widgets/services/problem.h"

namespace postnas {

struct CheckpointSummary {
    QString path;              ///< the folder, or the config.json that was opened
    QString name;              ///< last part of the path
    Architecture architecture;
    qint64 parameters = 0;
    bool hasWeights = false;   ///< false: only the architecture is there
    quint64 weightBytes = 0;   ///< as stored
    QString dtype;             ///< of the stored weights, else what the config says
    int weightFiles = 0;
    bool hasTokenizer = false;
    bool hasChatTemplate = false;
    QStringList warnings;      ///< odd but harmless; safe to show
};

/// Opens a model folder or a config.json and checks all of it. Throws Error.
CheckpointSummary readCheckpoint(const std::filesystem::path& folderOrConfig);

/// Whether the path looks like a model: a folder with config.json, or a .json file.
bool looksLikeCheckpoint(const QString& path);

/// Reads on a pool thread and answers on the thread of `receiver`, if that still exists.
void readCheckpointAsync(const QString& path, QObject* receiver, std::function<void(const CheckpointSummary&)> done,
                         std::function<void(const Problem&)> failed);

} // namespace postnas
