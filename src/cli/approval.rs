//! A start with a rule set that nobody approved, where `rules.approval: on` asks for that: what lies in the folder after a crash, or
//! after somebody wrote into it, is not what two people let in.
//!
//! What was let in is in the audit trail, which survives the process: the rule set that became active last, and the one that
//! was approved or accepted last. A topic that never held a record is that of a new deployment, whose first rule set is let in.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::acts::{self, Done};
use crate::cli::deployment::Deployment;
use crate::config::Activation;
use crate::decision::command::Act;
use crate::runtime::{self, RunError, Tail};
use crate::telemetry::api as happening;

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// How somebody accepts at a start what nobody approved.
#[derive(Args, Clone, Debug)]
pub(crate) struct Acceptance {
    /// With `rules.approval: on`: starts with this rule set of the folder although nobody approved it. The audit trail names who
    /// did that.
    #[arg(long, value_name = "DIGEST", requires_all = ["accepted_by", "reason"])]
    accept_rules: Option<String>,
    /// Who accepts it.
    #[arg(long = "as", id = "accepted_by", value_name = "NAME", requires = "accept_rules")]
    by: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", requires = "accept_rules")]
    reason: Option<String>,
}

/// Whether the service may start with the rule set of the folder.
///
/// # Errors
/// The brokers do not answer.
pub(crate) fn check(
    deployment: &Deployment,
    acceptance: &Acceptance,
) -> Result<Result<(), String>, RunError> {
    let config = &deployment.config;
    if config.rules.activation == Activation::Folder {
        return Ok(Ok(()));
    }
    runtime::check_topics(config, &[config.topics.audit.as_str()], LIMIT)?;
    let mut trail = Trail::default();
    let mut records = Tail::new(&config.topics.audit);
    records.read(config, &mut |stored| trail.take(&stored.body, stored.logged_ms))?;
    // WHY: whoever empties the topic, or waits for its retention, must not have made a new deployment of it.
    trail.is_there |= records.ever_held(config)?;
    let found = deployment.program.digest.short_hex();
    let accepted = acceptance.accept_rules.as_deref();
    let refused = match judge(&trail, &found, accepted) {
        Verdict::LetIn => return Ok(Ok(())),
        Verdict::Refused(reason) => return Ok(Err(reason)),
        Verdict::Accepted(reason) => reason,
    };
    let (Some(by), Some(reason)) = (&acceptance.by, &acceptance.reason) else {
        return Ok(Err(refused));
    };
    let done = Done { act: Act::RulesAccepted, about: &found, digest: None, actor: by, reason };
    acts::tell(config, &done)?;
    happening::RulesAccepted { ruleset: &found, by, reason }.emit();
    Ok(Ok(()))
}

/// What the audit trail says of rule sets.
#[derive(Debug, Default)]
struct Trail {
    /// The topic holds a record, or held one.
    is_there: bool,
    /// Became active last.
    active: Newest,
    /// Was approved or accepted last.
    approved: Newest,
}

/// The newest rule set; several where the log's times cannot tell.
#[derive(Debug, Default)]
struct Newest {
    at_ms: Option<i64>,
    digests: BTreeSet<String>,
}

impl Newest {
    fn take(&mut self, digest: &str, at_ms: Option<i64>) {
        if at_ms < self.at_ms {
            return;
        }
        if at_ms > self.at_ms {
            self.digests.clear();
        }
        self.at_ms = at_ms;
        self.digests.insert(digest.to_owned());
    }

    fn words(&self) -> String {
        let digests: Vec<String> = self.digests.iter().map(|it| format!("`{it}`")).collect();
        if digests.is_empty() { "none".to_owned() } else { digests.join(" or ") }
    }
}

impl Trail {
    fn take(&mut self, body: &[u8], logged_ms: Option<i64>) {
        self.is_there = true;
        let Ok(record) = serde_json::from_slice::<Value>(body) else { return };
        let of = |path: &str| record.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if of("/kind") == "ruleset_active" {
            self.active.take(of("/ruleset"), logged_ms);
        }
        let acts = [Act::RulesActivated, Act::RulesAccepted].map(Act::as_str);
        if acts.contains(&of("/command/act")) && of("/command/result") == "done" {
            self.approved.take(of("/command/about"), logged_ms);
        }
    }
}

/// What comes of a start.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    LetIn,
    /// Nobody approved it, and whoever starts it says that it may be. In words what is refused otherwise.
    Accepted(String),
    Refused(String),
}

fn judge(trail: &Trail, found: &str, accepted: Option<&str>) -> Verdict {
    let is_known = |newest: &Newest| newest.digests.contains(found);
    if !trail.is_there || is_known(&trail.active) || is_known(&trail.approved) {
        return Verdict::LetIn;
    }
    let (active, approved) = (trail.active.words(), trail.approved.words());
    let reason = format!(
        "nobody approved the rule set `{found}` of the folder: {active} decided last, {approved} was approved last, and `rules.approval` is on; put back what decided and have the other one approved over the API, or start with `--accept-rules {found} --as NAME --reason TEXT`, which the audit trail tells"
    );
    match accepted {
        Some(digest) if digest == found => Verdict::Accepted(reason),
        _ => Verdict::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(digest: &str) -> String {
        format!(r#"{{"kind":"ruleset_active","ruleset":"{digest}"}}"#)
    }

    fn act(act: &str, digest: &str, result: &str) -> String {
        format!(
            r#"{{"kind":"command","ruleset":"x","command":{{"kind":"act","act":"{act}","about":"{digest}","result":"{result}"}}}}"#
        )
    }

    fn trail(records: &[(i64, String)]) -> Trail {
        let mut trail = Trail::default();
        for (at_ms, body) in records {
            trail.take(body.as_bytes(), Some(*at_ms));
        }
        trail
    }

    #[test]
    fn what_decided_or_was_approved_last_is_let_in_and_nothing_else() {
        let records = [
            (9, active("new")),
            (1, active("old")),
            (5, act("rules.activated", "earlier", "done")),
            (8, act("rules.activated", "approved", "done")),
            (9, act("label.posted", "topic", "done")),
            (9, act("rules.activated", "refused", "refused")),
        ];
        let trail = trail(&records);
        for (found, is_let_in) in [
            ("new", true),
            ("approved", true),
            ("old", false),
            ("earlier", false),
            ("topic", false),
            ("refused", false),
            ("edited", false),
        ] {
            assert_eq!(judge(&trail, found, None) == Verdict::LetIn, is_let_in, "{found}");
        }
        let Verdict::Refused(reason) = judge(&trail, "edited", Some("other")) else { panic!() };
        for part in ["`edited`", "`new` decided last", "`approved` was approved", "--accept-rules"]
        {
            assert!(reason.contains(part), "{reason}");
        }
        assert!(matches!(judge(&trail, "edited", Some("edited")), Verdict::Accepted(_)));
    }

    #[test]
    fn the_first_rule_set_of_a_deployment_is_let_in_and_what_lost_its_trail_is_not() {
        assert_eq!(judge(&trail(&[]), "first", None), Verdict::LetIn);
        let emptied = Trail { is_there: true, ..Trail::default() };
        assert!(matches!(judge(&emptied, "first", None), Verdict::Refused(_)));
        let damaged = trail(&[(1, "no json".to_owned())]);
        assert!(matches!(judge(&damaged, "first", None), Verdict::Refused(_)));
    }
}
