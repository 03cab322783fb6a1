//! Numbers, and the units that stand behind them.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::Decimal;
use crate::rules::syntax::lexer::{Lexer, is_word_char, shown};
use crate::rules::syntax::token::TokenKind;
use crate::rules::syntax::words;

/// Most digits of a number, so that sums and conversions of it stay inside 128 bits.
const MAX_DIGITS: usize = 28;

const NANOS_PER_MS: i128 = 1_000_000;

/// Units written directly behind the number, in nanoseconds.
const DURATIONS: &[(&str, i128)] = &[
    ("us", 1_000),
    ("ms", NANOS_PER_MS),
    ("s", 1_000 * NANOS_PER_MS),
    ("m", 60_000 * NANOS_PER_MS),
    ("h", 3_600_000 * NANOS_PER_MS),
    ("d", 86_400_000 * NANOS_PER_MS),
    ("w", 604_800_000 * NANOS_PER_MS),
];

const SIZES: &[(&str, i128)] =
    &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// What people write for a unit, and the unit.
const OTHER_SPELLINGS: &[(&str, &str)] = &[
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("week", "w"),
    ("weeks", "w"),
    ("kb", "KiB"),
    ("mb", "MiB"),
    ("gb", "GiB"),
    ("tb", "TiB"),
];

