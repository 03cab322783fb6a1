//! Card numbers in free texts: found by length and check digit, and masked but for their last four digits.
//!
//! A card number is 13 to 19 digits whose last one is right by the algorithm of Luhn (ISO/IEC 7812-1), written in one, or in
//! groups with a space or a hyphen between; each of them may be written as JSON escapes it. One in ten other numbers of that length looks like one and is masked, too. Nothing
//! of the first digits stays: of a number of 13 digits whose first six and last four are known, three are left to guess.

use std::borrow::Cow;

/// Fewest and most digits of a card number (ISO/IEC 7812-1; PCI DSS).
const DIGITS: core::ops::RangeInclusive<usize> = 13..=19;
/// How many of the last digits stay.
const SHOWN: usize = 4;
/// What stands for a digit.
const MASK: u8 = b'*';
/// The same as JSON may write it.
const ESCAPED: &[u8] = b"\\u002a";

/// A text with its card numbers masked.
///
/// # Cost
/// One pass; only a text with one is copied.
pub fn mask_cards(text: &str) -> Cow<'_, str> {
    match masked(text.as_bytes()) {
        (_, 0) => Cow::Borrowed(text),
        // INVARIANT: only digits were replaced, by one ASCII letter each.
        (bytes, _) => String::from_utf8(bytes.into_owned()).map_or(Cow::Borrowed(""), Cow::Owned),
    }
}

/// Bytes with their card numbers masked, and how many there were.
pub fn masked(bytes: &[u8]) -> (Cow<'_, [u8]>, usize) {
    let mut masked = Cow::Borrowed(bytes);
    let mut n = 0;
    let mut at = 0;
    let may_begin = |byte: &u8| byte.is_ascii_digit() || *byte == b'\\';
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(may_begin)) {
        let start = at + found;
        let group = Group::at(bytes, start);
        let escape = escape_end(bytes, start).filter(|_| group.n == 0);
        // WHY: both ways. Behind `\u00e9` a number may begin, and `\u4111` may be the beginning of one in a text that escapes
        // nothing.
        let start = if escape.is_some() { start + 2 } else { start };
        at = match Group::at(bytes, start).card(bytes, start) {
            Some(card) => {
                n += 1;
                hide(masked.to_mut(), start, card);
                card.end
            }
            None => escape.unwrap_or(group.end.max(start + 1)),
        };
    }
    (masked, n)
}

/// Digits that begin somewhere: how many, and where they end.
#[derive(Clone, Copy, Debug)]
struct Group {
    n: usize,
    end: usize,
}

impl Group {
    fn at(bytes: &[u8], start: usize) -> Self {
        let mut group = Self { n: 0, end: start };
        while let Some((_, length)) = digit(bytes, group.end) {
            group = Self { n: group.n + 1, end: group.end + length };
        }
        group
    }

    /// The longest card number that begins with this group and ends with one.
    fn card(mut self, bytes: &[u8], start: usize) -> Option<Self> {
        let mut last = None;
        while self.n <= *DIGITS.end() {
            if DIGITS.contains(&self.n) && is_checked(bytes, start, self.n) {
                last = Some(self);
            }
            let Some(length) = separator(bytes, self.end) else { break };
            let next = Self::at(bytes, self.end + length);
            if next.n == 0 {
                break;
            }
            self = Self { n: self.n + next.n, end: next.end };
        }
        last
    }
}

/// The digit at a place, and its bytes: as it is, or as JSON may write it, `\u0034`.
///
/// WHY: a record that is no whole JSON is kept as it came, and whoever reads it later reads the escapes.
fn digit(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes.get(at..)? {
        [byte @ b'0'..=b'9', ..] => Some((*byte - b'0', 1)),
        [b'\\', b'u', b'0', b'0', b'3', byte @ b'0'..=b'9', ..] => {
            Some((*byte - b'0', ESCAPED.len()))
        }
        _ => None,
    }
}

/// The end of whatever JSON escapes by its number here.
fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + ESCAPED.len();
    let number = bytes.get(at..end)?.strip_prefix(br"\u")?;
    number.iter().all(u8::is_ascii_hexdigit).then_some(end)
}

/// How many bytes the space or hyphen at a place has.
fn separator(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..)? {
        [b' ' | b'-', ..] => Some(1),
        [b'\\', b'u', b'0', b'0', b'2', b'0' | b'd' | b'D', ..] => Some(ESCAPED.len()),
        _ => None,
    }
}

