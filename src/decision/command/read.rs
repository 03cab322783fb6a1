//! Reads a command: each member once, those that its kind takes and no others.

use core::fmt;
use std::sync::Arc;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;

use super::{
    Act, Approval, Asked, Closing, Command, Deed, FOR_ALL, FOR_PEOPLE, FOR_TWO_PEOPLE, KINDS, Kind,
    MAX_BYTES, MAX_DETAILS_BYTES, MAX_TEXT_BYTES, MEMBERS, SCHEMA, SnoozeKey, Wish,
};
use crate::base::cards::mask_cards;
use crate::base::time::parse_rfc3339;
use crate::decision::holds::{Ask, AskedFor, HoldState};
use crate::event::error::{DecodeError, Reason};
use crate::rules::syntax::ast::Otherwise;

impl Command {
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
        let what = match kind.name {
            "hold.release" => AskedFor::Release,
            "hold.confirm" => AskedFor::Confirm,
            "hold.escalate" => AskedFor::Escalate {
                queue: self.optional_owned("escalate_to")?,
                until_ms: self.time("deadline_at")?,
            },
            "hold.claim" => AskedFor::Claim { take_from: self.optional_owned("take_from")? },
            "hold.unclaim" => AskedFor::Unclaim { take_from: self.optional_owned("take_from")? },
            _ => AskedFor::Extend { until_ms: self.needed_time("deadline_at")? },
        };
        let expected = match self.optional("expected_state")? {
            Some(name) => match HoldState::named(name) {
                Some(state) => Some(state),
                None => return Err(wrong("expected_state", Reason::UnknownMember)),
            },
            None => None,
        };
        Ok(Ask { what, expected })
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
        let (digest, request) = (self.optional_owned("digest")?, self.optional_owned("request")?);
        let details = self.optional("details")?.map(|text| mask_cards(text).into_owned());
        Ok(Deed { act, about: self.owned("about")?, digest, request, details })
    }

    fn snooze(&self) -> Result<SnoozeKey, DecodeError> {
        let (rule, key) = (self.owned("rule")?, self.owned("key")?);
        Ok(SnoozeKey { rule, key, value: self.owned("value")? })
    }

    fn owned(&self, name: &'static str) -> Result<String, DecodeError> {
        self.text(name).map(str::to_owned)
    }

    fn optional_owned(&self, name: &'static str) -> Result<Option<String>, DecodeError> {
        Ok(self.optional(name)?.map(str::to_owned))
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
            Some(Value::String(text)) if text.len() > most_bytes(name) => {
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

/// Longest text of a member, in bytes.
fn most_bytes(member: &str) -> usize {
    if member == "details" { MAX_DETAILS_BYTES } else { MAX_TEXT_BYTES }
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
        let ask = Ask { what: AskedFor::Release, expected: None };
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
        let what = AskedFor::Extend { until_ms: 2_000 };
        let ask = Ask { what, expected: Some(HoldState::Placed) };
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
    fn an_escalation_names_whom_to_ask_and_a_claim_whose_it_takes() {
        let what = |kind: &str, more: &str| {
            let text = RELEASE
                .replace("hold.release", kind)
                .replace("\"hold_id\"", &format!("{more}\"hold_id\""));
            let Ok(Command::Asked(asked)) = Command::read(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!(asked.kind(), kind);
            let Wish::Hold { ask, .. } = &asked.wish else { panic!("{text}") };
            (ask.what.clone(), asked.words())
        };
        let bare = what("hold.escalate", "");
        assert_eq!(bare.0, AskedFor::Escalate { queue: None, until_ms: None });
        let until = what("hold.escalate", r#""deadline_at":"1970-01-01T00:00:02Z","#);
        assert_eq!(until.0, AskedFor::Escalate { queue: None, until_ms: Some(2_000) });
        let queue = what("hold.escalate", r#""escalate_to":"seniors","#);
        assert_eq!(
            queue.0,
            AskedFor::Escalate { queue: Some("seniors".to_owned()), until_ms: None }
        );
        let take_from = Some("bob".to_owned());
        let claim = what("hold.claim", r#""take_from":"bob","#);
        assert_eq!(claim.0, AskedFor::Claim { take_from: take_from.clone() });
        let back = what("hold.unclaim", r#""take_from":"bob","#);
        assert_eq!(back.0, AskedFor::Unclaim { take_from });
        // Whatever differs makes another command.
        let all = [bare.1, until.1, queue.1, claim.1, back.1, what("hold.claim", "").1];
        for (at, words) in all.iter().enumerate() {
            assert!(!all[..at].contains(words), "{words:?}");
        }
        let release = RELEASE.replace("\"hold_id\"", r#""take_from":"bob","hold_id""#);
        assert_eq!(reason(&release), ("unknown_field", "command.take_from".to_owned()));
    }

    #[test]
    fn what_somebody_did_is_one_of_the_acts() {
        let act = RELEASE
            .replace("hold.release", "act")
            .replace("\"hold_id\"", r#""act":"rules.activated","request":"r","details":"{\"value\":\"4111111111111111\"}","about""#);
        let (about, request) = ("h".to_owned(), Some("r".to_owned()));
        let details = Some(r#"{"value":"************1111"}"#.to_owned());
        let deed = Deed { act: Act::RulesActivated, about, digest: None, request, details };
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
