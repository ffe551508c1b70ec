// The settings of a placement search as a form, checked while they are edited.
#pragma once

#include <optional>

#include <QWidget>

#include "core/architecture/architecture.h"
#include "core/jobs/job_spec.h"
#include "widgets/services/problem.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QFormLayout;
class QGroupBox;
class QLabel;
class QLineEdit;
class QSpinBox;

namespace postnas {

class PathList;

class PlacementForm : public QWidget {
    Q_OBJECT
public:
    explicit PlacementForm(QWidget* parent = nullptr);

    /// Fills the fields. What the form does not show (objectives, betas, exhaustive limit, ...) is kept as it is.
    void setSpec(const PlacementSpec& spec);
    /// The spec of the fields, not checked.
    PlacementSpec spec() const;
    /// The complete object for spec.json, through the same parser that the worker uses. Throws Error.
    Json checkedSpec() const;

    /// What is wrong with the fields; empty when the search can start.
    const Problem& problem() const { return m_problem; }
    bool isValid() const { return m_problem.isEmpty(); }

Q_SIGNALS:
    void validated(bool valid);

private:
    QWidget* makeInputs();
    QWidget* makeSearch();
    QWidget* makeTraining();
    QWidget* makeMachine();
    void addRow(QFormLayout* form, const QString& label, QWidget* field, const QString& help);
    void chooseModel();
    void readModel();
    void refreshTasks();
    void check();
    Problem findProblem() const;

    PlacementSpec m_base; ///< what the fields do not show
    std::optional<Architecture> m_model; ///< of the folder in the field; nothing when it cannot be opened
    Problem m_modelProblem;
    QStringList m_taskNames; ///< as the task files say
    Problem m_taskProblem;
    Problem m_problem;
    bool m_filling = false;

    QLineEdit* m_modelPath;
    PathList* m_data;
    PathList* m_tasks;
    QSpinBox* m_itemLimit;
    QComboBox* m_block;
    QCheckBox* m_fromTeacher;
    QSpinBox* m_fullLayers;
    QSpinBox* m_beam;
    QComboBox* m_placementTask;
    QGroupBox* m_sliding;
    QSpinBox* m_slidingLayers;
    QSpinBox* m_window;
    QComboBox* m_slidingTask;
    QCheckBox* m_uniform;
    QComboBox* m_exhaustive;
    QSpinBox* m_steps;
    QSpinBox* m_batch;
    QSpinBox* m_length;
    QLineEdit* m_rate;
    QSpinBox* m_warmup;
    QDoubleSpinBox* m_fullProbability;
    QCheckBox* m_packing;
    QLineEdit* m_seed;
    QComboBox* m_device;
    QComboBox* m_dtype;
    QSpinBox* m_threads;
    QLabel* m_message;
};

} // namespace postnas
