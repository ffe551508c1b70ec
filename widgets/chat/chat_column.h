// One side of the chat: a model in its own worker process, its conversation, its numbers.
#pragma once

#include <QElapsedTimer>
#include <QFrame>

#include "widgets/chat/chat_message.h"
#include "widgets/services/worker_client.h"

class QComboBox;
class QLabel;
class QPushButton;

namespace postnas {

class ChatNumbers;
class ChatTranscript;
struct ChatModelChoice;

class ChatColumn : public QFrame {
    Q_OBJECT

public:
    enum class State {
        NoModel,
        Unloaded,  ///< a model is chosen and will be loaded by the first question
        Loading,
        Ready,
        Answering,
        Failed ///< the model could not be loaded or its process died; the sentence and a Restart button are shown
    };
    Q_ENUM(State)

    explicit ChatColumn(const QString& accessibleName, QWidget* parent = nullptr);

    void setModels(const QVector<ChatModelChoice>& models);
    /// Chooses a model; empty: none, which ends the process. `load` false leaves it Unloaded.
    void setModel(const QString& path, bool load = true);
    const QString& model() const { return m_model; }
    QString modelLabel() const;
    void setDevice(const QString& device) { m_device = device; }

    State state() const { return m_state; }
    bool isBusy() const { return m_state == State::Answering || m_waiting; }
    /// Whether a question would be taken now.
    bool takesQuestions() const;

    void ask(const QString& question, const GenerateRequest& sampling);
    void stop();    ///< what has come stays
    void restart(); ///< loads the model again after a failure; the conversation stays
    void newConversation();

    const QVector<ChatMessage>& messages() const { return m_messages; }
    void setMessages(const QVector<ChatMessage>& messages);

    WorkerClient* client() const { return m_client; }
    ChatTranscript* transcript() const { return m_transcript; }
    QComboBox* chooser() const { return m_chooser; }
    QPushButton* restartButton() const { return m_restart; }
    QString problemText() const; ///< empty: none is shown
    ChatNumbers* numbers() const { return m_numbers; }

Q_SIGNALS:
    void stateChanged();
    void conversationChanged();
    void modelChosen();     ///< by the user
    void browseRequested(); ///< the user wants a folder that is not in the list

protected:
    void changeEvent(QEvent* event) override;

private:
    void load();
    void generate();
    void endAnswer(const QString& note);
    void setState(State state);
    void showProblem(const Problem& problem);
    void hideProblem();
    void onFinished(const QString& id, const Json& values);
    void onLoaded(const Json& values);
    void onFailed(const QString& id, const Problem& problem);
    void onCrashed(const Problem& problem);
    void onToken(const QString& id, const QString& text);
    void selectInChooser();
    void restyle();

    WorkerClient* m_client;
    QComboBox* m_chooser;
    QLabel* m_status;
    ChatTranscript* m_transcript;
    QFrame* m_banner;
    QLabel* m_bannerText;
    QPushButton* m_restart;
    ChatNumbers* m_numbers;

    QString m_model;
    QString m_device = QStringLiteral("auto");
    QVector<ChatMessage> m_messages;
    GenerateRequest m_request;
    State m_state = State::NoModel;
    bool m_waiting = false;       ///< a question waits for the model to be loaded
    bool m_loadWhenStopped = false;
    QString m_loadId, m_generateId;
    QElapsedTimer m_clock;
    qint64 m_tokens = 0;
};

} // namespace postnas
