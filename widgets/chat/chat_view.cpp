// Two columns, one input box, sampling settings, and the conversation's JSON form.
#include "widgets/chat/chat_view.h"

#include <QBoxLayout>
#include <QClipboard>
#include <QFileDialog>
#include <QGuiApplication>
#include <QKeyEvent>
#include <QLabel>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSplitter>
#include <QToolButton>

#include "core/base/error.h"
#include "widgets/chat/chat_column.h"
#include "widgets/chat/chat_transcript.h"
#include "widgets/chat/sampling_panel.h"
#include "widgets/services/convert.h"
#include "widgets/theme/theme.h"

namespace postnas {

ChatView::ChatView(QWidget* parent)
    : QWidget(parent)
    , m_sampling(new SamplingPanel)
    , m_input(new QPlainTextEdit)
    , m_send(new QPushButton(tr("&Send")))
    , m_stop(new QPushButton(tr("S&top")))
{
    m_columns[0] = new ChatColumn(tr("left"));
    m_columns[1] = new ChatColumn(tr("right"));
    auto* splitter = new QSplitter(Qt::Horizontal);
    splitter->setChildrenCollapsible(false);
    splitter->setHandleWidth(kSpace);
    for (ChatColumn* column : m_columns)
        splitter->addWidget(column);
    splitter->setSizes({500, 500});

    m_input->setPlaceholderText(tr("Ask both models. Enter sends, Shift+Enter begins a new line."));
    m_input->setAccessibleName(tr("Question to both models"));
    m_input->setTabChangesFocus(true);
    m_input->setFixedHeight(m_input->fontMetrics().lineSpacing() * 3 + 14);
    m_input->installEventFilter(this);
    m_send->setToolTip(tr("Send the question to both models (Enter)"));
    m_stop->setToolTip(tr("Stop both answers (Esc); what has come stays"));
    m_sampling->hide();

    auto* buttons = new QVBoxLayout;
    buttons->setSpacing(kSpaceSmall);
    buttons->addWidget(m_send);
    buttons->addWidget(m_stop);
    buttons->addStretch();
    auto* inputRow = new QHBoxLayout;
    inputRow->setSpacing(kSpace);
    inputRow->addWidget(m_input, 1);
    inputRow->addLayout(buttons);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(kSpace, kSpace, kSpace, kSpace);
    layout->setSpacing(kSpace);
    layout->addWidget(splitter, 1);
    layout->addLayout(inputRow);
    layout->addWidget(makeToolRow());
    layout->addWidget(m_sampling);

    connect(m_send, &QPushButton::clicked, this, &ChatView::send);
    connect(m_stop, &QPushButton::clicked, this, &ChatView::stop);
    connect(m_input, &QPlainTextEdit::textChanged, this, &ChatView::updateButtons);
    connect(m_sampling, &SamplingPanel::changed, this, [this] {
        showSampling();
        Q_EMIT conversationChanged();
    });
    for (int i = 0; i < 2; ++i) {
        connect(m_columns[i], &ChatColumn::stateChanged, this, &ChatView::updateButtons);
        connect(m_columns[i], &ChatColumn::conversationChanged, this, &ChatView::conversationChanged);
        connect(m_columns[i], &ChatColumn::modelChosen, this, &ChatView::conversationChanged);
        connect(m_columns[i], &ChatColumn::browseRequested, this, [this, i] { browse(i); });
    }
    setExamples({});
    showSampling();
    updateButtons();
}

QWidget* ChatView::makeToolRow()
{
    auto* row = new QWidget;
    auto* layout = new QHBoxLayout(row);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(kSpace);
    m_exampleButton = new QToolButton;
    m_exampleButton->setText(tr("E&xamples"));
    m_exampleButton->setPopupMode(QToolButton::InstantPopup);
    m_exampleButton->setMenu(new QMenu(m_exampleButton));
    m_exampleButton->setToolTip(tr("Questions of the project's tasks, with their right answers"));
    m_samplingButton = new QToolButton;
    m_samplingButton->setCheckable(true);
    m_samplingButton->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    m_samplingButton->setToolTip(tr("How the next token is drawn"));
    connect(m_samplingButton, &QToolButton::toggled, this, [this](bool on) {
        m_sampling->setVisible(on);
        showSampling();
    });
    auto* fresh = new QPushButton(tr("&New conversation"));
    auto* copy = new QPushButton(tr("&Copy conversation"));
    connect(fresh, &QPushButton::clicked, this, &ChatView::newConversation);
    connect(copy, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(conversationText()); });
    layout->addWidget(m_exampleButton);
    layout->addWidget(m_samplingButton);
    layout->addStretch();
    layout->addWidget(fresh);
    layout->addWidget(copy);
    return row;
}

void ChatView::showSampling()
{
    m_samplingButton->setArrowType(m_samplingButton->isChecked() ? Qt::DownArrow : Qt::RightArrow);
    m_samplingButton->setText(tr("Sampling: %1").arg(m_sampling->summary()));
}

void ChatView::setWorkerProgram(const QString& program, const QStringList& arguments)
{
    for (ChatColumn* column : m_columns)
        column->client()->setProgram(program, arguments);
}