/// The places and values of the next digits, whatever lies between.
fn digits(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (usize, u32, usize)> {
    core::iter::from_fn(move || {
        at += separator(bytes, at).unwrap_or(0);
        let (value, length) = digit(bytes, at)?;
        let place = at;
        at += length;
        Some((place, u32::from(value), length))
    })
}

/// Whether the last of `n` digits is right by the algorithm of Luhn.
fn is_checked(bytes: &[u8], start: usize, n: usize) -> bool {
    let places = (0..n).rev();
    let sum: u32 = digits(bytes, start)
        .zip(places)
        .map(|((_, digit, _), place)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled @ 10..) => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn hide(bytes: &mut [u8], start: usize, card: Group) {
    let all: Vec<_> = digits(bytes, start).take(card.n.saturating_sub(SHOWN)).collect();
    for (place, _, length) in all {
        let mask = if length == 1 { &[MASK][..] } else { ESCAPED };
        if let Some(digit) = bytes.get_mut(place..place + length) {
            digit.copy_from_slice(mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_schemes_give_out_for_tests_are_masked() {
        for (text, expected) in [
            ("4111111111111111", "************1111"),
            ("card 4111 1111 1111 1111, due", "card **** **** **** 1111, due"),
            ("3782-822463-10005", "****-******-*0005"),
            ("x6011000990139424y", "x************9424y"),
            ("4222222222222", "*********2222"),
            ("6304000000000000000", "***************0000"),
            ("paid 5555555555554444/4012888888881881", "paid ************4444/************1881"),
            ("09 2026 4111111111111111 123", "09 2026 ************1111 123"),
            (r"\u0034111\u0020111111\u0031\u00311111", r"\u002a***\u0020******\u002a\u002a1111"),
            (r"\u004 4222222222222", r"\u004 *********2222"),
            (r"\u00e94222222222222", r"\u00e9*********2222"),
            (r"C:\u4111111111111111", r"C:\u************1111"),
        ] {
            assert_eq!(mask_cards(text), expected);
        }
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "",
            "no digits",
            "4111111111111112",
            "411111111111",
            "41111111111111111111",
            "4111  1111 1111 1111",
            "1.50 and 2026-11-29T10:00:00Z",
        ] {
            assert!(matches!(mask_cards(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    /// Every run of digits of the right length, by the book: from the right, each second one doubled.
    fn has_card(text: &str) -> bool {
        text.split(|letter: char| !letter.is_ascii_digit()).any(|run| {
            let digits: Vec<u32> =
                run.chars().rev().filter_map(|digit| digit.to_digit(10)).collect();
            let doubled = |digit: &u32| [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][*digit as usize];
            let odd: u32 = digits.iter().step_by(2).sum();
            let even: u32 = digits.iter().skip(1).step_by(2).map(doubled).sum();
            (13..=19).contains(&digits.len()) && (odd + even).is_multiple_of(10)
        })
    }

    proptest! {
        #[test]
        fn no_card_number_is_left_and_nothing_else_is_changed(
            text in "([0-9]{0,20}|4[0-9]{12,18}|[ -]|[a-z]{1,3}|é){0,12}"
        ) {
            let masked = mask_cards(&text);
            prop_assert!(!has_card(&masked), "{masked}");
            prop_assert_eq!(masked.len(), text.len());
            for (before, after) in text.chars().zip(masked.chars()) {
                prop_assert!(before == after || (before.is_ascii_digit() && after == '*'));
            }
        }

        #[test]
        fn digits_that_json_escapes_are_digits(
            text in "([0-9]{0,20}|4[0-9]{12,18}|[ -]|[a-z]{1,3}){0,8}",
            escaped in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let escape = |letter: char| format!("\\u{:04x}", u32::from(letter));
            let chosen = text.chars().zip(escaped.iter().cycle());
            let written: String = chosen
                .map(|(letter, escaped)| {
                    let is_plain = !escaped || letter.is_ascii_lowercase();
                    if is_plain { letter.to_string() } else { escape(letter) }
                })
                .collect();
            let masked = mask_cards(&written);
            prop_assert_eq!(masked.len(), written.len());
            let read = "0123456789 -*".chars().fold(masked.into_owned(), |text, letter| {
                text.replace(&escape(letter), &letter.to_string())
            });
            prop_assert!(!has_card(&read), "{written} reads {read}");
        }
    }
}
