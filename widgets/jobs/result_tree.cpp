// Turns the JSON values of a result into rows.
#include "widgets/jobs/result_tree.h"

#include <algorithm>
#include <set>
#include <string>

#include <QHeaderView>
#include <QLocale>

#include "widgets/services/convert.h"

namespace postnas {
namespace {

constexpr int kMaxRows = 500; // of one result

/// Lists of layers count from 0 in files and from 1 on the screen.
bool isLayerList(const std::string& key, const Json& value)
{
    static const std::set<std::string> names {"full", "sliding", "layers", "found_layers", "full_layers"};
    return names.count(key) != 0 && value.is_array() &&
           std::all_of(value.begin(), value.end(), [](const Json& entry) { return entry.is_number_integer(); });
}

QString layerNumbers(const Json& list)
{
    QStringList numbers;
    for (const Json& layer : list)
        numbers.append(QLocale().toString(layer.get<qint64>() + 1));
    return numbers.isEmpty() ? ResultTree::tr("none") : numbers.join(QStringLiteral(", "));
}

void addValues(QTreeWidgetItem* parent, const Json& values, int depth, int& budget)
{
    for (const auto& [key, value] : values.items()) {
        if (budget-- <= 0)
            return;
        QString title = displayText(toQString(key), 200);
        if (values.is_array()) {
            // Entries of a list go by what they are about, or by their number.
            const bool named = value.is_object() && value.contains("task") && value["task"].is_string();
            title = named ? displayText(toQString(value["task"].get<std::string>()), 200) : QString::number(parent->childCount() + 1);
        }
        auto* item = new QTreeWidgetItem(parent, {title, QString()});
        const bool nested = value.is_object() || (value.is_array() && !value.empty() && value.front().is_object());
        if (isLayerList(key, value))
            item->setText(1, layerNumbers(value));
        else if (nested && depth < 4)
            addValues(item, value, depth + 1, budget);
        else if (value.is_string())
            item->setText(1, displayText(toQString(value.get<std::string>()), 500));
        else if (value.is_number_float())
            item->setText(1, QLocale().toString(value.get<double>(), 'g', 6));
        else if (value.is_number_integer())
            item->setText(1, QLocale().toString(value.get<qint64>()));
        else
            item->setText(1, displayText(toQString(dumpJson(value)), 500));
    }
}

} // namespace

ResultTree::ResultTree(QWidget* parent) : QTreeWidget(parent)
{
    setHeaderLabels({tr("Result"), tr("Value")});
    header()->setSectionResizeMode(0, QHeaderView::ResizeToContents);
    setAlternatingRowColors(true);
    setAccessibleName(tr("Results"));
}

void ResultTree::addResult(const event::Result& result)
{
    const QStringList columns {displayText(toQString(result.artifact), 200), displayText(toQString(result.path), 500)};
    // A resumed run writes some artifacts again: the newest one counts.
    for (int i = topLevelItemCount() - 1; i >= 0; --i)
        if (topLevelItem(i)->text(0) == columns[0] && topLevelItem(i)->text(1) == columns[1])
            delete takeTopLevelItem(i);
    auto* item = new QTreeWidgetItem(this, columns);
    int budget = kMaxRows;
    if (result.values.is_object())
        addValues(item, result.values, 0, budget);
    item->setExpanded(true);
}

} // namespace postnas
