//! The audit trail and dead letters.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::acts::{self, By};
use crate::api::answer::page::{page, shown};
use crate::api::call::{Call, Reply};
use crate::api::problem::{NOT_FOUND, Problem};
use crate::api::records::{logged_at, number, parsed, read_number};
use crate::api::state::random_hex;
use crate::api::store::read::Wanted;
use crate::api::store::write::place;
use crate::base::Digest;
use crate::decision::command::{Act, Deed};
use crate::decision::wire::{AuditRecord, DeadLetterRecord, SourceRef};
use crate::telemetry::api::ApiRevealed;

/// Most characters of a preview.
const PREVIEW: usize = 512;

/// An entry of the audit trail and when it was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditItem {
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// The record.
    #[schemars(with = "AuditRecord<'static>")]
    entry: Value,
}

/// A dead letter without its data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LetterItem {
    /// Its number: `/v1/dlq/{number}` shows it whole to whoever may see it.
    number: String,
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// Stable reason code.
    reason: String,
    /// The field at fault, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// One sentence.
    message: String,
    /// Where it was read.
    #[schemars(with = "SourceRef<'static>")]
    source: Value,
    /// Its shape, 512 characters at most: every letter is `x` and every digit `0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
}

/// A dead letter whole.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LetterWhole {
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// The record, with the bytes that could not be decided.
    #[schemars(with = "DeadLetterRecord<'static>")]
    letter: Value,
}

/// `GET /v1/audit`
pub(crate) async fn audit(call: Call) -> Result<Reply, Problem> {
    let query = &call.query;
    let found = page(&call, "audits", |wanted| {
        wanted
            .only("audits.kind = ?", query.owned("kind"))
            .only("actor = ?", query.owned("actor"))
            .only("about = ?", query.owned("about"))
    });
    shown(found.await?, |kept| {
        Ok(AuditItem { logged_at: logged_at(kept), entry: parsed(&kept.body)? })
    })
}

/// `GET /v1/dlq`
pub(crate) async fn letters(call: Call) -> Result<Reply, Problem> {
    let reason = call.query.owned("reason");
    let found = page(&call, "letters", |wanted| wanted.only("reason = ?", reason)).await?;
    let store = &call.state.store;
    shown(found, |kept| {
        let body = parsed(&kept.body)?;
        let of = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(LetterItem {
            number: number(store, kept.seq),
            logged_at: logged_at(kept),
            reason: of("reason").unwrap_or_default(),
            field: of("field"),
            message: of("message").unwrap_or_default(),
            source: body.get("source").cloned().unwrap_or_default(),
            preview: of("raw_base64").map(|raw| masked(&raw)),
        })
    })
}

/// `GET /v1/dlq/{number}`: shows what is hidden from others, and says so in the log.
pub(crate) async fn letter(call: Call) -> Result<Reply, Problem> {
    let none = || Problem::new(NOT_FOUND, "the read model has no dead letter of this number");
    let seq = read_number(&call.state.store, call.name()).map_err(|_| none())?;
    let wanted =
        Wanted::of("letters", None, 1).within(&call.person.scope).only("seq = ?", Some(seq));
    let found = call.state.store.ask(move |connection| wanted.ask(connection)).await?;
    let kept = found.into_iter().next().ok_or_else(none)?;
    let what = format!("dead letter {}", call.name());
    ApiRevealed { request_id: &call.request_id, person: &call.person.name, what: &what }.emit();
    if call.state.topics.commands.is_some() {
        tell(&call, &kept.body).await?;
    }
    Reply::json(&LetterWhole { logged_at: logged_at(&kept), letter: parsed(&kept.body)? })
}

/// Tells the audit trail who looked at which dead letter.
async fn tell(call: &Call, body: &str) -> Result<(), Problem> {
    let (about, digest) = (place(&parsed(body)?), Some(Digest::of(body.as_bytes()).hex()));
    let deed = Deed { act: Act::DeadLetterShown, about, digest, request: None, details: None };
    let by = By {
        command_id: format!("api:{}::{}", call.person.name, random_hex(16)),
        actor: call.person.name.clone(),
        reason: "shown over HTTP".to_owned(),
        approval: None,
    };
    acts::tell(&call.state, &deed, by).await
}

/// The shape of some bytes and nothing of what they say.
fn masked(raw_base64: &str) -> String {
    let bytes = BASE64.decode(raw_base64).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mask = |c: char| match c {
        '0'..='9' => '0',
        c if c.is_ascii_punctuation() || c == ' ' || c == '\n' => c,
        _ => 'x',
    };
    text.chars().take(PREVIEW).map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_has_the_shape_and_nothing_else() {
        let raw = BASE64.encode(br#"{"card": "4111 1111", "nam\xc3\xa9": "Ann"}"#);
        assert_eq!(masked(&raw), r#"{"xxxx": "0000 0000", "xxx\xx0\xx0": "xxx"}"#);
        assert_eq!(masked(&BASE64.encode("ü".repeat(2_000))), "x".repeat(PREVIEW));
        assert_eq!(masked("no base64"), "");
    }
}
