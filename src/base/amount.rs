//! Money: currencies with their minor units, and exact decimal amounts.
//!
//! An amount is `i64` minor units (cents) of a currency; it never passes through a binary fraction. A text that cannot be
//! written in whole minor units is refused, not rounded. Formatting is for people and for wire formats.

use core::fmt;

/// Micro-minor units in one minor unit: the scale of [`crate::base::Value::Money`].
pub const MICRO_PER_MINOR: i128 = 1_000_000;

/// An ISO 4217 currency code, packed as three ASCII letters in the low 24 bits, the first letter highest.
///
/// Packed codes sort as their letters do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(pub u32);

/// Active codes whose minor unit is the whole unit.
const DIGITS_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";

/// Active codes with hundredths.
const DIGITS_2: &str = "\
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY \
COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS \
INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR \
MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP \
STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";

/// Active codes with thousandths.
const DIGITS_3: &str = "BHD IQD JOD KWD LYD OMR TND";

/// Active codes with ten-thousandths.
const DIGITS_4: &str = "CLF UYW";

/// Mark of a code that is not active.
const UNKNOWN: u8 = u8::MAX;

/// Minor digits by code, in the order of the letters; 17 kB, of which a deployment touches a few lines.
static MINOR_DIGITS: [u8; 26 * 26 * 26] = minor_digits_table();

#[expect(clippy::large_stack_arrays, reason = "evaluated by the compiler, never on a stack")]
const fn minor_digits_table() -> [u8; 26 * 26 * 26] {
    let mut table = [UNKNOWN; 26 * 26 * 26];
    let lists = [(DIGITS_0, 0), (DIGITS_2, 2), (DIGITS_3, 3), (DIGITS_4, 4)];
    let mut list = 0;
    while list < lists.len() {
        let (codes, digits) = (lists[list].0.as_bytes(), lists[list].1);
        let mut at = 0;
        while at + 2 < codes.len() {
            table[table_index(codes[at], codes[at + 1], codes[at + 2])] = digits;
            at += 4;
        }
        list += 1;
    }
    table
}

const fn table_index(a: u8, b: u8, c: u8) -> usize {
    ((a - b'A') as usize * 26 + (b - b'A') as usize) * 26 + (c - b'A') as usize
}

impl Currency {
    /// The currency of an active ISO 4217 code in upper case.
    ///
    /// Codes without a minor unit (`XAU`, `XDR`, `XXX`) and withdrawn ones (`DEM`, `HRK`, `BGN`) are unknown: no amount
    /// can be written in them today.
    ///
    /// # Cost
    /// One table look-up.
    ///
    /// # Source
    /// ISO 4217, list one, as of 2026-01-01.
    pub fn parse(code: &str) -> Option<Self> {
        Self::parse_bytes(code.as_bytes())
    }

    /// The same for bytes.
    pub fn parse_bytes(code: &[u8]) -> Option<Self> {
        match *code {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z', c @ b'A'..=b'Z']
                if MINOR_DIGITS[table_index(a, b, c)] != UNKNOWN =>
            {
                Some(Self(u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c)))
            }
            _ => None,
        }
    }

    /// Digits after the decimal point: 2 for most, 0 for `JPY`, 3 for `BHD`, 4 for `CLF`.
    ///
    /// A number that is not a code of [`Currency::parse`] has none.
    pub fn minor_digits(self) -> u8 {
        match self.letters() {
            Some([a, b, c]) => match MINOR_DIGITS[table_index(a, b, c)] {
                UNKNOWN => 0,
                digits => digits,
            },
            None => 0,
        }
    }

    /// The three letters of the code.
    pub fn letters(self) -> Option<[u8; 3]> {
        match self.0.to_be_bytes() {
            [0, a @ b'A'..=b'Z', b @ b'A'..=b'Z', c @ b'A'..=b'Z'] => Some([a, b, c]),
            _ => None,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.letters().unwrap_or(*b"???");
        f.write_str(core::str::from_utf8(&letters).unwrap_or_default())
    }
}

/// Why a text is not an amount in whole minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("is not a decimal number")]
    Malformed,
    /// More decimals than the currency has, and they are not zero.
    #[error("has more decimals than its currency")]
    TooPrecise,
    /// Does not fit `i64` minor units.
    #[error("is too large")]
    TooLarge,
}