void ChatView::setModels(const QVector<ChatModelChoice>& models)
{
    for (ChatColumn* column : m_columns)
        column->setModels(models);
}

void ChatView::setModel(int column, const QString& path)
{
    m_columns[column]->setModel(path);
}

QString ChatView::model(int column) const
{
    return m_columns[column]->model();
}

void ChatView::setDevice(const QString& device)
{
    for (ChatColumn* column : m_columns)
        column->setDevice(device);
}

void ChatView::setExamples(const QVector<ChatExample>& examples)
{
    m_examples = examples;
    QMenu* menu = m_exampleButton->menu();
    menu->clear();
    for (const ChatExample& example : examples) {
        const QString prompt = displayText(example.prompt, 200).simplified();
        QString text = displayText(example.label, 60) + QStringLiteral(": ") + (prompt.size() > 70 ? prompt.left(69) + QChar(0x2026) : prompt);
        if (!example.expected.isEmpty())
            text += tr("  (right: %1)").arg(displayText(example.expected, 40).simplified());
        text.replace(QLatin1Char('&'), QStringLiteral("&&")); // no mnemonics out of a file
        QAction* action = menu->addAction(text);
        connect(action, &QAction::triggered, this, [this, full = example.prompt] {
            m_input->setPlainText(full);
            m_input->moveCursor(QTextCursor::End);
            m_input->setFocus();
        });
    }
    m_exampleButton->setVisible(!examples.isEmpty());
}

bool ChatView::isBusy() const
{
    return m_columns[0]->isBusy() || m_columns[1]->isBusy();
}

void ChatView::updateButtons()
{
    const bool busy = isBusy();
    const bool taken = m_columns[0]->takesQuestions() || m_columns[1]->takesQuestions();
    m_send->setEnabled(!busy && taken && !m_input->toPlainText().trimmed().isEmpty());
    m_stop->setEnabled(busy);
}

void ChatView::send()
{
    const QString question = m_input->toPlainText().trimmed();
    const bool taken = m_columns[0]->takesQuestions() || m_columns[1]->takesQuestions();
    if (question.isEmpty() || isBusy() || !taken)
        return;
    GenerateRequest sampling;
    m_sampling->apply(sampling);
    m_input->clear();
    for (ChatColumn* column : m_columns)
        column->ask(question, sampling); // a column without a running model leaves it
}

void ChatView::stop()
{
    for (ChatColumn* column : m_columns)
        column->stop();
}

void ChatView::newConversation()
{
    for (ChatColumn* column : m_columns)
        column->newConversation();
    m_input->setFocus();
    Q_EMIT conversationChanged();
}

QString ChatView::conversationText() const
{
    QStringList parts;
    for (const ChatColumn* column : m_columns) {
        if (column->messages().isEmpty())
            continue;
        const QString title = column->modelLabel().isEmpty() ? tr("No model") : column->modelLabel();
        parts += QStringLiteral("=== %1 ===\n").arg(title) + ChatTranscript::plainText(column->messages());
    }
    return parts.join(QLatin1Char('\n'));
}

void ChatView::browse(int column)
{
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Choose a model folder"), m_columns[column]->model());
    if (folder.isEmpty())
        return;
    setModel(column, folder);
    Q_EMIT conversationChanged();
}

Json ChatView::toJson() const
{
    Json models = Json::array(), columns = Json::array();
    for (const ChatColumn* column : m_columns) {
        models.push_back(toStd(column->model()));
        columns.push_back(messagesToJson(column->messages()));
    }
    return {{"version", 1}, {"models", models}, {"sampling", m_sampling->toJson()},
            {"draft", toStd(m_input->toPlainText())}, {"columns", columns}};
}

void ChatView::fromJson(const Json& json, bool loadModels)
{
    const std::string source = "the saved conversation";
    if (!json.is_object())
        throw inputError(source + ": is no object");
    const JsonReader reader(json, source);
    if (reader.integer("version", 1, 1'000'000) != 1)
        reader.fail("version", "is newer than this program knows");
    const std::vector<std::string> models = reader.strings("models");
    const Json& columns = reader.value("columns");
    if (models.size() != 2 || !columns.is_array() || columns.size() != 2)
        reader.fail("columns", "does not hold two columns");
    QVector<ChatMessage> messages[2];
    for (std::size_t i = 0; i < 2; ++i)
        messages[i] = messagesFromJson(columns[i], source);
    const std::string draft = reader.string("draft", "");
    if (reader.has("sampling"))
        m_sampling->fromJson(reader.object("sampling").json(), source);
    for (std::size_t i = 0; i < 2; ++i) {
        m_columns[i]->setModel(toQString(models[i]), loadModels);
        m_columns[i]->setMessages(messages[i]);
    }
    m_input->setPlainText(toQString(draft));
    updateButtons();
}

bool ChatView::eventFilter(QObject* watched, QEvent* event)
{
    if (watched == m_input && event->type() == QEvent::KeyPress) {
        const auto* key = static_cast<QKeyEvent*>(event);
        const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
        if (enter && !(key->modifiers() & Qt::ShiftModifier)) {
            send();
            return true;
        }
        if (key->key() == Qt::Key_Escape && isBusy()) {
            stop();
            return true;
        }
    }
    return QWidget::eventFilter(watched, event);
}

} // namespace postnas
