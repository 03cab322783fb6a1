//! Literals become constants of a type: exact money, milliseconds, ratios.

use crate::base::{Currency, MICRO_PER_MINOR, country_meant, parse_address, parse_country};
use crate::diag::{Diagnostic, Span, codes};
use crate::rules::check::refusal::Refusal;
use crate::rules::check::world::World;
use crate::rules::eval::ratio::MAX_DIGITS;
use crate::rules::program::{Constant, Type};
use crate::rules::syntax::ast::{Decimal, Literal, LiteralKind};

/// The constant of a literal and its own type; a text takes the type that is asked for when it can be one.
pub(super) fn constant(
    literal: &Literal,
    hint: Option<Type>,
    world: &World<'_>,
) -> Result<(Constant, Type), Refusal> {
    let span = literal.span;
    Ok(match &literal.kind {
        LiteralKind::Number(decimal) => number(*decimal, span)?,
        LiteralKind::Percent(decimal) => {
            let ratio = Decimal { mantissa: decimal.mantissa, scale: decimal.scale + 2 };
            (Constant::Number(fraction(ratio, span)?), Type::Number)
        }
        LiteralKind::Money(decimal, code) => {
            let currency = currency(code, span)?;
            let micro = minor_units(*decimal, currency, span)?
                .checked_mul(MICRO_PER_MINOR)
                .ok_or_else(|| too_large(span))?;
            (Constant::Money(micro), Type::Money(currency))
        }
        LiteralKind::Duration(ms) => (Constant::Int(*ms), Type::Duration),
        LiteralKind::Distance(metres) => (Constant::Number(to_f64(*metres)), Type::Distance),
        LiteralKind::Speed(km_per_h) => (Constant::Number(to_f64(*km_per_h) / 3.6), Type::Speed),
        LiteralKind::Date(..) => {
            let start = world.day_start_ms(literal).ok_or_else(|| no_such_day(span))?;
            (Constant::Int(start), Type::Time)
        }
        LiteralKind::Text(text) => text_as(text, hint, span)?,
        LiteralKind::Bool(value) => (Constant::Bool(*value), Type::Bool),
    })
}

/// A text as the type that the other side has.
pub(super) fn text_as(
    text: &str,
    hint: Option<Type>,
    span: Span,
) -> Result<(Constant, Type), Refusal> {
    let quoted_word = |what: &str| {
        let message = format!("{what} is written without quotes");
        Err(Box::new(Diagnostic::new(codes::E0201, span, message).with_fix(span, text.to_owned())))
    };
    match hint {
        Some(Type::Entity(kind)) => Ok((Constant::Text(text.to_owned()), Type::Entity(kind))),
        Some(Type::Ip) => {
            let address = parse_address(text).ok_or_else(|| {
                let message = format!("`{text}` is not an IP address");
                let found = Diagnostic::new(codes::E0231, span, message);
                Box::new(found.with_help("write it as `\"192.0.2.1\"` or `\"2001:db8::1\"`"))
            })?;
            Ok((Constant::Text(address.to_string()), Type::Ip))
        }
        Some(Type::Enum(..)) => quoted_word("a member of a set"),
        Some(Type::Country) => quoted_word("a country"),
        Some(Type::Currency) => quoted_word("a currency"),
        _ => Ok((Constant::Text(text.to_owned()), Type::Text)),
    }
}

fn number(decimal: Decimal, span: Span) -> Result<(Constant, Type), Refusal> {
    if is_thousands(decimal) && decimal.mantissa % 1_000 == 0 {
        return Err(thousands(decimal, span));
    }
    if decimal.scale == 0 {
        let value = i64::try_from(decimal.mantissa).map_err(|_| too_large(span))?;
        return Ok((Constant::Int(value), Type::Integer));
    }
    Ok((Constant::Number(fraction(decimal, span)?), Type::Number))
}

/// A decimal fraction of a length at which no two are one number, so that it can be reckoned with exactly.
fn fraction(decimal: Decimal, span: Span) -> Result<f64, Refusal> {
    if decimal.mantissa.unsigned_abs() >= 10_u128.pow(MAX_DIGITS) {
        let message = format!("a decimal has at most {MAX_DIGITS} digits");
        return Err(Box::new(Diagnostic::new(codes::E0231, span, message)));
    }
    Ok(to_f64(decimal))
}

/// The nearest double, correctly rounded.
pub(super) fn to_f64(decimal: Decimal) -> f64 {
    format!("{}e-{}", decimal.mantissa, decimal.scale).parse().unwrap_or(f64::MAX)
}

