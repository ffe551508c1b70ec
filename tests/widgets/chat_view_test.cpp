// The chat against a scripted worker process: streaming, stop, crash and restart, saving, hostile text.
#include <gtest/gtest.h>

#include <QClipboard>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QElapsedTimer>
#include <QGuiApplication>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTest>
#include <QToolButton>

#include "core/base/error.h"
#include "tests/widgets/widget_test.h"
#include "widgets/chat/chat_column.h"
#include "widgets/chat/chat_numbers.h"
#include "widgets/chat/chat_transcript.h"
#include "widgets/chat/chat_view.h"
#include "widgets/chat/sampling_panel.h"
#include "widgets/chat/visible_text.h"

namespace postnas {
namespace {

// Speaks the worker's protocol. The model's path chooses what it does; writes bytes one by one, so that UTF-8 is cut.
const char* const kWorker = R"PY(
import json, os, sys, threading, time
lock, cancelled, model = threading.Lock(), set(), ""
def out(**fields):
    line = json.dumps({"v": 1, "seq": 1, "t": "2026-01-01T00:00:00.000Z", **fields}, ensure_ascii=False) + "\n"
    with lock:
        for byte in line.encode():
            os.write(1, bytes([byte]))
def generate(c):
    question = c["messages"][-1]["content"]
    if question == "crash" and "fragile" in model:
        out(event="token", id=c["id"], token_id=1, text="half")
        os.kill(os.getpid(), 9)
    if question == "refuse":
        out(event="error", id=c["id"], **{"class": "usage", "message": "the prompt is too long", "hint": "shorten it"})
        return
    if question == "forever":
        n = 0
        while c["id"] not in cancelled:
            out(event="token", id=c["id"], token_id=n, text="x ")
            n += 1
            time.sleep(0.01)
        reason = "cancelled"
    else:
        pieces = {"echo": [json.dumps(c, sort_keys=True)]}.get(question, ["Grüße, ", "", "日本", "語 ", "😀 <b>", "bold</b>"])
        for n, piece in enumerate(pieces):
            out(event="token", id=c["id"], token_id=n, text=piece)
        n, reason = len(pieces), "stop"
    out(event="result", artifact="generation", id=c["id"], values={"text": "", "finish_reason": reason, "prompt_tokens": 7,
        "new_tokens": n, "tokens_per_second": 12.5, "state_bytes": 1572864})
out(event="hello", versions={}, device="cpu", pid=os.getpid(), stage="worker")
for line in sys.stdin:
    c = json.loads(line)
    if c["command"] == "load":
        if "missing" in c["model"]:
            out(event="error", id=c["id"], **{"class": "input", "message": c["model"] + "/config.json: not found", "hint": "choose another"})
            continue
        model = c["model"]
        out(event="result", artifact="model", id=c["id"], values={"model": model, "parameters": 1234567,
            "layers": ["attention", "gla", "gla", "gla"], "device": "cpu", "dtype": "float32"})
    elif c["command"] == "generate":
        threading.Thread(target=generate, args=(c,), daemon=True).start()
    elif c["command"] == "cancel":
        cancelled.add(c["target"])
        out(event="result", artifact="", id=c["id"], values={})
    elif c["command"] == "shutdown":
        break
)PY";

class ChatViewTest : public testing::Test {
protected:
    void SetUp() override
    {
        test::writeFile(folder / "worker.py", kWorker);
        view.setWorkerProgram(QStringLiteral("python3"), {QString::fromStdString((folder / "worker.py").string())});
        view.setModels({{QStringLiteral("Teacher"), QStringLiteral("/m/teacher")}, {QStringLiteral("Hybrid"), QStringLiteral("/m/fragile")}});
        view.resize(1000, 600);
        view.show();
    }

    ChatColumn& left() { return *view.column(0); }
    ChatColumn& right() { return *view.column(1); }
    void loadBoth()
    {
        view.setModel(0, QStringLiteral("/m/teacher"));
        view.setModel(1, QStringLiteral("/m/fragile"));
        ASSERT_TRUE(test::waitUntil([&] { return left().state() == ChatColumn::State::Ready && right().state() == ChatColumn::State::Ready; }));
    }
    void type(const QString& text)
    {
        view.input()->setFocus();
        QTest::keyClicks(view.input(), text);
    }
    void ask(const QString& text)
    {
        type(text);
        QTest::keyClick(view.input(), Qt::Key_Return);
    }
    bool idle() { return test::waitUntil([&] { return !view.isBusy(); }); }

