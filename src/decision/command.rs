//! What people and services ask from outside, read from the records of the topic of commands.
//!
//! A command is a JSON object with the members of [`MEMBERS`] and no others: a misspelt `expected_state` must not be read as
//! if nothing were expected. What is wrong has the reasons that records of events have.
//!
//! | Member | |
//! |---|---|
//! | `schema` | `riskweir.command.v1` |
//! | `command_id` | names the command: what has one id is done once |
//! | `kind` | `hold.release`, `hold.confirm`, `hold.extend`, or `clock` |
//! | `hold_id` | the hold |
//! | `actor`, `reason` | who asks, and why |
//! | `deadline_at` | of `hold.extend`: the new deadline; RFC 3339 |
//! | `expected_state` | refuse unless the hold is in this state |
//! | `at` | when it was given, where the log does not say; RFC 3339. Of `clock`: the time that it is |

use core::fmt;
use std::sync::Arc;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;

use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::decision::holds::{Ask, HoldState, HoldStep};
use crate::event::error::{DecodeError, Reason};

/// The form of commands.
pub const SCHEMA: &str = "riskweir.command.v1";

/// Every member that a command may have.
pub const MEMBERS: [&str; 9] = [
    "schema",
    "command_id",
    "kind",
    "hold_id",
    "actor",
    "reason",
    "deadline_at",
    "expected_state",
    "at",
];

/// Longest text of a command, in bytes: its id, its actor, its reason.
pub const MAX_TEXT_BYTES: usize = 1 << 10;

/// Largest command, in bytes.
pub const MAX_BYTES: usize = 16 << 10;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Somebody asks something of a hold.
    Hold(HoldCommand),
    /// So late is it, ms since 1970: deadlines before that have come, though no event says so.
    Clock(i64),
}

/// What somebody asks of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldCommand {
    /// What has one id is done once.
    pub id: String,
    /// What is asked.
    pub ask: Ask,
    /// Of which hold.
    pub hold_id: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it was given, ms since 1970, as it says itself.
    pub at_ms: Option<i64>,
}

impl HoldCommand {
    /// As records name what is asked.
    pub fn kind(&self) -> &'static str {
        match self.ask.step {
            HoldStep::Extend => "hold.extend",
            HoldStep::Release => "hold.release",
            HoldStep::Confirm => "hold.confirm",
            HoldStep::Expire => "clock",
        }
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
        let at_ms = read.time("at")?;
        let step = match read.text("kind")? {
            "clock" => {
                let at_ms = at_ms.ok_or_else(|| wrong("at", Reason::MissingField))?;
                return Ok(Self::Clock(at_ms));
            }
            "hold.release" => HoldStep::Release,
            "hold.confirm" => HoldStep::Confirm,
            "hold.extend" => HoldStep::Extend,
            _ => return Err(wrong("kind", Reason::UnknownMember)),
        };
        let until_ms = read.time("deadline_at")?;
        if step == HoldStep::Extend && until_ms.is_none() {
            return Err(wrong("deadline_at", Reason::MissingField));
        }
        let expected = match read.optional("expected_state")? {
            Some(name) => match HoldState::named(name) {
                Some(state) => Some(state),
                None => return Err(wrong("expected_state", Reason::UnknownMember)),
            },
            None => None,
        };
        Ok(Self::Hold(HoldCommand {
            id: read.text("command_id")?.to_owned(),
            ask: Ask { step, until_ms: until_ms.unwrap_or(0), expected },
            hold_id: read.text("hold_id")?.to_owned(),
            actor: read.text("actor")?.to_owned(),
            reason: read.text("reason")?.to_owned(),
            at_ms,
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
        let mut expected = HoldCommand {
            id: "c-1".to_owned(),
            ask,
            hold_id: "h".to_owned(),
            actor: "ann".to_owned(),
            reason: "called the customer".to_owned(),
            at_ms: None,
        };
        assert_eq!(read(RELEASE), Command::Hold(expected.clone()));
        let extend = RELEASE.replace("hold.release", "hold.extend").replace(
            "\"hold_id\"",
            r#""deadline_at":"1970-01-01T00:00:02Z","expected_state":"placed","at":"1970-01-01T00:00:01Z","hold_id""#,
        );
        expected.ask =
            Ask { step: HoldStep::Extend, until_ms: 2_000, expected: Some(HoldState::Placed) };
        expected.at_ms = Some(1_000);
        assert_eq!(read(&extend), Command::Hold(expected));
        let clock =
            r#"{"schema":"riskweir.command.v1","kind":"clock","at":"1970-01-01T00:00:03Z"}"#;
        assert_eq!(read(clock), Command::Clock(3_000));
        assert_eq!(Command::clock(3_000), clock);
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