/// The decimal in units of `10^-digits` when it has no finer part.
pub(super) fn scaled(decimal: Decimal, digits: u32) -> Option<i128> {
    if let Some(more) = digits.checked_sub(decimal.scale) {
        return decimal.mantissa.checked_mul(10_i128.checked_pow(more)?);
    }
    let less = 10_i128.checked_pow(decimal.scale - digits)?;
    (decimal.mantissa % less == 0).then_some(decimal.mantissa / less)
}

/// A decimal without a fraction, as a number of a range.
pub(super) fn whole(decimal: Decimal, range: core::ops::RangeInclusive<i32>) -> Option<i32> {
    let value = scaled(decimal, 0).and_then(|value| i32::try_from(value).ok())?;
    range.contains(&value).then_some(value)
}

/// Minor units of a money literal; no finer than the currency is.
pub(super) fn minor_units(
    decimal: Decimal,
    currency: Currency,
    span: Span,
) -> Result<i128, Refusal> {
    let digits = u32::from(currency.minor_digits());
    if decimal.scale <= digits {
        return scaled(decimal, digits).ok_or_else(|| too_large(span));
    }
    // WHY: also where the digits are zeros. `1.000 EUR` is a thousand to half of Europe, and would be one.
    let message = match digits {
        0 => format!("{currency} has no decimals"),
        _ => format!("{currency} has {digits} decimals, this amount has {}", decimal.scale),
    };
    let found = Diagnostic::new(codes::E0231, span, message).with_label("finer than the currency");
    Err(Box::new(if decimal.scale == 3 {
        let thousands = in_thousands(decimal);
        found.with_help(format!(
            "the point stands before the decimals; for thousands write `{thousands} {currency}`"
        ))
    } else {
        found
    }))
}

/// Whether a number is written as half of Europe writes thousands: `1.000`, `12.500`.
pub(super) fn is_thousands(decimal: Decimal) -> bool {
    decimal.scale == 3 && (1_000..1_000_000).contains(&decimal.mantissa)
}

/// Refuses a number that is meant as thousands by the look of it.
pub(super) fn thousands(decimal: Decimal, span: Span) -> Refusal {
    let thousands = in_thousands(decimal);
    let message = format!("is this {} or {thousands}?", to_f64(decimal));
    let help = format!(
        "the point stands before the decimals, which need no noughts at the end; for thousands write `{thousands}`"
    );
    Box::new(Diagnostic::new(codes::E0231, span, message).with_help(help).with_fix(span, thousands))
}

/// A decimal with three decimals as the thousands that it looks like.
fn in_thousands(decimal: Decimal) -> String {
    format!("{}_{:03}", decimal.mantissa / 1_000, (decimal.mantissa % 1_000).abs())
}

/// A currency by its code.
pub(super) fn currency(code: &str, span: Span) -> Result<Currency, Refusal> {
    Currency::parse(code).ok_or_else(|| {
        let diagnostic =
            Diagnostic::new(codes::E0204, span, format!("`{code}` is not an ISO 4217 currency"));
        let help = match Currency::parse(&code.to_ascii_uppercase()) {
            Some(_) => "currencies are written in capitals, as `EUR`",
            None => "use three letters such as `EUR`, `USD` or `GBP`",
        };
        Box::new(diagnostic.with_help(help))
    })
}

/// What may be meant by two letters that are no country, and what to say otherwise.
pub(super) fn no_country(code: &str, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(codes::E0204, span, format!("`{code}` is not a country"));
    let upper = code.to_ascii_uppercase();
    let near = if parse_country(upper.as_bytes()).is_some() { Some(&*upper) } else { None };
    match near.or_else(|| country_meant(code)) {
        Some(near) => {
            diagnostic.with_help(format!("did you mean `{near}`?")).with_fix(span, near.to_owned())
        }
        None => diagnostic
            .with_help("countries are the two capital letters of ISO 3166-1, as `DE` or `GB`"),
    }
}

fn too_large(span: Span) -> Refusal {
    let found = Diagnostic::new(codes::E0231, span, "this number is too large");
    Box::new(found.with_help(
        "a whole number has 18 digits at most, an amount as many in its smallest unit, such as cents",
    ))
}

fn no_such_day(span: Span) -> Refusal {
    Box::new(Diagnostic::new(codes::E0231, span, "this date is out of range"))
}