    test::TemporaryFolder folder;
    ChatView view;
};

const QString kAnswer = QString::fromUtf8("Grüße, 日本語 😀 <b>bold</b>");

TEST_F(ChatViewTest, BothModelsAnswerTheSameQuestion)
{
    loadBoth();
    ask(QStringLiteral("hello"));
    EXPECT_TRUE(view.input()->toPlainText().isEmpty());
    const QString dots = QStringLiteral("…");
    EXPECT_TRUE(left().transcript()->toPlainText().contains(dots)) << "a question that is being read leaves a sign";
    ASSERT_TRUE(idle());
    EXPECT_FALSE(left().transcript()->toPlainText().contains(dots));
    for (int i = 0; i < 2; ++i) {
        const auto& messages = view.column(i)->messages();
        ASSERT_EQ(messages.size(), 2);
        EXPECT_EQ(messages[0].content, QStringLiteral("hello"));
        EXPECT_EQ(messages[1].content, kAnswer);
        // What the user sees is the text itself, tags and all.
        EXPECT_TRUE(view.column(i)->transcript()->toPlainText().contains(kAnswer));
        EXPECT_TRUE(view.column(i)->numbers()->text().contains(QStringLiteral("tokens/s 12.5")));
        EXPECT_TRUE(view.column(i)->numbers()->text().contains(QStringLiteral("prompt tokens 7")));
        EXPECT_TRUE(view.column(i)->numbers()->text().contains(QStringLiteral("1.500 MiB (1,572,864 bytes)"))) << view.column(i)->numbers()->text().toStdString();
    }
}

TEST_F(ChatViewTest, ShiftEnterBeginsALineAndTheHistoryIsSent)
{
    loadBoth();
    ask(QStringLiteral("first"));
    ASSERT_TRUE(idle());
    type(QStringLiteral("echo"));
    QTest::keyClick(view.input(), Qt::Key_Return, Qt::ShiftModifier);
    EXPECT_EQ(view.input()->toPlainText(), QStringLiteral("echo\n"));
    EXPECT_EQ(left().messages().size(), 2) << "Shift+Enter must not send";
    view.sampling()->temperature->setValue(0.7);
    view.sampling()->seed->setValue(42);
    QTest::mouseClick(view.sendButton(), Qt::LeftButton);
    ASSERT_TRUE(idle());
    const Json request = parseJson(left().messages().constLast().content.toStdString(), "echo");
    EXPECT_EQ(request["temperature"].get<double>(), 0.7);
    EXPECT_EQ(request["seed"].get<int>(), 42);
    ASSERT_EQ(request["messages"].size(), 3u);
    EXPECT_EQ(request["messages"][0]["content"].get<std::string>(), "first");
    EXPECT_EQ(request["messages"][1]["content"].get<std::string>(), kAnswer.toStdString());
    EXPECT_EQ(request["messages"][2]["content"].get<std::string>(), "echo");
}

TEST_F(ChatViewTest, StopKeepsWhatHasCome)
{
    loadBoth();
    EXPECT_FALSE(view.stopButton()->isEnabled());
    ask(QStringLiteral("forever"));
    ASSERT_TRUE(test::waitUntil([&] { return left().messages().constLast().content.size() > 20 && right().messages().constLast().content.size() > 20; }));
    EXPECT_FALSE(view.sendButton()->isEnabled());
    QTest::mouseClick(view.stopButton(), Qt::LeftButton);
    ASSERT_TRUE(idle());
    EXPECT_GT(left().messages().constLast().content.size(), 20);
    EXPECT_EQ(left().messages().constLast().note, QStringLiteral("Stopped."));
    ask(QStringLiteral("again")); // the same processes go on
    ASSERT_TRUE(idle());
    EXPECT_EQ(right().messages().constLast().content, kAnswer);
}

TEST_F(ChatViewTest, ACrashIsOneSentenceAndRestartGoesOn)
{
    loadBoth();
    ask(QStringLiteral("crash"));
    ASSERT_TRUE(test::waitUntil([&] { return right().state() == ChatColumn::State::Failed && !left().isBusy(); }));
    EXPECT_EQ(left().messages().constLast().content, kAnswer) << "the other model is not touched";
    EXPECT_EQ(right().messages().constLast().content, QStringLiteral("half"));
    EXPECT_FALSE(right().problemText().isEmpty());
    EXPECT_TRUE(right().restartButton()->isVisible());
    EXPECT_FALSE(left().restartButton()->isVisible());
    ask(QStringLiteral("hello")); // goes to the one that runs
    ASSERT_TRUE(idle());
    EXPECT_EQ(left().messages().size(), 4);
    EXPECT_EQ(right().messages().size(), 2);

    QTest::mouseClick(right().restartButton(), Qt::LeftButton);
    ASSERT_TRUE(test::waitUntil([&] { return right().state() == ChatColumn::State::Ready; }));
    EXPECT_TRUE(right().problemText().isEmpty());
    ask(QStringLiteral("hello"));
    ASSERT_TRUE(idle());
    EXPECT_EQ(right().messages().constLast().content, kAnswer);
    EXPECT_EQ(left().messages().size(), 6);
}

TEST_F(ChatViewTest, ABrokenModelSaysSoAndAnotherCanBeChosen)
{
    view.setModel(0, QStringLiteral("/m/missing"));
    ask(QStringLiteral("hello")); // asked while it loads
    ASSERT_TRUE(test::waitUntil([&] { return left().state() == ChatColumn::State::Failed; }));
    EXPECT_TRUE(left().problemText().contains(QStringLiteral("/m/missing/config.json: not found")));
    EXPECT_FALSE(view.isBusy());
    // Chosen from the list, as a user does.
    left().chooser()->setFocus();
    const int index = left().chooser()->findData(QStringLiteral("/m/teacher"));
    left().chooser()->setCurrentIndex(index);
    Q_EMIT left().chooser()->activated(index);
    ASSERT_TRUE(test::waitUntil([&] { return left().state() == ChatColumn::State::Ready; }));
    ask(QStringLiteral("refuse"));
    ASSERT_TRUE(idle());
    EXPECT_TRUE(left().messages().constLast().note.contains(QStringLiteral("the prompt is too long")));
    EXPECT_EQ(left().state(), ChatColumn::State::Ready) << "a refused question does not end the model";
}

TEST_F(ChatViewTest, ConversationsAreSavedAndRestored)
{
    loadBoth();
    QSignalSpy changed(&view, &ChatView::conversationChanged);
    ask(QStringLiteral("hello"));
    ASSERT_TRUE(idle());
    EXPECT_GE(changed.count(), 2);
    type(QStringLiteral("a draft"));
    view.sampling()->topK->setValue(17);
    const Json saved = parseJson(dumpJson(view.toJson()), "saved");

    ChatView other;
    other.setWorkerProgram(QStringLiteral("python3"), {QString::fromStdString((folder / "worker.py").string())});
    other.setModels({{QStringLiteral("Teacher"), QStringLiteral("/m/teacher")}});
    other.fromJson(saved);
    EXPECT_EQ(dumpJson(other.toJson()), dumpJson(saved));
    EXPECT_EQ(other.model(1), QStringLiteral("/m/fragile"));
    EXPECT_EQ(other.column(0)->state(), ChatColumn::State::Unloaded);
    EXPECT_TRUE(other.column(1)->transcript()->toPlainText().contains(kAnswer));
    other.show();
    other.send(); // loads the models, then asks
    ASSERT_TRUE(test::waitUntil([&] { return !other.isBusy(); }));
    EXPECT_EQ(other.column(1)->messages().constLast().content, kAnswer);

    const std::string before = dumpJson(other.toJson());
    for (const char* broken : {"[]", "{}", R"({"version":1,"models":["a"],"columns":[[],[]]})", R"({"version":9,"models":["a","b"],"columns":[[],[]]})",
                               R"({"version":1,"models":["a","b"],"columns":[[],[{"role":"system","content":""}]]})",
                               R"({"version":1,"models":["a","b"],"columns":[[],[]],"sampling":{"top_p":7}})"}) {
        EXPECT_THROW(other.fromJson(parseJson(broken, "broken")), Error) << broken;
        EXPECT_EQ(dumpJson(other.toJson()), before) << broken;
    }
}

TEST_F(ChatViewTest, NewConversationForgetsAndCopyGivesPlainText)
{
    loadBoth();
    ask(QStringLiteral("hello"));
    ASSERT_TRUE(idle());
    EXPECT_TRUE(view.conversationText().contains(QStringLiteral("=== Teacher ===\nYou:\nhello\n\nTeacher:\n") + kAnswer));
    ask(QStringLiteral("forever"));
    ASSERT_TRUE(test::waitUntil([&] { return !left().messages().constLast().content.isEmpty(); }));
    view.newConversation();
    EXPECT_TRUE(left().messages().isEmpty());
    QTest::qWait(200); // late tokens of the old answer must not appear
    EXPECT_TRUE(left().messages().isEmpty());
    EXPECT_TRUE(left().transcript()->toPlainText().trimmed().isEmpty());
    ask(QStringLiteral("echo"));
    ASSERT_TRUE(idle());
    EXPECT_EQ(parseJson(left().messages().constLast().content.toStdString(), "echo")["messages"].size(), 1u);
}

TEST_F(ChatViewTest, ExamplesFillTheInput)
{
    EXPECT_FALSE(view.exampleButton()->isVisible());
    view.setExamples({{QStringLiteral("R&D"), QStringLiteral("line one\nline two"), QStringLiteral("7")}});
    EXPECT_TRUE(view.exampleButton()->isVisible());
    const auto actions = view.exampleButton()->menu()->actions();
    ASSERT_EQ(actions.size(), 1);
    EXPECT_EQ(actions[0]->text().toStdString(), "R&&D: line one line two  (right: 7)");
    actions[0]->trigger();
    EXPECT_EQ(view.input()->toPlainText(), QStringLiteral("line one\nline two"));
    EXPECT_FALSE(view.sendButton()->isEnabled()) << "no model is chosen yet";
}

TEST(VisibleText, NothingActsAndNothingHides)
{
    EXPECT_EQ(visibleText(QStringLiteral("a\r\nb\tc\n")).toStdString(), "a\nb\tc\n");
    EXPECT_EQ(visibleText(QString::fromUtf8("a\x1b[31m\x07")).toStdString(), "a␛[31m␇");
    EXPECT_EQ(visibleText(QString(QChar(0x202E)) + QStringLiteral("abc")).toStdString(), "⟨U+202E⟩abc");
    EXPECT_EQ(visibleText(QString(QChar(0x2066))).toStdString(), "⟨U+2066⟩");
    EXPECT_EQ(visibleText(QString(QChar(0xFFFC))).toStdString(), "\uFFFD");
    EXPECT_EQ(visibleText(QString(QChar(0xFDD0))).toStdString(), "\uFFFD"); // a frame's start inside a text document
    EXPECT_EQ(visibleText(QString(QChar(0x2029))).toStdString(), "\n");
    EXPECT_EQ(visibleText(QString::fromUtf8("\U000E0041")).toStdString(), "⟨U+E0041⟩"); // a tag: invisible letters
    EXPECT_EQ(visibleText(QString(QChar(0xD800))).toStdString(), "\uFFFD");
    const QString family = QString::fromUtf8("👨‍👩‍👧 é ❤️");
    EXPECT_EQ(visibleText(family), family);
}

TEST(ChatTranscript, HostileTextStaysInItsMessage)
{
    ChatTranscript transcript;
    ChatMessage question;
    question.fromUser = true;
    question.content = QStringLiteral("<img src='file:///etc/passwd'><a href='http://x'>y</a>");
    ChatMessage answer;
    transcript.setMessages({question, answer});
    transcript.appendText(QString(QChar(0xFDD1)) + QString(QChar(0x2029)) + QStringLiteral("<h1>big</h1>"));
    transcript.appendText(QString(QChar(0xFFFC)));
    const QString shown = transcript.toPlainText();
    EXPECT_TRUE(shown.contains(question.content));
    EXPECT_TRUE(shown.contains(QStringLiteral("<h1>big</h1>")));
    EXPECT_FALSE(transcript.toHtml().contains(QStringLiteral("<img")));
    EXPECT_FALSE(transcript.toHtml().contains(QStringLiteral("<a href")));
}

} // namespace
} // namespace postnas
