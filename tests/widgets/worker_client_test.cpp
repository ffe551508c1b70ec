// Requests, answers and the death of a worker process.
#include <csignal>

#include <QSignalSpy>

#include <gtest/gtest.h>

#include "tests/widgets/widget_test.h"
#include "widgets/services/worker_client.h"

namespace postnas {
namespace {

class WorkerClientTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        client.setProgram(test::fakeWorker());
        QObject::connect(&client, &WorkerClient::token, &client, [this](const QString& id, const QString& piece, qint64) { text[id] += piece; });
        QObject::connect(&client, &WorkerClient::finished, &client, [this](const QString& id, const Json& values) { results[id] = values; });
        QObject::connect(&client, &WorkerClient::failed, &client, [this](const QString& id, const Problem& problem) { failures[id] = problem; });
    }
    bool answered(const QString& id)
    {
        return test::waitUntil([&] { return results.count(id) + failures.count(id) > 0; });
    }
    QString ask(const QString& prompt)
    {
        GenerateRequest request;
        request.prompt = prompt;
        return client.generate(request);
    }

    WorkerClient client;
    std::map<QString, QString> text;
    std::map<QString, Json> results;
    std::map<QString, Problem> failures;
};

TEST_F(WorkerClientTest, LoadsAndStreams)
{
    const QString load = client.load(QStringLiteral("/models/tiny"));
    const QString answer = ask(QStringLiteral("hello"));
    ASSERT_TRUE(answered(load));
    ASSERT_TRUE(answered(answer));
    EXPECT_EQ(client.loadedModel(), QStringLiteral("/models/tiny"));
    EXPECT_EQ(text[answer], QStringLiteral("Hello wörld"));
    EXPECT_EQ(results[answer]["finish_reason"], "stop");
    EXPECT_EQ(client.pendingRequests(), 0);
}

TEST_F(WorkerClientTest, AnErrorAnswersItsRequestAndTheWorkerLivesOn)
{
    const QString load = client.load(QStringLiteral("/missing"));
    ASSERT_TRUE(answered(load));
    EXPECT_EQ(failures[load].message, QStringLiteral("/missing: does not exist"));
    EXPECT_EQ(failures[load].hint, QStringLiteral("Choose another."));
    EXPECT_TRUE(client.loadedModel().isEmpty());
    const QString again = client.load(QStringLiteral("/models/tiny"));
    ASSERT_TRUE(answered(again));
    EXPECT_EQ(results.count(again), 1u);
}

TEST_F(WorkerClientTest, ADeathFailsWhatWaitsAndTheNextRequestStartsAnew)
{
    QSignalSpy crashed(&client, &WorkerClient::crashed);
    const QString load = client.load(QStringLiteral("/models/tiny"));
    ASSERT_TRUE(answered(load));
    const QString fatal = ask(QStringLiteral("crash"));
    const QString behind = ask(QStringLiteral("hello"));
    ASSERT_TRUE(answered(fatal));
    ASSERT_TRUE(answered(behind));
    EXPECT_EQ(crashed.count(), 1);
    EXPECT_TRUE(failures[fatal].message.contains(QStringLiteral("SIGKILL"))) << failures[fatal].message.toStdString();
    EXPECT_TRUE(client.loadedModel().isEmpty());
    EXPECT_EQ(client.state(), WorkerClient::State::NotRunning);
    const QString next = ask(QStringLiteral("hello"));
    ASSERT_TRUE(answered(next));
    EXPECT_EQ(text[next], QStringLiteral("Hello wörld"));
}

TEST_F(WorkerClientTest, GarbageIsNotedAndPassedOver)
{
    QStringList log;
    QObject::connect(&client, &WorkerClient::logLine, &client, [&](const QString& line) { log += line; });
    const QString id = ask(QStringLiteral("garbage"));
    ASSERT_TRUE(answered(id));
    EXPECT_EQ(results[id]["text"], "after garbage");
    EXPECT_EQ(log.size(), 1);
}

TEST_F(WorkerClientTest, AMissingProgramFailsTheRequestLater)
{
    client.setProgram(QStringLiteral("/nonexistent/postnas"));
    const QString id = client.load(QStringLiteral("/models/tiny"));
    EXPECT_TRUE(failures.empty()) << "the caller must know the id before the answer comes";
    ASSERT_TRUE(answered(id));
    EXPECT_FALSE(failures[id].hint.isEmpty());
}

TEST_F(WorkerClientTest, ShutsDownCleanly)
{
    QSignalSpy crashed(&client, &WorkerClient::crashed);
    ASSERT_TRUE(answered(client.load(QStringLiteral("/models/tiny"))));
    client.shutDown();
    ASSERT_TRUE(test::waitUntil([&] { return client.state() == WorkerClient::State::NotRunning; }));
    EXPECT_EQ(crashed.count(), 0);
}

} // namespace
} // namespace postnas