/// Reads a decimal number as minor units, exactly.
///
/// Accepted: an optional `-`, digits, an optional fraction, an optional exponent. Zeros beyond the minor digits are fine
/// (`12.500` with two digits is 1250), `-0` is 0.
///
/// # Units
/// Whole units in, minor units (10^-`digits`) out.
///
/// # Errors
/// [`AmountError`], never a rounded result.
///
/// # Cost
/// One pass over the text.
pub fn parse_minor(text: &[u8], digits: u8) -> Result<i64, AmountError> {
    match parse_plain(text, digits) {
        Some(minor) => Ok(minor),
        None => parse_general(text, digits),
    }
}

/// The common forms: at most 15 digits before the point and at most `digits` after it, no exponent.
fn parse_plain(text: &[u8], digits: u8) -> Option<i64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if rest.len() > 16 {
        return None;
    }
    let (whole, after) = fold_digits(0, rest);
    if after.len() == rest.len() {
        return None;
    }
    let (minor, n_fraction) = match after {
        [] => (whole, 0),
        [b'.', fraction @ ..] if !fraction.is_empty() => match fold_digits(whole, fraction) {
            (minor, []) => (minor, u8::try_from(fraction.len()).ok()?),
            _ => return None,
        },
        _ => return None,
    };
    let missing = digits.checked_sub(n_fraction)?;
    let scaled = minor.checked_mul(10_i64.checked_pow(u32::from(missing))?)?;
    Some(if negative { -scaled } else { scaled })
}

/// Appends leading digits to a number; at most 18 in all.
fn fold_digits(number: i64, text: &[u8]) -> (i64, &[u8]) {
    let mut number = number;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number * 10 + i64::from(digit - b'0');
        rest = after;
    }
    (number, rest)
}

/// A decimal number split into its parts.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Every form the grammar allows, of any length.
fn parse_general(text: &[u8], digits: u8) -> Result<i64, AmountError> {
    let decimal = split_decimal(text).ok_or(AmountError::Malformed)?;
    let n_whole = i64::try_from(decimal.whole.len()).map_err(|_| AmountError::TooLarge)?;
    let all = decimal.whole.iter().chain(decimal.fraction);
    let mut significand = 0_i128;
    // Decimal places of the significand so far, and zeros seen since its last nonzero digit.
    let mut places = -n_whole;
    let mut pending_zeros = 0_u32;
    let mut n_significant = 0_u32;
    for byte in all {
        let digit = i128::from(byte - b'0');
        if digit == 0 {
            pending_zeros += u32::from(significand != 0);
            places += i64::from(significand == 0);
            continue;
        }
        n_significant += pending_zeros + 1;
        places += i64::from(pending_zeros) + 1;
        if n_significant > 36 {
            // No `i64` has this many digits, whichever side of the point they stand.
            let scale = decimal.exponent.saturating_sub(places).saturating_add(i64::from(digits));
            return Err(if scale < 0 { AmountError::TooPrecise } else { AmountError::TooLarge });
        }
        significand = significand * 10_i128.pow(pending_zeros + 1) + digit;
        pending_zeros = 0;
    }
    if significand == 0 {
        return Ok(0);
    }
    let scale = decimal.exponent.saturating_sub(places).saturating_add(i64::from(digits));
    if scale < 0 {
        // The last digit of the significand is not zero, so some decimal would be lost.
        return Err(AmountError::TooPrecise);
    }
    let minor = u32::try_from(scale)
        .ok()
        .and_then(|scale| 10_i128.checked_pow(scale))
        .and_then(|factor| significand.checked_mul(factor))
        .map(|minor| if decimal.negative { -minor } else { minor });
    minor.and_then(|minor| i64::try_from(minor).ok()).ok_or(AmountError::TooLarge)
}

fn split_decimal(text: &[u8]) -> Option<Decimal<'_>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (whole, rest) = split_digits(rest)?;
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => split_digits(rest)?,
        _ => (&rest[..0], rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => parse_exponent(rest)?,
        _ => return None,
    };
    Some(Decimal { negative, whole, fraction, exponent })
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, rest) = split_digits(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i64, |size, byte| size.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Some(if negative { -size } else { size })
}

/// Splits off at least one digit.
fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let n = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if n == 0 { None } else { text.split_at_checked(n) }
}

