// The sqlite3 calls behind database.h.
#include "core/database/database.h"

#include <cmath>
#include <limits>
#include <utility>

#include <sqlite3.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void throwError(const fs::path& file, sqlite3* handle, int code)
{
    const std::string text = file.string() + ": " + (handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
    switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: throw inputError(text, "The database is damaged; it can be rebuilt from the run folders.");
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT: throw inputError(text);
    case SQLITE_FULL:
    case SQLITE_IOERR: throw resourceError(text, "Free some disk space and try again.");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw resourceError(text, "Another program uses the project's database: close it.");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN: throw resourceError(text, "Check that the project folder exists and is writable.");
    case SQLITE_NOMEM: throw resourceError(text);
    default: throw internalError(text);
    }
}

} // namespace

Database::Database(const fs::path& file, Mode mode)
    : m_file(file)
{
    const int flags = (mode == Mode::ReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOFOLLOW
                      | SQLITE_OPEN_EXRESCODE;
    // SQLITE_OPEN_NOFOLLOW refuses a link anywhere in the path; only the file itself must be none.
    std::error_code code;
    const fs::path folder = fs::canonical(fs::absolute(file).parent_path(), code);
    const fs::path real = code ? file : folder / file.filename();
    const int result = sqlite3_open_v2(real.c_str(), &m_handle, flags, nullptr);
    try {
        if (result != SQLITE_OK)
            throwError(m_file, m_handle, result);
        sqlite3_busy_timeout(m_handle, 5000);
        sqlite3_db_config(m_handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
        sqlite3_db_config(m_handle, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
        sqlite3_db_config(m_handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
        // The file may come from somebody else: its schema is not trusted and cells are checked.
        sqlite3_db_config(m_handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(m_handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
        execute("PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON");
        if (mode == Mode::ReadWrite)
            execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
    } catch (...) {
        sqlite3_close_v2(m_handle);
        throw;
    }
}

Database::~Database() { sqlite3_close_v2(m_handle); }

void Database::execute(const char* sql)
{
    const int result = sqlite3_exec(m_handle, sql, nullptr, nullptr, nullptr);
    if (result != SQLITE_OK)
        throwError(m_file, m_handle, result);
}

Statement Database::prepare(std::string_view sql)
{
    sqlite3_stmt* handle = nullptr;
    const int result = sqlite3_prepare_v2(m_handle, sql.data(), static_cast<int>(sql.size()), &handle, nullptr);
    if (result != SQLITE_OK)
        throwError(m_file, m_handle, result);
    return {*this, handle};
}

std::int64_t Database::lastInsertId() const { return sqlite3_last_insert_rowid(m_handle); }
int Database::changes() const { return sqlite3_changes(m_handle); }

int Database::userVersion()
{
    Statement query = prepare("PRAGMA user_version");
    query.step();
    return static_cast<int>(query.integer(0));
}

std::optional<std::string> Database::findCorruption()
{
    Statement query = prepare("PRAGMA quick_check(1)");
    if (!query.step())
        return "the check gave no answer";
    const std::string answer = query.text(0);
    if (answer == "ok")
        return std::nullopt;
    return answer;
}

Statement::Statement(Database& database, sqlite3_stmt* handle)
    : m_database(&database)
    , m_handle(handle)
{
}

Statement::~Statement() { sqlite3_finalize(m_handle); }

Statement::Statement(Statement&& other) noexcept
    : m_database(other.m_database)
    , m_handle(std::exchange(other.m_handle, nullptr))
{
}

Statement& Statement::bind(int index, std::int64_t value)
{
    if (const int result = sqlite3_bind_int64(m_handle, index, value); result != SQLITE_OK)
        throwError(m_database->m_file, m_database->m_handle, result);
    return *this;
}

Statement& Statement::bind(int index, double value)
{
    if (const int result = sqlite3_bind_double(m_handle, index, value); result != SQLITE_OK)
        throwError(m_database->m_file, m_database->m_handle, result);
    return *this;
}

Statement& Statement::bind(int index, std::string_view value)
{
    // A null pointer would bind NULL instead of an empty text.
    const char* const data = value.data() == nullptr ? "" : value.data();
    if (const int result = sqlite3_bind_text64(m_handle, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8); result != SQLITE_OK)
        throwError(m_database->m_file, m_database->m_handle, result);
    return *this;
}

Statement& Statement::bindNull(int index)
{
    if (const int result = sqlite3_bind_null(m_handle, index); result != SQLITE_OK)
        throwError(m_database->m_file, m_database->m_handle, result);
    return *this;
}

bool Statement::step()
{
    const int result = sqlite3_step(m_handle);
    if (result == SQLITE_ROW)
        return true;
    if (result == SQLITE_DONE)
        return false;
    sqlite3_reset(m_handle);
    throwError(m_database->m_file, m_database->m_handle, result);
}

void Statement::run()
{
    while (step()) {
    }
    reset();
}

void Statement::reset()
{
    sqlite3_reset(m_handle);
    sqlite3_clear_bindings(m_handle);
}

bool Statement::isNull(int column) const { return sqlite3_column_type(m_handle, column) == SQLITE_NULL; }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(m_handle, column); }

double Statement::real(int column) const
{
    return isNull(column) ? std::numeric_limits<double>::quiet_NaN() : sqlite3_column_double(m_handle, column);
}

std::string Statement::text(int column) const
{
    const auto* const data = reinterpret_cast<const char*>(sqlite3_column_text(m_handle, column));
    return data == nullptr ? std::string() : std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(m_handle, column)));
}

Transaction::Transaction(Database& database)
    : m_database(database)
{
    database.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction()
{
    if (!m_open)
        return;
    try {
        m_database.execute("ROLLBACK");
    } catch (const Error&) {
        // SQLite has rolled back by itself after a full disk.
    }
}

void Transaction::commit()
{
    m_database.execute("COMMIT");
    m_open = false;
}

std::optional<fs::path> migrate(Database& database, const std::vector<Migration>& migrations)
{
    const int known = static_cast<int>(migrations.size());
    const int version = database.userVersion();
    if (version > known || version < 0)
        throw inputError(database.path().string() + ": was made by a newer version of the workbench (format " + std::to_string(version)
                             + ", this one knows " + std::to_string(known) + ")",
                         "Update the workbench, or move the file away to have it rebuilt from the run folders.");
    if (version == known)
        return std::nullopt;
    std::optional<fs::path> backup;
    if (version > 0) {
        backup = database.path();
        *backup += ".v" + std::to_string(version) + ".backup";
        // VACUUM INTO gives a sound copy whatever else happens; it needs a target that is not there.
        std::error_code code;
        fs::remove(*backup, code);
        database.prepare("VACUUM INTO ?1").bind(1, backup->string()).run();
        syncFolder(backup->parent_path());
    }
    Transaction transaction(database);
    for (int i = database.userVersion(); i < known; ++i)
        migrations[static_cast<std::size_t>(i)](database);
    database.execute(("PRAGMA user_version = " + std::to_string(known)).c_str());
    transaction.commit();
    return backup;
}

} // namespace postnas
