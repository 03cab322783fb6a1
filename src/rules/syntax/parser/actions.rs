//! Actions: what a rule does, and what a band or a test names.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{
    Action, ActionKind, Escalate, Otherwise, Path, StepUpOtherwise, Text,
};
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::words;

impl Parser<'_> {
    /// Whether a word that begins an action stands here.
    pub(super) fn at_action(&self) -> bool {
        self.word().is_some_and(|word| words::ACTIONS.contains(&word))
    }

    /// One action.
    pub(super) fn action(&mut self) -> Option<Action> {
        let start = self.here();
        let Some(word) = self.word().filter(|_| self.at_action()) else {
            return self.no_action();
        };
        self.bump();
        let kind = match word {
            "allow" => ActionKind::Allow,
            "block" => ActionKind::Block(self.reason()?),
            "hold" => self.hold()?,
            "step_up" => self.step_up()?,
            "alert" => self.alert()?,
            "score" => self.score()?,
            "add" => self.add()?,
            "remove" => self.remove()?,
            _ => ActionKind::Tag(self.name("a tag")?),
        };
        Some(Action { kind, span: self.since(start) })
    }

    fn no_action<T>(&mut self) -> Option<T> {
        let message = format!("expected an action, found {}", self.found());
        let mut diagnostic = Diagnostic::new(codes::E0010, self.report_span(), message);
        if let Some((help, fix)) = self.did_you_mean(&[words::ACTIONS]).or_else(|| self.hint()) {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        } else if self.word().is_some_and(|word| words::MODES.contains(&word)) {
            let mode = self.word().unwrap_or_default();
            diagnostic.help =
                Some(format!("that is said above `on`, not of an action: `mode {mode}`"));
        } else {
            diagnostic.help = Some(format!("actions are {}", listed(words::ACTIONS)));
        }
        self.report(diagnostic);
        None
    }

    fn reason(&mut self) -> Option<Option<Text>> {
        if !self.eat_word("reason") {
            return Some(None);
        }
        self.text_of("a reason").map(Some)
    }

    /// Reports a part of an action that stands there twice.
    fn twice<T>(&mut self, part: &str) -> Option<T> {
        self.fail(codes::E0502, format!("`{part}` stands here twice"), "keep one of them")
    }

    fn for_duration(&mut self, purpose: &str) -> Option<i64> {
        self.expect_word("for", purpose)?;
        self.duration_ms("a duration")
    }

    fn hold(&mut self) -> Option<ActionKind> {
        let of = match self.word() {
            None | Some("for") => None,
            Some(word) if words::is_hard(word) => None,
            Some(_) => Some(self.path("whose payments, as in `hold customer for 2h`")?),
        };
        let for_ms = self.for_duration("and how long, as in `hold for 2h`")?;
        let (mut escalate, mut otherwise, mut reason) = (None, None, None);
        loop {
            match self.word() {
                Some("otherwise") if otherwise.is_some() => return self.twice("otherwise"),
                Some("reason") if reason.is_some() => return self.twice("reason"),
                Some("otherwise") if self.word_ahead(1) == Some("escalate") => {
                    if escalate.is_some() {
                        return self.twice("otherwise escalate");
                    }
                    escalate = Some(self.escalate()?);
                }
                Some("otherwise") => otherwise = Some(self.otherwise()?),
                Some("reason") => reason = self.reason()?,
                _ => return Some(ActionKind::Hold { of, for_ms, escalate, otherwise, reason }),
            }
        }
    }

    fn escalate(&mut self) -> Option<Escalate> {
        self.bump();
        self.bump();
        let queue =
            if self.eat_word("to") { Some(self.name("the name of a queue")?) } else { None };
        let purpose = "and how long they have, as in `escalate to seniors for 4h`";
        Some(Escalate { queue, for_ms: self.for_duration(purpose)? })
    }

    fn otherwise(&mut self) -> Option<Otherwise> {
        self.bump();
        let otherwise = match self.word() {
            Some("release") => Otherwise::Release,
            Some("block") => Otherwise::Block,
            _ => return self.unexpected("`release`, `block` or `escalate`"),
        };
        self.bump();
        Some(otherwise)
    }

    fn step_up(&mut self) -> Option<ActionKind> {
        let method = self.name("the kind of challenge, as in `step_up app_confirm`")?;
        let within_ms = if self.eat_word("within") {
            Some(self.duration_ms("how long it waits, as in `within 5m`")?)
        } else {
            None
        };
        if !self.eat_word("otherwise") {
            return Some(ActionKind::StepUp { method, within_ms, otherwise: None });
        }
        let otherwise = if self.eat_word("block") {
            StepUpOtherwise::Block
        } else if self.eat_word("hold") {
            StepUpOtherwise::Hold(self.for_duration("and how long, as in `hold for 30m`")?)
        } else {
            return self.unexpected("`block` or `hold for` and a duration");
        };
        Some(ActionKind::StepUp { method, within_ms, otherwise: Some(otherwise) })
    }

    fn alert(&mut self) -> Option<ActionKind> {
        let (mut queue, mut once, mut message) = (None, None, None);
        loop {
            match self.word() {
                Some("queue") if queue.is_some() => return self.twice("queue"),
                Some("once") if once.is_some() => return self.twice("once"),
                Some("message") if message.is_some() => return self.twice("message"),
                Some("queue") => {
                    self.bump();
                    queue = Some(self.name("the name of a queue")?);
                }
                Some("once") => {
                    self.bump();
                    once = Some(self.once()?);
                }
                Some("message") => {
                    self.bump();
                    message = Some(self.text_of("a message")?);
                }
                _ => return Some(ActionKind::Alert { queue, once, message }),
            }
        }
    }

    fn once(&mut self) -> Option<(Vec<Path>, i64)> {
        let purpose = "as in `once per card per 1h`";
        self.expect_word("per", purpose)?;
        let keys = self.comma_list(|p| p.path("a key"))?;
        self.expect_word("per", purpose)?;
        Some((keys, self.duration_ms("a duration")?))
    }

    fn score(&mut self) -> Option<ActionKind> {
        let points = self.signed_number("points such as `+35`")?;
        let group =
            if self.eat_word("in") { Some(self.name("the name of a score group")?) } else { None };
        let cap = match &group {
            Some(_) if self.eat_word("cap") => Some(self.number("the cap, a number")?),
            _ => None,
        };
        Some(ActionKind::Score { points, group, cap })
    }

    fn add(&mut self) -> Option<ActionKind> {
        let path = self.path("what to add")?;
        self.expect_word("to", "and a list, as in `add device to blocked_devices for 24h`")?;
        let list = self.name("the name of a list")?;
        let for_ms = if self.eat_word("for") {
            Some(self.duration_ms("how long, as in `for 24h`")?)
        } else {
            None
        };
        Some(ActionKind::Add { path, list, for_ms })
    }

    fn remove(&mut self) -> Option<ActionKind> {
        let path = self.path("what to remove")?;
        self.expect_word("from", "and a list, as in `remove device from blocked_devices`")?;
        let list = self.name("the name of a list")?;
        Some(ActionKind::Remove { path, list })
    }
}

/// Words as a message lists them.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
