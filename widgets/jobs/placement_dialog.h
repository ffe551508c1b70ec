// The dialog "New placement search".
#pragma once

#include <QDialog>

#include "core/jobs/job_spec.h"

class QPushButton;

namespace postnas {

class PlacementForm;

class PlacementDialog : public QDialog {
    Q_OBJECT
public:
    explicit PlacementDialog(const PlacementSpec& defaults, QWidget* parent = nullptr);

    PlacementForm* form() const { return m_form; }
    QPushButton* startButton() const { return m_start; }
    /// The checked spec; valid after the dialog was accepted.
    const Json& spec() const { return m_spec; }

private:
    void loadSpec();
    void saveSpec();
    void start();

    PlacementForm* m_form;
    QPushButton* m_start;
    Json m_spec;
};

/// What a new search begins with: the spec of the newest placement run of the project, else the quick-start's when `teacher`
/// is its model, else defaults for `teacher`. Problems with these files are passed over.
PlacementSpec defaultPlacementSpec(const std::filesystem::path& newestRunSpec, const std::filesystem::path& teacher);

} // namespace postnas
