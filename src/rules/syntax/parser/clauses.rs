//! Clauses of a rule.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{
    Action, Clause, ClauseKind, IfMissing, Literal, Mode, Name, Param, Tune,
};
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// All clauses up to the next item.
    pub(super) fn clauses(&mut self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        while !self.at_item() {
            let (start, from) = (self.here(), self.at);
            let kind = self.clause().unwrap_or_else(|| {
                self.skip_to_clause(from);
                ClauseKind::Error
            });
            clauses.push(Clause { kind, span: self.since(start) });
        }
        clauses
    }

    fn clause(&mut self) -> Option<ClauseKind> {
        let Some(word) = self.word().filter(|word| words::CLAUSES.contains(word)) else {
            return self.no_clause();
        };
        self.bump();
        Some(match word {
            "id" => ClauseKind::Id(self.text_of("an id")?),
            "owner" => ClauseKind::Owner(self.name("the name of an owner")?),
            "severity" => ClauseKind::Severity(self.name("a severity")?),
            "typology" => ClauseKind::Typology(self.comma_list(|p| p.name("a typology"))?),
            "ref" => ClauseKind::Ref(self.text_of("a reference")?),
            "tags" => ClauseKind::Tags(self.bracket_list("before the tags", |p| p.name("a tag"))?),
            "effective" => self.effective()?,
            "review" => {
                self.expect_word("by", "after `review`")?;
                ClauseKind::ReviewBy(self.date("a date")?)
            }
            "mandatory" => ClauseKind::Mandatory,
            "mode" => ClauseKind::Mode(self.mode()?),
            "on" => self.on()?,
            "param" => self.param()?,
            "let" => {
                let name = self.new_name("a name")?;
                self.definition(name)
            }
            "when" => ClauseKind::When(self.expression_or_error()),
            "unless" => ClauseKind::Unless(self.expression_or_error()),
            "if" => ClauseKind::IfMissing(self.if_missing()?),
            _ => ClauseKind::Then(self.then()),
        })
    }

    fn no_clause<T>(&mut self) -> Option<T> {
        let message = format!("expected a clause of the rule, found {}", self.found());
        let mut diagnostic = Diagnostic::new(codes::E0010, self.report_span(), message);
        let known = [words::CLAUSES, words::ACTIONS, words::ITEMS, &["and", "or"]];
        let hint = self.hint().or_else(|| self.unfinished()).or_else(|| self.phrase());
        let hint = hint.or_else(|| self.did_you_mean(&known));
        if let Some((help, fix)) = hint {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        } else if self.at_action() {
            diagnostic.help = Some("actions stand behind `then`".to_owned());
        }
        self.report(diagnostic);
        None
    }

    /// `= expr` of a `let` whose name has been read: the name exists whatever follows.
    fn definition(&mut self, name: Name) -> ClauseKind {
        let start = self.here();
        let equals = self.expect_sign(Sign::Eq, "after the name");
        let expr = match equals {
            Some(()) => self.expression_or_error(),
            None => self.error_expr(start),
        };
        ClauseKind::Let(name, expr)
    }

    fn effective(&mut self) -> Option<ClauseKind> {
        let from = self.date("a date")?;
        self.expect_sign(Sign::DotDot, "after the first day, as in `effective 2026-01-01 ..`")?;
        let to = match self.kind() {
            TokenKind::Date(..) => Some(self.date("a date")?),
            _ => None,
        };
        Some(ClauseKind::Effective(from, to))
    }

    fn mode(&mut self) -> Option<Mode> {
        let mode = match self.word() {
            Some("draft") => Mode::Draft,
            Some("shadow") => Mode::Shadow,
            Some("live") => Mode::Live,
            Some("retired") => Mode::Retired,
            Some("canary") => {
                self.bump();
                let share = self.percent("a share such as `10%`")?;
                self.expect_word("by", "and a key, as in `canary 10% by customer`")?;
                return Some(Mode::Canary(share, self.path("a key")?));
            }
            _ => return self.no_mode(),
        };
        self.bump();
        Some(mode)
    }

    fn no_mode<T>(&mut self) -> Option<T> {
        let is_mode = self.word_ahead(1).is_some_and(|word| words::MODES.contains(&word));
        if !is_mode || !(self.at_sign(Sign::Eq) || self.at_sign(Sign::Colon)) {
            return self.unexpected("`draft`, `shadow`, `canary`, `live` or `retired`");
        }
        let message = format!("expected the mode, found {}", self.found());
        let written = format!("mode {}", self.word_ahead(1).unwrap_or_default());
        self.fail(codes::E0010, message, &format!("no sign stands between: `{written}`"))
    }

    fn on(&mut self) -> Option<ClauseKind> {
        let events = self.comma_list(|p| p.data_name("an event"))?;
        let filter = self.eat_word("where").then(|| self.expression_or_error());
        Some(ClauseKind::On(events, filter))
    }

    fn param(&mut self) -> Option<ClauseKind> {
        let name = self.new_name("a name")?;
        let start = self.here();
        let value = self.param_value();
        let Some((value, tune)) = value else {
            // The name exists, so its uses are not reported as well.
            return Some(ClauseKind::Let(name, self.error_expr(start)));
        };
        Some(ClauseKind::Param(Box::new(Param { name, value, tune })))
    }

    fn param_value(&mut self) -> Option<(Literal, Option<Tune>)> {
        self.expect_sign(Sign::Eq, "after the name")?;
        let value = self.literal("a number, amount or other literal")?;
        let tune = if self.eat_word("tune") { Some(self.tune()?) } else { None };
        Some((value, tune))
    }

    fn tune(&mut self) -> Option<Tune> {
        let from = self.literal("the lowest value")?;
        self.expect_sign(Sign::DotDot, "between the lowest and the highest value")?;
        let to = self.literal("the highest value")?;
        let step = if self.eat_word("step") { Some(self.literal("a step")?) } else { None };
        Some(Tune { from, to, step })
    }

    fn if_missing(&mut self) -> Option<IfMissing> {
        if !self.at_word("missing") {
            let message = format!("expected `missing` after `if`, found {}", self.found());
            let help = "a condition stands behind `when`; `if missing skip` says what happens when it cannot be decided";
            return self.fail(codes::E0010, message, help);
        }
        self.bump();
        let answer = match self.word() {
            Some("skip") => IfMissing::Skip,
            Some("match") => IfMissing::Match,
            Some("review") => IfMissing::Review,
            _ => return self.unexpected("`skip`, `match` or `review`"),
        };
        self.bump();
        Some(answer)
    }

    /// The actions behind `then`; empty only after a diagnostic.
    fn then(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        loop {
            let from = self.at;
            match self.action() {
                Some(action) => actions.push(action),
                None => self.skip_to_action(from),
            }
            if !self.at_action() {
                return actions;
            }
        }
    }
}
