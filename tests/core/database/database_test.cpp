// The sqlite wrapper: binding, transactions, migrations with a backup, and errors of the right class.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <limits>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/database/database.h"
#include "tests/support/support.h"

namespace postnas {
namespace {

using test::TemporaryFolder;
using test::writeFile;

ErrorClass classOf(const std::function<void()>& action)
{
    try {
        action();
    } catch (const Error& error) {
        return error.errorClass();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorClass::Internal;
}

TEST(Database, ValuesComeBackAsBound)
{
    const TemporaryFolder folder;
    Database database(folder / "x.db");
    database.execute("CREATE TABLE t (i INTEGER, r REAL, s TEXT) STRICT");
    const std::string hostile = std::string("'); DROP TABLE t; --\0tail", 24);
    Statement insert = database.prepare("INSERT INTO t VALUES (?1, ?2, ?3)");
    insert.bind(1, std::int64_t {1} << 60).bind(2, 0.1).bind(3, hostile).run();
    insert.bind(1, std::optional<std::int64_t> {}).bind(2, std::numeric_limits<double>::quiet_NaN()).bind(3, std::string_view {}).run();
    Statement query = database.prepare("SELECT i, r, s FROM t ORDER BY rowid");
    ASSERT_TRUE(query.step());
    EXPECT_EQ(query.integer(0), std::int64_t {1} << 60);
    EXPECT_EQ(query.real(1), 0.1);
    EXPECT_EQ(query.text(2), hostile);
    ASSERT_TRUE(query.step());
    EXPECT_TRUE(query.isNull(0));
    EXPECT_TRUE(std::isnan(query.real(1)));
    EXPECT_FALSE(query.isNull(2));
    EXPECT_FALSE(query.step());
}

TEST(Database, SettingsAreTheSafeOnes)
{
    const TemporaryFolder folder;
    Database database(folder / "x.db");
    const auto pragma = [&](const char* name) {
        Statement query = database.prepare(std::string("PRAGMA ") + name);
        query.step();
        return query.text(0);
    };
    EXPECT_EQ(pragma("journal_mode"), "delete");
    EXPECT_EQ(pragma("foreign_keys"), "1");
    EXPECT_EQ(pragma("trusted_schema"), "0");
    EXPECT_FALSE(database.findCorruption());
}

TEST(Database, TransactionsAreAllOrNothing)
{
    const TemporaryFolder folder;
    Database database(folder / "x.db");
    database.execute("CREATE TABLE t (i INTEGER PRIMARY KEY) STRICT");
    const auto count = [&] {
        Statement query = database.prepare("SELECT count(*) FROM t");
        query.step();
        return query.integer(0);
    };
    {
        Transaction transaction(database);
        database.execute("INSERT INTO t VALUES (1)");
    }
    EXPECT_EQ(count(), 0);
    {
        Transaction transaction(database);
        database.execute("INSERT INTO t VALUES (1)");
        transaction.commit();
    }
    EXPECT_EQ(count(), 1);
    EXPECT_EQ(classOf([&] { database.execute("INSERT INTO t VALUES (1)"); }), ErrorClass::Input);
    EXPECT_EQ(classOf([&] { database.execute("SELEKT"); }), ErrorClass::Internal);
}

TEST(Database, WrongFilesAreErrorsOfTheirClass)
{
    const TemporaryFolder folder;
    writeFile(folder / "text.db", std::string(5000, 'x'));
    EXPECT_EQ(classOf([&] { Database database(folder / "text.db"); }), ErrorClass::Input);
    EXPECT_EQ(classOf([&] { Database database(folder / "no" / "folder.db"); }), ErrorClass::Resource);
    EXPECT_EQ(classOf([&] { Database database(folder / "missing.db", Database::Mode::ReadOnly); }), ErrorClass::Resource);
}

TEST(Database, AKilledWriterLeavesWholeTransactions)
{
    const TemporaryFolder folder;
    const auto file = folder / "x.db";
    Database(file).execute("CREATE TABLE t (i INTEGER PRIMARY KEY, half INTEGER NOT NULL) STRICT");
    for (int round = 0; round < 8; ++round) {
        const pid_t child = ::fork();
        if (child == 0) {
            Database database(file);
            for (;;) {
                Transaction transaction(database);
                database.execute("INSERT INTO t (half) VALUES (1); INSERT INTO t (half) VALUES (2)");
                transaction.commit();
            }
        }
        ::usleep(20'000 + 7'000 * round);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        Database database(file);
        EXPECT_FALSE(database.findCorruption());
        Statement query = database.prepare("SELECT count(*) FILTER (WHERE half = 1), count(*) FILTER (WHERE half = 2) FROM t");
        query.step();
        EXPECT_EQ(query.integer(0), query.integer(1));
    }
}

TEST(Database, AFullDiskLosesOnlyTheTransaction)
{
    const TemporaryFolder folder;
    Database database(folder / "x.db");
    database.execute("CREATE TABLE t (s TEXT) STRICT; INSERT INTO t VALUES ('first')");
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old {};
    getrlimit(RLIMIT_FSIZE, &old);
    rlimit limited = old;
    limited.rlim_cur = 64 << 10;
    setrlimit(RLIMIT_FSIZE, &limited);
    const ErrorClass errorClass = classOf([&] {
        Transaction transaction(database);
        Statement insert = database.prepare("INSERT INTO t VALUES (?1)");
        for (int i = 0; i < 100; ++i)
            insert.bind(1, std::string(100'000, 'y')).run();
        transaction.commit();
    });
    setrlimit(RLIMIT_FSIZE, &old);
    EXPECT_EQ(errorClass, ErrorClass::Resource);
    Statement query = database.prepare("SELECT count(*), max(s) FROM t");
    query.step();
    EXPECT_EQ(query.integer(0), 1);
    EXPECT_EQ(query.text(1), "first");
    EXPECT_FALSE(database.findCorruption());
}

TEST(Migration, OldFilesAreBackedUpAndBroughtUpToDate)
{
    const TemporaryFolder folder;
    const auto file = folder / "x.db";
    const Migration one = [](Database& d) { d.execute("CREATE TABLE t (i INTEGER) STRICT"); };
    const Migration two = [](Database& d) { d.execute("ALTER TABLE t ADD COLUMN j INTEGER NOT NULL DEFAULT 7"); };
    {
        Database database(file);
        EXPECT_FALSE(migrate(database, {one})) << "a new file needs no backup";
        database.execute("INSERT INTO t VALUES (1)");
    }
    {
        Database database(file);
        const auto backup = migrate(database, {one, two});
        ASSERT_TRUE(backup);
        EXPECT_EQ(database.userVersion(), 2);
        Statement query = database.prepare("SELECT i, j FROM t");
        ASSERT_TRUE(query.step());
        EXPECT_EQ(query.integer(1), 7);
        Database old(*backup, Database::Mode::ReadOnly);
        EXPECT_EQ(old.userVersion(), 1);
        Statement rows = old.prepare("SELECT i FROM t");
        EXPECT_TRUE(rows.step());
        EXPECT_FALSE(migrate(database, {one, two})) << "a second time changes nothing";
    }
    {
        Database database(file);
        EXPECT_EQ(classOf([&] { migrate(database, {one}); }), ErrorClass::Input) << "a newer file is refused";
        EXPECT_EQ(database.userVersion(), 2);
    }
}

TEST(Migration, AFailingStepLeavesTheFileAsItWas)
{
    const TemporaryFolder folder;
    Database database(folder / "x.db");
    const Migration one = [](Database& d) { d.execute("CREATE TABLE t (i INTEGER) STRICT"); };
    const Migration broken = [](Database& d) { d.execute("DROP TABLE t; SELEKT"); };
    migrate(database, {one});
    EXPECT_THROW(migrate(database, {one, broken}), Error);
    EXPECT_EQ(database.userVersion(), 1);
    EXPECT_NO_THROW(database.execute("INSERT INTO t VALUES (1)"));
}

} // namespace
} // namespace postnas
