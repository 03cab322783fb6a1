//! What an operator does by command line past the engine, told to the audit trail by a command that changes nothing.
//!
//! The name is what whoever gives the command says, or their account on this machine: it proves nothing beyond who may write to
//! `topics.commands`.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::base::Digest;
use crate::base::time::format_rfc3339;
use crate::cli::Console;
use crate::config::Config;
use crate::decision::command::{Act, Deed, record};
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::{Letter, Post, RunError, Unwritten};

/// How long the brokers may take for the record.
const LIMIT: Duration = Duration::from_secs(30);

/// What somebody did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done<'a> {
    /// What.
    pub(crate) act: Act,
    /// About what.
    pub(crate) about: &'a str,
    /// SHA-256 of what it was about, where that is bytes.
    pub(crate) digest: Option<&'a str>,
    /// Who.
    pub(crate) actor: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
}

/// Who gives a command on this machine.
pub(crate) fn operator() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let name = names.filter_map(|name| std::env::var(name).ok()).find(|it| !it.trim().is_empty());
    format!("cli:{}", name.as_deref().unwrap_or("unknown").trim())
}

/// Tells it, and waits until the brokers have it.
///
/// # Errors
/// They do not take it; then it must not be done.
pub(crate) fn tell(config: &Config, done: &Done<'_>) -> Result<(), RunError> {
    let Some(topic) = &config.topics.commands else { return Ok(()) };
    let now = format_rfc3339(SystemClock::start().wall_ms());
    let Done { act, about, digest, actor, reason } = *done;
    let parts = [act.as_str(), about, digest.unwrap_or_default(), actor, reason, &now];
    let id = Digest::of_parts(&parts.map(str::as_bytes)).hex();
    let (about, digest) = (about.to_owned(), digest.map(str::to_owned));
    let deed = Deed { act, about, digest, request: None, details: None };
    let letter = Letter {
        topic: topic.clone(),
        partition: None,
        key: Some(Deed::KEY.to_vec()),
        body: record(Deed::KIND, &format!("cli:{id}"), (actor, reason), deed.members()),
        traceparent: trace_of(&id),
    };
    let (told, fate) = channel();
    let post = Post::open(config)?;
    post.send(&letter, move |fate| _ = told.send(fate));
    let failed = |reason: String| RunError::Process {
        reason: format!("could not tell the audit trail who did it, so it was not done: {reason}"),
    };
    match fate.recv_timeout(LIMIT) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Unwritten::TooLarge)) => Err(failed("the record is too large".to_owned())),
        Ok(Err(Unwritten::Failed(reason))) => Err(failed(reason)),
        Err(_) => Err(failed("the brokers do not answer".to_owned())),
    }
}

/// In a trace of its own, named after its id.
fn trace_of(id: &str) -> String {
    let (trace, parent) = id.split_at_checked(32).unwrap_or((id, ""));
    format!("00-{trace}-{}-01", parent.get(..16).unwrap_or(parent))
}

/// Says that nobody is told, where there is no topic for it.
pub(crate) fn warn_untold(config: &Config, console: &Console) {
    if config.topics.commands.is_none() && !console.is_quiet() {
        console.message(
            "warning: `topics.commands` is not set, so the audit trail does not say who did this",
        );
    }
}
