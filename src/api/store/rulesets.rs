//! Rule sets by digest: which decided when, and the files of those that decided or were proposed here.
//!
//! When each became active is derived from the audit trail. Files are in no topic, so they are kept where the rest is made anew:
//! the newest, within bounds.

use rusqlite::{Connection, OptionalExtension as _, params};

/// Most rule sets whose files are kept.
const MOST: i64 = 100;

/// Most bytes of the files that are kept; a larger rule set is not kept at all.
const MOST_BYTES: i64 = 32 << 20;

/// That another rule set decides, from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activation {
    /// The number of its record.
    pub(crate) seq: i64,
    /// The log's time of it, ms since 1970.
    pub(crate) logged_ms: i64,
    /// Its record, JSON.
    pub(crate) body: String,
    /// Which rule set it was.
    pub(crate) digest: String,
    /// Which decided before, where the read model reaches so far back.
    pub(crate) before: Option<String>,
    /// Who asked for it, who approved or accepted it: the record that tells so, JSON.
    pub(crate) told: Option<String>,
    /// Whether its files are kept.
    pub(crate) has_files: bool,
    /// What is different between both, JSON.
    pub(crate) changes: Option<String>,
}

/// Newest first, before a time of the log and number. Each partition of each instance announces a rule set; the first counts.
const HISTORY: &str = "
WITH active AS (
    SELECT seq, at_ms, about, (
        SELECT before.about FROM audits AS before
        WHERE before.kind = 'ruleset_active' AND (before.at_ms, before.seq) < (audits.at_ms, audits.seq)
        ORDER BY before.at_ms DESC, before.seq DESC LIMIT 1) AS former
    FROM audits WHERE kind = 'ruleset_active' AND (?1 IS NULL OR (at_ms, seq) < (?1, ?2))
)
SELECT active.seq, records.logged_ms, records.body, active.about, active.former, (
        SELECT told.body FROM audits AS acts JOIN records AS told USING (seq)
        WHERE acts.about = active.about AND acts.kind = 'command' AND acts.at_ms <= active.at_ms
            AND acts.at_ms > ifnull((
                SELECT max(same.at_ms) FROM audits AS same WHERE same.kind = 'ruleset_active'
                    AND same.about = active.about AND same.at_ms < active.at_ms), 0)
            AND json_extract(told.body, '$.command.act') IN ('rules.activated', 'rules.accepted')
            AND json_extract(told.body, '$.command.result') = 'done'
        ORDER BY acts.at_ms DESC, acts.seq DESC LIMIT 1),
    EXISTS (SELECT 1 FROM rulesets WHERE digest = active.about),
    (SELECT changes FROM ruleset_changes WHERE former = active.former AND digest = active.about)
FROM active JOIN records USING (seq)
WHERE active.former IS NOT active.about ORDER BY active.at_ms DESC, active.seq DESC LIMIT ?3";

/// Which rule sets decided, newest first, before a time of the log and number.
pub(crate) fn history(
    connection: &Connection,
    before: Option<(i64, i64)>,
    limit: i64,
) -> rusqlite::Result<Vec<Activation>> {
    let (at_ms, seq) = before.unzip();
    let mut found = connection.prepare_cached(HISTORY)?;
    let rows = found.query_map(params![at_ms, seq, limit], |row| {
        Ok(Activation {
            seq: row.get(0)?,
            logged_ms: row.get(1)?,
            body: row.get(2)?,
            digest: row.get(3)?,
            before: row.get(4)?,
            told: row.get(5)?,
            has_files: row.get(6)?,
            changes: row.get(7)?,
        })
    })?;
    rows.collect()
}

/// Keeps the files of a rule set, as JSON, and lets the oldest go where there is no room. `decides`: it decides now.
pub(crate) fn keep(
    connection: &Connection,
    (digest, files): (&str, &str),
    now_ms: i64,
    decides: Decides,
) -> rusqlite::Result<()> {
    if i64::try_from(files.len()).map_or(true, |bytes| bytes > MOST_BYTES) {
        return Ok(());
    }
    let active_ms = (decides == Decides::Now).then_some(now_ms);
    let sql = "INSERT INTO rulesets (digest, files, kept_ms, active_ms) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (digest) DO UPDATE SET kept_ms = excluded.kept_ms,
            active_ms = ifnull(excluded.active_ms, active_ms)";
    connection.execute(sql, params![digest, files, now_ms, active_ms])?;
    let sql = "DELETE FROM rulesets WHERE digest IN (
        SELECT digest FROM (
            SELECT digest, row_number() OVER newest AS number, sum(length(CAST(files AS BLOB))) OVER newest AS bytes
            FROM rulesets WINDOW newest AS (ORDER BY kept_ms DESC, digest))
        WHERE number > ?1 OR bytes > ?2)";
    connection.execute(sql, params![MOST, MOST_BYTES])?;
    let sql = "DELETE FROM ruleset_changes WHERE digest NOT IN (SELECT digest FROM rulesets)";
    connection.execute(sql, []).map(drop)
}

/// Whether a rule set that is kept decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decides {
    /// From now on.
    Now,
    /// Not yet, and perhaps never.
    NotYet,
}

/// The files of a rule set, JSON.
pub(crate) fn find(connection: &Connection, digest: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT files FROM rulesets WHERE digest = ?1";
    connection.prepare_cached(sql)?.query_row([digest], |row| row.get(0)).optional()
}

/// Which of those that are kept decided last: digest and files.
pub(crate) fn last_active(connection: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    let sql = "SELECT digest, files FROM rulesets WHERE active_ms IS NOT NULL ORDER BY active_ms DESC LIMIT 1";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Keeps what is different between two.
pub(crate) fn keep_changes(
    connection: &Connection,
    (former, digest): (&str, &str),
    changes: &str,
) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO ruleset_changes (former, digest, changes) VALUES (?1, ?2, ?3)";
    connection.execute(sql, [former, digest, changes]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::store::Store;

    #[test]
    fn the_newest_rule_sets_are_kept_within_their_bounds() {
        let store = Store::open(None).unwrap();
        let connection = store.writer();
        let keep = |digest: &str, files: &str, now_ms: i64| {
            keep(&connection, (digest, files), now_ms, Decides::NotYet).unwrap();
        };
        let is_kept = |digest: &str| find(&connection, digest).unwrap().is_some();
        (0..=MOST).for_each(|n| keep(&format!("d{n}"), "{}", n));
        assert_eq!([is_kept("d0"), is_kept("d1")], [false, true]);
        // Two that together are too large; one that is too large alone.
        let half = "x".repeat(usize::try_from(MOST_BYTES / 2 + 1).unwrap());
        keep("a", &half, 1_000);
        assert!(is_kept("a") && is_kept("d100"));
        keep("b", &half, 1_001);
        assert!(is_kept("b") && !is_kept("a"));
        keep("c", &"x".repeat(usize::try_from(MOST_BYTES + 1).unwrap()), 1_002);
        assert!(!is_kept("c") && is_kept("b"));
        assert_eq!(last_active(&connection).unwrap(), None);
    }
}
