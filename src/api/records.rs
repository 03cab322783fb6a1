//! Schemas of what is shown: the records that leave, as the topics have them, and pages of them.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::problem::{BAD_PARAMETER, INTERNAL, Problem};
use crate::api::store::Store;
use crate::api::store::read::Kept;
use crate::base::time::format_rfc3339;
use crate::decision::wire::{DecisionBody, DecisionHead};

/// A decision as `risk.decisions` has it.
#[derive(JsonSchema)]
#[schemars(rename = "DecisionRecord")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Decision {
    #[serde(flatten)]
    head: DecisionHead<'static>,
    #[serde(flatten)]
    body: DecisionBody<'static>,
}

/// Most items of a page, and how many there are where nobody says.
pub(crate) const MAX_PAGE: u64 = 200;
pub(crate) const PAGE: u64 = 50;

/// A part of a longer list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Where the next part begins: the parameter `cursor` of the next request. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// Of one item more than fit, if there are.
    pub(crate) fn of(mut items: Vec<T>, limit: u64, cursor: impl FnOnce(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(cursor);
        Self { items, next }
    }
}

/// A number of the read model as others see it: with the name of the read model, whose numbers another one does not have.
pub(crate) fn number(store: &Store, seq: i64) -> String {
    format!("{}-{seq}", store.epoch())
}

/// Reads what [`number`] wrote.
///
/// # Errors
/// It is of another read model, or none at all.
pub(crate) fn read_number(store: &Store, text: &str) -> Result<i64, Problem> {
    let parsed = text.split_once('-').filter(|(epoch, _)| *epoch == store.epoch());
    parsed.and_then(|(_, seq)| seq.parse().ok()).ok_or_else(other_model)
}

/// Where a page ended, as others see it.
pub(crate) fn cursor(store: &Store, kept: &Kept) -> String {
    format!("{}-{}.{}", store.epoch(), kept.logged_ms, kept.seq)
}

/// Reads what [`cursor`] wrote: the log's time and the number.
///
/// # Errors
/// It is of another read model, or none at all.
pub(crate) fn read_cursor(store: &Store, text: &str) -> Result<(i64, i64), Problem> {
    let parsed = text.split_once('-').filter(|(epoch, _)| *epoch == store.epoch());
    let parsed = parsed.and_then(|(_, rest)| rest.split_once('.'));
    let parsed = parsed.and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
    parsed.ok_or_else(other_model)
}

/// The cursor is of another read model.
pub(crate) fn other_model() -> Problem {
    let what = "the cursor is not of this read model: begin at the first page";
    Problem::new(BAD_PARAMETER, what).with("parameter", "cursor")
}

/// A body that was kept.
///
/// # Errors
/// It cannot be read, which cannot be.
pub(crate) fn parsed(body: &str) -> Result<Value, Problem> {
    serde_json::from_str(body)
        .map_err(|_| Problem::new(INTERNAL, "a record of the read model could not be read"))
}

/// When the log took it.
pub(crate) fn logged_at(kept: &Kept) -> String {
    format_rfc3339(kept.logged_ms)
}
