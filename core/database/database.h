// A thin RAII layer over the sqlite3 C API: values from outside reach SQL only as bound parameters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace postnas {

class Statement;

/// One connection, used by one thread at a time. Errors are Error(Input) for a corrupted file, Error(Resource) for a full
/// disk, a locked or a read-only file, Error(Internal) for wrong SQL.
class Database {
public:
    enum class Mode { ReadWrite, ReadOnly };

    /// Opens or creates. Rollback journal (WAL has a corruption bug with several connections in the SQLite releases of
    /// current distributions), foreign keys on, busy timeout 5 s, extension loading and double-quoted strings off.
    explicit Database(const std::filesystem::path& file, Mode mode = Mode::ReadWrite);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    /// Runs SQL text of the program (never of a user), possibly several statements.
    void execute(const char* sql);
    Statement prepare(std::string_view sql);
    std::int64_t lastInsertId() const;
    int changes() const;
    int userVersion();
    const std::filesystem::path& path() const { return m_file; }
    /// First problem that `PRAGMA quick_check` names; nothing when the file is sound.
    std::optional<std::string> findCorruption();

private:
    friend class Statement;
    std::filesystem::path m_file;
    sqlite3* m_handle = nullptr;
};

/// A prepared statement. Parameters count from 1, columns from 0.
class Statement {
public:
    ~Statement();
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;

    Statement& bind(int index, std::int64_t value);
    Statement& bind(int index, int value) { return bind(index, static_cast<std::int64_t>(value)); }
    Statement& bind(int index, double value); ///< NaN is stored as NULL
    Statement& bind(int index, std::string_view value);
    Statement& bind(int index, const char* value) { return bind(index, std::string_view(value)); }
    Statement& bindNull(int index);
    template <typename T>
    Statement& bind(int index, const std::optional<T>& value)
    {
        return value ? bind(index, *value) : bindNull(index);
    }

    /// True while there is a row.
    bool step();
    /// Runs a statement without rows and makes it ready for the next binding.
    void run();
    void reset();

    bool isNull(int column) const;
    std::int64_t integer(int column) const;
    double real(int column) const; ///< NaN for NULL
    std::string text(int column) const;

private:
    friend class Database;
    Statement(Database& database, sqlite3_stmt* handle);
    Database* m_database;
    sqlite3_stmt* m_handle;
};

/// BEGIN IMMEDIATE ... COMMIT; rolled back unless committed.
class Transaction {
public:
    explicit Transaction(Database& database);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit();

private:
    Database& m_database;
    bool m_open = true;
};

/// Step i (from 0) brings a database of user_version i to i + 1.
using Migration = std::function<void(Database&)>;

/// Brings the database up to date, all in one transaction. A file of an older, non-zero version is copied to
/// FILE.v<version>.backup first. Throws Error(Input) for a newer version than this program knows. Returns the backup file.
std::optional<std::filesystem::path> migrate(Database& database, const std::vector<Migration>& migrations);

} // namespace postnas
