// The migrations of the project database.
#include "core/database/schema.h"

namespace postnas {
namespace {

const char* const kVersion1 = R"(
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    device TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    bad_lines INTEGER NOT NULL,
    exit_code INTEGER,
    exit_reason TEXT NOT NULL,
    resumable INTEGER NOT NULL,
    current_stage TEXT NOT NULL,
    done INTEGER NOT NULL,
    total INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    time TEXT NOT NULL,
    name TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    value REAL,
    time TEXT NOT NULL,
    PRIMARY KEY (run, name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE candidates (
    key INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    placement TEXT NOT NULL,
    origin TEXT NOT NULL,
    objective TEXT NOT NULL,
    layer INTEGER NOT NULL,
    state_bytes INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    decode_tokens_per_second REAL,
    UNIQUE (run, id)
) STRICT;

CREATE TABLE scores (
    candidate INTEGER NOT NULL REFERENCES candidates(key) ON DELETE CASCADE,
    task TEXT NOT NULL,
    metric TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (candidate, task, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE benchmarks (
    id INTEGER PRIMARY KEY,
    created TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;

CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    settings TEXT NOT NULL
) STRICT;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    side INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    model TEXT NOT NULL,
    created TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages(conversation, id);

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)";

} // namespace

const std::vector<Migration>& projectMigrations()
{
    static const std::vector<Migration> migrations {
        [](Database& database) { database.execute(kVersion1); },
    };
    return migrations;
}

} // namespace postnas
