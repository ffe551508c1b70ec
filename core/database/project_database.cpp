// Opening and repairing the project database, and everything in it that is not about runs.
#include "core/database/project_database.h"

#include <cctype>
#include <utility>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/database/schema.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

/// JSON that this program wrote; a hand-edited cell gives an empty object rather than a failure.
Json storedJson(const std::string& text)
{
    try {
        return parseJson(text, "the project database");
    } catch (const Error&) {
        return Json::object();
    }
}

std::string fileTime()
{
    std::string out;
    for (const char c : utcTimestamp())
        if (std::isalnum(static_cast<unsigned char>(c)) != 0)
            out += c;
    return out;
}

/// Moves the file and what SQLite keeps beside it.
fs::path moveAside(const fs::path& file)
{
    fs::path target = file;
    target += ".corrupt-" + fileTime();
    std::error_code code;
    for (const char* suffix : {"-journal", "-wal", "-shm"}) {
        fs::path side = file;
        side += suffix;
        fs::path sideTarget = target;
        sideTarget += suffix;
        if (fs::exists(fs::symlink_status(side, code)))
            fs::rename(side, sideTarget, code);
    }
    fs::rename(file, target, code);
    if (code)
        throw resourceError(file.string() + ": is damaged and cannot be moved away: " + code.message(), "Move the file away by hand.");
    return target;
}

/// Copies a table row by row until the damaged file gives no more. Returns how many rows came over.
std::int64_t salvageTable(Database& from, Database& to, const char* select, const char* insert, int columns)
{
    std::int64_t rows = 0;
    try {
        Statement read = from.prepare(select);
        Statement write = to.prepare(insert);
        while (read.step()) {
            for (int i = 0; i < columns; ++i)
                write.bind(i + 1, read.text(i));
            try {
                write.run();
                ++rows;
            } catch (const Error&) {
                write.reset(); // a broken row; the next may be good
            }
        }
    } catch (const Error&) {
        // The damage begins here.
    }
    return rows;
}

std::int64_t salvage(const fs::path& damaged, Database& to)
{
    std::int64_t rows = 0;
    try {
        Database from(damaged, Database::Mode::ReadOnly);
        Transaction transaction(to);
        // Numbers come as text: a STRICT table turns them back or refuses the row.
        rows += salvageTable(from, to, "SELECT id, title, created, updated, settings FROM conversations",
                             "INSERT INTO conversations (id, title, created, updated, settings) VALUES (?1, ?2, ?3, ?4, ?5)", 5);
        rows += salvageTable(from, to, "SELECT id, conversation, side, role, text, model, created, json FROM messages",
                             "INSERT INTO messages (id, conversation, side, role, text, model, created, json) "
                             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                             8);
        rows += salvageTable(from, to, "SELECT id, created, kind, subject, json FROM benchmarks",
                             "INSERT INTO benchmarks (id, created, kind, subject, json) VALUES (?1, ?2, ?3, ?4, ?5)", 5);
        rows += salvageTable(from, to, "SELECT key, json FROM settings", "INSERT INTO settings (key, json) VALUES (?1, ?2)", 2);
        transaction.commit();
    } catch (const Error&) {
        return rows;
    }
    return rows;
}

} // namespace

void ProjectDatabase::open(const fs::path& file)
{
    m_database = std::make_unique<Database>(file);
    if (const auto problem = m_database->findCorruption())
        throw inputError(file.string() + ": is damaged: " + *problem);
    if (const auto backup = migrate(*m_database, projectMigrations()))
        m_notice = "The project's database was brought up to date; the old one is kept as " + backup->filename().string() + ".";
}

ProjectDatabase::ProjectDatabase(const fs::path& file)
{
    try {
        open(file);
        return;
    } catch (const Error& error) {
        // A newer version is no damage: it must not be touched. Nor is a locked or unreadable file.
        bool newer = false;
        if (error.errorClass() == ErrorClass::Input && m_database) {
            try {
                newer = m_database->userVersion() > static_cast<int>(projectMigrations().size()) && !m_database->findCorruption();
            } catch (const Error&) {
                newer = false;
            }
        }
        if (error.errorClass() != ErrorClass::Input || newer)
            throw;
    }
    m_database.reset();
    const fs::path damaged = moveAside(file);
    open(file);
    const std::int64_t rows = salvage(damaged, *m_database);
    m_notice = "The project's database was damaged. It was moved to " + damaged.filename().string()
               + " and a new one is filled from the run folders; " + std::to_string(rows)
               + " entries of chats, benchmarks and settings could be carried over.";
}

ProjectDatabase::~ProjectDatabase() = default;

