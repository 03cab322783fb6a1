//! What waits for a second person, and what became of it, as the audit trail tells it.
//!
//! Every step is a deed of the trail before it counts, and all of them stand in one chain: whoever reads it comes to the same
//! requests in the same states, in every instance, and again when the read model is made anew. What is done when enough people have
//! approved is a command of the request's own id, or `rules.activated`; its answer says what came of it.
//!
//! Who approves consents to the content of a request: an id comes again when its request was let go and somebody asks for
//! something else under the same idempotency key.
//!
//! The trail has card numbers masked. The number itself is kept by the instance that was asked (`given`) until it is decided; the
//! others show the request, and cannot do it.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use crate::api::commands::read_answer;
use crate::base::Digest;
use crate::base::cards::mask_cards;
use crate::base::time::parse_rfc3339;
use crate::decision::command::{Act, Deed};

/// How the ids of commands begin that do what was approved; the request's follows.
pub(crate) const COMMAND: &str = "api-request:";

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

    /// Whether it was decided to be done by fewer people than it takes.
    pub(crate) fn is_overridden(&self) -> bool {
        let payload: Value = serde_json::from_str(&self.payload).unwrap_or_default();
        let people = u32::try_from(self.approved_by.len()).unwrap_or(u32::MAX);
        ["approved", "done", "failed"].contains(&&*self.state) && people < needed(&payload)
    }

    /// Whether what is needed to do it is known here: not where the trail alone tells of it, with a number masked.
    pub(crate) fn is_whole(&self) -> bool {
        let payload: Value = serde_json::from_str(&self.payload).unwrap_or_default();
        let has_numbers = payload.get(MASKED) == Some(&Value::Bool(true));
        !has_numbers || mask_cards(&self.payload) != self.payload
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

/// The member of what is needed that says that the trail has a part of it masked.
pub(crate) const MASKED: &str = "masked";

/// How many people must approve, by what is needed to do it.
pub(crate) fn needed(payload: &Value) -> u32 {
    let said = payload.get("approvals_needed").and_then(Value::as_u64);
    said.and_then(|people| u32::try_from(people).ok()).unwrap_or(1).max(1)
}

const ALL: &str = "SELECT request_id, kind, about, asked_by, reason, requests.asked_ms, ifnull(given.payload, requests.payload), state,
    decided_by, decided_ms, note, outcome,
    (SELECT json_group_array(person) FROM (SELECT person FROM consents
        WHERE consents.request_id = requests.request_id AND consents.content = requests.content ORDER BY person))
    FROM requests LEFT JOIN given USING (content)";

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

/// Keeps what the trail does not tell of a request: what is needed to do it, with its numbers.
pub(crate) fn keep_given(connection: &Connection, it: &Request) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO given (content, payload, asked_ms) VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![it.content(), it.payload, it.asked_ms]).map(drop)
}

/// A deed about a request.
struct Step<'a> {
    id: &'a str,
    /// To what content.
    content: &'a str,
    by: &'a str,
    why: &'a str,
    logged_ms: i64,
}

/// Takes what an entry of the audit trail says about a request, if it says something.
pub(super) fn take(connection: &Connection, told: &Value, logged_ms: i64) -> rusqlite::Result<()> {
    let of = |path: &str| told.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if of("/command/kind") != Deed::KIND {
        let id = of("/command/by/command_id").strip_prefix(COMMAND);
        return id.map_or(Ok(()), |id| came(connection, id, told, logged_ms));
    }
    if of("/command/result") != "done" {
        return Ok(());
    }
    let step = Step {
        id: of("/command/request"),
        content: of("/command/digest"),
        by: of("/command/by/actor"),
        why: of("/command/by/reason"),
        logged_ms,
    };
    match Act::ALL.into_iter().find(|act| act.as_str() == of("/command/act")) {
        Some(Act::RequestMade) => {
            made(connection, &step, of("/command/about"), of("/command/details"))
        }
        Some(Act::RequestApproved) => approved(connection, &step),
        Some(Act::RequestOverridden) => decided(connection, &step, "approved"),
        Some(Act::RequestRefused) => decided(connection, &step, "refused"),
        Some(Act::RequestFailed) => concluded(connection, &step, ("failed", step.why)),
        Some(Act::RulesActivated) => concluded(connection, &step, ("done", "activated")),
        _ => Ok(()),
    }
}

