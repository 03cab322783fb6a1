//! What people and services ask from outside, read from the records of the topic of commands.
//!
//! A command is a JSON object with the members that its kind takes ([`KINDS`]) and no others: a misspelt `expected_state` must
//! not be read as if nothing were expected. What is wrong has the reasons that records of events have.
//!
//! | Member | |
//! |---|---|
//! | `schema` | `riskweir.command.v1` |
//! | `command_id` | names the command: what has one id is done once |
//! | `kind` | one of [`KINDS`] |
//! | `actor`, `reason` | who asks, and why |
//! | `approved_by`, `approval_reason` | who approved it as the second person, and why; both or neither |
//! | `at` | when it was given, where the log does not say; RFC 3339. Of `clock`: the time that it is |
//! | `hold_id` | the hold |
//! | `deadline_at` | of `hold.extend`, and where somebody wants one of `hold.escalate`: the new deadline; RFC 3339 |
//! | `take_from` | of a claim: whose it is that is taken over, or given back in their place |
//! | `expected_state` | refuse unless the hold is in this state |
//! | `entity`, `value`, `otherwise` | of `hold.place`: whose payments are held, and what comes at the last deadline |
//! | `escalate_to`, `escalate_until` | of `hold.place`: whom to ask at the deadline, and the last one, RFC 3339; both or neither. The first also of `hold.escalate`: whom to ask now |
//! | `list`, `value` | the list, and what is put on it or taken off |
//! | `rule`, `key`, `value` | of a snooze: the id of the rule, and the key for whose value it is silent |
//! | `episode`, `finding` | of `alert.close`: the alerts that are closed, and what came out ([`Closing`]) |
//! | `act`, `about`, `digest`, `request`, `details` | of `act`: what somebody did past the engine, about what ([`Deed`]) |
//! | `until` | until when a value stays on a list, or a rule is silent; RFC 3339 |

mod read;

use serde_json::{Map, Value};

use crate::base::time::format_rfc3339;
use crate::decision::holds::{Ask, HoldState};
use crate::rules::syntax::ast::Otherwise;

/// The form of commands.
pub const SCHEMA: &str = "riskweir.command.v1";

/// A kind of command and the members that it takes beside `schema`, `kind` and `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What must be there.
    pub needs: &'static [&'static str],
    /// What may be there.
    pub takes: &'static [&'static str],
}

/// Every kind of command.
pub const KINDS: [Kind; 14] = [
    kind("clock", &["at"], &[]),
    kind("hold.release", &["hold_id"], &["expected_state"]),
    kind("hold.confirm", &["hold_id"], &["expected_state"]),
    kind("hold.extend", &["hold_id", "deadline_at"], &["expected_state"]),
    kind("hold.escalate", &["hold_id"], &["expected_state", "escalate_to", "deadline_at"]),
    kind("hold.claim", &["hold_id"], &["expected_state", "take_from"]),
    kind("hold.unclaim", &["hold_id"], &["expected_state", "take_from"]),
    kind(
        "hold.place",
        &["entity", "value", "deadline_at"],
        &["otherwise", "escalate_to", "escalate_until"],
    ),
    kind("alert.close", &["episode"], &["finding"]),
    kind("list.add", &["list", "value"], &["until"]),
    kind("list.remove", &["list", "value"], &[]),
    kind("snooze.set", &["rule", "key", "value", "until"], &[]),
    kind("snooze.end", &["rule", "key", "value"], &[]),
    kind(Deed::KIND, &["act", "about"], &["digest", "request", "details"]),
];

const fn kind(
    name: &'static str,
    needs: &'static [&'static str],
    takes: &'static [&'static str],
) -> Kind {
    Kind { name, needs, takes }
}

/// What every command has; `at` where the log does not say.
pub const FOR_ALL: [&str; 3] = ["schema", "kind", "at"];

/// What every command has that a person or a service gives.
pub const FOR_PEOPLE: [&str; 3] = ["command_id", "actor", "reason"];

/// What every command may have that a person or a service gives.
pub const FOR_TWO_PEOPLE: [&str; 2] = ["approved_by", "approval_reason"];

/// Every member that some command may have.
pub const MEMBERS: [&str; 28] = [
    "schema",
    "command_id",
    "kind",
    "actor",
    "reason",
    "approved_by",
    "approval_reason",
    "at",
    "hold_id",
    "deadline_at",
    "expected_state",
    "entity",
    "otherwise",
    "escalate_to",
    "escalate_until",
    "take_from",
    "episode",
    "finding",
    "list",
    "value",
    "rule",
    "key",
    "until",
    "act",
    "about",
    "digest",
    "request",
    "details",
];

/// Longest text of a command, in bytes: its id, its actor, its reason.
pub const MAX_TEXT_BYTES: usize = 1 << 10;

