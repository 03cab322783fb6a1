//! What waits for a second person, and what became of it.
//!
//! Who approves consents to the content of a request: an id comes again when its request was let go and somebody asks for
//! something else under the same idempotency key.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::base::Digest;
use crate::base::cards::mask_cards;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its id.
    pub(crate) id: String,
    /// What is asked for: the kind of a command, or `rules.activate`.
    pub(crate) kind: String,
    /// Of which hold, list, rule or rule set.
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

impl Request {
    /// One of which nothing is told yet, and about which nobody has decided.
    pub(crate) fn waiting() -> Self {
        Self {
            id: String::new(),
            kind: String::new(),
            about: String::new(),
            asked_by: String::new(),
            reason: String::new(),
            asked_ms: 0,
            payload: String::new(),
            state: "pending".to_owned(),
            decided_by: None,
            decided_ms: None,
            note: None,
            outcome: None,
            approved_by: Vec::new(),
        }
    }

    /// What people consent to: who asked for what, why and when, and what would come of it.
    pub(crate) fn content(&self) -> String {
        let asked_ms = self.asked_ms.to_be_bytes();
        // WHY: as it may be shown. It stands in the audit trail, where the digest of a card number would be as good as the number.
        let payload = mask_cards(&self.payload);
        let texts = [&self.id, &self.kind, &self.about, &self.asked_by, &self.reason];
        let [id, kind, about, asked_by, reason] = texts.map(String::as_bytes);
        let payload = payload.as_bytes();
        Digest::of_parts(&[id, kind, about, asked_by, reason, payload, &asked_ms]).hex()
    }
}

const ALL: &str = "SELECT request_id, kind, about, asked_by, reason, asked_ms, payload, state, decided_by, decided_ms, note, outcome,
    (SELECT json_group_array(json_array(person, content)) FROM (SELECT person, content FROM consents
        WHERE consents.request_id = requests.request_id ORDER BY person)) FROM requests";

fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    let consents: Vec<(String, String)> =
        serde_json::from_str(&row.get::<_, String>(12)?).unwrap_or_default();
    let mut request = Request {
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
        approved_by: Vec::new(),
    };
    let content = request.content();
    let consents = consents.into_iter().filter(|(_, to)| *to == content);
    request.approved_by = consents.map(|(person, _)| person).collect();
    Ok(request)
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
    request: &Request,
    (by, note): (&str, &str),
    now_ms: i64,
) -> rusqlite::Result<u32> {
    let content = request.content();
    let sql = "INSERT INTO consents (request_id, person, content, approved_ms, note) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (request_id, person) DO UPDATE SET
            content = excluded.content, approved_ms = excluded.approved_ms, note = excluded.note
        WHERE content <> excluded.content";
    connection.execute(sql, params![request.id, by, content, now_ms, note])?;
    let sql = "SELECT count(*) FROM consents WHERE request_id = ?1 AND content = ?2";
    connection.query_row(sql, [&request.id, &content], |row| row.get(0))
}

/// Lets go of what was asked for before a time, decided or not, with the consents to it.
pub(crate) fn sweep(connection: &Connection, before_ms: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM requests WHERE asked_ms < ?1", [before_ms])?;
    let sql = "DELETE FROM consents WHERE request_id NOT IN (SELECT request_id FROM requests)";
    connection.execute(sql, []).map(drop)
}

/// Whether a state was pending and is so no more: two people who approve at once are one approval.
pub(crate) fn decide(
    connection: &Connection,
    request: &Request,
    (state, by, note): (&str, &str, &str),
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE requests SET state = ?2, decided_by = ?3, note = ?4, decided_ms = ?5
        WHERE request_id = ?1 AND asked_ms = ?6 AND state = 'pending'";
    let row = params![request.id, state, by, note, now_ms, request.asked_ms];
    Ok(connection.execute(sql, row)? == 1)
}

/// Says what came of an approved one. What was needed to do it stays as it may be shown.
pub(crate) fn conclude(
    connection: &Connection,
    id: &str,
    (state, outcome): (&str, &str),
    shown: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET state = ?2, outcome = ?3, payload = ?4 WHERE request_id = ?1";
    connection.execute(sql, params![id, state, outcome, shown]).map(drop)
}

/// Of one that is not done: what was needed to do it stays as it may be shown.
pub(crate) fn hide(connection: &Connection, id: &str, shown: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET payload = ?2 WHERE request_id = ?1";
    connection.execute(sql, params![id, shown]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::store::Store;

    fn asked(about: &str, asked_ms: i64) -> Request {
        Request {
            id: "of ann and k1".to_owned(),
            kind: "rules.activate".to_owned(),
            about: about.to_owned(),
            asked_by: "ann".to_owned(),
            reason: "as discussed".to_owned(),
            asked_ms,
            payload: r#"{"approvals_needed":2}"#.to_owned(),
            ..Request::waiting()
        }
    }

    fn open(store: &Store, request: &Request) -> Request {
        assert_eq!(insert(&store.writer(), request), Ok(true));
        find(&store.writer(), &request.id).unwrap().unwrap()
    }

    #[test]
    fn approvals_of_a_request_that_was_let_go_do_not_count_for_the_next_one_of_its_id() {
        let store = Store::open(None).unwrap();
        let first = open(&store, &asked("rule set one", 1_000));
        let approve = |request: &Request, by: &str| {
            approve(&store.writer(), request, (by, "read it"), 1_500).unwrap()
        };
        assert_eq!(
            [approve(&first, "bob"), approve(&first, "bob"), approve(&first, "cy")],
            [1, 1, 2]
        );
        let shown = || find(&store.writer(), &first.id).unwrap();
        assert_eq!(shown().unwrap().approved_by, ["bob", "cy"]);
        // It waits still, and is let go with what people said of it.
        store.sweep(1_001).unwrap();
        assert_eq!(shown(), None);
        let other = open(&store, &asked("rule set two", 2_000));
        assert!(other.approved_by.is_empty(), "{other:?}");
        // Whoever looked at the first one approves nothing of the second.
        assert_eq!(approve(&first, "bob"), 1);
        assert!(shown().unwrap().approved_by.is_empty());
        assert!(!decide(&store.writer(), &first, ("approved", "bob", "read it"), 3_000).unwrap());
        assert_eq!([approve(&other, "cy"), approve(&other, "bob")], [1, 2]);
        assert!(decide(&store.writer(), &other, ("approved", "bob", "read it"), 3_000).unwrap());
    }

    #[test]
    fn a_request_is_let_go_when_it_is_old_whether_it_was_decided_or_waits() {
        let store = Store::open(None).unwrap();
        let request = open(&store, &asked("rule set one", 1_000));
        store.sweep(1_000).unwrap();
        assert!(find(&store.writer(), &request.id).unwrap().is_some());
        store.sweep(1_001).unwrap();
        assert_eq!(find(&store.writer(), &request.id).unwrap(), None);
    }
}
