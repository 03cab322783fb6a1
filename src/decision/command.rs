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
//! | `deadline_at` | of `hold.extend`: the new deadline; RFC 3339 |
//! | `expected_state` | refuse unless the hold is in this state |
//! | `entity`, `value`, `otherwise` | of `hold.place`: whose payments are held, and what comes at the last deadline |
//! | `escalate_to`, `escalate_until` | of `hold.place`: whom to ask at the deadline, and the last one, RFC 3339; both or neither |
//! | `list`, `value` | the list, and what is put on it or taken off |
//! | `rule`, `key`, `value` | of a snooze: the id of the rule, and the key for whose value it is silent |
//! | `episode`, `finding` | of `alert.close`: the alerts that are closed, and what came out ([`Closing`]) |
//! | `act`, `about`, `digest`, `request` | of `act`: what somebody did past the engine, about what ([`Deed`]) |
//! | `until` | until when a value stays on a list, or a rule is silent; RFC 3339 |

use core::fmt;
use std::sync::Arc;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::cards::mask_cards;
use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::decision::holds::{Ask, HoldState, HoldStep};
use crate::event::error::{DecodeError, Reason};
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
pub const KINDS: [Kind; 11] = [
    kind("clock", &["at"], &[]),
    kind("hold.release", &["hold_id"], &["expected_state"]),
    kind("hold.confirm", &["hold_id"], &["expected_state"]),
    kind("hold.extend", &["hold_id", "deadline_at"], &["expected_state"]),
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
    kind(Deed::KIND, &["act", "about"], &["digest", "request"]),
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
pub const MEMBERS: [&str; 26] = [
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
];

/// Longest text of a command, in bytes: its id, its actor, its reason.
pub const MAX_TEXT_BYTES: usize = 1 << 10;

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
    /// A step of a hold.
    Hold {
        /// Of which hold.
        hold_id: String,
        /// Which step.
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
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RequestMade,
        Self::RequestApproved,
        Self::RequestRefused,
        Self::RulesActivated,
        Self::RulesAccepted,
        Self::LabelPosted,
        Self::LabelsImported,
        Self::DeadLetterShown,
        Self::DeadLettersRetried,
    ];

    /// As commands and records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestMade => "request.made",
            Self::RequestApproved => "request.approved",
            Self::RequestRefused => "request.refused",
            Self::RulesActivated => "rules.activated",
            Self::RulesAccepted => "rules.accepted",
            Self::LabelPosted => "label.posted",
            Self::LabelsImported => "labels.imported",
            Self::DeadLetterShown => "dead_letter.shown",
            Self::DeadLettersRetried => "dead_letters.retried",
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
            Wish::Hold { ask, .. } => match ask.step {
                HoldStep::Extend => "hold.extend",
                HoldStep::Release => "hold.release",
                HoldStep::Confirm => "hold.confirm",
                HoldStep::Expire | HoldStep::Escalate => "clock",
            },
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
                words.extend([hold_id.clone(), expected.to_owned(), ask.until_ms.to_string()]);
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
            Wish::Act(Deed { act, about, digest, request }) => {
                let [digest, request] =
                    [digest, request].map(|text| text.clone().unwrap_or_default());
                words.extend([act.as_str().to_owned(), about.clone(), digest, request]);
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

    /// Reads a command.
    ///
    /// # Errors
    /// What is wrong, by member; never what stands there.
    pub fn read(raw: &[u8]) -> Result<Self, DecodeError> {
        if raw.len() > MAX_BYTES {
            return Err(DecodeError::record(Reason::TooLarge));
        }
        let members = members(raw)?;
        let read = Members(&members);
        if read.text("schema")? != SCHEMA {
            return Err(wrong("schema", Reason::UnknownMember));
        }
        let kind = read.kind()?;
        read.fits(kind)?;
        let at_ms = read.time("at")?;
        if kind.name == "clock" {
            let at_ms = at_ms.ok_or_else(|| wrong("at", Reason::MissingField))?;
            return Ok(Self::Clock(at_ms));
        }
        Ok(Self::Asked(Asked {
            id: read.owned("command_id")?,
            actor: read.owned("actor")?,
            reason: mask_cards(read.text("reason")?).into_owned(),
            approval: read.approval()?,
            at_ms,
            wish: read.wish(kind)?,
        }))
    }
}

fn wrong(member: &str, reason: Reason) -> DecodeError {
    let field = Some(Arc::from(format!("command.{member}")));
    DecodeError { reason, field, offset: None }
}

/// The members of an object, each once.
struct Members<'m>(&'m [(&'static str, Value)]);

impl<'m> Members<'m> {
    fn kind(&self) -> Result<Kind, DecodeError> {
        let name = self.text("kind")?;
        let kind = KINDS.into_iter().find(|kind| kind.name == name);
        kind.ok_or_else(|| wrong("kind", Reason::UnknownMember))
    }

    /// Whether the command has what its kind needs, and nothing that it does not take.
    fn fits(&self, kind: Kind) -> Result<(), DecodeError> {
        for (name, _) in self.0 {
            let known = FOR_ALL.contains(name)
                || FOR_PEOPLE.contains(name)
                || FOR_TWO_PEOPLE.contains(name)
                || kind.needs.contains(name)
                || kind.takes.contains(name);
            if !known {
                return Err(wrong(name, Reason::UnknownField));
            }
        }
        kind.needs.iter().try_for_each(|name| self.text(name).map(|_| ()))
    }

    fn wish(&self, kind: Kind) -> Result<Wish, DecodeError> {
        Ok(match kind.name {
            "hold.place" => Wish::Place {
                entity: self.owned("entity")?,
                value: self.owned("value")?,
                until_ms: self.needed_time("deadline_at")?,
                escalate: self.escalation()?,
                otherwise: match self.optional("otherwise")? {
                    None | Some("release") => Otherwise::Release,
                    Some("block") => Otherwise::Block,
                    Some(_) => return Err(wrong("otherwise", Reason::UnknownMember)),
                },
            },
            "alert.close" => {
                Wish::Close { episode: self.owned("episode")?, finding: self.finding()? }
            }
            "list.add" => Wish::ListAdd {
                list: self.owned("list")?,
                value: self.owned("value")?,
                until_ms: self.time("until")?,
            },
            "list.remove" => {
                Wish::ListRemove { list: self.owned("list")?, value: self.owned("value")? }
            }
            "snooze.set" => {
                Wish::SnoozeSet { about: self.snooze()?, until_ms: self.needed_time("until")? }
            }
            "snooze.end" => Wish::SnoozeEnd { about: self.snooze()? },
            "act" => Wish::Act(self.deed()?),
            _ => Wish::Hold { hold_id: self.owned("hold_id")?, ask: self.ask(kind)? },
        })
    }

    fn ask(&self, kind: Kind) -> Result<Ask, DecodeError> {
        let (step, until_ms) = match kind.name {
            "hold.release" => (HoldStep::Release, 0),
            "hold.confirm" => (HoldStep::Confirm, 0),
            _ => (HoldStep::Extend, self.needed_time("deadline_at")?),
        };
        let expected = match self.optional("expected_state")? {
            Some(name) => match HoldState::named(name) {
                Some(state) => Some(state),
                None => return Err(wrong("expected_state", Reason::UnknownMember)),
            },
            None => None,
        };
        Ok(Ask { step, until_ms, expected })
    }

    /// A name without a reason, or a reason without a name, is no approval.
    fn approval(&self) -> Result<Option<Box<Approval>>, DecodeError> {
        let there = FOR_TWO_PEOPLE.iter().any(|name| self.0.iter().any(|(it, _)| it == name));
        if !there {
            return Ok(None);
        }
        let (by, reason) = (self.owned("approved_by")?, self.owned("approval_reason")?);
        Ok(Some(Box::new(Approval { by, reason })))
    }

    /// Whom to ask without until when, or the other way round, is no escalation.
    fn escalation(&self) -> Result<Option<(String, i64)>, DecodeError> {
        let (queue, until_ms) = (self.optional("escalate_to")?, self.time("escalate_until")?);
        match (queue, until_ms) {
            (None, None) => Ok(None),
            (Some(queue), Some(until_ms)) => Ok(Some((queue.to_owned(), until_ms))),
            (None, Some(_)) => Err(wrong("escalate_to", Reason::MissingField)),
            (Some(_), None) => Err(wrong("escalate_until", Reason::MissingField)),
        }
    }

    fn finding(&self) -> Result<Option<Closing>, DecodeError> {
        let Some(name) = self.optional("finding")? else { return Ok(None) };
        let known = Closing::ALL.into_iter().find(|known| known.as_str() == name);
        known.map(Some).ok_or_else(|| wrong("finding", Reason::UnknownMember))
    }

    fn deed(&self) -> Result<Deed, DecodeError> {
        let name = self.text("act")?;
        let known = Act::ALL.into_iter().find(|known| known.as_str() == name);
        let act = known.ok_or_else(|| wrong("act", Reason::UnknownMember))?;
        let digest = self.optional("digest")?.map(str::to_owned);
        let request = self.optional("request")?.map(str::to_owned);
        Ok(Deed { act, about: self.owned("about")?, digest, request })
    }

    fn snooze(&self) -> Result<SnoozeKey, DecodeError> {
        let (rule, key) = (self.owned("rule")?, self.owned("key")?);
        Ok(SnoozeKey { rule, key, value: self.owned("value")? })
    }

    fn owned(&self, name: &'static str) -> Result<String, DecodeError> {
        self.text(name).map(str::to_owned)
    }

    fn needed_time(&self, name: &'static str) -> Result<i64, DecodeError> {
        self.time(name)?.ok_or_else(|| wrong(name, Reason::MissingField))
    }

    /// A text that must be there.
    fn text(&self, name: &'static str) -> Result<&'m str, DecodeError> {
        self.optional(name)?.ok_or_else(|| wrong(name, Reason::MissingField))
    }

    fn optional(&self, name: &'static str) -> Result<Option<&'m str>, DecodeError> {
        let found = self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        match found {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(wrong(name, Reason::EmptyKey))
            }
            Some(Value::String(text)) if text.len() > MAX_TEXT_BYTES => {
                Err(wrong(name, Reason::TextTooLong))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, Reason::WrongType)),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<i64>, DecodeError> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        match parse_rfc3339(text.as_bytes()) {
            Some(ms) => Ok(Some(ms)),
            None => Err(wrong(name, Reason::BadTime)),
        }
    }
}

fn members(raw: &[u8]) -> Result<Vec<(&'static str, Value)>, DecodeError> {
    let text = core::str::from_utf8(raw).map_err(|_| DecodeError::record(Reason::InvalidUtf8))?;
    if text.trim().is_empty() {
        return Err(DecodeError::record(Reason::Empty));
    }
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_map(&mut found).and_then(|()| reader.end());
    match (read, found.wrong) {
        (Ok(()), None) => Ok(found.members),
        (Ok(()), Some(error)) => Err(error),
        (Err(error), _) if error.is_data() => Err(DecodeError::record(Reason::NotAnObject)),
        (Err(_), _) => Err(DecodeError::record(Reason::InvalidJson)),
    }
}

/// What an object has, and the first thing that is wrong with its names.
#[derive(Default)]
struct Found {
    members: Vec<(&'static str, Value)>,
    wrong: Option<DecodeError>,
}

impl<'de> Visitor<'de> for &mut Found {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            let Some(known) = MEMBERS.into_iter().find(|known| *known == name) else {
                // WHY: a name that nobody declared may hold anything, and is not repeated.
                self.wrong.get_or_insert(DecodeError::record(Reason::UnknownField));
                continue;
            };
            if self.members.iter().any(|(there, _)| *there == known) {
                self.wrong.get_or_insert(wrong(known, Reason::DuplicateKey));
                continue;
            }
            self.members.push((known, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = r#"{"schema":"riskweir.command.v1","command_id":"c-1","kind":"hold.release",
        "hold_id":"h","actor":"ann","reason":"called the customer"}"#;

    fn reason(text: &str) -> (&'static str, String) {
        let error = Command::read(text.as_bytes()).expect_err(text);
        (error.reason.as_str(), error.field.as_deref().unwrap_or("").to_owned())
    }

    #[test]
    fn a_command_says_what_it_asks() {
        let read = |text: &str| Command::read(text.as_bytes()).expect(text);
        let ask = Ask { step: HoldStep::Release, until_ms: 0, expected: None };
        let mut expected = Asked {
            id: "c-1".to_owned(),
            actor: "ann".to_owned(),
            reason: "called the customer".to_owned(),
            approval: None,
            at_ms: None,
            wish: Wish::Hold { hold_id: "h".to_owned(), ask },
        };
        assert_eq!(read(RELEASE), Command::Asked(expected.clone()));
        let extend = RELEASE.replace("hold.release", "hold.extend").replace(
            "\"hold_id\"",
            r#""deadline_at":"1970-01-01T00:00:02Z","expected_state":"placed","at":"1970-01-01T00:00:01Z","hold_id""#,
        );
        let ask =
            Ask { step: HoldStep::Extend, until_ms: 2_000, expected: Some(HoldState::Placed) };
        expected.wish = Wish::Hold { hold_id: "h".to_owned(), ask };
        expected.at_ms = Some(1_000);
        assert_eq!(read(&extend), Command::Asked(expected.clone()));
        let approved = extend
            .replace("\"hold_id\"", r#""approved_by":"bob","approval_reason":"looked","hold_id""#);
        let (by, reason) = ("bob".to_owned(), "looked".to_owned());
        let alone = expected.words();
        expected.approval = Some(Box::new(Approval { by, reason }));
        assert_ne!(expected.words(), alone, "approved it is another command");
        assert_eq!(read(&approved), Command::Asked(expected));
        let list = r#"{"schema":"riskweir.command.v1","command_id":"c-2","kind":"list.add","list":"blocked",
            "value":"v","until":"1970-01-01T00:00:04Z","actor":"ann","reason":"stolen"}"#;
        let wish = Wish::ListAdd {
            list: "blocked".to_owned(),
            value: "v".to_owned(),
            until_ms: Some(4_000),
        };
        assert!(matches!(read(list), Command::Asked(asked) if asked.wish == wish));
        let snooze = r#"{"schema":"riskweir.command.v1","command_id":"c-3","kind":"snooze.end","rule":"R-1",
            "key":"card","value":"v","actor":"ann","reason":"over"}"#;
        let [rule, key, value] = ["R-1", "card", "v"].map(str::to_owned);
        let wish = Wish::SnoozeEnd { about: SnoozeKey { rule, key, value } };
        assert!(matches!(read(snooze), Command::Asked(asked) if asked.wish == wish));
        let close = r#"{"schema":"riskweir.command.v1","command_id":"c-4","kind":"alert.close","episode":"e",
            "finding":"false_positive","actor":"ann","reason":"the customer travels"}"#;
        let finding = Some(Closing::FalsePositive);
        let wish = Wish::Close { episode: "e".to_owned(), finding };
        assert!(matches!(read(close), Command::Asked(asked) if asked.wish == wish));
        let clock =
            r#"{"schema":"riskweir.command.v1","kind":"clock","at":"1970-01-01T00:00:03Z"}"#;
        assert_eq!(read(clock), Command::Clock(3_000));
        assert_eq!(Command::clock(3_000), clock);
    }

    #[test]
    fn what_somebody_did_is_one_of_the_acts() {
        let act = RELEASE
            .replace("hold.release", "act")
            .replace("\"hold_id\"", r#""act":"rules.activated","request":"r","about""#);
        let (about, request) = ("h".to_owned(), Some("r".to_owned()));
        let deed = Deed { act: Act::RulesActivated, about, digest: None, request };
        let Ok(Command::Asked(asked)) = Command::read(act.as_bytes()) else { panic!("{act}") };
        assert_eq!((asked.kind(), &asked.wish), ("act", &Wish::Act(deed)));
        let other = act.replace("rules.activated", "rules.changed");
        assert_eq!(reason(&other), ("unknown_member", "command.act".to_owned()));
    }

    #[test]
    fn a_finding_is_one_of_three() {
        let close = RELEASE
            .replace("hold.release", "alert.close")
            .replace("\"hold_id\"", r#""finding":"fraud","episode""#);
        assert_eq!(reason(&close), ("unknown_member", "command.finding".to_owned()));
    }

    #[test]
    fn every_member_belongs_to_a_kind() {
        let of_kinds = KINDS.iter().flat_map(|kind| kind.needs.iter().chain(kind.takes));
        let mut known: Vec<&str> =
            of_kinds.copied().chain(FOR_ALL).chain(FOR_PEOPLE).chain(FOR_TWO_PEOPLE).collect();
        known.sort_unstable();
        known.dedup();
        let mut members = MEMBERS.to_vec();
        members.sort_unstable();
        assert_eq!(known, members);
    }

    #[test]
    fn what_is_wrong_is_named_by_member() {
        let field = |name: &str| format!("command.{name}");
        for (from, to, expected) in [
            ("command.v1", "command.v2", ("unknown_member", field("schema"))),
            ("hold.release", "hold.relase", ("unknown_member", field("kind"))),
            ("\"c-1\"", "7", ("wrong_type", field("command_id"))),
            ("\"c-1\"", "\" \"", ("empty_key", field("command_id"))),
            ("\"hold_id\":\"h\",", "", ("missing_field", field("hold_id"))),
            ("\"ann\"", "null", ("missing_field", field("actor"))),
            ("hold.release", "hold.extend", ("missing_field", field("deadline_at"))),
            ("\"hold_id\"", "\"at\":\"noon\",\"hold_id\"", ("bad_time", field("at"))),
            (
                "\"hold_id\"",
                "\"expected_stat\":\"placed\",\"hold_id\"",
                ("unknown_field", String::new()),
            ),
            (
                "\"hold_id\"",
                "\"expected_state\":\"open\",\"hold_id\"",
                ("unknown_member", field("expected_state")),
            ),
            ("\"hold_id\"", "\"reason\":\"x\",\"hold_id\"", ("duplicate_key", field("reason"))),
            (
                "\"hold_id\"",
                "\"approved_by\":\"bob\",\"hold_id\"",
                ("missing_field", field("approval_reason")),
            ),
            // A member of another kind is not passed over.
            ("\"hold_id\"", "\"until\":\"x\",\"hold_id\"", ("unknown_field", field("until"))),
            ("hold.release", "list.remove", ("unknown_field", field("hold_id"))),
        ] {
            assert_eq!(reason(&RELEASE.replace(from, to)), expected, "{from} {to}");
        }
        let long = RELEASE.replace("ann", &"a".repeat(MAX_TEXT_BYTES + 1));
        assert_eq!(reason(&long), ("text_too_long", field("actor")));
        for (text, name) in [
            ("", "empty"),
            ("{", "invalid_json"),
            ("[]", "not_an_object"),
            ("7", "not_an_object"),
            ("{} {}", "invalid_json"),
        ] {
            assert_eq!(reason(text), (name, String::new()), "{text}");
        }
        assert_eq!(reason(&" ".repeat(MAX_BYTES + 1)).0, "too_large");
    }
}
