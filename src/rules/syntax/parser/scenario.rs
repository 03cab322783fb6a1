//! `test` blocks.

use crate::base::time::{DAY_MS, TESTS_BEGIN_MS, days_from_civil, parse_rfc3339};
use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{
    EventLiteral, FieldValue, Given, Name, Path, Test, Want, WantKind,
};
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

/// Words that begin a part of a test.
const PARTS: &[&str] = &["given", "when", "expect"];

/// The parts as far as they have been read.
#[derive(Default)]
struct Parts {
    given: Vec<Given>,
    when: Option<(EventLiteral, Option<i64>)>,
    expect: Option<Vec<Want>>,
}

impl Parser<'_> {
    /// `test NAME "title" given … when … expect …`. At `test`.
    pub(super) fn test(&mut self) -> Option<Test> {
        let start = self.bump();
        let rule = self.name("the name of the rule under test")?;
        let title = self.optional_text();
        let mut parts = Parts::default();
        let n_diagnostics = self.diagnostics.len();
        while !self.at_item() {
            let from = self.at;
            if self.part(&mut parts).is_none() {
                self.skip_to_line(from, PARTS);
            }
        }
        let broken = self.diagnostics.len() > n_diagnostics;
        let Some((when, at_ms)) = parts.when else { return self.incomplete(&rule, "when", broken) };
        let Some(expect) = parts.expect else { return self.incomplete(&rule, "expect", broken) };
        let (given, span) = (parts.given, self.since(start));
        Some(Test { rule, title, given, when, at_ms, expect, span })
    }

    /// Reports a part that is not there, unless it may have been lost to a mistake that is reported.
    fn incomplete<T>(&mut self, rule: &Name, part: &str, broken: bool) -> Option<T> {
        if !broken && !self.is_lexical(rule.span) {
            let message = format!("this test of `{}` has no `{part}`", rule.text);
            let help = "a test says `given` (maybe), then `when` and one event, then `expect`";
            let diagnostic = Diagnostic::new(codes::E0501, rule.span, message).with_help(help);
            self.diagnostics.push(diagnostic);
        }
        None
    }

    fn part(&mut self, parts: &mut Parts) -> Option<()> {
        match self.word() {
            Some("given") if parts.when.is_some() => {
                let message = "`given` stands behind `when`";
                self.fail(
                    codes::E0010,
                    message,
                    "tell what happened before first: `given` … `when` …",
                )
            }
            Some("when") if parts.when.is_some() => self.second("when"),
            Some("expect") if parts.expect.is_some() => self.second("expect"),
            Some("given") => {
                parts.given.push(self.given()?);
                Some(())
            }
            Some("when") => {
                self.bump();
                let event = self.event_literal()?;
                parts.when = Some((event, self.instant()?));
                Some(())
            }
            Some("expect") => {
                self.bump();
                parts.expect = Some(self.comma_list(Self::want)?);
                Some(())
            }
            _ if matches!(self.kind(), TokenKind::Duration(_)) => {
                let message =
                    format!("expected `given`, `when` or `expect`, found {}", self.found());
                let help = "say when it happens by `at 5h`, counted from the beginning of the test";
                self.fail(codes::E0010, message, help)
            }
            Some("after") => {
                let message = "expected `given`, `when` or `expect`, found `after`";
                let help = "say when it happens by `at 5m`, counted from the beginning of the test";
                self.fail(codes::E0010, message, help)
            }
            _ => self.unexpected("`given`, `when` or `expect`"),
        }
    }

    fn second<T>(&mut self, part: &str) -> Option<T> {
        let message = format!("a second `{part}` in one test");
        self.fail(codes::E0502, message, "one test judges one event; write a second test")
    }

    fn given(&mut self) -> Option<Given> {
        let start = self.bump();
        let times = match self.kind() {
            TokenKind::Number(_) => self.whole_number("how many events")?,
            _ => 1,
        };
        let event = self.event_literal()?;
        let every_ms = self.optional_duration("every")?;
        let at_ms = self.instant()?;
        Some(Given { times, event, every_ms, at_ms, span: self.since(start) })
    }

    /// A word and its duration, if the word stands here.
    fn optional_duration(&mut self, word: &str) -> Option<Option<i64>> {
        if !self.eat_word(word) {
            return Some(None);
        }
        self.durations().map(Some)
    }

    /// One length of several parts, as reports print them: `12d 1h`.
    fn durations(&mut self) -> Option<i64> {
        let mut ms = self.duration_ms("a duration")?;
        while matches!(self.kind(), TokenKind::Duration(_)) {
            ms = ms.saturating_add(self.duration_ms("a duration")?);
        }
        Some(ms)
    }

    /// When an event happens: `at` and the time since the test began, or the instant itself.
    fn instant(&mut self) -> Option<Option<i64>> {
        if !self.eat_word("at") {
            return Some(None);
        }
        let at_ms = match self.kind() {
            TokenKind::Date(year, month, day) => {
                let days = days_from_civil((*year).into(), (*month).into(), (*day).into());
                days.checked_mul(DAY_MS)
            }
            TokenKind::Text(text) => parse_rfc3339(text.as_bytes()),
            _ => return self.durations().map(Some),
        };
        let Some(since_ms) = at_ms.and_then(|at_ms| at_ms.checked_sub(TESTS_BEGIN_MS)) else {
            let message = format!("expected a time such as `10m`, found {}", self.found());
            let help = "tests begin at midnight UTC on 2026-01-01: `at 736h` is 16:00 on 31 January, which is written `at \"2026-01-31T16:00:00Z\"` as well";
            return self.fail(codes::E0010, message, help);
        };
        if since_ms < 0 {
            let message = "no test begins before 2026-01-01";
            return self.fail(codes::E0010, message, "take a day from 2026-01-01 on");
        }
        self.bump();
        Some(Some(since_ms))
    }

    /// `card_payment(card: "c1", device: missing)`.
    fn event_literal(&mut self) -> Option<EventLiteral> {
        let start = self.here();
        let event = self.data_name("an event")?;
        let open = self.here();
        self.expect_sign(Sign::LeftParen, "before the fields of the event")?;
        let mut fields = Vec::new();
        if !self.at_sign(Sign::RightParen) {
            fields = self.comma_list(Self::field_value)?;
        }
        self.expect_close(Sign::RightParen, open)?;
        Some(EventLiteral { event, fields, span: self.since(start) })
    }

    fn field_value(&mut self) -> Option<(Path, FieldValue)> {
        let path = self.path("the name of a field")?;
        self.expect_sign(Sign::Colon, "before the value of the field")?;
        if self.at_word("missing") {
            return Some((path, FieldValue::Missing(self.bump())));
        }
        if let Some(literal) = self.optional_literal()? {
            return Some((path, FieldValue::Literal(literal)));
        }
        let word = self.data_name("a value, a word or `missing`")?;
        Some((path, FieldValue::Word(word)))
    }

    fn want(&mut self) -> Option<Want> {
        let start = self.here();
        let kind = self.want_kind()?;
        Some(Want { kind, span: self.since(start) })
    }

    fn want_kind(&mut self) -> Option<WantKind> {
        if *self.kind_ahead(1) == TokenKind::Sign(Sign::Eq) {
            let name = self.name("the name of a `let` or a feature")?;
            self.bump();
            return Some(WantKind::Value(name, self.literal("a literal")?));
        }
        match self.word() {
            Some("hit") => {
                self.bump();
                Some(WantKind::Hit)
            }
            Some("no") => {
                self.bump();
                self.expect_word("hit", "after `no`")?;
                Some(WantKind::NoHit)
            }
            Some("undecided") => {
                self.bump();
                let on = if self.eat_word("on") { Some(self.path("a field")?) } else { None };
                Some(WantKind::Undecided(on))
            }
            Some("snoozed") => {
                self.bump();
                Some(WantKind::Snoozed)
            }
            Some(word) if words::ACTIONS.contains(&word) => self.action().map(WantKind::Action),
            Some("not") => {
                let message = "expected what the rule does, found `not`";
                self.fail(codes::E0010, message, "write `no hit`")
            }
            _ => self.unexpected(
                "`hit`, `no hit`, `undecided`, `snoozed`, an action or a value such as `n = 7`",
            ),
        }
    }
}
