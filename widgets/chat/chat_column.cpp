// Drives one worker process for one side of the chat.
#include "widgets/chat/chat_column.h"

#include <QBoxLayout>
#include <QComboBox>
#include <QDir>
#include <QEvent>
#include <QFileInfo>
#include <QLabel>
#include <QPushButton>

#include "widgets/chat/chat_numbers.h"
#include "widgets/chat/chat_transcript.h"
#include "widgets/chat/chat_view.h"
#include "widgets/services/convert.h"
#include "widgets/theme/labels.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

const QString kBrowse = QStringLiteral("\x01" "browse"); // no path: paths hold no control characters here

} // namespace

ChatColumn::ChatColumn(const QString& accessibleName, QWidget* parent)
    : QFrame(parent)
    , m_client(new WorkerClient(this))
    , m_chooser(new QComboBox)
    , m_status(plainLabel(this))
    , m_transcript(new ChatTranscript)
    , m_banner(new QFrame)
    , m_bannerText(plainLabel(m_banner))
    , m_restart(new QPushButton(tr("&Restart")))
    , m_numbers(new ChatNumbers)
{
    setFrameShape(QFrame::StyledPanel);
    m_chooser->setAccessibleName(tr("Model, %1").arg(accessibleName));
    m_chooser->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_chooser->setMinimumContentsLength(16);
    m_chooser->setToolTip(tr("The model that answers in this column; each column has its own process"));
    m_transcript->setAccessibleName(tr("Conversation, %1").arg(accessibleName));
    m_status->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_bannerText->setWordWrap(true);
    m_bannerText->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    m_restart->setToolTip(tr("Start the model's process again; the conversation stays"));

    auto* bannerLayout = new QHBoxLayout(m_banner);
    bannerLayout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    bannerLayout->addWidget(m_bannerText, 1);
    bannerLayout->addWidget(m_restart, 0, Qt::AlignTop);
    m_banner->setAutoFillBackground(true);
    m_banner->hide();

    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    layout->addWidget(m_chooser);
    layout->addWidget(m_status);
    layout->addWidget(m_transcript, 1);
    layout->addWidget(m_banner);
    layout->addWidget(m_numbers);

    connect(m_chooser, &QComboBox::activated, this, [this] {
        const QString chosen = m_chooser->currentData().toString();
        if (chosen == kBrowse) {
            selectInChooser();
            Q_EMIT browseRequested();
        } else if (chosen != m_model) {
            setModel(chosen);
            Q_EMIT modelChosen();
        }
    });
    connect(m_restart, &QPushButton::clicked, this, &ChatColumn::restart);
    connect(m_client, &WorkerClient::token, this, &ChatColumn::onToken);
    connect(m_client, &WorkerClient::finished, this, &ChatColumn::onFinished);
    connect(m_client, &WorkerClient::failed, this, &ChatColumn::onFailed);
    connect(m_client, &WorkerClient::crashed, this, &ChatColumn::onCrashed);
    connect(m_client, &WorkerClient::stateChanged, this, [this](WorkerClient::State state) {
        if (state == WorkerClient::State::NotRunning && m_loadWhenStopped) {
            m_loadWhenStopped = false;
            load();
        }
    });
    setModels({});
    setState(State::NoModel);
    restyle();
}

void ChatColumn::setModels(const QVector<ChatModelChoice>& models)
{
    const QSignalBlocker blocker(m_chooser);
    m_chooser->clear();
    m_chooser->addItem(tr("No model"), QString());
    for (const ChatModelChoice& choice : models) {
        m_chooser->addItem(displayText(choice.label, 120), choice.path);
        m_chooser->setItemData(m_chooser->count() - 1, QDir::toNativeSeparators(choice.path).toHtmlEscaped(), Qt::ToolTipRole);
    }
    m_chooser->insertSeparator(m_chooser->count());
    m_chooser->addItem(tr("Browse…"), kBrowse);
    selectInChooser();
}

void ChatColumn::selectInChooser()
{
    const QSignalBlocker blocker(m_chooser);
    int index = m_chooser->findData(m_model);
    if (index < 0) { // a folder from outside the project
        index = m_chooser->count() - 2;
        m_chooser->insertItem(index, displayText(QFileInfo(m_model).fileName(), 120), m_model);
        m_chooser->setItemData(index, m_model.toHtmlEscaped(), Qt::ToolTipRole);
    }
    m_chooser->setCurrentIndex(index);
}