/// A request of which an entry tells that it was made; none where that is not what its digest says.
fn read(step: &Step<'_>, about: &str, details: &str) -> Option<Request> {
    let details: Value = serde_json::from_str(details).ok()?;
    let of = |name: &str| details.get(name).and_then(Value::as_str);
    let request = Request {
        id: step.id.to_owned(),
        kind: of("kind")?.to_owned(),
        about: about.to_owned(),
        asked_by: step.by.to_owned(),
        reason: step.why.to_owned(),
        asked_ms: parse_rfc3339(of("asked_at")?.as_bytes())?,
        payload: details.get("payload")?.to_string(),
        ..Request::waiting()
    };
    (request.content() == step.content).then_some(request)
}

/// One that is asked anew under an id takes the place of the one before, which was let go.
fn made(
    connection: &Connection,
    step: &Step<'_>,
    about: &str,
    details: &str,
) -> rusqlite::Result<()> {
    let Some(it) = read(step, about, details) else { return Ok(()) };
    let sql = "INSERT INTO requests
        (request_id, kind, about, asked_by, reason, asked_ms, made_ms, payload, content, state)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'pending')
        ON CONFLICT (request_id) DO UPDATE SET kind = excluded.kind, about = excluded.about,
            asked_by = excluded.asked_by, reason = excluded.reason, asked_ms = excluded.asked_ms,
            made_ms = excluded.made_ms, payload = excluded.payload, content = excluded.content,
            state = excluded.state, decided_by = NULL, decided_ms = NULL, note = NULL, outcome = NULL
        WHERE excluded.content <> content";
    let row = params![
        it.id,
        it.kind,
        it.about,
        it.asked_by,
        it.reason,
        it.asked_ms,
        step.logged_ms,
        it.payload,
        step.content
    ];
    connection.execute(sql, row).map(drop)
}

/// One person counts once, and who asked not at all.
fn approved(connection: &Connection, step: &Step<'_>) -> rusqlite::Result<()> {
    let sql = "SELECT payload FROM requests
        WHERE request_id = ?1 AND content = ?2 AND state = 'pending' AND asked_by <> ?3";
    let payload: Option<String> =
        connection.query_row(sql, [step.id, step.content, step.by], |row| row.get(0)).optional()?;
    let Some(payload) = payload else { return Ok(()) };
    let sql = "INSERT INTO consents (request_id, person, content, approved_ms, note) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (request_id, person) DO UPDATE SET
            content = excluded.content, approved_ms = excluded.approved_ms, note = excluded.note
        WHERE content <> excluded.content";
    let row = params![step.id, step.by, step.content, step.logged_ms, step.why];
    connection.execute(sql, row)?;
    let sql = "SELECT count(*) FROM consents WHERE request_id = ?1 AND content = ?2";
    let people: u32 = connection.query_row(sql, [step.id, step.content], |row| row.get(0))?;
    let payload: Value = serde_json::from_str(&payload).unwrap_or_default();
    if people < needed(&payload) { Ok(()) } else { decided(connection, step, "approved") }
}

/// Whoever comes second finds it decided: all instances read the same order.
fn decided(connection: &Connection, step: &Step<'_>, state: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET state = ?3, decided_by = ?4, note = ?5, decided_ms = ?6
        WHERE request_id = ?1 AND content = ?2 AND state = 'pending'";
    let row = params![step.id, step.content, state, step.by, step.why, step.logged_ms];
    if connection.execute(sql, row)? == 0 {
        return Ok(());
    }
    if state != "approved" {
        return forget(connection, step.id);
    }
    // WHY: where all is read anew, the partition that says what came of it may have been read before this one.
    let sql = "SELECT body, at_ms FROM audits JOIN records USING (seq), requests
        WHERE request_id = ?1 AND command_id = ?2 AND at_ms >= made_ms ORDER BY at_ms, seq";
    let mut found = connection.prepare_cached(sql)?;
    let command_id = format!("{COMMAND}{}", step.id);
    let answers = found.query_map([step.id, &command_id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    for answer in answers {
        let (body, at_ms) = answer?;
        came(connection, step.id, &serde_json::from_str(&body).unwrap_or_default(), at_ms)?;
    }
    Ok(())
}

/// Of an approved one: what came of it, as a deed tells.
fn concluded(
    connection: &Connection,
    step: &Step<'_>,
    (state, outcome): (&str, &str),
) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET state = ?3, outcome = ?4
        WHERE request_id = ?1 AND content = ?2 AND state IN ('approved', 'done')";
    connection.execute(sql, params![step.id, step.content, state, outcome])?;
    forget(connection, step.id)
}

/// The same, as the answer to its command tells. Each partition gives one: one does it, and a refusal counts most.
fn came(connection: &Connection, id: &str, told: &Value, at_ms: i64) -> rusqlite::Result<()> {
    let of = |path: &str| told.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if of("/command/result") == "repeated" || of("/command/cause") == "command_id_reused" {
        return Ok(());
    }
    let (state, outcome) = match read_answer(told) {
        Ok(done) if done.state.is_empty() => ("done", "done".to_owned()),
        Ok(done) => ("done", done.state),
        Err(problem) => ("failed", problem.kind.code.to_owned()),
    };
    let sql = "UPDATE requests SET state = ?2, outcome = ?3
        WHERE request_id = ?1 AND made_ms <= ?4 AND (state = 'approved' OR state = 'done' AND ?2 = 'failed')";
    match connection.execute(sql, params![id, state, outcome, at_ms])? {
        0 => Ok(()),
        _ => forget(connection, id),
    }
}

/// Lets go of the numbers of a request that is decided.
fn forget(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let sql =
        "DELETE FROM given WHERE content IN (SELECT content FROM requests WHERE request_id = ?1)";
    connection.execute(sql, [id]).map(drop)
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
        "{ALL} WHERE (?1 IS NULL OR state = ?1) AND (requests.asked_ms < ?2 OR requests.asked_ms = ?2 AND request_id > ?3)
         ORDER BY requests.asked_ms DESC, request_id LIMIT ?4"
    );
    let mut found = connection.prepare_cached(&sql)?;
    found.query_map(params![state, ms, id, limit], request)?.collect()
}

