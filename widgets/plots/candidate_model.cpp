// Table of candidates: learns the tasks as they appear and replaces rows by id.
#include "widgets/plots/candidate_model.h"

#include <cmath>
#include <limits>

#include "widgets/plots/export.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"

namespace postnas {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kMiB = 1024.0 * 1024.0;
constexpr int kLeading = 3;  // Origin, Placement, FullLayers
constexpr int kTrailing = 7; // Mean, Throughput, StateSize, Parameters, Objective, Pareto, Id
constexpr qsizetype kMaxTasks = 256; // events come from outside; more columns serve nobody

double metricOf(const std::map<std::string, double>& scores, ScoreMetric metric)
{
    const auto get = [&](const char* key) {
        const auto found = scores.find(key);
        return found == scores.end() ? kNan : found->second;
    };
    switch (metric) {
    case ScoreMetric::Accuracy: return get("accuracy");
    case ScoreMetric::NegativeLoss: return get("negative_loss");
    case ScoreMetric::Objective: break;
    }
    const double objective = get("objective");
    return std::isnan(objective) ? get("accuracy") : objective;
}

double stateMiB(const event::Candidate& c)
{
    return c.cost.stateBytes < 0 ? kNan : static_cast<double>(c.cost.stateBytes) / kMiB;
}

QVariant numberOrDash(double value, int decimals)
{
    return std::isnan(value) ? QStringLiteral("–") : QString::number(value, 'f', decimals);
}

} // namespace