QString ChatColumn::modelLabel() const
{
    return m_model.isEmpty() ? QString() : m_chooser->itemText(m_chooser->findData(m_model));
}

void ChatColumn::setModel(const QString& path, bool loadNow)
{
    if (path == m_model && m_state != State::Failed)
        return;
    stop();
    m_waiting = false;
    if (m_state == State::Answering)
        endAnswer(tr("Stopped: another model was chosen."));
    m_generateId.clear();
    m_loadId.clear();
    m_loadWhenStopped = false;
    m_model = path;
    hideProblem();
    selectInChooser();
    m_numbers->showStats({});
    // One process, one model: the memory of the old one is free before the new one is read.
    m_client->shutDown();
    if (m_model.isEmpty())
        setState(State::NoModel);
    else if (loadNow)
        load();
    else
        setState(State::Unloaded);
}

void ChatColumn::load()
{
    setState(State::Loading);
    if (m_client->state() == WorkerClient::State::Stopping)
        m_loadWhenStopped = true;
    else
        m_loadId = m_client->load(m_model, m_device);
}

bool ChatColumn::takesQuestions() const
{
    return !isBusy() && (m_state == State::Ready || m_state == State::Loading || m_state == State::Unloaded);
}

void ChatColumn::ask(const QString& question, const GenerateRequest& sampling)
{
    if (!takesQuestions())
        return;
    m_request = sampling;
    m_request.messages.clear();
    m_request.prompt.clear();
    // Questions without an answer are left out: templates want questions and answers to take turns.
    for (qsizetype i = 0; i + 1 < m_messages.size(); ++i) {
        const ChatMessage& user = m_messages[i];
        const ChatMessage& answer = m_messages[i + 1];
        if (user.fromUser && !answer.fromUser && !answer.content.isEmpty()) {
            m_request.messages.push_back({QStringLiteral("user"), user.content});
            m_request.messages.push_back({QStringLiteral("assistant"), answer.content});
        }
    }
    m_request.messages.push_back({QStringLiteral("user"), question});

    ChatMessage user;
    user.fromUser = true;
    user.content = question;
    ChatMessage answer;
    answer.model = modelLabel();
    m_messages += user;
    m_messages += answer;
    m_transcript->addMessage(user);
    answer.content = QStringLiteral("…"); // until the first token; not kept
    m_transcript->addMessage(answer);
    m_waiting = true;
    if (m_state == State::Ready)
        generate();
    else if (m_state == State::Unloaded)
        load();
    Q_EMIT conversationChanged();
    Q_EMIT stateChanged();
}

void ChatColumn::generate()
{
    m_waiting = false;
    m_tokens = 0;
    m_clock.invalidate();
    m_numbers->showStats({});
    m_generateId = m_client->generate(m_request);
    setState(State::Answering);
}

void ChatColumn::stop()
{
    if (m_state == State::Answering) {
        m_client->cancel(m_generateId);
    } else if (m_waiting) {
        m_waiting = false;
        endAnswer(tr("Stopped before the model was loaded."));
        Q_EMIT stateChanged();
    }
}

void ChatColumn::restart()
{
    if (m_model.isEmpty())
        return;
    hideProblem();
    load();
}

void ChatColumn::newConversation()
{
    stop();
    m_generateId.clear(); // what still comes belongs to the old conversation
    m_waiting = false;
    if (m_state == State::Answering)
        setState(State::Ready);
    m_messages.clear();
    m_transcript->setMessages({});
    m_numbers->showStats({});
}

void ChatColumn::setMessages(const QVector<ChatMessage>& messages)
{
    newConversation();
    m_messages = messages;
    m_transcript->setMessages(messages);
    for (qsizetype i = messages.size() - 1; i >= 0; --i) {
        if (messages[i].stats.known()) {
            m_numbers->showStats(messages[i].stats);
            break;
        }
    }
}

