//! The one table of routes: who may do what, what it takes and answers.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api::answer::activation::{self, Activate, Proposal};
use crate::api::answer::alerts::{self, AlertItem, Close};
use crate::api::answer::decisions::{self, DecisionItem, Explained};
use crate::api::answer::events;
use crate::api::answer::history::{self, ActivationItem, RuleSetFiles};
use crate::api::answer::holds::{
    self, AskOthers, Claim, Decide, Extend, HoldItem, HoldWhole, Outcome, Place, Waiting,
};
use crate::api::answer::imports::{self, CSV, Imported, NDJSON};
use crate::api::answer::lists::{self, MemberItem};
use crate::api::answer::me::{self, Me, Status};
use crate::api::answer::others::{self, AuditItem, LetterItem, LetterWhole};
use crate::api::answer::proof::{self, MAX_RECORDS, Replayed, Verified};
use crate::api::answer::requests::{self, RequestItem};
use crate::api::answer::rules::{self, Draft, Plan, RuleSetItem, Tried, Try, Validated};
use crate::api::answer::score::{self, LEAST_DEADLINE, MOST_DEADLINE, OTHERWISE, Scored};
use crate::api::answer::standing::{
    self, All, ChangeDone, ListItem, ModelItem, Put, Snooze, SnoozeItem, Take, Wake,
};
use crate::api::problem::{
    BAD_LINES, BUSY, ENDED, KEY_REUSED, LOG_UNAVAILABLE, NOT_CONFIGURED, NOT_FOUND, NOT_READY,
    OWN_REQUEST, REFUSED, STALE_STATE, TOO_MUCH, UNDECODABLE,
};
use crate::api::query::{Param, ParamKind};
use crate::api::records::{MAX_PAGE, Page};
use crate::api::roles::Role;
use crate::api::route::{Good, Header, JSON, Method, Route, SchemaOf};

use Role::{Admin, Analyst, Auditor, RuleApprover, RuleAuthor, Senior, Service, Viewer};

/// Everybody who is known.
/// It takes two people.
const WAITS: Good = good(202, "It waits for a second person.", of::<Waiting>);

const ANYBODY: &[Role] = &Role::ALL;
/// Everybody but services.
const READERS: &[Role] = &[Viewer, Analyst, Senior, RuleAuthor, RuleApprover, Auditor, Admin];
/// Who decides about holds and alerts.
const DECIDERS: &[Role] = &[Analyst, Senior, Admin];

/// Who writes rules and lets them become active.
const AUTHORS: &[Role] = &[RuleAuthor, RuleApprover, Admin];

const LIMIT: Param = Param {
    name: "limit",
    kind: ParamKind::Count(1, MAX_PAGE),
    doc: "Most items of the page; 50 where nobody says.",
};
const TOPIC: Param = Param {
    name: "topic",
    kind: ParamKind::Text(MAX_TEXT),
    doc: "The input topic that is meant; needed where several would take the event.",
};
const CURSOR: Param =
    Param { name: "cursor", kind: ParamKind::Cursor, doc: "The `next` of the page before." };

const IDEMPOTENCY_KEY: Header = Header {
    name: "Idempotency-Key",
    pattern: "^[!-~]{1,200}$",
    doc: "What comes again under the same key, from the same person, is done once.",
};
pub(crate) const IF_MATCH: Header = Header {
    name: "If-Match",
    pattern: "^(\\*|\"(placed|extended|escalated|released|confirmed|expired)\")$",
    doc: "The `ETag` of the hold as it was looked at; if it is in another state, nothing is done (409).",
};

const PROOF_DEADLINE: Param = Param {
    name: "deadline",
    kind: ParamKind::Duration(LEAST_DEADLINE, MOST_DEADLINE),
    doc: "How long it may take, such as `5s`; 30s where nobody says.",
};
const PROOF_RECORDS: Param = Param {
    name: "records",
    kind: ParamKind::Count(1, MAX_RECORDS),
    doc: "Most records of the log that are read for it; 1,000,000 where nobody says.",
};
const IF_MATCH_RULES: Header = Header {
    name: "If-Match",
    pattern: "^(\\*|\"[0-9a-f]{1,64}\")$",
    doc: "The `ETag` of the rule set that decides, as it was looked at; if another one decides by now, nothing is asked for (409).",
};

