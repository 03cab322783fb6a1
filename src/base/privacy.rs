//! Values that a record may carry and nobody may keep: what proves at the moment of a payment that somebody has the card or its
//! PIN. They are found by the names of their members, in whatever a record looks like, and blanked out.
//!
//! Two things follow from a name: where a record is kept as it came (a dead letter) its value is blanked, and no field of the
//! rules may read it. A name is taken without regard to capitals, `_` and `-`.
//!
//! # Source
//! PCI DSS 4.0.1, 3.3.1: sensitive authentication data is not stored after authorization, even if encrypted: full track data
//! (3.3.1.1), card verification codes (3.3.1.2), PINs and PIN blocks (3.3.1.3).

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::token::TokenKey;

/// Names that mean nothing else.
const CERTAIN: [&str; 29] = [
    "card_cvc",
    "card_cvv",
    "card_security_code",
    "card_verification_code",
    "card_verification_value",
    "cav2",
    "cvc",
    "cvc2",
    "cvc_code",
    "cvn2",
    "cvv",
    "cvv2",
    "cvv_code",
    "encrypted_pin",
    "encrypted_pin_block",
    "full_track",
    "magnetic_stripe",
    "magstripe",
    "pin_block",
    "pin_code",
    "security_code",
    "track1",
    "track1_data",
    "track2",
    "track2_data",
    "track2_equivalent_data",
    "track3",
    "track_data",
    "verification_value",
];

/// Names that may mean something else, too: the id of a customer, a code of the post.
const UNCERTAIN: [&str; 3] = ["cid", "csc", "pin"];

/// Longest name, without what is left out of it.
const MAX_NAME: usize = 64;

/// What stands for each byte of a value.
const BLANK: u8 = b'*';

/// Names of members whose values are never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverStore {
    /// INVARIANT: in small letters without `_` and `-`, ascending, not empty.
    names: Vec<Box<[u8]>>,
}

impl Default for NeverStore {
    fn default() -> Self {
        Self::new(Self::names_by_default())
    }
}

impl NeverStore {
    /// These names; those without a letter or digit, and those above 64, are none.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<Box<[u8]>> = names
            .into_iter()
            .filter_map(|name| Name::of(name.as_bytes()))
            .map(|name| name.bytes().into())
            .collect();
        known.sort_unstable();
        known.dedup();
        Self { names: known }
    }

    /// The names where nobody says others.
    pub fn names_by_default() -> impl Iterator<Item = &'static str> {
        CERTAIN.into_iter().chain(UNCERTAIN)
    }

    /// Those of them that mean nothing else: no rules may read them, whatever the configuration says.
    pub fn certain() -> Self {
        Self::new(CERTAIN)
    }

    /// Whether a member of this name, its escapes undone, is one of them.
    ///
    /// # Cost
    /// A look at each letter, and a binary search.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        name.len() <= 2 * MAX_NAME && Name::of(name).is_some_and(|name| self.knows(&name))
    }

    fn knows(&self, name: &Name) -> bool {
        self.names.binary_search_by(|known| known.as_ref().cmp(name.bytes())).is_ok()
    }

    /// A record with the values of these members blanked, and how many there were.
    ///
    /// It need not be JSON: a name counts wherever a `:`, `=` or `>` follows it, also in a text that holds JSON itself, and a value
    /// that never ends is blanked to the end. Of a text each byte becomes `*`, and of a bare number, too, between quotes: the
    /// record is as long as before, and JSON if it was.
    ///
    /// # Cost
    /// One pass.
    pub fn blanked<'r>(&self, raw: &'r [u8]) -> (Cow<'r, [u8]>, usize) {
        let (mut out, mut n, mut at) = (Cow::Borrowed(raw), 0, 0);
        while at < raw.len() {
            let (name, end) = Name::at(raw, at);
            if end == at {
                at += if raw.get(at) == Some(&b'\\') { 2 } else { 1 };
                continue;
            }
            at = end;
            let is_it = name.is_some_and(|name| self.knows(&name));
            if let Some(start) = value_start(raw, end).filter(|_| is_it) {
                let (is_blanked, end) = blank_value(&mut out, raw, start);
                n += usize::from(is_blanked);
                at = end;
            }
        }
        (out, n)
    }
}

