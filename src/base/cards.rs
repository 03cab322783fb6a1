//! Card numbers in free texts: found by length and check digit, and masked but for their last four digits.
//!
//! A card number is 13 to 19 digits whose last one is right by the algorithm of Luhn (ISO/IEC 7812-1), written in one, or in
//! groups with a space or a hyphen between. One in ten other numbers of that length looks like one and is masked, too. Nothing
//! of the first digits stays: of a number of 13 digits whose first six and last four are known, three are left to guess.

use std::borrow::Cow;

/// Fewest and most digits of a card number (ISO/IEC 7812-1; PCI DSS).
const DIGITS: core::ops::RangeInclusive<usize> = 13..=19;
/// How many of the last digits stay.
const SHOWN: usize = 4;
/// What stands for a digit.
const MASK: u8 = b'*';

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
    while let Some(found) =
        bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit))
    {
        let start = at + found;
        let end = group_end(bytes, start);
        at = match card_end(bytes, start, end) {
            Some(end) => {
                n += 1;
                hide(masked.to_mut().get_mut(start..end).unwrap_or_default());
                end
            }
            None => end,
        };
    }
    (masked, n)
}

/// The end of the digits that begin here.
fn group_end(bytes: &[u8], start: usize) -> usize {
    let digits = bytes.get(start..).unwrap_or_default();
    start + digits.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The end of the longest card number that begins with a group of digits and ends with one.
fn card_end(bytes: &[u8], start: usize, mut end: usize) -> Option<usize> {
    let (mut n, mut last) = (end - start, None);
    while n <= *DIGITS.end() {
        if DIGITS.contains(&n) && is_checked(bytes.get(start..end)?) {
            last = Some(end);
        }
        if !matches!(bytes.get(end), Some(b' ' | b'-')) {
            break;
        }
        let next = group_end(bytes, end + 1);
        if next == end + 1 {
            break;
        }
        n += next - end - 1;
        end = next;
    }
    last
}

/// Whether the last digit is right by the algorithm of Luhn; what is no digit is passed over.
fn is_checked(bytes: &[u8]) -> bool {
    let digits = bytes.iter().rev().filter(|byte| byte.is_ascii_digit());
    let sum: u32 = digits
        .map(|byte| u32::from(byte - b'0'))
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled @ 10..) => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn hide(bytes: &mut [u8]) {
    let digits = bytes.iter_mut().rev().filter(|byte| byte.is_ascii_digit());
    digits.skip(SHOWN).for_each(|byte| *byte = MASK);
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
    }
}