const RULE: Param =
    Param { name: "rule", kind: ParamKind::Text(MAX_TEXT), doc: "Only of this rule, by its id." };
const ENTITY: Param = Param {
    name: "entity",
    kind: ParamKind::Text(MAX_TEXT),
    doc: "Only of this key: the value of the event's first key field.",
};
const EVENT_ID: Param =
    Param { name: "event_id", kind: ParamKind::Text(MAX_TEXT), doc: "Only of this event." };
const LAST_EVENT_ID: Header = Header {
    name: "Last-Event-ID",
    pattern: "^[!-~]{1,200}$",
    doc: "Goes on behind this event; browsers send it by themselves.",
};

/// Longest text of a filter.
const MAX_TEXT: usize = 256;

const fn good(status: u16, doc: &'static str, schema: SchemaOf) -> Good {
    Good { status, doc, media: JSON, schema }
}

/// The schema of a type.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a command can meet.
macro_rules! command_problems {
    ($($more:ident),*) => {
        &[STALE_STATE, ENDED, KEY_REUSED, REFUSED, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE $(, $more)*]
    };
}

/// The media types of bodies that are no JSON, by the names of their routes.
pub(crate) const OTHER_BODIES: &[(&str, &[&str])] = &[("importLabels", &[NDJSON, CSV])];

