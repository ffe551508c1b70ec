// Chat with two models side by side: one input, two answers, each from its own worker process.
#pragma once

#include <QStringList>
#include <QVector>
#include <QWidget>

#include "core/base/json.h"

class QPlainTextEdit;
class QPushButton;
class QToolButton;

namespace postnas {

class ChatColumn;
class SamplingPanel;

/// A model that the choosers offer.
struct ChatModelChoice {
    QString label; ///< "Teacher", "Hybrid of run 20260101-101010-placement"
    QString path;  ///< a Hugging Face folder
};

/// A question to start with, from the project's tasks.
struct ChatExample {
    QString label;  ///< shown in the menu: "retrieval"
    QString prompt;
    QString expected; ///< the right answer, shown beside the menu entry; may be empty
};

class ChatView : public QWidget {
    Q_OBJECT

public:
    explicit ChatView(QWidget* parent = nullptr);

    /// Another program than the found `postnas` with "worker" (tests). For processes that start from now on.
    void setWorkerProgram(const QString& program, const QStringList& arguments);

    /// What the choosers offer besides "Browse…". The current choice is kept when it is still offered.
    void setModels(const QVector<ChatModelChoice>& models);
    /// Chooses and loads a model; `column` is 0 (left) or 1 (right). A path that is not offered yet is added.
    void setModel(int column, const QString& path);
    QString model(int column) const; ///< path, empty: none
    void setExamples(const QVector<ChatExample>& examples);
    void setDevice(const QString& device); ///< "auto", "cpu", "cuda"; for models loaded from now on

    QToolButton* exampleButton() const { return m_exampleButton; }
    ChatColumn* column(int index) const { return m_columns[index]; }
    QPlainTextEdit* input() const { return m_input; }
    SamplingPanel* sampling() const { return m_sampling; }
    QPushButton* sendButton() const { return m_send; }
    QPushButton* stopButton() const { return m_stop; }
    bool isBusy() const; ///< a model is answering

    void send();            ///< the text of the input box, to both models
    void stop();            ///< both answers; what has come stays
    void newConversation(); ///< stops first
    QString conversationText() const; ///< plain text of both columns, for the clipboard

    /// {"version": 1, "models": [..], "sampling": {..}, "draft": "..", "columns": [[{"role","content","stats"}..]..]}
    Json toJson() const;
    /// Restores what toJson gave; throws Error(Input) and changes nothing when it does not fit. Loads the models only when
    /// `loadModels`; otherwise at the first question.
    void fromJson(const Json& json, bool loadModels = false);

Q_SIGNALS:
    void conversationChanged(); ///< a message was added or finished, or models or sampling changed: time to save

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void updateButtons();
    void browse(int column);
    QWidget* makeToolRow();
    void showSampling();

    ChatColumn* m_columns[2] = {nullptr, nullptr};
    SamplingPanel* m_sampling = nullptr;
    QPlainTextEdit* m_input = nullptr;
    QPushButton* m_send = nullptr;
    QPushButton* m_stop = nullptr;
    QToolButton* m_exampleButton = nullptr;
    QToolButton* m_samplingButton = nullptr;
    QVector<ChatExample> m_examples;
};

} // namespace postnas