std::unique_ptr<ProjectDatabase> ProjectDatabase::openFor(const Project& project)
{
    auto database = std::make_unique<ProjectDatabase>(project.databaseFile());
    std::string problems;
    for (const RunListing& listing : project.runs()) {
        try {
            if (listing.problem.empty())
                database->importRun(RunFolder::open(listing.folder));
            else
                problems += (problems.empty() ? "" : " ") + listing.problem + ".";
        } catch (const Error& error) {
            if (error.errorClass() != ErrorClass::Input)
                throw;
            problems += (problems.empty() ? "" : " ") + std::string(error.what()) + ".";
        }
    }
    if (!problems.empty())
        database->m_notice += (database->m_notice.empty() ? "" : " ") + problems;
    return database;
}

std::int64_t ProjectDatabase::addBenchmark(const BenchmarkRow& row)
{
    m_database->prepare("INSERT INTO benchmarks (created, kind, subject, json) VALUES (?1, ?2, ?3, ?4)")
        .bind(1, row.created.empty() ? utcTimestamp() : row.created)
        .bind(2, row.kind)
        .bind(3, row.subject)
        .bind(4, dumpJson(row.values))
        .run();
    return m_database->lastInsertId();
}

std::vector<BenchmarkRow> ProjectDatabase::benchmarks(const std::string& kind)
{
    Statement query = m_database->prepare("SELECT id, created, kind, subject, json FROM benchmarks WHERE ?1 = '' OR kind = ?1 ORDER BY id");
    query.bind(1, kind);
    std::vector<BenchmarkRow> out;
    while (query.step())
        out.push_back({query.integer(0), query.text(1), query.text(2), query.text(3), storedJson(query.text(4))});
    return out;
}

std::int64_t ProjectDatabase::addConversation(const std::string& title, const Json& settings)
{
    const std::string now = utcTimestamp();
    m_database->prepare("INSERT INTO conversations (title, created, updated, settings) VALUES (?1, ?2, ?2, ?3)")
        .bind(1, title)
        .bind(2, now)
        .bind(3, dumpJson(settings))
        .run();
    return m_database->lastInsertId();
}

void ProjectDatabase::updateConversation(std::int64_t id, const std::string& title, const Json& settings)
{
    m_database->prepare("UPDATE conversations SET title = ?2, settings = ?3, updated = ?4 WHERE id = ?1")
        .bind(1, id)
        .bind(2, title)
        .bind(3, dumpJson(settings))
        .bind(4, utcTimestamp())
        .run();
}

void ProjectDatabase::removeConversation(std::int64_t id)
{
    m_database->prepare("DELETE FROM conversations WHERE id = ?1").bind(1, id).run();
}

std::vector<ConversationRow> ProjectDatabase::conversations()
{
    Statement query = m_database->prepare("SELECT id, title, created, updated, settings FROM conversations ORDER BY updated DESC, id DESC");
    std::vector<ConversationRow> out;
    while (query.step())
        out.push_back({query.integer(0), query.text(1), query.text(2), query.text(3), storedJson(query.text(4))});
    return out;
}

std::int64_t ProjectDatabase::addMessage(const MessageRow& row)
{
    Transaction transaction(*m_database);
    const std::string now = row.created.empty() ? utcTimestamp() : row.created;
    m_database->prepare("INSERT INTO messages (conversation, side, role, text, model, created, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
        .bind(1, row.conversation)
        .bind(2, row.column)
        .bind(3, row.role)
        .bind(4, row.text)
        .bind(5, row.model)
        .bind(6, now)
        .bind(7, dumpJson(row.values))
        .run();
    const std::int64_t id = m_database->lastInsertId();
    m_database->prepare("UPDATE conversations SET updated = max(updated, ?2) WHERE id = ?1").bind(1, row.conversation).bind(2, now).run();
    transaction.commit();
    return id;
}

std::vector<MessageRow> ProjectDatabase::messages(std::int64_t conversation)
{
    Statement query = m_database->prepare(
        "SELECT id, conversation, side, role, text, model, created, json FROM messages WHERE conversation = ?1 ORDER BY id");
    query.bind(1, conversation);
    std::vector<MessageRow> out;
    while (query.step())
        out.push_back({query.integer(0), query.integer(1), static_cast<int>(query.integer(2)), query.text(3), query.text(4), query.text(5),
                       query.text(6), storedJson(query.text(7))});
    return out;
}

void ProjectDatabase::setSetting(const std::string& key, const Json& value)
{
    m_database->prepare("INSERT INTO settings (key, json) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET json = excluded.json")
        .bind(1, key)
        .bind(2, dumpJson(value))
        .run();
}

Json ProjectDatabase::setting(const std::string& key, const Json& fallback)
{
    Statement query = m_database->prepare("SELECT json FROM settings WHERE key = ?1");
    query.bind(1, key);
    if (!query.step())
        return fallback;
    try {
        return parseJson(query.text(0), "the project database");
    } catch (const Error&) {
        return fallback;
    }
}

void ProjectDatabase::removeSetting(const std::string& key)
{
    m_database->prepare("DELETE FROM settings WHERE key = ?1").bind(1, key).run();
}

} // namespace postnas
