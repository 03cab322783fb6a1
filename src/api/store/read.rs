//! Questions to the read model: pages of records by filters, newest first, from a cursor on.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::api::roles::Scope;

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its number.
    pub(crate) seq: i64,
    /// Its kind.
    pub(crate) kind: String,
    /// The log's own time of it, ms since 1970.
    pub(crate) logged_ms: i64,
    /// Its body, JSON.
    pub(crate) body: String,
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The table that finds them.
    pub(crate) by: &'static str,
    /// Conditions with one `?` each, and its value.
    pub(crate) where_: Vec<(&'static str, Sql)>,
    /// Only those before this time of the log and number.
    pub(crate) before: Option<(i64, i64)>,
    /// Most of them.
    pub(crate) limit: i64,
    /// Only those of these input topics.
    pub(crate) scope: Scope,
}

/// Adds that a column names one of the topics that somebody sees.
fn within(scope: &Scope, column: &str, sql: &mut String, values: &mut Vec<Sql>) {
    let Some(topics) = scope.topics() else { return };
    let marks = vec!["?"; topics.len()].join(", ");
    sql.push_str(&format!(" AND {column} IN ({marks})"));
    values.extend(topics.iter().map(|topic| Sql::from(topic.clone())));
}

impl Wanted {
    /// All of a table.
    pub(crate) fn of(by: &'static str, before: Option<(i64, i64)>, limit: i64) -> Self {
        Self { by, where_: Vec::new(), before, limit, scope: Scope::All }
    }

    /// Only what somebody with this view may see.
    #[must_use]
    pub(crate) fn within(mut self, scope: &Scope) -> Self {
        self.scope = scope.clone();
        self
    }

    /// Only where this holds, if there is a value.
    #[must_use]
    pub(crate) fn only<V: Into<Sql>>(mut self, condition: &'static str, value: Option<V>) -> Self {
        if let Some(value) = value {
            self.where_.push((condition, value.into()));
        }
        self
    }

    /// Newest first.
    pub(crate) fn ask(&self, connection: &Connection) -> rusqlite::Result<Vec<Kept>> {
        let by = self.by;
        let mut sql = format!(
            "SELECT seq, records.kind, logged_ms, body FROM {by} JOIN records USING (seq) WHERE 1"
        );
        let mut values: Vec<Sql> = Vec::new();
        for (condition, value) in &self.where_ {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value.clone());
        }
        within(&self.scope, "records.topic", &mut sql, &mut values);
        if let Some((at_ms, seq)) = self.before {
            sql.push_str(" AND (at_ms, seq) < (?, ?)");
            values.extend([at_ms.into(), seq.into()]);
        }
        sql.push_str(" ORDER BY at_ms DESC, seq DESC LIMIT ?");
        values.push(self.limit.into());
        let mut found = connection.prepare_cached(&sql)?;
        found.query_map(params_from_iter(values), kept)?.collect()
    }
}

fn kept(row: &rusqlite::Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept { seq: row.get(0)?, kind: row.get(1)?, logged_ms: row.get(2)?, body: row.get(3)? })
}

/// Records behind a number, oldest first, of these kinds, as somebody with this view sees them.
pub(crate) fn behind(
    connection: &Connection,
    after: i64,
    (kinds, scope): (&[&str], &Scope),
    limit: i64,
) -> rusqlite::Result<Vec<Kept>> {
    let marks = vec!["?"; kinds.len()].join(", ");
    let mut sql = format!(
        "SELECT seq, kind, logged_ms, body FROM records WHERE seq > ? AND kind IN ({marks})"
    );
    let mut values: Vec<Sql> = vec![after.into()];
    values.extend(kinds.iter().map(|kind| Sql::from((*kind).to_owned())));
    within(scope, "topic", &mut sql, &mut values);
    sql.push_str(" ORDER BY seq LIMIT ?");
    values.push(limit.into());
    let mut found = connection.prepare_cached(&sql)?;
    found.query_map(params_from_iter(values), kept)?.collect()
}