/// Longest `details` of a deed, in bytes.
pub const MAX_DETAILS_BYTES: usize = 6 << 10;

/// Largest command, in bytes.
pub const MAX_BYTES: usize = 16 << 10;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Somebody asks for something.
    Asked(Asked),
    /// So late is it, ms since 1970: deadlines before that have come, though no event says so.
    Clock(i64),
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What has one id is done once.
    pub id: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The second person, where it takes two.
    pub approval: Option<Box<Approval>>,
    /// When it was given, ms since 1970, as it says itself.
    pub at_ms: Option<i64>,
    /// For what.
    pub wish: Wish,
}

/// That a second person approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Something of a hold.
    Hold {
        /// Of which hold.
        hold_id: String,
        /// What.
        ask: Ask,
    },
    /// All payments of a subject, until a deadline.
    Place {
        /// The kind of entity.
        entity: String,
        /// Its id.
        value: String,
        /// The first deadline, ms.
        until_ms: i64,
        /// Who is asked then, and the last deadline, ms; absent: the first is the last.
        escalate: Option<(String, i64)>,
        /// What happens at the last.
        otherwise: Otherwise,
    },
    /// The alerts of an episode are dealt with: what comes is a new one.
    Close {
        /// Id of its first alert.
        episode: String,
        /// What came out.
        finding: Option<Closing>,
    },
    /// A value on a list, until an instant in ms where it says one.
    ListAdd {
        /// Which list.
        list: String,
        /// The value.
        value: String,
        /// Its end; absent: as long as the list says.
        until_ms: Option<i64>,
    },
    /// A value off a list.
    ListRemove {
        /// Which list.
        list: String,
        /// The value.
        value: String,
    },
    /// A rule that is silent about one key until an instant in ms.
    SnoozeSet {
        /// Which rule about whom.
        about: SnoozeKey,
        /// Until when, exclusive.
        until_ms: i64,
    },
    /// A rule that is no longer silent.
    SnoozeEnd {
        /// Which rule about whom.
        about: SnoozeKey,
    },
    /// Nothing: the audit trail is to say what somebody did.
    Act(Deed),
}

/// What somebody did past the engine, so that the audit trail says it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub act: Act,
    /// About what: a rule set, a hold, a topic, the place of a record.
    pub about: String,
    /// SHA-256 of what it was about, where that is bytes.
    pub digest: Option<String>,
    /// The request for a second person that it belongs to.
    pub request: Option<String>,
    /// JSON. Of a request that is made: what is asked for, card numbers masked; whoever reads the trail knows the request by it. Of
    /// tokens: whose they are.
    pub details: Option<String>,
}

impl Deed {
    /// The kind of the commands that tell of deeds.
    pub const KIND: &'static str = "act";

    /// The key of their records. WHY: of one key all stand in one chain of the audit trail, whoever tells of them.
    pub const KEY: &'static [u8] = b"acts";

    /// What a command says of it beside who and why.
    pub fn members(&self) -> Map<String, Value> {
        let told = [
            ("act", Some(self.act.as_str())),
            ("about", Some(&self.about)),
            ("digest", self.digest.as_deref()),
            ("request", self.request.as_deref()),
            ("details", self.details.as_deref()),
        ];
        let told =
            told.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        told.collect()
    }
}

/// A command as its record has it: what all have, and what its kind has beside.
pub fn record(
    kind: &str,
    command_id: &str,
    (actor, reason): (&str, &str),
    members: Map<String, Value>,
) -> Vec<u8> {
    let all = [
        ("schema", SCHEMA),
        ("command_id", command_id),
        ("kind", kind),
        ("actor", actor),
        ("reason", reason),
    ];
    let mut body: Map<String, Value> =
        all.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    body.extend(members);
    Value::Object(body).to_string().into_bytes()
}

