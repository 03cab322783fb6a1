//! Literals, and the places that want one of a certain kind.

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::ast::{Decimal, Literal, LiteralKind};
use crate::rules::syntax::lexer::number::unit_meant;
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::token::{Sign, TokenKind};

const NANOS_PER_MS: i64 = 1_000_000;

impl Parser<'_> {
    /// A literal of any kind, maybe with a sign; None without a diagnostic when none stands here.
    pub(super) fn optional_literal(&mut self) -> Option<Option<Literal>> {
        let start = self.here();
        let sign = match self.kind() {
            TokenKind::Sign(sign @ (Sign::Plus | Sign::Minus)) => Some(*sign),
            _ => None,
        };
        let ahead = usize::from(sign.is_some());
        let Some(kind) = self.literal_kind(ahead) else { return Some(None) };
        let kind = match sign {
            None => Some(kind),
            Some(sign) => signed(kind, sign == Sign::Minus),
        };
        let Some(kind) = kind else { return Some(None) };
        if sign.is_some() {
            self.bump();
        }
        if let LiteralKind::Duration(_) = kind {
            let ms = self.duration_ms("a duration")?;
            let kind = LiteralKind::Duration(ms);
            return Some(Some(Literal { kind, span: self.since(start) }));
        }
        self.bump();
        Some(Some(Literal { kind, span: self.since(start) }))
    }

    /// A literal of any kind.
    pub(super) fn literal(&mut self, what: &str) -> Option<Literal> {
        match self.optional_literal()? {
            Some(literal) => Some(literal),
            None => self.unexpected(what),
        }
    }

    /// What the token at a distance says as a literal. A duration is still in nanoseconds.
    fn literal_kind(&self, ahead: usize) -> Option<LiteralKind> {
        let kind = match self.kind_ahead(ahead) {
            TokenKind::Number(value) => LiteralKind::Number(*value),
            TokenKind::Percent(value) => LiteralKind::Percent(*value),
            TokenKind::Money(value, currency) => LiteralKind::Money(*value, currency.clone()),
            TokenKind::Duration(nanos) => LiteralKind::Duration(*nanos),
            TokenKind::Distance(value) => LiteralKind::Distance(*value),
            TokenKind::Speed(value) => LiteralKind::Speed(*value),
            TokenKind::Date(year, month, day) => LiteralKind::Date(*year, *month, *day),
            TokenKind::Text(text) => LiteralKind::Text(text.clone()),
            TokenKind::Word => match self.word_ahead(ahead)? {
                "true" => LiteralKind::Bool(true),
                "false" => LiteralKind::Bool(false),
                _ => return None,
            },
            _ => return None,
        };
        Some(kind)
    }

    /// A duration in whole milliseconds.
    pub(super) fn duration_ms(&mut self, what: &str) -> Option<i64> {
        let nanos = self.duration_nanos_at(what)?;
        if nanos % NANOS_PER_MS != 0 {
            let message = format!("{} is finer than a millisecond", self.found());
            return self.fail(codes::E0019, message, "event time counts in milliseconds: `1ms`");
        }
        self.bump();
        Some(nanos / NANOS_PER_MS)
    }

    /// A duration in nanoseconds.
    pub(super) fn duration_nanos(&mut self, what: &str) -> Option<i64> {
        let nanos = self.duration_nanos_at(what)?;
        self.bump();
        Some(nanos)
    }

    /// The duration that stands here, not yet read.
    fn duration_nanos_at(&mut self, what: &str) -> Option<i64> {
        if matches!(self.kind(), TokenKind::Number(_))
            && let Some(unit) = self.word_ahead(1).and_then(unit_meant)
        {
            let written = format!("{}{unit}", self.text_at(self.here()));
            let message = format!("expected {what} such as `10m`, found {}", self.found());
            let (span, end) = (self.here(), self.token_at(1).span.end);
            let whole = Span { end, ..span };
            self.report(
                Diagnostic::new(codes::E0017, whole, message)
                    .with_help(format!("write `{written}`"))
                    .with_fix(whole, written),
            );
            return None;
        }
        let help = match *self.kind() {
            TokenKind::Duration(nanos) => return Some(nanos),
            TokenKind::Number(_) => "a unit is missing: `30s`, `10m`, `2h`, `7d`",
            TokenKind::Distance(_) => {
                "`10 m` is a distance; minutes are written without a space: `10m`"
            }
            _ => return self.unexpected(&format!("{what} such as `10m`")),
        };
        self.wrong_literal(&format!("{what} such as `10m`"), help)
    }

    /// A plain number without sign.
    pub(super) fn number(&mut self, what: &str) -> Option<Decimal> {
        match *self.kind() {
            TokenKind::Number(value) => {
                self.bump();
                Some(value)
            }
            TokenKind::Percent(_) | TokenKind::Money(..) | TokenKind::Duration(_) => {
                self.wrong_literal(what, "a plain number such as `5` is wanted here")
            }
            _ => self.unexpected(what),
        }
    }

    /// A number that may carry `+` or `-`.
    pub(super) fn signed_number(&mut self, what: &str) -> Option<Decimal> {
        let minus = self.at_sign(Sign::Minus);
        if minus || self.at_sign(Sign::Plus) {
            self.bump();
        }
        let value = self.number(what)?;
        Some(if minus { negated(value) } else { value })
    }

    /// A share such as `10%`.
    pub(super) fn percent(&mut self, what: &str) -> Option<Decimal> {
        match *self.kind() {
            TokenKind::Percent(value) => {
                self.bump();
                Some(value)
            }
            TokenKind::Number(_) => self.wrong_literal(what, "a `%` is missing: `10%`"),
            _ => self.unexpected(what),
        }
    }

    /// A date such as `2026-01-31`.
    pub(super) fn date(&mut self, what: &str) -> Option<Literal> {
        match *self.kind() {
            TokenKind::Date(year, month, day) => {
                let kind = LiteralKind::Date(year, month, day);
                Some(Literal { kind, span: self.bump() })
            }
            TokenKind::Number(_) | TokenKind::Text(_) => {
                let help = "dates are written year, month, day, without quotes: `2026-01-31`";
                self.wrong_literal(what, help)
            }
            _ => self.unexpected(what),
        }
    }

    fn wrong_literal<T>(&mut self, what: &str, help: &str) -> Option<T> {
        let message = format!("expected {what}, found {}", self.found());
        let diagnostic = Diagnostic::new(codes::E0017, self.here(), message).with_help(help);
        self.report(diagnostic);
        None
    }
}

fn negated(value: Decimal) -> Decimal {
    // Cannot overflow: the lexer bounds the digits far below 128 bits.
    Decimal { mantissa: value.mantissa.saturating_neg(), scale: value.scale }
}

/// The literal with its sign, where the kind has one.
fn signed(kind: LiteralKind, minus: bool) -> Option<LiteralKind> {
    let apply = |value| if minus { negated(value) } else { value };
    let kind = match kind {
        LiteralKind::Number(value) => LiteralKind::Number(apply(value)),
        LiteralKind::Percent(value) => LiteralKind::Percent(apply(value)),
        LiteralKind::Money(value, currency) => LiteralKind::Money(apply(value), currency),
        _ => return None,
    };
    Some(kind)
}