/// A hold as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptHold {
    /// Its id.
    pub(crate) hold_id: String,
    /// Its state.
    pub(crate) state: String,
    /// When it ends by itself, ms since 1970.
    pub(crate) deadline_ms: i64,
    /// Currency and decimal of the payment, if it has an amount.
    pub(crate) amount: Option<(String, String)>,
    /// The key of its records.
    pub(crate) key: Vec<u8>,
    /// The number of the partition where it is known.
    pub(crate) number: Option<i32>,
    /// Its newest record, JSON.
    pub(crate) body: String,
}

const HOLD: &str =
    "SELECT hold_id, state, deadline_ms, currency, amount, key, number, body FROM holds";

fn kept_hold(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeptHold> {
    let (currency, value): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
    Ok(KeptHold {
        hold_id: row.get(0)?,
        state: row.get(1)?,
        deadline_ms: row.get(2)?,
        amount: currency.zip(value),
        key: row.get(5)?,
        number: row.get(6)?,
        body: row.get(7)?,
    })
}

/// The hold of an id, where somebody with this view may see it.
pub(crate) fn hold(
    connection: &Connection,
    hold_id: &str,
    scope: &Scope,
) -> rusqlite::Result<Option<KeptHold>> {
    let mut sql = format!("{HOLD} WHERE hold_id = ?");
    let mut values = vec![Sql::from(hold_id.to_owned())];
    within(scope, "topic", &mut sql, &mut values);
    let mut found = connection.prepare_cached(&sql)?;
    found.query_row(params_from_iter(values), kept_hold).optional()
}

/// Which holds are wanted, by who works on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// Whoever does.
    OrNot,
    /// Somebody.
    Yes,
    /// Nobody.
    No,
    /// This one.
    By(String),
}

/// Holds in one of these states that these work on, by deadline, behind a deadline and id, as somebody with this view sees them.
pub(crate) fn holds(
    connection: &Connection,
    (states, claimed, scope): (&[&str], &Claimed, &Scope),
    after: Option<&(i64, String)>,
    limit: i64,
) -> rusqlite::Result<Vec<KeptHold>> {
    let marks = vec!["?"; states.len()].join(", ");
    let mut sql = format!("{HOLD} WHERE state IN ({marks})");
    let mut values: Vec<Sql> = states.iter().map(|it| Sql::from((*it).to_owned())).collect();
    within(scope, "topic", &mut sql, &mut values);
    match claimed {
        Claimed::OrNot => {}
        Claimed::Yes => sql.push_str(" AND claimed_by IS NOT NULL"),
        Claimed::No => sql.push_str(" AND claimed_by IS NULL"),
        Claimed::By(person) => {
            sql.push_str(" AND claimed_by = ?");
            values.push(person.clone().into());
        }
    }
    if let Some((deadline_ms, hold_id)) = after {
        sql.push_str(" AND (deadline_ms, hold_id) > (?, ?)");
        values.push((*deadline_ms).into());
        values.push(hold_id.clone().into());
    }
    sql.push_str(" ORDER BY deadline_ms, hold_id LIMIT ?");
    values.push(limit.into());
    let mut found = connection.prepare_cached(&sql)?;
    found.query_map(params_from_iter(values), kept_hold)?.collect()
}

/// The records of a hold, oldest first.
pub(crate) fn steps(
    connection: &Connection,
    hold_id: &str,
    limit: i64,
) -> rusqlite::Result<Vec<Kept>> {
    let mut found = connection.prepare_cached(
        "SELECT seq, records.kind, logged_ms, body FROM records JOIN hold_steps USING (seq)
         WHERE hold_id = ?1 ORDER BY seq LIMIT ?2",
    )?;
    found.query_map(params![hold_id, limit], kept)?.collect()
}
