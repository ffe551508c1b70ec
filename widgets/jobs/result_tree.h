// The results of a run as a tree of names and values.
#pragma once

#include <QTreeWidget>

#include "core/jobs/event.h"

namespace postnas {

class ResultTree : public QTreeWidget {
    Q_OBJECT
public:
    explicit ResultTree(QWidget* parent = nullptr);

    /// Adds an artifact with its values; of very many only the first ones are shown.
    void addResult(const event::Result& result);
};

} // namespace postnas