void ChatColumn::onToken(const QString& id, const QString& text)
{
    if (id != m_generateId || m_state != State::Answering)
        return;
    if (!m_clock.isValid())
        m_clock.start();
    else
        ++m_tokens; // the first token includes reading the prompt
    if (!text.isEmpty()) {
        if (m_messages.constLast().content.isEmpty())
            m_transcript->updateLast(m_messages.constLast()); // without the dots
        m_messages.last().content += text;
        m_transcript->appendText(text);
    }
    ChatStats live;
    live.newTokens = m_tokens + 1;
    if (m_tokens > 0 && m_clock.elapsed() > 0)
        live.tokensPerSecond = static_cast<double>(m_tokens) * 1000.0 / static_cast<double>(m_clock.elapsed());
    m_numbers->showStats(live);
}

void ChatColumn::onFinished(const QString& id, const Json& values)
{
    if (id == m_loadId) {
        m_loadId.clear();
        onLoaded(values);
        return;
    }
    if (id != m_generateId || m_state != State::Answering)
        return;
    m_generateId.clear();
    ChatMessage& answer = m_messages.last();
    answer.stats = statsOfAnswer(values);
    m_numbers->showStats(answer.stats);
    const QString reason = finishReason(values);
    setState(State::Ready);
    endAnswer(reason == QLatin1String("length") ? tr("Ended at the largest number of tokens.")
                  : reason == QLatin1String("cancelled") ? tr("Stopped.")
                                                         : QString());
}

void ChatColumn::onLoaded(const Json& values)
{
    setState(State::Ready);
    m_status->setText(modelSummary(values));
    m_status->setToolTip(m_status->text().toHtmlEscaped());
    if (m_waiting)
        generate();
}

void ChatColumn::onFailed(const QString& id, const Problem& problem)
{
    if (id == m_loadId) {
        m_loadId.clear();
        const bool asked = std::exchange(m_waiting, false);
        setState(State::Failed);
        showProblem(problem);
        if (asked)
            endAnswer(tr("No answer: the model could not be loaded."));
    } else if (id == m_generateId && m_state == State::Answering) {
        m_generateId.clear();
        const bool died = m_client->state() == WorkerClient::State::NotRunning; // onCrashed follows and says how
        setState(died ? State::Failed : State::Ready);
        endAnswer(died ? tr("The answer ends here: the model's process ended.") : displayText(problem.text()));
    }
}

void ChatColumn::onCrashed(const Problem& problem)
{
    m_generateId.clear();
    m_loadId.clear();
    m_waiting = false;
    setState(State::Failed);
    showProblem({problem.errorClass, problem.message, tr("The conversation is kept. Restart loads the model again.")});
}

void ChatColumn::endAnswer(const QString& note)
{
    if (m_messages.isEmpty() || m_messages.constLast().fromUser)
        return;
    m_messages.last().note = note;
    m_transcript->updateLast(m_messages.constLast());
    Q_EMIT conversationChanged();
}

void ChatColumn::setState(State state)
{
    m_state = state;
    switch (state) {
    case State::NoModel: m_status->setText(tr("Choose a model to chat with.")); break;
    case State::Unloaded: m_status->setText(tr("The model is loaded with the first question.")); break;
    case State::Loading: m_status->setText(tr("Loading the model…")); break;
    case State::Failed: m_status->setText(tr("Not running")); break;
    case State::Ready:
    case State::Answering: break; // the line about the loaded model stays
    }
    m_status->setToolTip({});
    m_transcript->setPlaceholder(state == State::NoModel ? tr("Choose a model above.") : tr("Ask something below: both models get the same question."));
    Q_EMIT stateChanged();
}

void ChatColumn::showProblem(const Problem& problem)
{
    m_bannerText->setText(displayText(problem.text()));
    m_banner->show();
}

void ChatColumn::hideProblem()
{
    m_bannerText->clear();
    m_banner->hide();
}

QString ChatColumn::problemText() const
{
    return m_banner->isHidden() ? QString() : m_bannerText->text();
}

void ChatColumn::changeEvent(QEvent* event)
{
    QFrame::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange)
        restyle();
}

void ChatColumn::restyle()
{
    const ThemeColours colours = ThemeColours::of(palette());
    tintText(m_status, colours.mutedText);
    QPalette banner;
    banner.setColor(QPalette::Window, colours.dark ? QColor(0x452722) : QColor(0xfdece9));
    banner.setColor(QPalette::WindowText, colours.dark ? QColor(0xffd0c8) : QColor(0x7d1a10));
    m_banner->setPalette(banner);
}

} // namespace postnas
