// Drives one worker process for one side of the chat.
#include "widgets/chat/chat_column.h"

#include <cmath>

#include <QBoxLayout>
#include <QComboBox>
#include <QDir>
#include <QEvent>
#include <QFileInfo>
#include <QGridLayout>
#include <QLabel>
#include <QLocale>
#include <QPushButton>
#include <QStyle>

#include "core/base/text.h"
#include "widgets/chat/chat_transcript.h"
#include "widgets/chat/chat_view.h"
#include "widgets/services/convert.h"
#include "widgets/theme/block_colours.h"
#include "widgets/theme/theme.h"

namespace postnas {

namespace {

const QString kBrowse = QStringLiteral("\x01" "browse"); // no path: paths hold no control characters here

qint64 integerOr(const Json& values, const char* key, qint64 fallback)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_number() ? static_cast<qint64>(found->get<double>()) : fallback;
}

double numberOr(const Json& values, const char* key, double fallback)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_number() ? found->get<double>() : fallback;
}

QString textOr(const Json& values, const char* key)
{
    const auto found = values.find(key);
    return found != values.end() && found->is_string() ? displayText(toQString(found->get<std::string>()), 80) : QString();
}

} // namespace

ChatColumn::ChatColumn(const QString& accessibleName, QWidget* parent)
    : QFrame(parent)
    , m_client(new WorkerClient(this))
    , m_chooser(new QComboBox)
    , m_status(new QLabel)
    , m_transcript(new ChatTranscript)
    , m_banner(new QFrame)
    , m_bannerText(new QLabel)
    , m_restart(new QPushButton(tr("&Restart")))
{
    setFrameShape(QFrame::StyledPanel);
    m_chooser->setAccessibleName(tr("Model, %1").arg(accessibleName));
    m_chooser->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_chooser->setMinimumContentsLength(16);
    m_chooser->setToolTip(tr("The model that answers in this column; each column has its own process"));
    m_transcript->setAccessibleName(tr("Conversation, %1").arg(accessibleName));
    m_status->setTextFormat(Qt::PlainText);
    m_status->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_bannerText->setTextFormat(Qt::PlainText);
    m_bannerText->setWordWrap(true);
    m_bannerText->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    m_restart->setToolTip(tr("Start the model's process again; the conversation stays"));

    auto* bannerLayout = new QHBoxLayout(m_banner);
    bannerLayout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    bannerLayout->addWidget(m_bannerText, 1);
    bannerLayout->addWidget(m_restart, 0, Qt::AlignTop);
    m_banner->setAutoFillBackground(true);
    m_banner->hide();

    auto* numbers = new QGridLayout;
    numbers->setHorizontalSpacing(kSpaceLarge);
    numbers->setVerticalSpacing(0);
    const QStringList captions {tr("tokens/s"), tr("prompt tokens"), tr("new tokens"), tr("state")};
    const QStringList tips {tr("Decoded tokens per second"), tr("Length of the conversation as the model read it"),
                            tr("Tokens of the last answer"), tr("What decoding kept for this conversation: keys and values of attention layers, states of linear layers")};
    for (int i = 0; i < captions.size(); ++i) {
        auto* number = new QLabel(QStringLiteral("–"));
        number->setTextFormat(Qt::PlainText);
        auto* caption = new QLabel(captions[i]);
        number->setToolTip(tips[i]);
        caption->setToolTip(tips[i]);
        number->setAccessibleName(captions[i]);
        numbers->addWidget(number, 0, i);
        numbers->addWidget(caption, 1, i);
        m_numbers += number;
        m_captions += caption;
    }
    numbers->setColumnStretch(3, 1);

    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    layout->addWidget(m_chooser);
    layout->addWidget(m_status);
    layout->addWidget(m_transcript, 1);
    layout->addWidget(m_banner);
    layout->addLayout(numbers);

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
    showStats({});
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
    showStats({});
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
    showStats({});
}

