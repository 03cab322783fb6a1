//! The tables of the read model.
//!
//! `records` holds every record once, numbered as it came; pages go by the log's own time, because partitions are read in no
//! order when all is read anew. `topic` is the input topic whose payment a record is about; none: of no single one. The others are ways to find it, and go when it goes. Tables of
//! `rulesets` and what is `given` of requests are beside them, because they are not derived.

use rusqlite::{Connection, OptionalExtension as _};

/// The form of the derived tables. Another number makes them anew from the topics.
const FORM: i64 = 7;

/// The derived tables, to be made anew at will.
const DERIVED: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (
    topic TEXT NOT NULL, number INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, number)
) WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, topic TEXT, logged_ms INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE INDEX records_by_kind ON records (kind, seq);
CREATE INDEX records_by_time ON records (logged_ms);
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    decision_id TEXT NOT NULL, event_type TEXT NOT NULL, event_id TEXT NOT NULL,
    event_ms INTEGER NOT NULL, outcome TEXT NOT NULL, score INTEGER NOT NULL, entity TEXT NOT NULL,
    place TEXT NOT NULL, at_ms INTEGER NOT NULL, UNIQUE (decision_id, place)
);
CREATE INDEX decisions_by_time ON decisions (at_ms, seq);
CREATE INDEX decisions_by_event ON decisions (event_id, at_ms, seq);
CREATE INDEX decisions_by_entity ON decisions (entity, at_ms, seq);
CREATE INDEX decisions_by_outcome ON decisions (outcome, at_ms, seq);
CREATE TABLE hits (
    rule TEXT NOT NULL, seq INTEGER NOT NULL REFERENCES records (seq) ON DELETE CASCADE,
    PRIMARY KEY (rule, seq)
) WITHOUT ROWID;
CREATE INDEX hits_by_seq ON hits (seq);
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    alert_id TEXT NOT NULL UNIQUE, rule TEXT NOT NULL, severity TEXT NOT NULL, queue TEXT,
    event_id TEXT NOT NULL, decision_id TEXT NOT NULL, episode_id TEXT NOT NULL, entity TEXT NOT NULL,
    at_ms INTEGER NOT NULL
);
CREATE INDEX alerts_by_time ON alerts (at_ms, seq);
CREATE INDEX alerts_by_rule ON alerts (rule, at_ms, seq);
CREATE INDEX alerts_by_queue ON alerts (queue, at_ms, seq);
CREATE INDEX alerts_by_entity ON alerts (entity, at_ms, seq);
CREATE INDEX alerts_by_episode ON alerts (episode_id, at_ms, seq);
CREATE TABLE episodes (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    episode_id TEXT NOT NULL UNIQUE, closed TEXT NOT NULL, at_ms INTEGER NOT NULL
);
CREATE TABLE holds (
    hold_id TEXT PRIMARY KEY, topic TEXT, state TEXT NOT NULL, deadline_ms INTEGER NOT NULL,
    subject_id TEXT NOT NULL, claimed_by TEXT, currency TEXT, amount TEXT, key BLOB NOT NULL, number INTEGER,
    logged_ms INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX holds_by_deadline ON holds (deadline_ms, hold_id);
CREATE INDEX holds_by_claim ON holds (claimed_by, deadline_ms, hold_id);
CREATE INDEX holds_by_state ON holds (state, deadline_ms, hold_id);
CREATE TABLE hold_steps (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    hold_id TEXT NOT NULL, digest TEXT NOT NULL, UNIQUE (hold_id, digest)
);
CREATE TABLE audits (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    kind TEXT NOT NULL, actor TEXT, about TEXT, command_id TEXT, digest TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL
);
CREATE INDEX audits_by_time ON audits (at_ms, seq);
CREATE INDEX audits_by_kind ON audits (kind, at_ms, seq);
CREATE INDEX audits_by_about ON audits (about, at_ms, seq);
CREATE INDEX audits_by_command ON audits (command_id, at_ms, seq);
CREATE TABLE letters (
    seq INTEGER PRIMARY KEY REFERENCES records (seq) ON DELETE CASCADE,
    reason TEXT NOT NULL, place TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL
);
CREATE INDEX letters_by_time ON letters (at_ms, seq);
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY, kind TEXT NOT NULL, about TEXT NOT NULL,
    asked_by TEXT NOT NULL, reason TEXT NOT NULL, asked_ms INTEGER NOT NULL, made_ms INTEGER NOT NULL,
    payload TEXT NOT NULL, content TEXT NOT NULL,
    state TEXT NOT NULL, decided_by TEXT, decided_ms INTEGER, note TEXT, outcome TEXT
) WITHOUT ROWID;
CREATE INDEX requests_by_state ON requests (state, asked_ms);
CREATE TABLE consents (
    request_id TEXT NOT NULL, person TEXT NOT NULL, content TEXT NOT NULL, approved_ms INTEGER NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (request_id, person)
) WITHOUT ROWID;
";

/// What is nowhere else: text of rules, and what the trail has masked of requests that wait here.
const OWN: &str = "
DROP TABLE IF EXISTS approvals;
CREATE TABLE IF NOT EXISTS given (
    content TEXT PRIMARY KEY, payload TEXT NOT NULL, asked_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rulesets (
    digest TEXT PRIMARY KEY, files TEXT NOT NULL, kept_ms INTEGER NOT NULL, active_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ruleset_changes (
    former TEXT NOT NULL, digest TEXT NOT NULL, changes TEXT NOT NULL, PRIMARY KEY (former, digest)
) WITHOUT ROWID;
";

const TABLES: [&str; 13] = [
    "requests",
    "consents",
    "hits",
    "letters",
    "audits",
    "hold_steps",
    "holds",
    "alerts",
    "episodes",
    "decisions",
    "records",
    "positions",
    "meta",
];

/// Makes what is not there; what has another form is made anew. `epoch` names the numbers of new tables.
pub(super) fn prepare(connection: &mut Connection, epoch: &str) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // WHY: what a crash of the machine takes back is read again, because its positions are taken back with it.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.execute_batch(OWN)?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form == FORM { Ok(()) } else { renew(connection, epoch, 0) }
}

/// Forgets what was derived, to read it again; numbers begin behind `after`.
pub(super) fn renew(connection: &mut Connection, epoch: &str, after: i64) -> rusqlite::Result<()> {
    let change = connection.transaction()?;
    for table in TABLES {
        change.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    change.execute_batch(DERIVED)?;
    change.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?1)", [epoch])?;
    change.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('records', ?1)", [after])?;
    change.pragma_update(None, "user_version", FORM)?;
    change.commit()
}

/// The name of the numbers.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))
}

/// The number of the newest record.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    let found: Option<Option<i64>> =
        connection.query_row("SELECT max(seq) FROM records", [], |row| row.get(0)).optional()?;
    Ok(found.flatten().unwrap_or(0))
}