/// Writes minor units in whole units: 1250 with two digits is `12.50`.
pub fn format_minor(minor: i64, digits: u8) -> String {
    format_scaled(i128::from(minor), digits)
}

/// The same for sums that may leave 64 bits.
pub fn format_minor_wide(minor: i128, digits: u8) -> String {
    format_scaled(minor, digits)
}

/// Writes micro-minor units in whole units, rounded to the minor unit, halves away from zero.
pub fn format_micro(micro: i128, digits: u8) -> String {
    let (whole, rest) = (micro / MICRO_PER_MINOR, micro % MICRO_PER_MINOR);
    let half = MICRO_PER_MINOR / 2;
    let step = i128::from(rest >= half) - i128::from(rest <= -half);
    format_scaled(whole.saturating_add(step), digits)
}

fn format_scaled(minor: i128, digits: u8) -> String {
    // All digits of 128 bits, the point and a sign, from the right.
    let mut bytes = [0_u8; 64];
    let mut at = bytes.len();
    let mut rest = minor.unsigned_abs();
    let mut written = 0;
    while rest > 0 || written <= digits {
        if written == digits && digits > 0 {
            at -= 1;
            bytes[at] = b'.';
        }
        // WHY: a division of 128 bits takes many times as long, and hardly an amount needs one.
        let digit = if let Ok(small) = u64::try_from(rest) {
            rest = u128::from(small / 10);
            small % 10
        } else {
            let digit = rest % 10;
            rest /= 10;
            u64::try_from(digit).unwrap_or(0)
        };
        at -= 1;
        bytes[at] = b'0' + u8::try_from(digit).unwrap_or(0);
        written += 1;
    }
    if minor < 0 {
        at -= 1;
        bytes[at] = b'-';
    }
    bytes[at..].iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, digits: u8, expected: Result<i64, AmountError>) {
        assert_eq!(parse_minor(text.as_bytes(), digits), expected, "{text} with {digits} digits");
    }

    #[test]
    fn currencies_know_their_minor_digits() {
        for (code, digits) in [
            ("EUR", 2),
            ("JPY", 0),
            ("KRW", 0),
            ("BHD", 3),
            ("KWD", 3),
            ("CLF", 4),
            ("UYW", 4),
            ("AED", 2),
            ("ZWG", 2),
        ] {
            assert_eq!(Currency::parse(code).map(Currency::minor_digits), Some(digits), "{code}");
        }
    }

    #[test]
    fn a_currency_is_packed_with_its_first_letter_highest() {
        assert_eq!(Currency::parse("EUR"), Some(Currency(0x45_5552)));
        assert_eq!(Currency(0x45_5552).to_string(), "EUR");
        assert_eq!(Currency(7).to_string(), "???");
        assert!(Currency::parse("AED") < Currency::parse("AFN"));
    }

    #[test]
    fn withdrawn_lower_case_and_malformed_codes_are_unknown() {
        for code in ["DEM", "HRK", "XAU", "XXX", "eur", "EURO", "EU", "", "E R", "€"] {
            assert_eq!(Currency::parse(code), None, "{code}");
        }
    }

    #[test]
    fn the_table_holds_every_listed_code_once() {
        let listed = [DIGITS_0, DIGITS_2, DIGITS_3, DIGITS_4].join(" ");
        let codes: Vec<&str> = listed.split(' ').collect();
        assert!(codes.iter().all(|code| Currency::parse(code).is_some()));
        let known = MINOR_DIGITS.iter().filter(|digits| **digits != UNKNOWN).count();
        assert_eq!(known, codes.len());
    }

    #[test]
    fn plain_amounts_are_read_exactly() {
        check("12.50", 2, Ok(1250));
        check("12.5", 2, Ok(1250));
        check("12", 2, Ok(1200));
        check("-0.01", 2, Ok(-1));
        check("0.1", 2, Ok(10));
        check("1500", 0, Ok(1500));
        check("1.234", 3, Ok(1234));
        check("90071992547409.93", 2, Ok(9_007_199_254_740_993));
    }

    #[test]
    fn zeros_beyond_the_minor_digits_are_fine_and_other_digits_are_too_precise() {
        check("12.500", 2, Ok(1250));
        check("12.0000000000000000000000000000000000000000000", 2, Ok(1200));
        check("12.505", 2, Err(AmountError::TooPrecise));
        check("1.0", 0, Ok(1));
        check("1.5", 0, Err(AmountError::TooPrecise));
        check("0.0001", 3, Err(AmountError::TooPrecise));
    }

    #[test]
    fn exponents_are_read_exactly() {
        check("1e2", 2, Ok(10_000));
        check("1.25E+1", 2, Ok(1250));
        check("1250e-2", 2, Ok(1250));
        check("1e-3", 2, Err(AmountError::TooPrecise));
        check("1e999", 2, Err(AmountError::TooLarge));
        check("1e99999999999999999999999999", 2, Err(AmountError::TooLarge));
        check("1e-99999999999999999999999999", 2, Err(AmountError::TooPrecise));
        check("0e999", 2, Ok(0));
        check("0.000e-7", 2, Ok(0));
    }

    #[test]
    fn the_limits_of_64_bits_are_exact() {
        check("92233720368547758.07", 2, Ok(i64::MAX));
        check("-92233720368547758.08", 2, Ok(i64::MIN));
        check("92233720368547758.08", 2, Err(AmountError::TooLarge));
        check("9999999999999999999999999999999999999999", 2, Err(AmountError::TooLarge));
        check("0.9999999999999999999999999999999999999999", 2, Err(AmountError::TooPrecise));
        check("1000000000000000000000000000000000000000", 2, Err(AmountError::TooLarge));
    }

    #[test]
    fn minus_zero_is_zero() {
        check("-0", 2, Ok(0));
        check("-0.00", 2, Ok(0));
        check("-0.000000000000000000000000000", 2, Ok(0));
    }

    #[test]
    fn what_is_not_a_decimal_number_is_malformed() {
        for text in [
            "", "-", ".", ".5", "5.", "+5", "1,50", "1e", "1e+", "NaN", "Infinity", "0x10", "1 ",
            " 1", "1.2.3", "--1", "1_000",
        ] {
            check(text, 2, Err(AmountError::Malformed));
        }
    }

    #[test]
    fn minor_units_are_written_with_their_digits() {
        assert_eq!(format_minor(1250, 2), "12.50");
        assert_eq!(format_minor(-5, 2), "-0.05");
        assert_eq!(format_minor(1250, 0), "1250");
        assert_eq!(format_minor(1250, 3), "1.250");
        assert_eq!(format_minor(i64::MIN, 2), "-92233720368547758.08");
    }

    #[test]
    fn micro_minor_units_are_rounded_half_away_from_zero() {
        assert_eq!(format_micro(1_250_499_999, 2), "12.50");
        assert_eq!(format_micro(1_250_500_000, 2), "12.51");
        assert_eq!(format_micro(-1_250_500_000, 2), "-12.51");
        assert_eq!(format_micro(-499_999, 2), "0.00");
    }

    proptest! {
        #[test]
        fn any_size_is_written_as_the_formatter_writes_it(whole: i128, small: i64, digits in 0_u8..=4) {
            for minor in [whole, i128::from(small), i128::MIN, i128::MAX] {
                let sign = if minor < 0 { "-" } else { "" };
                let padded = format!("{:0>1$}", minor.unsigned_abs(), usize::from(digits) + 1);
                let (front, back) = padded.split_at(padded.len() - usize::from(digits));
                let point = if digits > 0 { "." } else { "" };
                prop_assert_eq!(format_scaled(minor, digits), format!("{sign}{front}{point}{back}"));
            }
        }

        #[test]
        fn what_is_written_is_read_back(minor: i64, digits in 0_u8..=4) {
            prop_assert_eq!(parse_minor(format_minor(minor, digits).as_bytes(), digits), Ok(minor));
        }

        #[test]
        fn both_paths_agree(text in "-?[0-9]{1,18}(\\.[0-9]{1,5})?", digits in 0_u8..=4) {
            let general = parse_general(text.as_bytes(), digits);
            if let Some(plain) = parse_plain(text.as_bytes(), digits) {
                prop_assert_eq!(Ok(plain), general);
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>, digits in 0_u8..=4) {
            let text = core::str::from_utf8(&bytes).unwrap_or("");
            let number = text.parse::<f64>().is_ok();
            prop_assert!(number || parse_minor(&bytes, digits) == Err(AmountError::Malformed));
        }
    }
}