/// A name as it is compared.
#[derive(Clone, Copy, Debug)]
struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    const EMPTY: Self = Self { bytes: [0; MAX_NAME], len: 0 };

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds a letter, but not `_` or `-`; whether there was room for it.
    fn push(&mut self, letter: u8) -> bool {
        if matches!(letter, b'_' | b'-') {
            return true;
        }
        let Some(room) = self.bytes.get_mut(self.len) else { return false };
        *room = letter.to_ascii_lowercase();
        self.len += 1;
        true
    }

    fn of(letters: &[u8]) -> Option<Self> {
        let mut name = Self::EMPTY;
        let fits = letters.iter().all(|letter| name.push(*letter));
        (fits && name.len > 0).then_some(name)
    }

    /// The word at a place and its end; each of its letters may be written as JSON escapes it, `\u0063`. No name: it is too long.
    fn at(raw: &[u8], start: usize) -> (Option<Self>, usize) {
        let (mut name, mut fits, mut end) = (Self::EMPTY, true, start);
        while let Some((letter, length)) = letter(raw, end) {
            fits = fits && name.push(letter);
            end += length;
        }
        (fits.then_some(name), end)
    }
}

/// The letter of a word at a place, and its bytes.
fn letter(raw: &[u8], at: usize) -> Option<(u8, usize)> {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
    match raw.get(at..)? {
        [letter, ..] if is_letter(*letter) => Some((*letter, 1)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let letter = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
            is_letter(letter).then_some((letter, 6))
        }
        _ => None,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip(raw: &[u8], mut at: usize, what: impl Fn(u8) -> bool) -> usize {
    while raw.get(at).is_some_and(|byte| what(*byte)) {
        at += 1;
    }
    at
}

/// Where the value of a name begins: behind what closes the name, a sign that a value follows, and space.
fn value_start(raw: &[u8], end: usize) -> Option<usize> {
    let closes = |byte: u8| is_space(byte) || matches!(byte, b'"' | b'\'' | b'\\');
    let at = skip(raw, end, closes);
    let is_sign = matches!(raw.get(at), Some(b':' | b'=' | b'>'));
    is_sign.then(|| skip(raw, at + 1, is_space))
}

/// Blanks the value at a place: whether there was one, and where it ends.
fn blank_value(out: &mut Cow<'_, [u8]>, raw: &[u8], start: usize) -> (bool, usize) {
    match raw.get(start) {
        Some(b'{' | b'[') => blank_container(out, raw, start),
        _ => match quote(raw, start) {
            Some(quote) => blank_text(out, raw, quote),
            None => blank_bare(out, raw, start),
        },
    }
}

/// What opens a text: so many backslashes and a quote; and where the text begins.
#[derive(Clone, Copy, Debug)]
struct Quote {
    n_escapes: usize,
    sign: u8,
    begin: usize,
}

fn quote(raw: &[u8], start: usize) -> Option<Quote> {
    let at = skip(raw, start, |byte| byte == b'\\');
    let sign = *raw.get(at).filter(|sign| matches!(sign, b'"' | b'\''))?;
    Some(Quote { n_escapes: at - start, sign, begin: at + 1 })
}

impl Quote {
    /// The end of the text, and that of what closes it.
    ///
    /// Within a text that is JSON itself the quotes are escaped as the opening one was, or the outer text ends.
    fn end(self, raw: &[u8]) -> (usize, usize) {
        let mut at = self.begin;
        while at < raw.len() {
            let sign = skip(raw, at, |byte| byte == b'\\');
            if raw.get(sign) != Some(&self.sign) {
                at = sign.max(at + 1);
                continue;
            }
            let n = sign - at;
            let closes = match self.n_escapes {
                0 => n.is_multiple_of(2),
                escapes => n == escapes || n == 0,
            };
            if closes {
                // Backslashes in front of a quote that is not escaped belong to the text.
                let end = if self.n_escapes == 0 { sign } else { at };
                return (end, sign + 1);
            }
            at = sign + 1;
        }
        (raw.len(), raw.len())
    }
}

fn blank_text(out: &mut Cow<'_, [u8]>, raw: &[u8], quote: Quote) -> (bool, usize) {
    let (end, after) = quote.end(raw);
    blank(out, quote.begin, end);
    (end > quote.begin, after)
}

fn blank(out: &mut Cow<'_, [u8]>, start: usize, end: usize) {
    if let Some(bytes) = out.to_mut().get_mut(start..end) {
        bytes.fill(BLANK);
    }
}

/// Blanks what stands without quotes: up to what ends a value in JSON, in a query or in a tag.
fn blank_bare(out: &mut Cow<'_, [u8]>, raw: &[u8], start: usize) -> (bool, usize) {
    let ends = |byte: u8| {
        is_space(byte) || matches!(byte, b',' | b'}' | b']' | b'&' | b'<' | b'"' | b'\'' | b'\\')
    };
    let end = skip(raw, start, |byte| !ends(byte));
    let word = raw.get(start..end).unwrap_or_default();
    if matches!(word, b"" | b"null" | b"true" | b"false") {
        return (false, end);
    }
    blank(out, start, end);
    let bytes = out.to_mut();
    if end - start == 1 {
        bytes[start] = b'0';
    } else {
        (bytes[start], bytes[end - 1]) = (b'"', b'"');
    }
    (true, end)
}

/// Blanks all texts and all else that an object or list holds, names too, up to its end.
fn blank_container(out: &mut Cow<'_, [u8]>, raw: &[u8], start: usize) -> (bool, usize) {
    let (mut at, mut depth, mut n) = (start, 0_usize, 0_usize);
    while let Some(byte) = raw.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' | b':' => {}
            byte if is_space(*byte) => {}
            _ => {
                let (is_blanked, end) = blank_value(out, raw, at);
                n += usize::from(is_blanked);
                at = end.max(at + 1);
                continue;
            }
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    (n > 0, at)
}

/// What keeps payment data from whom it does not concern: keys of tokens, and names of members that are never stored.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// The key that makes tokens; none: no rule set with such fields may become active.
    pub current: Option<TokenKey>,
    /// The one before it, for records that were decided with it and are decided again.
    pub previous: Option<TokenKey>,
    /// Members whose values are never stored.
    pub never_store: Arc<NeverStore>,
}

impl Privacy {
    /// Both keys, the present one first.
    pub fn keys(&self) -> impl Iterator<Item = &TokenKey> {
        self.current.iter().chain(&self.previous)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_counts_however_it_is_written() {
        let names = NeverStore::default();
        for name in [
            "cvv",
            "CVV",
            "Cvv2",
            "c_v_v",
            "card-cvc",
            "cardCvc",
            "PIN_BLOCK",
            "track2",
            "cid",
            "pin",
        ] {
            assert!(names.has(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "_",
            "cvv_result",
            "cvvResult",
            "pinned",
            "xcvv",
            "cvv3",
            "tracking",
            &"c".repeat(500),
        ] {
            assert!(!names.has(name.as_bytes()), "{name}");
        }
        let own = NeverStore::new(["Door-Code", "", "_"]);
        assert!(own.has(b"doorcode") && !own.has(b"cvv"));
    }

    #[test]
    fn values_of_these_members_are_blanked_and_nothing_else() {
        let names = NeverStore::default();
        for (raw, expected, n) in [
            (r#"{"cvv":"123","id":"p1"}"#, r#"{"cvv":"***","id":"p1"}"#, 1),
            (r#"{"card":{"CVV" : "1\"3"},"x":1}"#, r#"{"card":{"CVV" : "****"},"x":1}"#, 1),
            (r#"{"cvv":"12\\","x":"3"}"#, r#"{"cvv":"****","x":"3"}"#, 1),
            (r#"{"cvv":123,"pin":7}"#, r#"{"cvv":"*","pin":0}"#, 2),
            (r#"{"cvv":null,"pin":"","cvc":true}"#, r#"{"cvv":null,"pin":"","cvc":true}"#, 0),
            (
                r#"{"pin_block":{"a":["12",{"b":"}"}],"c":34},"x":"y"}"#,
                r#"{"pin_block":{"*":["**",{"*":"*"}],"*":""},"x":"y"}"#,
                1,
            ),
            (r#"{"\u0063vv":"123"}"#, r#"{"\u0063vv":"***"}"#, 1),
            (
                r#"{"body":"{\"cvv\":\"1\\\"3\",\"x\":1}"}"#,
                r#"{"body":"{\"cvv\":\"******\",\"x\":1}"}"#,
                1,
            ),
            (r#"{"cvv":"12"#, r#"{"cvv":"**"#, 1),
            (r#"{"cvv":"#, r#"{"cvv":"#, 0),
            ("id=1&cvv=123&x=2", "id=1&cvv=\"*\"&x=2", 1),
            ("<card><cvv>123</cvv><x>1</x></card>", "<card><cvv>\"*\"</cvv><x>1</x></card>", 1),
            ("<card cvv='123' x='1'/>", "<card cvv='***' x='1'/>", 1),
            (
                r#"{"kind":"pin","cvv_result":"M","shipping":{"id":1}}"#,
                r#"{"kind":"pin","cvv_result":"M","shipping":{"id":1}}"#,
                0,
            ),
            (r#"["cvv","pin"]"#, r#"["cvv","pin"]"#, 0),
        ] {
            let (blanked, found) = names.blanked(raw.as_bytes());
            assert_eq!((core::str::from_utf8(&blanked).unwrap(), found), (expected, n), "{raw}");
            assert_eq!(blanked.len(), raw.len());
        }
    }

    proptest! {
        /// Wherever a member stands, its digits are gone and the rest of the record is what it was.
        #[test]
        fn no_digit_of_a_value_is_left_and_nothing_else_is_changed(
            before in "[a-z]{0,6}", value in "[0-9]{3,8}", quoted in any::<bool>(), deep in 0_usize..4, cut in any::<prop::sample::Index>(),
        ) {
            let written = if quoted { format!("\"{value}\"") } else { value.clone() };
            let (open, close) = ("{\"x\":[".repeat(deep), "]}".repeat(deep));
            let record = format!("{{\"{before}a\":\"b\",\"y\":{open}{{\"Cvv_2\":{written}}}{close},\"z\":\"c\"}}");
            let (blanked, n) = NeverStore::default().blanked(record.as_bytes());
            prop_assert_eq!(n, 1);
            let blank = if quoted { format!("\"{}\"", "*".repeat(value.len())) } else { format!("\"{}\"", "*".repeat(value.len() - 2)) };
            prop_assert_eq!(core::str::from_utf8(&blanked).unwrap(), record.replace(&written, &blank));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&blanked).is_ok());
            // Nor where the record is cut anywhere.
            let part = &record.as_bytes()[..cut.index(record.len())];
            let (blanked, _) = NeverStore::default().blanked(part);
            let digits = blanked.iter().filter(|byte| byte.is_ascii_digit() && **byte != b'0').count();
            prop_assert!(digits <= 1, "the `2` of the name: {}", String::from_utf8_lossy(&blanked));
        }

        #[test]
        fn any_bytes_are_taken_and_stay_as_many(raw in proptest::collection::vec(any::<u8>(), 0..80), text in r#"([{}\[\]:,"'=\\>]|cvv|pin|12|u0063| ){0,40}"#) {
            for raw in [&raw[..], text.as_bytes()] {
                let (blanked, _) = NeverStore::default().blanked(raw);
                prop_assert_eq!(blanked.len(), raw.len());
            }
        }
    }
}