/// Every route.
#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    Route {
        method: Method::Get, path: "/v1/me", id: "getMe", tag: "service",
        summary: "Who the token belongs to, and what it may do.",
        roles: ANYBODY, query: &[], headers: &[], body: None,
        good: &[good(200, "Who asks.", of::<Me>)], problems: &[],
        run: |call| Box::pin(me::me(call)),
    },
    Route {
        method: Method::Get, path: "/v1/status", id: "getStatus", tag: "service",
        summary: "How the service stands.",
        roles: ANYBODY, query: &[], headers: &[], body: None,
        good: &[good(200, "How it stands.", of::<Status>)], problems: &[],
        run: |call| Box::pin(me::status(call)),
    },
    Route {
        method: Method::Get, path: "/v1/openapi.json", id: "getDocument", tag: "service",
        summary: "This document.",
        roles: ANYBODY, query: &[], headers: &[], body: None,
        good: &[good(200, "OpenAPI 3.1.", |_| schemars::json_schema!({"type": "object"}))], problems: &[],
        run: |call| Box::pin(me::document(call)),
    },
    Route {
        method: Method::Post, path: "/v1/score", id: "score", tag: "score",
        summary: "Writes an event to its input topic, and answers with its decision when that is on the log.",
        roles: &[Service, Admin],
        query: &[
            Param { name: "deadline", kind: ParamKind::Duration(LEAST_DEADLINE, MOST_DEADLINE), doc: "How long a decision may take, such as `500ms`; 2s where nobody says." },
            Param { name: "otherwise", kind: ParamKind::Word(OTHERWISE), doc: "What to answer when no decision comes in time: `pass`, `hold`, or `flag` (let it pass and say so). Without it: a problem." },
            TOPIC,
        ],
        headers: &[],
        body: Some(|_| schemars::json_schema!({"type": "object", "description": "One event, as the rules' schema describes it."})),
        good: &[good(200, "What to do.", of::<Scored>)],
        problems: &[UNDECODABLE, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(score::score(call)),
    },
    Route {
        method: Method::Post, path: "/v1/labels", id: "label", tag: "score",
        summary: "Writes an event that says what came out about another one: a chargeback, a confirmed fraud, a false positive.",
        roles: DECIDERS, query: &[TOPIC], headers: &[IDEMPOTENCY_KEY],
        body: Some(|_| schemars::json_schema!({"type": "object", "description": "One event of a type that the schema calls labels."})),
        good: &[good(200, "It is on the log.", of::<Scored>)],
        problems: &[UNDECODABLE, KEY_REUSED, REFUSED, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(score::label(call)),
    },
    Route {
        method: Method::Post, path: "/v1/labels:import", id: "importLabels", tag: "score",
        summary: "Checks a file of such events line by line, and writes all of them or none: NDJSON, or CSV with a header.",
        roles: &[Senior, Admin],
        query: &[
            Param { name: "event", kind: ParamKind::Text(MAX_TEXT), doc: "The type of these events, where the schema has several that say what came out." },
            Param { name: "dry_run", kind: ParamKind::Word(&["true", "false"]), doc: "`true`: say what would be written, and write nothing." },
        ],
        headers: &[IDEMPOTENCY_KEY],
        body: Some(|_| schemars::json_schema!({"type": "string", "description": "One event a line."})),
        good: &[good(200, "What it holds, and what was written.", of::<Imported>)],
        problems: &[BAD_LINES, KEY_REUSED, REFUSED, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(imports::import(call)),
    },
    Route {
        method: Method::Get, path: "/v1/decisions", id: "listDecisions", tag: "decisions",
        summary: "Decisions, newest first.",
        roles: READERS,
        query: &[
            Param { name: "from", kind: ParamKind::Time, doc: "Only events from this time on." },
            Param { name: "until", kind: ParamKind::Time, doc: "Only events before this time." },
            EVENT_ID,
            Param { name: "event_type", kind: ParamKind::Text(MAX_TEXT), doc: "Only events of this type." },
            ENTITY,
            Param { name: "outcome", kind: ParamKind::Word(&["pass", "step_up", "hold", "block", "allow"]), doc: "Only with this outcome." },
            RULE, LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<DecisionItem>>)], problems: &[],
        run: |call| Box::pin(decisions::list(call)),
    },
    Route {
        method: Method::Get, path: "/v1/decisions/{decision_id}", id: "getDecision", tag: "decisions",
        summary: "A decision.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "The decision.", of::<DecisionItem>)], problems: &[NOT_READY],
        run: |call| Box::pin(decisions::one(call)),
    },
    Route {
        method: Method::Get, path: "/v1/decisions/{decision_id}/explain", id: "explainDecision", tag: "decisions",
        summary: "Why an event was decided so, in words, with the words of the rules that hit.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "Why.", of::<Explained>)], problems: &[NOT_READY],
        run: |call| Box::pin(decisions::explain(call)),
    },
    Route {
        method: Method::Post, path: "/v1/decisions/{decision_id}/replay", id: "replayDecision", tag: "decisions",
        summary: "Derives a decision again from the log, and says whether it is the same, byte for byte.",
        roles: &[Senior, RuleApprover, Auditor, Admin],
        query: &[PROOF_DEADLINE, PROOF_RECORDS], headers: &[], body: None,
        good: &[good(200, "How both compare.", of::<Replayed>)],
        problems: &[REFUSED, TOO_MUCH, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(proof::replay(call)),
    },
    Route {
        method: Method::Get, path: "/v1/alerts", id: "listAlerts", tag: "alerts",
        summary: "Alerts, newest first.",
        roles: READERS,
        query: &[
            RULE,
            Param { name: "severity", kind: ParamKind::Word(&["low", "medium", "high", "critical"]), doc: "Only of this severity." },
            Param { name: "queue", kind: ParamKind::Text(MAX_TEXT), doc: "Only of this queue." },
            ENTITY, EVENT_ID,
            Param { name: "decision_id", kind: ParamKind::Text(MAX_TEXT), doc: "Only of this decision." },
            Param { name: "episode_id", kind: ParamKind::Text(MAX_TEXT), doc: "Only of this episode." },
            Param { name: "state", kind: ParamKind::Word(&["open", "quiet", "closed"]), doc: "Only those that somebody closed, or nobody; of the latter, those whose episode ended by itself." },
            LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<AlertItem>>)], problems: &[],
        run: |call| Box::pin(alerts::list(call)),
    },
    Route {
        method: Method::Post, path: "/v1/alerts/{episode_id}:close", id: "closeAlerts", tag: "alerts",
        summary: "The alerts of an episode are dealt with; the next hit raises a new one.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Close>),
        good: &[good(200, "They are closed.", of::<ChangeDone>)], problems: command_problems!(),
        run: |call| Box::pin(alerts::close(call)),
    },
    Route {
        method: Method::Get, path: "/v1/audit", id: "listAudit", tag: "audit",
        summary: "The audit trail, newest first: rule sets as they became active, commands and what came of them, holds and decisions by the digests of their records.",
        roles: &[Senior, RuleApprover, Auditor, Admin],
        query: &[
            Param { name: "kind", kind: ParamKind::Text(MAX_TEXT), doc: "Only entries of this kind." },
            Param { name: "actor", kind: ParamKind::Text(MAX_TEXT), doc: "Only what this person asked for." },
            Param { name: "about", kind: ParamKind::Text(MAX_TEXT), doc: "Only about this hold or decision, or this rule that tripped." },
            LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<AuditItem>>)], problems: &[],
        run: |call| Box::pin(others::audit(call)),
    },
    Route {
        method: Method::Post, path: "/v1/audit:verify", id: "verifyAudit", tag: "audit",
        summary: "Holds the chains of the audit trail against themselves and against their signed checkpoints.",
        roles: &[Auditor, Admin],
        query: &[
            Param { name: "trimmed", kind: ParamKind::Word(&["true", "false"]), doc: "Whether the oldest records may be gone, as a retention takes them; `false` where nobody says." },
            Param { name: "outputs", kind: ParamKind::Word(&["true", "false"]), doc: "Whether the records of decisions and holds are held against their entries, too; `true` where nobody says." },
            PROOF_DEADLINE, PROOF_RECORDS,
        ],
        headers: &[], body: None,
        good: &[good(200, "How they stand.", of::<Verified>)],
        problems: &[TOO_MUCH, NOT_CONFIGURED, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(proof::verify(call)),
    },
    Route {
        method: Method::Get, path: "/v1/dlq", id: "listDeadLetters", tag: "dead letters",
        summary: "Dead letters, newest first, with the shape of their data and nothing of what it says.",
        roles: READERS,
        query: &[
            Param { name: "reason", kind: ParamKind::Text(MAX_TEXT), doc: "Only with this reason." },
            LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<LetterItem>>)], problems: &[],
        run: |call| Box::pin(others::letters(call)),
    },
    Route {
        method: Method::Get, path: "/v1/dlq/{number}", id: "getDeadLetter", tag: "dead letters",
        summary: "A dead letter with its bytes. Who looked stands in the log, and in the audit trail where `topics.commands` is set.",
        roles: &[Auditor, Admin], query: &[], headers: &[], body: None,
        good: &[good(200, "The dead letter.", of::<LetterWhole>)], problems: &[NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(others::letter(call)),
    },
    Route {
        method: Method::Get, path: "/v1/events", id: "streamEvents", tag: "events",
        summary: "What comes, as it comes: server-sent events, to go on with where a stream broke.",
        roles: READERS,
        query: &[
            Param { name: "kinds", kind: ParamKind::Words(&["decision", "alert", "episode", "hold"]), doc: "Only records of these kinds, joined by commas." },
        ],
        headers: &[LAST_EVENT_ID], body: None,
        good: &[Good { status: 200, doc: "A stream: `id`, `event` (the kind, or `reset`), `data` (the record).", media: "text/event-stream", schema: |_| schemars::json_schema!({"type": "string"}) }],
        problems: &[BUSY],
        run: |call| Box::pin(events::stream(call)),
    },
    Route {
        method: Method::Get, path: "/v1/holds", id: "listHolds", tag: "holds",
        summary: "Holds, the next deadline first; open ones where no state is asked for.",
        roles: READERS,
        query: &[
            Param { name: "state", kind: ParamKind::Words(&holds::STATES), doc: "Only those in one of these states, joined by commas." },
            Param { name: "claimed", kind: ParamKind::Word(&["yes", "no"]), doc: "Only those that somebody, or nobody, works on." },
            Param { name: "claimed_by", kind: ParamKind::Text(MAX_TEXT), doc: "Only those that this person works on." },
            LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<HoldItem>>)], problems: &[],
        run: |call| Box::pin(holds::list(call)),
    },
    Route {
        method: Method::Get, path: "/v1/holds/{hold_id}", id: "getHold", tag: "holds",
        summary: "A hold and all that became of it; its state is the `ETag`.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "The hold.", of::<HoldWhole>)], problems: &[NOT_READY],
        run: |call| Box::pin(holds::one(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:release", id: "releaseHold", tag: "holds",
        summary: "The payment may go. Above the limit of four eyes this asks for a second person.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<Decide>),
        good: &[
            good(200, "It is released.", of::<Outcome>),
            WAITS,
        ],
        problems: command_problems!(),
        run: |call| Box::pin(holds::release(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:confirm", id: "confirmHold", tag: "holds",
        summary: "The payment is refused.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<Decide>),
        good: &[good(200, "It is confirmed.", of::<Outcome>)],
        problems: command_problems!(),
        run: |call| Box::pin(holds::confirm(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:extend", id: "extendHold", tag: "holds",
        summary: "The deadline is put off.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<Extend>),
        good: &[good(200, "It is put off.", of::<Outcome>)],
        problems: command_problems!(),
        run: |call| Box::pin(holds::extend(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:escalate", id: "escalateHold", tag: "holds",
        summary: "Others are asked now, by an alert in their queue; the last deadline stays, or is put off.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<AskOthers>),
        good: &[good(200, "They are asked.", of::<Outcome>)],
        problems: command_problems!(),
        run: |call| Box::pin(holds::escalate(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:claim", id: "claimHold", tag: "holds",
        summary: "You work on it. It is no lock: whoever may can decide it.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<Claim>),
        good: &[good(200, "It is yours.", of::<Outcome>)],
        problems: command_problems!(),
        run: |call| Box::pin(holds::claim(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds/{hold_id}:unclaim", id: "unclaimHold", tag: "holds",
        summary: "You work on it no longer.",
        roles: DECIDERS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH],
        body: Some(of::<Claim>),
        good: &[good(200, "It is anybody's.", of::<Outcome>)],
        problems: command_problems!(),
        run: |call| Box::pin(holds::unclaim(call)),
    },
    Route {
        method: Method::Post, path: "/v1/holds:place", id: "placeHold", tag: "holds",
        summary: "Holds every payment of a subject, until somebody decides or the deadline comes.",
        roles: &[Senior, Admin], query: &[], headers: &[IDEMPOTENCY_KEY],
        body: Some(of::<Place>),
        good: &[good(200, "It is held.", of::<Outcome>), WAITS],
        problems: command_problems!(NOT_FOUND),
        run: |call| Box::pin(holds::place(call)),
    },
    Route {
        method: Method::Get, path: "/v1/rules", id: "getRules", tag: "rules",
        summary: "The rule set that decides: its rules, its files and its digest.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "The rule set.", of::<RuleSetItem>)], problems: &[],
        run: |call| Box::pin(rules::active(call)),
    },
    Route {
        method: Method::Put, path: "/v1/rules", id: "proposeRules", tag: "rules",
        summary: "Proposes another text of the rules; when somebody else approves it, it is written into the rule folder and decides.",
        roles: AUTHORS, query: &[], headers: &[IDEMPOTENCY_KEY, IF_MATCH_RULES], body: Some(of::<Proposal>),
        good: &[WAITS],
        problems: &[STALE_STATE, REFUSED, KEY_REUSED, NOT_FOUND, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(activation::propose(call)),
    },
    Route {
        method: Method::Get, path: "/v1/rules/history", id: "listActivations", tag: "rules",
        summary: "Which rule sets began to decide, newest first: who asked, who approved, and what was different.",
        roles: READERS, query: &[LIMIT, CURSOR], headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<ActivationItem>>)], problems: &[],
        run: |call| Box::pin(history::list(call)),
    },
    Route {
        method: Method::Get, path: "/v1/rules/history/{digest}", id: "getRuleSet", tag: "rules",
        summary: "The files of a rule set that decides, decided or was proposed, where this instance still knows them.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "Its files.", of::<RuleSetFiles>)], problems: &[],
        run: |call| Box::pin(history::one(call)),
    },
    Route {
        method: Method::Post, path: "/v1/rules:validate", id: "validateRules", tag: "rules",
        summary: "Compiles the active rule set with some files replaced, and says what is wrong.",
        roles: AUTHORS, query: &[], headers: &[], body: Some(of::<Draft>),
        good: &[good(200, "What was found.", of::<Validated>)], problems: &[BUSY, NOT_FOUND],
        run: |call| Box::pin(rules::validate(call)),
    },
    Route {
        method: Method::Post, path: "/v1/rules:plan", id: "planRules", tag: "rules",
        summary: "What a draft would change, in words and in state.",
        roles: AUTHORS, query: &[], headers: &[], body: Some(of::<Draft>),
        good: &[good(200, "What would change.", of::<Plan>)], problems: &[BUSY, NOT_FOUND],
        run: |call| Box::pin(rules::plan(call)),
    },
    Route {
        method: Method::Post, path: "/v1/rules:request-activation", id: "requestActivation", tag: "rules",
        summary: "Asks that the rule set in the rule folder, or a former one, becomes active; somebody else approves it.",
        roles: AUTHORS, query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Activate>),
        good: &[good(202, "It waits for a second person.", of::<RequestItem>)],
        problems: &[STALE_STATE, REFUSED, KEY_REUSED, NOT_CONFIGURED, NOT_READY, BUSY, LOG_UNAVAILABLE],
        run: |call| Box::pin(activation::request_activation(call)),
    },
    Route {
        method: Method::Post, path: "/v1/evaluate", id: "evaluate", tag: "rules",
        summary: "Tries one event, with windows that hold what is given and nothing else. Nothing is written.",
        roles: &[Analyst, Senior, RuleAuthor, RuleApprover, Admin],
        query: &[TOPIC], headers: &[], body: Some(of::<Try>),
        good: &[good(200, "What would come out.", of::<Tried>)], problems: &[UNDECODABLE, BUSY],
        run: |call| Box::pin(rules::evaluate(call)),
    },
    Route {
        method: Method::Post, path: "/v1/rules/{rule}:snooze", id: "snoozeRule", tag: "rules",
        summary: "The rule does not act on the events of one key, for a time.",
        roles: &[Senior, Admin], query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Snooze>),
        good: &[good(200, "It is silenced.", of::<ChangeDone>), WAITS], problems: command_problems!(),
        run: |call| Box::pin(standing::snooze(call)),
    },
    Route {
        method: Method::Post, path: "/v1/rules/{rule}:wake", id: "wakeRule", tag: "rules",
        summary: "The rule acts again.",
        roles: &[Senior, Admin], query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Wake>),
        good: &[good(200, "It acts.", of::<ChangeDone>), WAITS], problems: command_problems!(),
        run: |call| Box::pin(standing::wake(call)),
    },
    Route {
        method: Method::Get, path: "/v1/snoozes", id: "listSnoozes", tag: "rules",
        summary: "Rules that do not act on the events of some key: those of the rule files, and those that people set and the read model knows.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "All of them.", of::<All<SnoozeItem>>)], problems: &[],
        run: |call| Box::pin(standing::snoozes(call)),
    },
    Route {
        method: Method::Get, path: "/v1/lists", id: "listLists", tag: "lists",
        summary: "The lists of the rule set that decides.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "All of them.", of::<All<ListItem>>)], problems: &[],
        run: |call| Box::pin(standing::lists(call)),
    },
    Route {
        method: Method::Get, path: "/v1/lists/{list}", id: "listMembers", tag: "lists",
        summary: "The members of a list by value: those of its file, and those that people put on it. What rules put there is not among them.",
        roles: &[Senior, RuleApprover, Auditor, Admin],
        query: &[LIMIT, CURSOR], headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<MemberItem>>)], problems: &[],
        run: |call| Box::pin(lists::members(call)),
    },
    Route {
        method: Method::Post, path: "/v1/lists/{list}:add", id: "addToList", tag: "lists",
        summary: "Puts a value on a list.",
        roles: &[Senior, Admin], query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Put>),
        good: &[good(200, "It is on the list.", of::<ChangeDone>), WAITS], problems: command_problems!(),
        run: |call| Box::pin(standing::list_add(call)),
    },
    Route {
        method: Method::Post, path: "/v1/lists/{list}:remove", id: "removeFromList", tag: "lists",
        summary: "Takes a value off a list, also where the list's file names it.",
        roles: &[Senior, Admin], query: &[], headers: &[IDEMPOTENCY_KEY], body: Some(of::<Take>),
        good: &[good(200, "It is off the list.", of::<ChangeDone>), WAITS], problems: command_problems!(),
        run: |call| Box::pin(standing::list_remove(call)),
    },
    Route {
        method: Method::Get, path: "/v1/models", id: "listModels", tag: "models",
        summary: "The models of the rule set that decides.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "All of them.", of::<All<ModelItem>>)], problems: &[],
        run: |call| Box::pin(standing::models(call)),
    },
    Route {
        method: Method::Get, path: "/v1/requests", id: "listRequests", tag: "four eyes",
        summary: "What waits for a second person, or did; newest first.",
        roles: READERS,
        query: &[
            Param { name: "state", kind: ParamKind::Word(&requests::STATES), doc: "Only those in this state." },
            LIMIT, CURSOR,
        ],
        headers: &[], body: None,
        good: &[good(200, "A page.", of::<Page<RequestItem>>)], problems: &[],
        run: |call| Box::pin(requests::list(call)),
    },
    Route {
        method: Method::Get, path: "/v1/requests/{request_id}", id: "getRequest", tag: "four eyes",
        summary: "One of them.",
        roles: READERS, query: &[], headers: &[], body: None,
        good: &[good(200, "The request.", of::<RequestItem>)], problems: &[],
        run: |call| Box::pin(requests::one(call)),
    },
    Route {
        method: Method::Post, path: "/v1/requests/{request_id}:approve", id: "approveRequest", tag: "four eyes",
        summary: "Does what was asked for, as the second person. Who asked cannot.",
        roles: &[Senior, RuleApprover, Admin], query: &[], headers: &[],
        body: Some(of::<Decide>),
        good: &[good(200, "It is done.", of::<RequestItem>), good(202, "More people must approve it.", of::<RequestItem>)],
        problems: command_problems!(OWN_REQUEST),
        run: |call| Box::pin(requests::approve(call)),
    },
    Route {
        method: Method::Post, path: "/v1/requests/{request_id}:override", id: "overrideRequest", tag: "four eyes",
        summary: "Does what was asked for without a second person, where `api.override` is on. The records, the log and a metric say so.",
        roles: &[Admin], query: &[], headers: &[], body: Some(of::<Decide>),
        good: &[good(200, "It is done.", of::<RequestItem>)],
        problems: command_problems!(),
        run: |call| Box::pin(requests::override_alone(call)),
    },
    Route {
        method: Method::Post, path: "/v1/requests/{request_id}:refuse", id: "refuseRequest", tag: "four eyes",
        summary: "Refuses what was asked for, or takes it back.",
        roles: &[Analyst, Senior, RuleAuthor, RuleApprover, Admin], query: &[], headers: &[],
        body: Some(of::<Decide>),
        good: &[good(200, "It is refused.", of::<RequestItem>)],
        problems: command_problems!(OWN_REQUEST),
        run: |call| Box::pin(requests::refuse(call)),
    },
];

/// A route as tests and documents see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path, with `{name}` for segments that differ.
    pub path: &'static str,
    /// Its name for programs.
    pub id: &'static str,
    /// Who may call it.
    pub roles: &'static [Role],
    /// Whether it takes a body.
    pub takes_body: bool,
}

/// Every route, for whoever checks what it says.
pub fn listed() -> Vec<Listed> {
    let line = |route: &Route| Listed {
        method: route.method.name(),
        path: route.path,
        id: route.id,
        roles: route.roles,
        takes_body: route.body.is_some(),
    };
    ROUTES.iter().map(line).collect()
}