/// Kinds of deeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody asks for what takes a second person.
    RequestMade,
    /// A second person approved.
    RequestApproved,
    /// A second person refused, or whoever asked took it back.
    RequestRefused,
    /// What was approved could not be done.
    RequestFailed,
    /// One person approves alone what takes two, because it cannot wait.
    RequestOverridden,
    /// A rule set that was approved is made active.
    RulesActivated,
    /// A rule set that nobody approved is accepted at a start.
    RulesAccepted,
    /// Somebody says over HTTP what came out about an event.
    LabelPosted,
    /// Somebody imports a file that says so of many.
    LabelsImported,
    /// The bytes of a dead letter were shown.
    DeadLetterShown,
    /// Records of dead letters were put into their topics again.
    DeadLettersRetried,
    /// Tokens that the API lets in at its start.
    TokensKnown,
    /// Tokens that it lets in since the file of tokens changed.
    TokensAdded,
    /// Tokens that it lets in no longer.
    TokensWithdrawn,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::RequestMade,
        Self::RequestApproved,
        Self::RequestRefused,
        Self::RequestFailed,
        Self::RequestOverridden,
        Self::RulesActivated,
        Self::RulesAccepted,
        Self::LabelPosted,
        Self::LabelsImported,
        Self::DeadLetterShown,
        Self::DeadLettersRetried,
        Self::TokensKnown,
        Self::TokensAdded,
        Self::TokensWithdrawn,
    ];

    /// As commands and records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestMade => "request.made",
            Self::RequestApproved => "request.approved",
            Self::RequestRefused => "request.refused",
            Self::RequestFailed => "request.failed",
            Self::RequestOverridden => "request.overridden",
            Self::RulesActivated => "rules.activated",
            Self::RulesAccepted => "rules.accepted",
            Self::LabelPosted => "label.posted",
            Self::LabelsImported => "labels.imported",
            Self::DeadLetterShown => "dead_letter.shown",
            Self::DeadLettersRetried => "dead_letters.retried",
            Self::TokensKnown => "tokens.known",
            Self::TokensAdded => "tokens.added",
            Self::TokensWithdrawn => "tokens.withdrawn",
        }
    }
}

/// What a person found about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It was what the alert says.
    Confirmed,
    /// It was not, and yet worth a look.
    Useful,
    /// It was neither.
    FalsePositive,
}

impl Closing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Useful, Self::FalsePositive];

    /// As commands and records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Useful => "useful",
            Self::FalsePositive => "false_positive",
        }
    }
}

/// A rule, by its id, and the value of a key for which it is silent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnoozeKey {
    /// The rule's id.
    pub rule: String,
    /// The key as rules name it: `card`.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Asked {
    /// As records name what is asked.
    pub fn kind(&self) -> &'static str {
        match &self.wish {
            Wish::Hold { ask, .. } => ask.what.kind(),
            Wish::Place { .. } => "hold.place",
            Wish::Close { .. } => "alert.close",
            Wish::ListAdd { .. } => "list.add",
            Wish::ListRemove { .. } => "list.remove",
            Wish::SnoozeSet { .. } => "snooze.set",
            Wish::SnoozeEnd { .. } => "snooze.end",
            Wish::Act(_) => "act",
        }
    }

    /// Everything that it says but its id and the time, in a fixed order: two commands with the same words ask for the same.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.kind().to_owned(), self.actor.clone(), self.reason.clone()];
        match &self.wish {
            Wish::Hold { hold_id, ask } => {
                let expected = ask.expected.map_or("", HoldState::as_str);
                words.extend([hold_id.clone(), expected.to_owned()]);
                words.extend(ask.what.words());
            }
            Wish::Place { entity, value, until_ms, escalate, otherwise } => {
                let otherwise = if *otherwise == Otherwise::Block { "block" } else { "release" };
                words.extend([entity.clone(), value.clone(), until_ms.to_string()]);
                words.push(otherwise.to_owned());
                if let Some((queue, until_ms)) = escalate {
                    words.extend([queue.clone(), until_ms.to_string()]);
                }
            }
            Wish::Close { episode, finding } => {
                let finding = finding.map_or("", Closing::as_str);
                words.extend([episode.clone(), finding.to_owned()]);
            }
            Wish::ListAdd { list, value, until_ms } => {
                let until = until_ms.map_or_else(String::new, |ms| ms.to_string());
                words.extend([list.clone(), value.clone(), until]);
            }
            Wish::ListRemove { list, value } => words.extend([list.clone(), value.clone()]),
            Wish::SnoozeSet { about, until_ms } => {
                words.extend(about.words());
                words.push(until_ms.to_string());
            }
            Wish::SnoozeEnd { about } => words.extend(about.words()),
            Wish::Act(Deed { act, about, digest, request, details }) => {
                let [digest, request] =
                    [digest, request].map(|text| text.clone().unwrap_or_default());
                words.extend([act.as_str().to_owned(), about.clone(), digest, request]);
                words.extend(details.clone());
            }
        }
        if let Some(approval) = &self.approval {
            words.extend([approval.by.clone(), approval.reason.clone()]);
        }
        words
    }
}

impl SnoozeKey {
    fn words(&self) -> [String; 3] {
        [self.rule.clone(), self.key.clone(), self.value.clone()]
    }
}

impl Command {
    /// The record that says that it is so late, in ms since 1970.
    pub fn clock(now_ms: i64) -> String {
        let at = format_rfc3339(now_ms);
        format!(r#"{{"schema":"{SCHEMA}","kind":"clock","at":"{at}"}}"#)
    }
}
