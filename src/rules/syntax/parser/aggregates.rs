//! Aggregates with their keys and windows, and sequences.

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction, Counting, Ending, EventCount, Key, Name, Path, Sequence, Step,
    Window, WindowKind, WindowLength, ZoneName,
};
use crate::rules::syntax::lexer::number::unit_meant;
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::phrases::aggregate_meant;
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;
use crate::window::spec::Period;

/// The aggregate function of a word.
pub(super) fn function_of(word: &str) -> Option<AggregateFunction> {
    Some(match word {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "stddev" => AggregateFunction::Stddev,
        "median" => AggregateFunction::Median,
        "percentile" => AggregateFunction::Percentile,
        "distinct" => AggregateFunction::Distinct,
        "last" => AggregateFunction::Last,
        "is_new" => AggregateFunction::IsNew,
        "time_since" => AggregateFunction::TimeSince,
        "share" => AggregateFunction::Share,
        "run" => AggregateFunction::Run,
        _ => return None,
    })
}

/// The part of the calendar of a word.
fn period_of(word: &str) -> Option<Period> {
    Some(match word {
        "today" => Period::Day,
        "this_week" => Period::Week,
        "this_month" => Period::Month,
        _ => return None,
    })
}

const NESTED_HELP: &str = "for the usual count of an hour, divide: `count(card_payment) by merchant over prior 28d / 672`";
const EITHER_HELP: &str = "for either, join two: `sequence by … [ a, this ] or sequence by … [ b, this ]`; steps in a row happen one after the other";
const BY_HELP: &str = "say whose history is meant: `by card`";
const OVER_HELP: &str =
    "say how far back: `over last 10m` counts this event, `over prior 10m` does not";
const ZONE_HELP: &str = "name it: `over this_month in timezone \"Asia/Tokyo\"`, or a text field of this event that holds the name";
const BEFORE_HELP: &str = "`over prior 90d before today` ends at midnight and leaves all of today out, `over prior 90d ending 1d ago` leaves out the last 24 hours";
const WITHIN_HELP: &str =
    "say how old they may be, state is kept for so long: `over prior 5 events within 90d`";

