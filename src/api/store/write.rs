//! Records into the read model. What is written twice, with the same bytes, is there once.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::Value;

use crate::api::store::{Kind, Store, requests, schema};
use crate::base::Digest;
use crate::base::time::parse_rfc3339;
use crate::decision::holds::HoldState;
use crate::runtime::{Followed, OutputTopic, Places};
use crate::telemetry::api as happening;

/// Most records that one sweep lets go, so that nobody waits for long.
const SWEEP: i64 = 5_000;

impl Store {
    /// Up to where the topics were read.
    pub(crate) fn places(&self) -> rusqlite::Result<Places> {
        let connection = self.writer();
        let mut found = connection.prepare("SELECT topic, number, next FROM positions")?;
        let rows = found.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        rows.collect()
    }

    /// Takes records of output topics, and where they end, in one SQLite transaction.
    pub(crate) fn take(&self, records: &[(Kind, Followed)]) -> rusqlite::Result<()> {
        let mut connection = self.writer();
        let change = connection.transaction()?;
        for (kind, record) in records {
            match serde_json::from_slice::<Value>(&record.body) {
                Ok(body) if body.is_object() => take(&change, *kind, record, &body)?,
                _ => happening::ApiRecordUnreadable {
                    topic: &record.topic,
                    partition: record.partition,
                    offset: record.offset,
                }
                .emit(),
            }
            change
                .prepare_cached(
                    "INSERT INTO positions (topic, number, next) VALUES (?1, ?2, ?3)
                     ON CONFLICT (topic, number) DO UPDATE SET next = excluded.next",
                )?
                .execute(params![record.topic, record.partition, record.offset + 1])?;
        }
        let newest = schema::newest(&change)?;
        change.commit()?;
        drop(connection);
        self.announce(newest);
        Ok(())
    }

    /// Forgets what was derived, to read it again. Numbers go on where they were, so nothing is shown twice under one.
    pub(crate) fn renew(&self) -> rusqlite::Result<()> {
        let mut connection = self.writer();
        let newest = schema::newest(&connection)?;
        schema::renew(&mut connection, self.epoch(), newest)
    }

    /// Lets go what has ended, and what waits for a second person, and is older than `before_ms`; says whether there is more.
    pub(crate) fn sweep(&self, before_ms: i64) -> rusqlite::Result<bool> {
        let mut connection = self.writer();
        let change = connection.transaction()?;
        let open = open_states();
        let gone = let_go(&change, before_ms)?;
        let holds = format!("DELETE FROM holds WHERE logged_ms < ?1 AND state NOT IN ({open})");
        change.execute(&holds, params![before_ms])?;
        requests::sweep(&change, before_ms)?;
        change.commit()?;
        Ok(i64::try_from(gone).unwrap_or(SWEEP) >= SWEEP)
    }

    /// Lets go of the oldest records while there is more than so many bytes; open holds stay. How many records went, and how
    /// many bytes there are.
    pub(crate) fn bound(&self, most_bytes: u64) -> rusqlite::Result<(u64, u64)> {
        let mut connection = self.writer();
        let mut gone = 0;
        loop {
            let bytes = used_bytes(&connection)?;
            if bytes <= most_bytes {
                return Ok((gone, bytes));
            }
            let change = connection.transaction()?;
            let went = let_go(&change, i64::MAX)?;
            change.commit()?;
            gone += u64::try_from(went).unwrap_or(0);
            if went == 0 {
                return Ok((gone, used_bytes(&connection)?));
            }
        }
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> rusqlite::Result<u64> {
        used_bytes(&self.writer())
    }
}

/// The states of open holds, as SQL lists them.
fn open_states() -> String {
    let open = HoldState::ALL.into_iter().filter(|state| state.is_open());
    let open: Vec<String> = open.map(|state| format!("'{}'", state.as_str())).collect();
    open.join(", ")
}

/// Lets go of the oldest records before a time, a sweep of them, but for the steps of open holds.
fn let_go(change: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<usize> {
    let open = open_states();
    let sql = format!(
        "DELETE FROM records WHERE seq IN (
            SELECT seq FROM records WHERE logged_ms < ?1 AND NOT EXISTS (
                SELECT 1 FROM hold_steps JOIN holds USING (hold_id)
                WHERE hold_steps.seq = records.seq AND holds.state IN ({open})
            ) ORDER BY logged_ms LIMIT ?2)"
    );
    change.execute(&sql, params![before_ms, SWEEP])
}

/// Pages that hold something. WHY: those that are free are taken for what comes next.
fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let of = |name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let pages = of("page_count")?.saturating_sub(of("freelist_count")?);
    Ok(u64::try_from(pages.saturating_mul(of("page_size")?)).unwrap_or(0))
}

fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path).and_then(Value::as_str)
}

fn time(value: &Value, path: &str) -> i64 {
    text(value, path).and_then(|text| parse_rfc3339(text.as_bytes())).unwrap_or(0)
}

/// Where the record that brought it about lies.
pub(crate) fn place(value: &Value) -> String {
    let number = |path: &str| value.pointer(path).and_then(Value::as_i64).unwrap_or(-1);
    let topic = text(value, "/source/topic").unwrap_or_default();
    format!("{topic}/{}/{}", number("/source/partition"), number("/source/offset"))
}

fn take(
    change: &Transaction<'_>,
    kind: Kind,
    record: &Followed,
    body: &Value,
) -> rusqlite::Result<()> {
    let entity = String::from_utf8_lossy(&record.key).into_owned();
    let digest = Digest::of_parts(&[&record.body]).short_hex();
    let whole = String::from_utf8_lossy(&record.body);
    let is_end = text(body, "/schema") == Some(OutputTopic::Episodes.schema());
    let kind = if kind == Kind::Alert && is_end { Kind::Episode } else { kind };
    let number = |topic: Option<&str>| insert(change, kind, (record.logged_ms, topic), &whole);
    let source = text(body, "/source/topic");
    match kind {
        Kind::Decision => decision(change, body, (&entity, record.logged_ms), number),
        Kind::Alert => alert(change, body, (&entity, record.logged_ms), number),
        Kind::Episode => episode(change, body, record.logged_ms, number),
        Kind::Hold => hold(change, record, body, (&digest, &whole), number),
        Kind::Audit => {
            if has(change, "SELECT 1 FROM audits WHERE digest = ?1", &[&digest])? {
                return Ok(());
            }
            let actor = text(body, "/command/by/actor");
            let abouts = [
                "/command/hold_id",
                "/command/episode",
                "/command/list",
                "/command/rule",
                "/tripped/rule",
                "/command/about",
                "/hold/hold_id",
                "/decision/decision_id",
            ];
            let kind = text(body, "/kind").unwrap_or_default();
            let ruleset = || text(body, "/ruleset").filter(|_| kind == "ruleset_active");
            let about = abouts.into_iter().find_map(|path| text(body, path)).or_else(ruleset);
            let id = text(body, "/command/by/command_id");
            let row = params![number(None)?, kind, actor, about, id, digest, record.logged_ms];
            let sql = "INSERT INTO audits (seq, kind, actor, about, command_id, digest, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            change.prepare_cached(sql)?.execute(row)?;
            requests::take(change, body, record.logged_ms)
        }
        Kind::DeadLetter => {
            let place = place(body);
            if has(change, "SELECT 1 FROM letters WHERE place = ?1", &[&place])? {
                return Ok(());
            }
            let reason = text(body, "/reason").unwrap_or_default();
            let row = params![number(source)?, reason, place, record.logged_ms];
            let sql = "INSERT INTO letters (seq, reason, place, at_ms) VALUES (?1, ?2, ?3, ?4)";
            change.prepare_cached(sql)?.execute(row).map(drop)
        }
    }
}

fn has(connection: &Connection, sql: &str, values: &[&str]) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.exists(rusqlite::params_from_iter(values))
}

fn insert(
    change: &Transaction<'_>,
    kind: Kind,
    (logged_ms, topic): (i64, Option<&str>),
    body: &str,
) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO records (kind, topic, logged_ms, body) VALUES (?1, ?2, ?3, ?4)";
    change.prepare_cached(sql)?.execute(params![kind.name(), topic, logged_ms, body])?;
    Ok(change.last_insert_rowid())
}

