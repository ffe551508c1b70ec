// Between Qt's strings and the core's: text is UTF-8, paths are the bytes that the file system has.
#pragma once

#include <filesystem>
#include <string>

#include <QFile>
#include <QString>

namespace postnas {

inline QString toQString(const std::string& text) { return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size())); }
inline QString toQString(const std::filesystem::path& path) { return QFile::decodeName(QByteArray::fromStdString(path.native())); }
inline std::string toStd(const QString& text) { return text.toUtf8().toStdString(); }
inline std::filesystem::path toPath(const QString& path) { return {QFile::encodeName(path).toStdString()}; }

/// Text from a file or a model for a label, a list or a log: control characters (except newline and tab) and bidirectional
/// controls are removed, and at most `limit` characters are kept.
QString displayText(const QString& text, qsizetype limit = 2000);

/// Absolute and without symbolic links where the path exists, so that one folder has one name.
QString canonicalPath(const QString& path);

} // namespace postnas