void ChatColumn::setMessages(const QVector<ChatMessage>& messages)
{
    newConversation();
    m_messages = messages;
    m_transcript->setMessages(messages);
    for (qsizetype i = messages.size() - 1; i >= 0; --i) {
        if (messages[i].stats.known()) {
            showStats(messages[i].stats);
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
        m_messages.last().content += text;
        m_transcript->appendText(text);
    }
    ChatStats live;
    live.newTokens = m_tokens + 1;
    if (m_tokens > 0 && m_clock.elapsed() > 0)
        live.tokensPerSecond = static_cast<double>(m_tokens) * 1000.0 / static_cast<double>(m_clock.elapsed());
    showStats(live);
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
    answer.stats.tokensPerSecond = numberOr(values, "tokens_per_second", std::numeric_limits<double>::quiet_NaN());
    answer.stats.promptTokens = integerOr(values, "prompt_tokens", -1);
    answer.stats.newTokens = integerOr(values, "new_tokens", -1);
    answer.stats.stateBytes = integerOr(values, "state_bytes", -1);
    showStats(answer.stats);
    const QString reason = textOr(values, "finish_reason");
    setState(State::Ready);
    endAnswer(reason == QLatin1String("length") ? tr("Ended at the largest number of tokens.")
                  : reason == QLatin1String("cancelled") ? tr("Stopped.")
                                                         : QString());
}

void ChatColumn::onLoaded(const Json& values)
{
    QStringList parts;
    const qint64 parameters = integerOr(values, "parameters", -1);
    if (parameters >= 0)
        parts += tr("%1 parameters").arg(QLocale().toString(parameters));
    if (const auto layers = values.find("layers"); layers != values.end() && layers->is_array()) {
        QStringList blocks;
        for (const Json& layer : *layers) {
            if (layer.is_string())
                blocks += toQString(layer.get<std::string>());
        }
        parts += placementText(blocks);
    }
    for (const char* key : {"device", "dtype"}) {
        if (const QString text = textOr(values, key); !text.isEmpty())
            parts += text;
    }
    setState(State::Ready);
    m_status->setText(displayText(parts.join(QStringLiteral(" · ")), 300));
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

QString ChatColumn::statsText() const
{
    QStringList parts;
    for (int i = 0; i < m_numbers.size(); ++i)
        parts += m_captions[i]->text() + QLatin1Char(' ') + m_numbers[i]->text();
    return parts.join(QStringLiteral(" | "));
}

void ChatColumn::showStats(const ChatStats& stats)
{
    const QString dash = QStringLiteral("–");
    const QLocale locale;
    m_numbers[0]->setText(std::isfinite(stats.tokensPerSecond) ? locale.toString(stats.tokensPerSecond, 'f', 1) : dash);
    m_numbers[1]->setText(stats.promptTokens >= 0 ? locale.toString(stats.promptTokens) : dash);
    m_numbers[2]->setText(stats.newTokens >= 0 ? locale.toString(stats.newTokens) : dash);
    m_numbers[3]->setText(stats.stateBytes >= 0 ? tr("%1 MiB (%2 bytes)")
                                                      .arg(locale.toString(static_cast<double>(stats.stateBytes) / (1024.0 * 1024.0), 'f', 3),
                                                           locale.toString(stats.stateBytes))
                                                : dash);
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
    const auto mute = [&](QLabel* label) {
        QPalette p = palette();
        p.setColor(QPalette::WindowText, colours.mutedText);
        label->setPalette(p);
    };
    mute(m_status);
    for (QLabel* caption : std::as_const(m_captions)) {
        mute(caption);
        QFont small = font();
        small.setPointSizeF(std::max(7.0, font().pointSizeF() - 1));
        caption->setFont(small);
    }
    QFont strong = font();
    strong.setWeight(QFont::DemiBold);
    for (QLabel* number : std::as_const(m_numbers))
        number->setFont(strong);
    QPalette banner = palette();
    banner.setColor(QPalette::Window, colours.dark ? QColor(0x452722) : QColor(0xfdece9));
    banner.setColor(QPalette::WindowText, colours.dark ? QColor(0xffd0c8) : QColor(0x7d1a10));
    m_banner->setPalette(banner);
}

} // namespace postnas