/// Lets go of what was asked for before a time, decided or not, with the consents to it.
pub(crate) fn sweep(connection: &Connection, before_ms: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM requests WHERE asked_ms < ?1", [before_ms])?;
    connection.execute("DELETE FROM given WHERE asked_ms < ?1", [before_ms])?;
    let sql = "DELETE FROM consents WHERE request_id NOT IN (SELECT request_id FROM requests)";
    connection.execute(sql, []).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::store::Store;
    use crate::base::time::format_rfc3339;

    const WAITS: &str = r#"{"approvals_needed":2}"#;

    fn asked(about: &str, asked_ms: i64) -> Request {
        Request {
            id: "of ann and k1".to_owned(),
            kind: "rules.activate".to_owned(),
            about: about.to_owned(),
            asked_by: "ann".to_owned(),
            reason: "as discussed".to_owned(),
            asked_ms,
            payload: WAITS.to_owned(),
            ..Request::waiting()
        }
    }

    /// An entry of the trail, as the engine writes it.
    fn deed(act: Act, it: &Request, (by, why): (&str, &str)) -> Value {
        let payload: Value = serde_json::from_str(&mask_cards(&it.payload)).unwrap();
        let details =
            json!({"kind": it.kind, "asked_at": format_rfc3339(it.asked_ms), "payload": payload});
        let details = (act == Act::RequestMade).then(|| details.to_string());
        json!({"kind": "command", "command": {
            "kind": "act", "act": act.as_str(), "about": it.about, "request": it.id, "digest": it.content(),
            "details": details, "result": "done", "by": {"actor": by, "reason": why, "command_id": "c"},
        }})
    }

    fn tell(store: &Store, all: &[Value]) {
        for (n, told) in (0..).zip(all) {
            take(&store.writer(), told, n).unwrap();
        }
    }

    fn shown(store: &Store) -> Option<Request> {
        find(&store.writer(), "of ann and k1").unwrap()
    }

    fn is(store: &Store, state: &str, by: Option<&str>) {
        let request = shown(store).unwrap();
        assert_eq!((&*request.state, request.decided_by.as_deref()), (state, by), "{request:?}");
    }

    #[test]
    fn approvals_of_a_request_that_was_let_go_do_not_count_for_the_next_one_of_its_id() {
        let store = Store::open(None).unwrap();
        let first = asked("rule set one", 1_000);
        let made = |it: &Request| deed(Act::RequestMade, it, ("ann", "as discussed"));
        let yes = |it: &Request, by: &str| deed(Act::RequestApproved, it, (by, "read it"));
        tell(&store, &[made(&first), yes(&first, "bob"), yes(&first, "bob"), yes(&first, "ann")]);
        assert_eq!(shown(&store).unwrap().approved_by, ["bob"]);
        is(&store, "pending", None);
        // It waits still, and is let go with what people said of it.
        store.sweep(1_001).unwrap();
        assert_eq!(shown(&store), None);
        let other = asked("rule set two", 2_000);
        tell(&store, &[made(&other), yes(&first, "cy"), yes(&first, "bob")]);
        // Whoever looked at the first one approves nothing of the second.
        assert!(shown(&store).unwrap().approved_by.is_empty());
        tell(&store, &[yes(&other, "cy"), yes(&other, "bob"), yes(&other, "dan")]);
        is(&store, "approved", Some("bob"));
        // The same where nothing was let go, and all is read from the beginning.
        let anew = Store::open(None).unwrap();
        tell(&anew, &[made(&first), yes(&first, "bob"), made(&other)]);
        assert!(shown(&anew).unwrap().approved_by.is_empty());
        tell(&anew, &[yes(&first, "cy"), yes(&other, "cy"), yes(&other, "bob")]);
        is(&anew, "approved", Some("bob"));
    }

    #[test]
    fn of_two_who_decide_at_once_the_first_of_the_trail_counts_in_every_instance() {
        let it = Request { payload: "{}".to_owned(), ..asked("rule set", 1_000) };
        let made = deed(Act::RequestMade, &it, ("ann", "as discussed"));
        let yes = deed(Act::RequestApproved, &it, ("bob", "read it"));
        let no = deed(Act::RequestRefused, &it, ("cy", "no tests"));
        let alone = deed(Act::RequestOverridden, &it, ("ann", "it burns"));
        let end = |all: &[&Value], state: &str, by: Option<&str>| {
            let store = Store::open(None).unwrap();
            tell(&store, &all.iter().map(|it| (*it).clone()).collect::<Vec<_>>());
            is(&store, state, by);
        };
        end(&[&made, &yes, &no], "approved", Some("bob"));
        end(&[&made, &no, &yes], "refused", Some("cy"));
        end(&[&made, &alone, &no], "approved", Some("ann"));
        let active = deed(Act::RulesActivated, &it, ("ann", "as discussed"));
        let failed = deed(Act::RequestFailed, &it, ("bob", "refused"));
        end(&[&made, &active], "pending", None);
        end(&[&made, &yes, &active, &no], "done", Some("bob"));
        end(&[&made, &yes, &active, &failed], "failed", Some("bob"));
        // What says something else than its digest is none.
        let mut forged = made.clone();
        forged["command"]["about"] = json!("another rule set");
        let store = Store::open(None).unwrap();
        tell(&store, &[forged]);
        assert_eq!(shown(&store), None);
    }

    #[test]
    fn what_came_of_it_is_what_the_answer_to_its_command_says() {
        let payload = json!({"members": {"value": "4111111111111111"}, "masked": true}).to_string();
        let it = Request { kind: "list.add".to_owned(), payload, ..asked("bad_cards", 1_000) };
        let answer = |result: &str, cause: &str| {
            json!({"kind": "command", "command": {
                "kind": "list.add", "list": "bad_cards", "result": result, "cause": cause,
                "by": {"actor": "ann", "command_id": "api-request:of ann and k1"},
            }})
        };
        let before = [
            deed(Act::RequestMade, &it, ("ann", "as discussed")),
            deed(Act::RequestApproved, &it, ("bob", "read it")),
        ];
        for (answers, state, outcome) in [
            (&[answer("done", ""), answer("repeated", "")][..], "done", "done"),
            (&[answer("repeated", ""), answer("done", "")], "done", "done"),
            (&[answer("refused", "unknown_list"), answer("done", "")], "failed", "not_found"),
            (&[answer("done", ""), answer("refused", "unknown_list")], "failed", "not_found"),
            (&[answer("refused", "command_id_reused")], "approved", ""),
        ] {
            let store = Store::open(None).unwrap();
            keep_given(&store.writer(), &it).unwrap();
            tell(&store, &before);
            assert!(
                shown(&store).unwrap().is_whole() && shown(&store).unwrap().payload == it.payload
            );
            tell(&store, &[vec![json!({}); 2], answers.to_vec()].concat());
            let request = shown(&store).unwrap();
            assert_eq!(
                (&*request.state, request.outcome.unwrap_or_default()),
                (state, outcome.to_owned())
            );
            // The number goes when it is decided; elsewhere it never was.
            assert_eq!(request.payload.contains("4111111111111111"), state == "approved");
        }
        let elsewhere = Store::open(None).unwrap();
        tell(&elsewhere, &before[..1]);
        let request = shown(&elsewhere).unwrap();
        assert!(!request.is_whole() && request.content() == it.content(), "{request:?}");
    }

    #[test]
    fn a_request_is_let_go_when_it_is_old_whether_it_was_decided_or_waits() {
        let store = Store::open(None).unwrap();
        let it = asked("rule set one", 1_000);
        tell(&store, &[deed(Act::RequestMade, &it, ("ann", "as discussed"))]);
        store.sweep(1_000).unwrap();
        assert!(shown(&store).is_some());
        store.sweep(1_001).unwrap();
        assert_eq!(shown(&store), None);
    }
}