QString originLabel(const QString& origin)
{
    static const QHash<QString, const char*> labels {
        {QStringLiteral("teacher"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Teacher")},
        {QStringLiteral("linear"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "All linear")},
        {QStringLiteral("heatmap"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "One layer full")},
        {QStringLiteral("beam"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Beam search")},
        {QStringLiteral("uniform"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Uniform")},
        {QStringLiteral("exhaustive"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Exhaustive")},
        {QStringLiteral("sliding_window"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Sliding window")},
        {QStringLiteral("found"), QT_TRANSLATE_NOOP("postnas::CandidateModel", "Found")},
    };
    const char* label = labels.value(origin, nullptr);
    return label != nullptr ? CandidateModel::tr(label) : displayText(origin, 40);
}

CandidateModel::CandidateModel(QObject* parent)
    : QAbstractTableModel(parent)
{
}

bool CandidateModel::learnTasks(const event::Candidate& candidate)
{
    bool grown = false;
    for (const auto& [task, scores] : candidate.scores) {
        const QString name = toQString(task);
        if (!m_tasks.contains(name) && m_tasks.size() < kMaxTasks) {
            m_tasks += name;
            grown = true;
        }
    }
    return grown;
}

void CandidateModel::insert(const event::Candidate& candidate)
{
    const QString id = toQString(candidate.id);
    const auto found = m_rowOfId.constFind(id);
    if (found != m_rowOfId.constEnd()) {
        m_candidates[static_cast<std::size_t>(*found)] = candidate;
    } else {
        m_rowOfId.insert(id, static_cast<int>(m_candidates.size()));
        m_candidates.push_back(candidate);
    }
}

void CandidateModel::setCandidates(std::vector<event::Candidate> candidates)
{
    beginResetModel();
    m_candidates.clear();
    m_rowOfId.clear();
    m_tasks.clear();
    m_pareto.clear();
    for (const event::Candidate& candidate : candidates) {
        learnTasks(candidate);
        insert(candidate);
    }
    endResetModel();
}

void CandidateModel::clear()
{
    setCandidates({});
}

void CandidateModel::addCandidate(const event::Candidate& candidate)
{
    if (m_candidates.empty()) {
        // A sorting proxy forgets its column when columns come before there is a row.
        setCandidates({candidate});
        return;
    }
    const int taskEnd = kLeading + static_cast<int>(m_tasks.size());
    const qsizetype before = m_tasks.size();
    if (learnTasks(candidate)) {
        const qsizetype grown = m_tasks.size() - before;
        // The list must be as long as the views believe until the insertion is announced.
        const QStringList all = m_tasks;
        m_tasks = all.mid(0, before);
        beginInsertColumns({}, taskEnd, taskEnd + static_cast<int>(grown) - 1);
        m_tasks = all;
        endInsertColumns();
    }
    const auto found = m_rowOfId.constFind(toQString(candidate.id));
    if (found != m_rowOfId.constEnd()) {
        const int row = *found;
        insert(candidate);
        Q_EMIT dataChanged(index(row, 0), index(row, columnCount() - 1));
        return;
    }
    const int row = rowCount();
    beginInsertRows({}, row, row);
    insert(candidate);
    endInsertRows();
}

void CandidateModel::addCandidates(const std::vector<event::Candidate>& candidates)
{
    if (m_candidates.empty()) {
        setCandidates(candidates);
        return;
    }
    for (const event::Candidate& candidate : candidates)
        addCandidate(candidate);
}

void CandidateModel::setMetric(ScoreMetric metric)
{
    if (metric == m_metric)
        return;
    m_metric = metric;
    if (rowCount() > 0)
        Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
}

void CandidateModel::setPareto(const QVector<bool>& pareto)
{
    if (pareto == m_pareto)
        return;
    m_pareto = pareto;
    const int column = columnOf(Column::Pareto);
    if (rowCount() > 0)
        Q_EMIT dataChanged(index(0, column), index(rowCount() - 1, column));
}

bool CandidateModel::isPareto(int row) const
{
    return m_pareto.value(row, false);
}

double CandidateModel::score(int row, const QString& task) const
{
    return score(row, task, m_metric);
}

double CandidateModel::score(int row, const QString& task, ScoreMetric metric) const
{
    const event::Candidate& c = m_candidates[static_cast<std::size_t>(row)];
    if (!task.isEmpty()) {
        const auto found = c.scores.find(toStd(task));
        return found == c.scores.end() ? kNan : metricOf(found->second, metric);
    }
    if (m_tasks.isEmpty())
        return kNan;
    double sum = 0;
    for (const QString& name : m_tasks) {
        const auto found = c.scores.find(toStd(name));
        sum += found == c.scores.end() ? kNan : metricOf(found->second, metric);
    }
    return sum / static_cast<double>(m_tasks.size());
}

QStringList CandidateModel::placement(int row) const
{
    QStringList blocks;
    for (const std::string& block : m_candidates[static_cast<std::size_t>(row)].placement)
        blocks += toQString(block);
    return blocks;
}

int CandidateModel::columnOf(Column column, int taskIndex) const
{
    switch (column) {
    case Column::Origin: return 0;
    case Column::Placement: return 1;
    case Column::FullLayers: return 2;
    case Column::Task: return kLeading + taskIndex;
    default: break;
    }
    return kLeading + static_cast<int>(m_tasks.size()) + static_cast<int>(column) - static_cast<int>(Column::Mean);
}

CandidateModel::Column CandidateModel::kindOf(int column) const
{
    if (column < kLeading)
        return static_cast<Column>(column);
    const int behind = column - kLeading - static_cast<int>(m_tasks.size());
    return behind < 0 ? Column::Task : static_cast<Column>(static_cast<int>(Column::Mean) + behind);
}

int CandidateModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_candidates.size());
}

int CandidateModel::columnCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : kLeading + static_cast<int>(m_tasks.size()) + kTrailing;
}

QVariant CandidateModel::data(const QModelIndex& index, int role) const
{
    if (!index.isValid())
        return {};
    const int row = index.row();
    const event::Candidate& c = m_candidates[static_cast<std::size_t>(row)];
    if (role == CandidateRole)
        return row;
    const Column kind = kindOf(index.column());
    const bool isText = kind == Column::Origin || kind == Column::Placement || kind == Column::FullLayers
        || kind == Column::Objective || kind == Column::Pareto || kind == Column::Id;
    if (role == Qt::TextAlignmentRole)
        return int((isText ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
    if (isText) {
        const QStringList blocks = placement(row);
        switch (kind) {
        case Column::Origin:
            return role == Qt::DisplayRole || role == SortRole ? QVariant(originLabel(toQString(c.origin))) : QVariant();
        case Column::Placement:
            if (role == Qt::DisplayRole)
                return placementText(blocks);
            if (role == kCsvRole || role == SortRole)
                return blocks.join(QLatin1Char(' '));
            return role == Qt::ToolTipRole ? QVariant(plainToolTip(placementText(blocks))) : QVariant();
        case Column::FullLayers:
            if (role == SortRole)
                return static_cast<double>(blocks.count(QStringLiteral("attention")));
            return role == Qt::DisplayRole ? QVariant(fullAttentionText(blocks)) : QVariant();
        case Column::Objective:
            return role == Qt::DisplayRole || role == SortRole ? QVariant(displayText(toQString(c.objective), 80)) : QVariant();
        case Column::Pareto:
            if (role == SortRole)
                return isPareto(row) ? 0.0 : 1.0;
            return role == Qt::DisplayRole ? QVariant(isPareto(row) ? tr("front") : QString()) : QVariant();
        default: return role == Qt::DisplayRole || role == SortRole ? QVariant(displayText(toQString(c.id), 200)) : QVariant();
        }
    }
    double value = kNan;
    int decimals = 3;
    switch (kind) {
    case Column::Task: value = score(row, m_tasks[index.column() - kLeading]); break;
    case Column::Mean: value = score(row, QString()); break;
    case Column::Throughput: value = c.cost.decodeTokensPerSecond.value_or(kNan); decimals = 1; break;
    case Column::StateSize: value = stateMiB(c); break;
    case Column::Parameters:
        value = c.cost.parameters < 0 ? kNan : static_cast<double>(c.cost.parameters);
        decimals = 0;
        break;
    default: break;
    }
    if (role == Qt::DisplayRole)
        return numberOrDash(value, decimals);
    if (role == kCsvRole)
        return value;
    if (role == SortRole)
        return std::isnan(value) ? -std::numeric_limits<double>::infinity() : value;
    return {};
}

QVariant CandidateModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal || (role != Qt::DisplayRole && role != Qt::ToolTipRole))
        return {};
    const bool tip = role == Qt::ToolTipRole;
    switch (kindOf(section)) {
    case Column::Origin: return tip ? tr("Which part of the search scored it") : tr("Origin");
    case Column::Placement: return tip ? tr("Block of each layer, the first layer first") : tr("Placement");
    case Column::FullLayers: return tip ? tr("Layers with full attention, numbered from 1") : tr("Full layers");
    case Column::Task: return tip ? plainToolTip(m_tasks[section - kLeading]) : displayText(m_tasks[section - kLeading], 80);
    case Column::Mean: return tip ? tr("Mean over all tasks") : tr("Mean");
    case Column::Throughput: return tip ? tr("Decoded tokens per second, measured on this machine") : tr("Tokens/s");
    case Column::StateSize: return tip ? tr("What decoding keeps per sequence") : tr("State (MiB)");
    case Column::Parameters: return tip ? tr("Number of parameters") : tr("Parameters");
    case Column::Objective: return tip ? tr("The task that guided the search to it") : tr("Searched for");
    case Column::Pareto: return tip ? tr("Nothing else is at least as good on both axes and better on one") : tr("Pareto");
    case Column::Id: return tip ? tr("Name of the candidate in the run") : tr("Id");
    }
    return {};
}

} // namespace postnas
