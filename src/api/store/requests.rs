//! What waits for a second person, and what became of it.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its id.
    pub(crate) id: String,
    /// What is asked for: `hold.release` or `rules.activate`.
    pub(crate) kind: String,
    /// Of which hold or rule set.
    pub(crate) about: String,
    /// Who asked.
    pub(crate) asked_by: String,
    /// Why.
    pub(crate) reason: String,
    /// When, ms since 1970.
    pub(crate) asked_ms: i64,
    /// What is needed to do it, JSON.
    pub(crate) payload: String,
    /// `pending`, `approved`, `refused`, `done` or `failed`.
    pub(crate) state: String,
    /// The second person.
    pub(crate) decided_by: Option<String>,
    /// When, ms since 1970.
    pub(crate) decided_ms: Option<i64>,
    /// Why.
    pub(crate) note: Option<String>,
    /// What came of it.
    pub(crate) outcome: Option<String>,
    /// Who approved, in the order of their names.
    pub(crate) approved_by: Vec<String>,
}

const ALL: &str = "SELECT request_id, kind, about, asked_by, reason, asked_ms, payload, state, decided_by, decided_ms, note, outcome,
    (SELECT json_group_array(person) FROM (SELECT person FROM approvals
        WHERE approvals.request_id = requests.request_id ORDER BY person)) FROM requests";

fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    Ok(Request {
        id: row.get(0)?,
        kind: row.get(1)?,
        about: row.get(2)?,
        asked_by: row.get(3)?,
        reason: row.get(4)?,
        asked_ms: row.get(5)?,
        payload: row.get(6)?,
        state: row.get(7)?,
        decided_by: row.get(8)?,
        decided_ms: row.get(9)?,
        note: row.get(10)?,
        outcome: row.get(11)?,
        approved_by: serde_json::from_str(&row.get::<_, String>(12)?).unwrap_or_default(),
    })
}

/// Keeps a new one. False: there is one of this id.
pub(crate) fn insert(connection: &Connection, it: &Request) -> rusqlite::Result<bool> {
    let row = params![
        it.id,
        it.kind,
        it.about,
        it.asked_by,
        it.reason,
        it.asked_ms,
        it.payload,
        it.state
    ];
    let sql = "INSERT OR IGNORE INTO requests
        (request_id, kind, about, asked_by, reason, asked_ms, payload, state)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    Ok(connection.execute(sql, row)? == 1)
}

/// The one of an id.
pub(crate) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Request>> {
    let sql = format!("{ALL} WHERE request_id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], request).optional()
}

/// Newest first, in a state if one is given, asked before a time and id.
pub(crate) fn page(
    connection: &Connection,
    state: Option<&str>,
    before: Option<&(i64, String)>,
    limit: i64,
) -> rusqlite::Result<Vec<Request>> {
    let (ms, id) = before.map_or((i64::MAX, ""), |(ms, id)| (*ms, id.as_str()));
    let sql = format!(
        "{ALL} WHERE (?1 IS NULL OR state = ?1) AND (asked_ms < ?2 OR asked_ms = ?2 AND request_id > ?3)
         ORDER BY asked_ms DESC, request_id LIMIT ?4"
    );
    let mut found = connection.prepare_cached(&sql)?;
    found.query_map(params![state, ms, id, limit], request)?.collect()
}

/// Takes down that somebody approved, and gives how many people have; one who approves again counts once.
pub(crate) fn approve(
    connection: &Connection,
    id: &str,
    (by, note): (&str, &str),
    now_ms: i64,
) -> rusqlite::Result<u32> {
    let sql = "INSERT OR IGNORE INTO approvals (request_id, person, approved_ms, note) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![id, by, now_ms, note])?;
    let sql = "SELECT count(*) FROM approvals WHERE request_id = ?1";
    connection.query_row(sql, [id], |row| row.get(0))
}

/// Whether a state was pending and is so no more: two people who approve at once are one approval.
pub(crate) fn decide(
    connection: &Connection,
    id: &str,
    (state, by, note): (&str, &str, &str),
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE requests SET state = ?2, decided_by = ?3, note = ?4, decided_ms = ?5
        WHERE request_id = ?1 AND state = 'pending'";
    Ok(connection.execute(sql, params![id, state, by, note, now_ms])? == 1)
}

/// Says what came of an approved one.
pub(crate) fn conclude(
    connection: &Connection,
    id: &str,
    (state, outcome): (&str, &str),
) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET state = ?2, outcome = ?3 WHERE request_id = ?1";
    connection.execute(sql, params![id, state, outcome]).map(drop)
}