fn decision(
    change: &Transaction<'_>,
    body: &Value,
    (entity, at_ms): (&str, i64),
    number: impl FnOnce(Option<&str>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let (id, place) = (text(body, "/decision_id").unwrap_or_default(), place(body));
    if has(change, "SELECT 1 FROM decisions WHERE decision_id = ?1 AND place = ?2", &[id, &place])?
    {
        return Ok(());
    }
    let seq = number(text(body, "/source/topic"))?;
    let of = |path: &str| text(body, path).unwrap_or_default();
    let score = body.get("score").and_then(Value::as_i64).unwrap_or(0);
    let (kind, event, outcome) = (of("/event/type"), of("/event/id"), of("/outcome"));
    let row = params![
        seq,
        id,
        kind,
        event,
        time(body, "/event/time"),
        outcome,
        score,
        entity,
        place,
        at_ms
    ];
    change
        .prepare_cached(
            "INSERT INTO decisions (seq, decision_id, event_type, event_id, event_ms, outcome, score, entity, place, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(row)?;
    let hits = body.get("contributions").and_then(Value::as_array).into_iter().flatten();
    for rule in hits.filter_map(|hit| text(hit, "/rule")) {
        change
            .prepare_cached("INSERT OR IGNORE INTO hits (rule, seq) VALUES (?1, ?2)")?
            .execute(params![rule, seq])?;
    }
    Ok(())
}

fn alert(
    change: &Transaction<'_>,
    body: &Value,
    (entity, at_ms): (&str, i64),
    number: impl FnOnce(Option<&str>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let of = |path: &str| text(body, path).unwrap_or_default();
    if has(change, "SELECT 1 FROM alerts WHERE alert_id = ?1", &[of("/alert_id")])? {
        return Ok(());
    }
    let (rule, severity, queue) = (of("/rule"), of("/severity"), text(body, "/queue"));
    let (event, decision, episode) = (of("/event/id"), of("/decision_id"), of("/episode/id"));
    let id = of("/alert_id");
    let topic = match topic_of_decision(change, decision)? {
        Some(topic) => Some(topic),
        // WHY: that alert comes with whatever record the deadline was reached by.
        None if rule == ESCALATION => None,
        None => text(body, "/source/topic").map(str::to_owned),
    };
    let seq = number(topic.as_deref())?;
    let row = params![seq, id, rule, severity, queue, event, decision, episode, entity, at_ms];
    change
        .prepare_cached(
            "INSERT INTO alerts (seq, alert_id, rule, severity, queue, event_id, decision_id, episode_id, entity, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(row)
        .map(drop)
}

/// The rule of alerts about holds that nobody decided about.
const ESCALATION: &str = "hold_escalation";

/// The input topic of the event that a decision is about.
fn topic_of_decision(change: &Connection, decision_id: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT topic FROM records JOIN decisions USING (seq) WHERE decision_id = ?1 LIMIT 1";
    let found: Option<Option<String>> =
        change.prepare_cached(sql)?.query_row([decision_id], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

/// The one input topic of all alerts of an episode, where it is one.
fn topic_of_episode(change: &Connection, episode_id: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT CASE WHEN count(DISTINCT ifnull(topic, '')) = 1 THEN max(topic) END
        FROM records JOIN alerts USING (seq) WHERE episode_id = ?1";
    change.prepare_cached(sql)?.query_row([episode_id], |row| row.get(0))
}

/// The input topic of the payment that a hold stops, as far as its record or its decision tells.
fn topic_of_hold(
    change: &Connection,
    record: &Followed,
    body: &Value,
) -> rusqlite::Result<Option<String>> {
    let Some(decision_id) = text(body, "/decision_id") else { return Ok(None) };
    // WHY: later steps come with the record of a command, or of whatever moved the clock.
    if text(body, "/state") == Some(HoldState::Placed.as_str()) {
        return Ok(record.source_topic.clone());
    }
    topic_of_decision(change, decision_id)
}

/// An episode ends once; what is read again is known.
fn episode(
    change: &Transaction<'_>,
    body: &Value,
    at_ms: i64,
    number: impl FnOnce(Option<&str>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let of = |path: &str| text(body, path).unwrap_or_default();
    let id = of("/episode_id");
    if has(change, "SELECT 1 FROM episodes WHERE episode_id = ?1", &[id])? {
        return Ok(());
    }
    let topic = topic_of_episode(change, id)?;
    change
        .prepare_cached(
            "INSERT INTO episodes (seq, episode_id, closed, at_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![number(topic.as_deref())?, id, of("/closed"), at_ms])
        .map(drop)
}

fn hold(
    change: &Transaction<'_>,
    record: &Followed,
    body: &Value,
    (digest, whole): (&str, &str),
    number: impl FnOnce(Option<&str>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let of = |path: &str| text(body, path).unwrap_or_default();
    let id = of("/hold_id");
    let topic = topic_of_hold(change, record, body)?;
    // WHY: key and partition are those of the record that placed it, for that is where the hold is known.
    let row = params![
        id,
        of("/state"),
        time(body, "/deadline_at"),
        of("/subject/id"),
        text(body, "/claimed_by/actor"),
        text(body, "/amount/currency"),
        text(body, "/amount/value"),
        record.key,
        record.source_partition,
        record.logged_ms,
        whole,
        topic
    ];
    change
        .prepare_cached(
            "INSERT INTO holds (hold_id, state, deadline_ms, subject_id, claimed_by, currency, amount, key, number, logged_ms, body, topic)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (hold_id) DO UPDATE SET state = excluded.state, deadline_ms = excluded.deadline_ms,
                 claimed_by = excluded.claimed_by, logged_ms = excluded.logged_ms, body = excluded.body,
                 topic = ifnull(topic, excluded.topic)",
        )?
        .execute(row)?;
    let sql = "SELECT topic FROM holds WHERE hold_id = ?1";
    let topic: Option<String> = change.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    // WHY: a step that is written again after a crash brings its state again, and those behind it follow; it is one step.
    if has(change, "SELECT 1 FROM hold_steps WHERE hold_id = ?1 AND digest = ?2", &[id, digest])? {
        return Ok(());
    }
    change
        .prepare_cached("INSERT INTO hold_steps (seq, hold_id, digest) VALUES (?1, ?2, ?3)")?
        .execute(params![number(topic.as_deref())?, id, digest])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(n: i64) -> (Kind, Followed) {
        let body = format!(
            r#"{{"decision_id":"d{n}","event":{{"id":"e{n}","type":"pay"}},"outcome":"pass","note":"{}"}}"#,
            "x".repeat(1_000)
        );
        (Kind::Decision, followed("decisions", n, &body))
    }

    fn followed(topic: &str, n: i64, body: &str) -> Followed {
        Followed {
            topic: topic.to_owned(),
            partition: 0,
            offset: n,
            logged_ms: n,
            key: b"k".to_vec(),
            body: body.as_bytes().to_vec(),
            source_partition: None,
            source_topic: None,
            traceparent: None,
        }
    }

    #[test]
    fn the_read_model_stays_within_its_bytes_and_the_oldest_go_first_but_for_open_holds() {
        const MOST: u64 = 16 << 20;
        let store = Store::open(None).unwrap();
        let placed = r#"{"hold_id":"h","state":"placed","deadline_at":"2026-01-01T00:00:00Z"}"#;
        store.take(&[(Kind::Hold, followed("holds", 0, placed))]).unwrap();
        let mut gone = 0;
        for batch in 0..30 {
            let records: Vec<_> = (batch * 1_000..(batch + 1) * 1_000).map(decision).collect();
            store.take(&records).unwrap();
            let (went, bytes) = store.bound(MOST).unwrap();
            assert!(bytes <= MOST, "{bytes}");
            gone += went;
        }
        // Thirty thousand of a thousand bytes and more do not fit; what is there is the newest of them.
        let connection = store.writer();
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let left = count("SELECT count(*) FROM decisions");
        assert!(gone > 15_000 && left > 5_000, "{gone} {left}");
        assert_eq!(left + i64::try_from(gone).unwrap(), 30_000);
        assert_eq!(count("SELECT min(at_ms) FROM decisions"), 30_000 - left);
        assert_eq!(count("SELECT count(*) FROM hold_steps"), 1);
    }
}