impl Parser<'_> {
    /// `sum(path in EUR where …) by key over …`. At the function's name.
    pub(super) fn aggregate(&mut self, function: AggregateFunction) -> Option<Aggregate> {
        let function_span = self.bump();
        let open = self.bump();
        let argument = match self.kind() {
            TokenKind::Number(_) => {
                let argument = self.number("a number")?;
                self.expect_sign(Sign::Comma, "after the number")?;
                Some(argument)
            }
            _ => None,
        };
        if self.word().is_some_and(|word| function_of(word).is_some()) && self.opens(1) {
            let message = "an aggregate is taken of events or a field, not of another aggregate";
            return self.fail(codes::E0016, message, NESTED_HELP);
        }
        if let TokenKind::Percent(_) = self.kind() {
            let message = format!("a rank is a plain number, found {}", self.found());
            let help = "write `percentile(95, card_payment.amount)`";
            return self.fail(codes::E0016, message, help);
        }
        let path = self.path("an event or a field of it")?;
        if self.word().is_some_and(|word| !matches!(word, "in" | "where")) {
            return self.unjoined(function, &path);
        }
        if self.at_sign(Sign::Comma)
            && function == AggregateFunction::Percentile
            && matches!(self.kind_ahead(1), TokenKind::Number(_) | TokenKind::Percent(_))
        {
            let rank = self.text_at(self.token_at(1).span).trim_end_matches('%').to_owned();
            let help =
                format!("the rank comes first: `percentile({rank}, {})`", self.text_at(path.span));
            return self.fail(
                codes::E0016,
                "the rank of a percentile stands before the field",
                &help,
            );
        }
        if self.at_sign(Sign::Comma) {
            let message = "an aggregate looks at one kind of event";
            let help =
                "write one for each and add them: `count(transfer) by … + count(login) by …`";
            return self.fail(codes::E0016, message, help);
        }
        let currency = if self.eat_word("in") { Some(self.currency()?) } else { None };
        let filter = if self.eat_word("where") { Some(self.expression()?) } else { None };
        self.expect_close(Sign::RightParen, open)?;
        if self.at_word("where") {
            let message = "the filter stands inside of the brackets";
            let help = "move `where …` before the `)`: `count(transfer where amount > 5 EUR) by …`";
            return self.fail(codes::E0016, message, help);
        }
        if self.at_word("over") {
            return self.fail(codes::E0016, "this aggregate has no `by`", BY_HELP);
        }
        self.require("by", BY_HELP)?;
        let keys = self.keys()?;
        if self.at_word("and") && self.word_ahead(2) == Some("over") {
            let message = "expected `over`, found `and`";
            return self.fail(
                codes::E0016,
                message,
                "several keys are joined by commas: `by sender, receiver`",
            );
        }
        let window = self.window()?;
        Some(Aggregate { function, function_span, argument, path, currency, filter, keys, window })
    }

    /// Two words stand in the brackets with nothing between them.
    fn unjoined<T>(&mut self, function: AggregateFunction, path: &Path) -> Option<T> {
        let (first, second) = (self.text_at(path.span), self.word().unwrap_or_default());
        let meant = (function == AggregateFunction::Count).then(|| aggregate_meant(first));
        let message = format!("`{first} {second}`: an aggregate looks at one event or field");
        let help = match meant.flatten() {
            _ if first == "distinct" => {
                format!("different values are counted by `distinct({second}…) by …`")
            }
            Some(meant) => format!("did you mean `{meant}({second}…)`?"),
            None => "`where` picks events of a kind: `count(login where result = failed) by …`"
                .to_owned(),
        };
        self.fail(codes::E0016, message, &help)
    }

    /// Reads a word that an aggregate or sequence cannot do without.
    fn require(&mut self, word: &str, help: &str) -> Option<()> {
        if self.eat_word(word) {
            return Some(());
        }
        let (span, found) = self.gap();
        let message = format!("expected `{word}`{found}");
        self.report(Diagnostic::new(codes::E0016, span, message).with_help(help));
        None
    }

    fn keys(&mut self) -> Option<Vec<Key>> {
        self.comma_list(Self::key)
    }

    fn key(&mut self) -> Option<Key> {
        let start = self.here();
        let stored = self.path("a key")?;
        let mut this = None;
        if self.eat_sign(Sign::Eq) {
            if !self.at_word("this") {
                let message = format!("expected `this.` and a field, found {}", self.found());
                let parts: Vec<&str> = stored.parts.iter().map(|part| part.text.as_str()).collect();
                let (stored, own) = (parts.join("."), self.word().unwrap_or("sender"));
                let help = format!(
                    "`by {stored} = this.{own}` asks for the events whose `{stored}` was this event's `{own}`"
                );
                return self.fail(codes::E0016, message, &help);
            }
            this = Some(self.this_path()?);
        }
        Some(Key { stored, this, span: self.since(start) })
    }

    /// `over last 10m ending 1d ago`, `over prior 90d before today`, `over last 5 events within 90d`, `over today`,
    /// `over lifetime`.
    fn window(&mut self) -> Option<Window> {
        let start = self.here();
        self.require("over", OVER_HELP)?;
        let word = self.word().unwrap_or_default();
        let counting = match word {
            "last" => Some(Counting::Last),
            "prior" => Some(Counting::Prior),
            _ => None,
        };
        if counting.is_some() {
            self.bump();
        } else if matches!(self.word_ahead(1), Some("last" | "prior")) {
            let message = format!("expected `last` or `prior`, found {}", self.found());
            return self.fail(codes::E0016, message, OVER_HELP);
        }
        let period = self.word().and_then(period_of);
        let kind = match self.word().unwrap_or_default() {
            _ if let Some(period) = period => self.calendar(counting, period)?,
            "lifetime" => {
                self.bump();
                WindowKind::Lifetime(counting)
            }
            _ => WindowKind::Sliding {
                counting,
                newest: self.newest()?,
                length: self.window_length()?,
                ending: self.ending()?,
            },
        };
        Some(Window { kind, span: self.since(start) })
    }

    /// `today in timezone home_zone`. At the word of the calendar.
    fn calendar(&mut self, counting: Option<Counting>, period: Period) -> Option<WindowKind> {
        self.bump();
        Some(WindowKind::Calendar { counting, period, zone: self.zone()? })
    }

    /// `in timezone home_zone`, where that stands here.
    fn zone(&mut self) -> Option<Option<ZoneName>> {
        let names_zone = match self.kind_ahead(2) {
            TokenKind::Text(_) => true,
            _ => self.word_ahead(2).is_some_and(|word| !words::is_reserved(word)),
        };
        let mut zone = None;
        // WHY: a list may be called `timezone`; no name stands behind a list.
        if self.at_word("in") && self.word_ahead(1) == Some("timezone") && names_zone {
            self.bump();
            self.bump();
            zone = Some(match self.kind() {
                TokenKind::Text(_) => ZoneName::Named(self.text_of("a time zone")?),
                _ => ZoneName::Field(self.path("a field that holds a time zone")?),
            });
        } else if self.at_word("in") && !self.is_member_ahead() {
            let message = "a window by the calendar has the clock of a time zone";
            return self.fail(codes::E0016, message, ZONE_HELP);
        }
        Some(zone)
    }

    /// Whether what stands behind the `in` at hand may be a set or the name of a list, and the condition ends there.
    fn is_member_ahead(&self) -> bool {
        let ends = match self.kind_ahead(2) {
            TokenKind::Sign(sign) => {
                matches!(sign, Sign::RightParen | Sign::Comma | Sign::RightBracket)
            }
            _ => true,
        };
        let name = self.word_ahead(1).is_some() && ends && self.word_ahead(2) != Some("of");
        name || *self.kind_ahead(1) == TokenKind::Sign(Sign::LeftBracket)
    }

    /// `5 events within`, where that stands here.
    fn newest(&mut self) -> Option<Option<EventCount>> {
        if !matches!(self.word_ahead(1), Some("events" | "event")) {
            return Some(None);
        }
        let span = self.here();
        let newest = match self.word() {
            Some(_) => EventCount::Named(self.name("a number of events such as `5`")?),
            None => EventCount::Written(self.number("a number of events")?, span),
        };
        self.bump();
        self.require("within", WITHIN_HELP)?;
        Some(Some(newest))
    }

    fn window_length(&mut self) -> Option<WindowLength> {
        if self.at_word("this") {
            let message = format!("expected a length such as `10m`, found {}", self.found());
            let help = "what the calendar says is one word: `over today`, `over this_week`, `over this_month`";
            return self.fail(codes::E0017, message, help);
        }
        if self.word().is_some() {
            return Some(WindowLength::Named(self.name("a length such as `10m`")?));
        }
        let span = self.here();
        let no_unit = self.word_ahead(1).and_then(unit_meant).is_none();
        if matches!(self.kind(), TokenKind::Number(_)) && no_unit {
            let message = format!("expected a length such as `10m`, found {}", self.found());
            let help = "a unit is missing: `10m`, `7d`; a number of events is written `5 events within 90d`";
            return self.fail(codes::E0017, message, help);
        }
        let length = self.duration_ms("a length")?;
        Some(WindowLength::Millis(length, span))
    }

    /// `ending 1d ago`, `before today`, where that stands here.
    fn ending(&mut self) -> Option<Option<Ending>> {
        if self.eat_word("before") {
            let Some(period) = self.word().and_then(period_of) else {
                let message =
                    format!("`before` takes a part of the calendar, found {}", self.found());
                return self.fail(codes::E0016, message, BEFORE_HELP);
            };
            self.bump();
            return Some(Some(Ending::Before { period, zone: self.zone()? }));
        }
        let word = self.here();
        if !self.eat_word("ending") {
            return Some(None);
        }
        if self.word().is_some() {
            return self.ending_by_calendar(word);
        }
        let ending = self.duration_ms("a duration")?;
        self.expect_word("ago", "after `ending` and its duration")?;
        Some(Some(Ending::Ago(ending)))
    }

    /// `ending today`: some read it with today, others without.
    fn ending_by_calendar<T>(&mut self, ending: Span) -> Option<T> {
        let message = format!("`ending` takes a length, found {}", self.found());
        let diagnostic = Diagnostic::new(codes::E0016, self.here(), message).with_help(BEFORE_HELP);
        let is_part = self.word().is_some_and(|word| period_of(word).is_some());
        self.report(if is_part { diagnostic.with_fix(ending, "before") } else { diagnostic });
        None
    }

    /// `sequence by key within 2h [ step, step ]`. At `sequence`.
    pub(super) fn sequence(&mut self) -> Option<Sequence> {
        self.bump();
        self.require("by", "say whose events are meant: `sequence by customer within 2h [ … ]`")?;
        let keys = self.keys()?;
        self.require("within", "say how long it may take: `within 2h`")?;
        let within = self.window_length()?;
        let steps = self.bracket_list("before the steps", Self::step)?;
        Some(Sequence { keys, within, steps })
    }

    fn step(&mut self) -> Option<Step> {
        let start = self.here();
        if self.at_word("then") && self.word_ahead(1).is_some() {
            let message = "expected an event or `this`, found `then`";
            let help = "steps follow each other as they stand: `[ login, this ]`";
            self.report(Diagnostic::new(codes::E0010, start, message).with_help(help));
            self.bump();
        }
        let without = self.at_word("without") && !self.ends_step(1);
        if without {
            self.bump();
        }
        let mut times = None;
        if matches!(self.kind(), TokenKind::Number(_)) {
            times = Some(self.number("a number")?);
            self.expect_word("times", "after the number")?;
        }
        let event = self.step_event()?;
        if self.at_word("or") {
            return self.fail(codes::E0016, "a step is one kind of event", EITHER_HELP);
        }
        let alias =
            if self.eat_word("as") { Some(self.new_name("the name of a step")?) } else { None };
        let filter = if self.eat_word("where") { Some(self.expression()?) } else { None };
        Some(Step { without, times, event, alias, filter, span: self.since(start) })
    }

    fn step_event(&mut self) -> Option<Name> {
        if self.at_word("this") {
            return self.take_name();
        }
        if self.at_sign(Sign::LeftParen) {
            return self.fail(codes::E0016, "a step is one kind of event", EITHER_HELP);
        }
        let event = self.data_name("an event or `this`")?;
        if self.at_sign(Sign::Dot) {
            let message = "a step is an event, not a field";
            let diagnostic = Diagnostic::new(codes::E0016, self.here(), message)
                .with_help("say which events fit with `where`: `login where new_device`");
            self.report(diagnostic);
            return None;
        }
        Some(event)
    }

    /// Whether a step ends at this distance, so that the word before is its event.
    fn ends_step(&self, ahead: usize) -> bool {
        let sign = matches!(
            self.kind_ahead(ahead),
            TokenKind::Sign(Sign::Comma | Sign::RightBracket) | TokenKind::End
        );
        sign || matches!(self.word_ahead(ahead), Some("as" | "where"))
    }
}