/// What people write for a currency.
const CURRENCY_SPELLINGS: &[(&str, Meant<'static>)] = &[
    ("€", Meant::Code("EUR")),
    ("euro", Meant::Code("EUR")),
    ("euros", Meant::Code("EUR")),
    ("eur", Meant::Code("EUR")),
    ("£", Meant::Code("GBP")),
    ("gbp", Meant::Code("GBP")),
    ("usd", Meant::Code("USD")),
    ("$", Meant::OneOfSeveral),
    ("dollar", Meant::OneOfSeveral),
    ("dollars", Meant::OneOfSeveral),
    ("¥", Meant::OneOfSeveral),
];

/// A currency by what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant<'a> {
    Code(&'a str),
    OneOfSeveral,
}

/// The unit that a word means, where people spell it otherwise.
pub(in crate::rules::syntax) fn unit_meant(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    OTHER_SPELLINGS.iter().find(|(spelling, _)| *spelling == lower).map(|(_, unit)| *unit)
}

impl Lexer<'_> {
    /// Reads a number with its unit. At a digit.
    pub(super) fn number(&mut self) {
        let start = self.at;
        if self.date(start) {
            return;
        }
        let decimal = self.decimal();
        let suffix = self.run_length(self.at, is_word_char);
        if suffix > 0 {
            return self.number_with_suffix(start, decimal, suffix);
        }
        let Some(decimal) = decimal else {
            // Its unit is part of the mistake.
            let _unit = self.spaced_unit(Decimal { mantissa: 0, scale: 0 });
            return self.too_long(start);
        };
        if self.currency_behind(start) {
            return;
        }
        if self.byte(0) == b'%' {
            self.at += 1;
            return self.push(TokenKind::Percent(decimal), start);
        }
        let kind = self.spaced_unit(decimal).unwrap_or(TokenKind::Number(decimal));
        self.push(kind, start);
    }

    /// Tells how a currency is written, where something that means one stands behind the number from `start` to here.
    fn currency_behind(&mut self, start: usize) -> bool {
        let number_end = self.at;
        let space = self.run_length(self.at, |c| c == ' ' || c == '\t');
        let begin = self.at + space;
        let rest = self.text.get(begin..).unwrap_or_default();
        let length = match rest.chars().next() {
            Some(c) if is_word_char(c) => self.run_length(begin, is_word_char),
            Some(c) => c.len_utf8(),
            None => return false,
        };
        let written = rest.get(..length).unwrap_or_default();
        let Some(meant) = currency_meant(written) else { return false };
        // `given 5 euro(...)` speaks of events.
        if rest.get(length..).is_some_and(|rest| rest.trim_start().starts_with('(')) {
            return false;
        }
        self.at = begin + length;
        let number = self.text.get(start..number_end).unwrap_or_default();
        self.misplaced_currency(start, (number, written), meant);
        true
    }

    /// Tells how an amount is written, where a number stands right behind what means a currency, which goes from `start`
    /// to `end`.
    pub(super) fn currency_before(&mut self, start: usize, end: usize) -> bool {
        let written = self.text.get(start..end).unwrap_or_default();
        let code = is_currency(written).then_some(Meant::Code(written));
        let Some(meant) = code.or_else(|| currency_meant(written)) else { return false };
        let begin = end + self.run_length(end, |c| c == ' ' || c == '\t');
        let length = self.run_length(begin, |c| c.is_ascii_digit() || c == '_' || c == '.');
        let number = self.text.get(begin..begin + length).unwrap_or_default();
        let behind = self.text.get(begin + length..).unwrap_or_default();
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.ends_with(|c: char| c.is_ascii_digit())
            && !number.contains("..")
            && !behind.starts_with(|c: char| is_word_char(c) || c == '%' || c == '-');
        if !is_number {
            return false;
        }
        self.at = begin + length;
        self.misplaced_currency(start, (number, written), meant);
        true
    }

    /// `written` stands beside a number for a currency.
    fn misplaced_currency(
        &mut self,
        start: usize,
        (number, written): (&str, &str),
        meant: Meant<'_>,
    ) {
        let span = self.span(start);
        let message = if meant == Meant::Code(written) {
            "the currency stands behind the amount".to_owned()
        } else {
            format!("a currency is written with three letters, not `{written}`")
        };
        let diagnostic = Diagnostic::new(codes::E0005, span, message);
        let diagnostic = match meant {
            Meant::Code(code) => diagnostic
                .with_help(format!("write `{number} {code}`"))
                .with_fix(span, format!("{number} {code}")),
            Meant::OneOfSeveral => {
                diagnostic.with_help(format!("say which one is meant, as in `{number} USD`"))
            }
        };
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
    }

    /// Reads `2026-01-31` if it stands here.
    fn date(&mut self, start: usize) -> bool {
        let Some(written) = self.text.get(start..start + 10) else { return false };
        let shape = written.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if !shape || self.text.get(start + 10..).is_some_and(|rest| rest.starts_with(is_word_char))
        {
            return false;
        }
        let part = |range| written.get::<core::ops::Range<usize>>(range).unwrap_or_default();
        let year: i16 = part(0..4).parse().unwrap_or(0);
        let month: i8 = part(5..7).parse().unwrap_or(0);
        let day: i8 = part(8..10).parse().unwrap_or(0);
        self.at += 10;
        if (1..=days_in_month(year, month)).contains(&day) && year > 0 {
            self.push(TokenKind::Date(year, month, day), start);
            return true;
        }
        let message = format!("there is no date `{written}`");
        let diagnostic = Diagnostic::new(codes::E0006, self.span(start), message)
            .with_help("dates are written year, month, day: `2026-01-31`");
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
        true
    }

    /// Reads digits with `_` and a fraction. None when there are too many digits.
    fn decimal(&mut self) -> Option<Decimal> {
        let mut digits = String::new();
        let mut scale = 0;
        self.digits(&mut digits);
        if self.byte(0) == b'.' && self.byte(1).is_ascii_digit() {
            self.at += 1;
            let whole = digits.len();
            self.digits(&mut digits);
            scale = digits.len() - whole;
        }
        let significant = digits.trim_start_matches('0').len();
        if significant > MAX_DIGITS || scale > MAX_DIGITS {
            return None;
        }
        let mantissa = digits.parse().ok()?;
        Some(Decimal { mantissa, scale: u32::try_from(scale).ok()? })
    }

    fn digits(&mut self, digits: &mut String) {
        loop {
            match (self.byte(0), self.byte(1)) {
                (digit @ b'0'..=b'9', _) => digits.push(char::from(digit)),
                (b'_', b'0'..=b'9') => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    /// The unit behind a space: money, distance or speed.
    fn spaced_unit(&mut self, decimal: Decimal) -> Option<TokenKind> {
        let space = self.run_length(self.at, |c| c == ' ' || c == '\t');
        let begin = self.at + space;
        let length = self.run_length(begin, is_word_char);
        let unit = self.text.get(begin..begin + length)?;
        if space == 0 {
            return None;
        }
        let kind = match unit {
            "km" if self.is_per_hour(begin + length) => {
                self.at = begin + length + 2;
                return Some(TokenKind::Speed(decimal));
            }
            "km" => TokenKind::Distance(Decimal {
                mantissa: decimal.mantissa.checked_mul(1_000)?,
                ..decimal
            }),
            "m" => TokenKind::Distance(decimal),
            _ if is_currency(unit) => TokenKind::Money(decimal, unit.to_owned()),
            _ => return None,
        };
        self.at = begin + length;
        Some(kind)
    }

    fn is_per_hour(&self, at: usize) -> bool {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.strip_prefix("/h").is_some_and(|rest| !rest.starts_with(is_word_char))
    }

    fn number_with_suffix(&mut self, start: usize, decimal: Option<Decimal>, length: usize) {
        let suffix_at = self.at;
        self.at += length;
        let Some(decimal) = decimal else {
            return self.too_long(start);
        };
        let suffix = self.text.get(suffix_at..self.at).unwrap_or_default();
        let factor = |units: &[(&str, i128)]| {
            units.iter().find(|(name, _)| *name == suffix).map(|&(_, factor)| factor)
        };
        let kind = if let Some(nanos) = factor(DURATIONS) {
            exactly(decimal, nanos).and_then(|n| i64::try_from(n).ok()).map(TokenKind::Duration)
        } else if let Some(bytes) = factor(SIZES) {
            exactly(decimal, bytes).and_then(|n| u64::try_from(n).ok()).map(TokenKind::Size)
        } else {
            return self.unknown_suffix(start, suffix_at);
        };
        match kind {
            Some(kind) => self.push(kind, start),
            None => self.too_long(start),
        }
    }

    fn unknown_suffix(&mut self, start: usize, suffix_at: usize) {
        let number = self.text.get(start..suffix_at).unwrap_or_default();
        let suffix = self.text.get(suffix_at..self.at).unwrap_or_default();
        if let Some(meant) = currency_meant(suffix) {
            return self.misplaced_currency(start, (number, suffix), meant);
        }
        let span = self.span(start);
        let lower = suffix.to_ascii_lowercase();
        let spelled = OTHER_SPELLINGS.iter().find(|(spelling, _)| *spelling == lower);
        let message = format!("unknown unit `{}`", shown(suffix));
        let spaced = is_currency(suffix) || suffix == "km";
        let diagnostic = match spelled {
            Some((_, unit)) => Diagnostic::new(codes::E0005, span, message)
                .with_help(format!("write `{number}{unit}`"))
                .with_fix(span, format!("{number}{unit}")),
            None if spaced => {
                Diagnostic::new(codes::E0005, span, format!("a space is missing before `{suffix}`"))
                    .with_help(format!("write `{number} {suffix}`"))
                    .with_fix(span, format!("{number} {suffix}"))
            }
            None if suffix.starts_with('_') => {
                let message = "a `_` in a number stands between two digits";
                Diagnostic::new(codes::E0004, span, message).with_help("write `2_000` or `2000`")
            }
            None => Diagnostic::new(codes::E0005, span, message).with_help(
                "durations: `20us`, `250ms`, `30s`, `10m`, `2h`, `7d`, `1w`; sizes: `64MiB`, `2GiB`",
            ),
        };
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
    }

    fn too_long(&mut self, start: usize) {
        let diagnostic =
            Diagnostic::new(codes::E0004, self.span(start), "this number is too large or too fine")
                .with_help(format!(
                    "a number has at most {MAX_DIGITS} digits, a duration at most 290 years in whole nanoseconds"
                ));
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
    }
}

/// The currency that somebody means who spells it otherwise.
fn currency_meant(written: &str) -> Option<Meant<'static>> {
    let known =
        CURRENCY_SPELLINGS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(written));
    known.filter(|_| !is_currency(written)).map(|(_, meant)| *meant)
}

/// Whether a word looks like a currency. `5 AND` is not money but somebody shouting.
fn is_currency(word: &str) -> bool {
    word.len() == 3
        && word.bytes().all(|byte| byte.is_ascii_uppercase())
        && !words::is_known(&word.to_ascii_lowercase())
}

/// `decimal * factor` when that is a whole number.
fn exactly(decimal: Decimal, factor: i128) -> Option<i128> {
    let product = decimal.mantissa.checked_mul(factor)?;
    let divisor = 10_i128.checked_pow(decimal.scale)?;
    (product % divisor == 0).then_some(product / divisor)
}

fn days_in_month(year: i16, month: i8) -> i8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    }
}
