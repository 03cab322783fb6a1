//! A strict pull scanner for JSON (RFC 8259) over bytes that are known to be UTF-8.
//!
//! The caller drives it: [`Scanner::value`], then [`Scanner::next_key`] or [`Scanner::next_item`] until a container ends,
//! [`Scanner::end`] at last. Texts and numbers come back as ranges of the input, nothing is copied. It accepts exactly the
//! grammar: no lone surrogates, no raw control characters, no trailing commas, nothing after the end. Depth and the number
//! of keys are bounded. [`Scanner::skip`] validates a value of no interest as strictly as one of interest, duplicate keys
//! included, without recursion.
//!
//! Cost: one pass, eight bytes at a time inside texts and runs of digits.

use xxhash_rust::xxh3::xxh3_64;

use crate::event::error::{Reason, ScanError};

/// Bounds of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Containers within containers.
    pub max_depth: u32,
    /// Keys over all objects of the record.
    pub max_keys: u32,
}

/// The inside of a text between its quotes, as a range of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Whether there is an escape in it.
    pub escaped: bool,
}

/// A number as a range of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Whether it has neither fraction nor exponent.
    pub integer: bool,
}

/// What a value starts with; scalars are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `{` has been read.
    Object,
    /// `[` has been read.
    Array,
    /// A whole text.
    Text(Text),
    /// A whole number.
    Number(Number),
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

type Result<T> = core::result::Result<T, ScanError>;

/// The scanner.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    raw: &'a [u8],
    pos: usize,
    depth: u32,
    n_keys: u32,
    limits: ScanLimits,
}

/// Offsets are 32 bits wide; records are capped far below that.
#[inline]
fn offset32(pos: usize) -> u32 {
    u32::try_from(pos).unwrap_or(u32::MAX)
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    ///
    /// # Shape
    /// `raw` is UTF-8 and shorter than 4 GiB.
    pub fn new(raw: &'a [u8], limits: ScanLimits) -> Self {
        Self { raw, pos: 0, depth: 0, n_keys: 0, limits }
    }

    /// The next value: a scalar as a whole, a container up to its bracket.
    #[inline]
    pub fn value(&mut self) -> Result<Token> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {
                self.pos += 1;
                self.text().map(Token::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b'{') => self.enter(Token::Object),
            Some(b'[') => self.enter(Token::Array),
            Some(b't') => self.literal(b"true", Token::True),
            Some(b'f') => self.literal(b"false", Token::False),
            Some(b'n') => self.literal(b"null", Token::Null),
            _ => Err(self.invalid(self.pos)),
        }
    }

    /// The next key of an object and its colon; `None` at the closing bracket. `first` right after the opening one.
    #[inline]
    pub fn next_key(&mut self, first: bool) -> Result<Option<Text>> {
        if !self.at_key(first)? {
            return Ok(None);
        }
        self.read_key().map(Some)
    }

    /// Moves to the quote of the next key; false after the closing bracket.
    #[inline]
    pub(crate) fn at_key(&mut self, first: bool) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.leave();
                return Ok(false);
            }
            Some(b',') if !first => {
                self.pos += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(self.invalid(self.pos)),
        }
        if self.peek() == Some(b'"') { Ok(true) } else { Err(self.invalid(self.pos)) }
    }

    /// Reads the key at the present quote, and its colon.
    pub(crate) fn read_key(&mut self) -> Result<Text> {
        self.pos += 1;
        let key = self.text()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.invalid(self.pos));
        }
        self.pos += 1;
        self.count_key()?;
        Ok(key)
    }

    /// Steps over a key with its colon that the caller has recognised at the present position.
    #[inline]
    pub(crate) fn accept_key(&mut self, len: usize) -> Result<()> {
        self.pos += len;
        self.count_key()
    }

    /// Whether an array has another value; false after the closing bracket. `first` right after the opening one.
    #[inline]
    pub fn next_item(&mut self, first: bool) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            Some(b']') => {
                self.leave();
                Ok(false)
            }
            Some(b',') if !first => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.invalid(self.pos)),
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.pos == self.raw.len() { Ok(()) } else { Err(self.invalid(self.pos)) }
    }

    /// Validates the rest of a value whose token has been read.
    ///
    /// # Cost
    /// No recursion; memory for the depth and for the keys of open objects, both bounded.
    pub fn skip(&mut self, token: Token, log: &mut KeyLog) -> Result<()> {
        let bottom = log.frames.len();
        if !log.open(token) {
            return Ok(());
        }
        let mut first = true;
        while let Some(frame) = log.frames.get(bottom..).and_then(<[Frame]>::last) {
            let more = if frame.object {
                match self.next_key(first)? {
                    Some(key) => {
                        log.add(self.raw, key)?;
                        true
                    }
                    None => false,
                }
            } else {
                self.next_item(first)?
            };
            first = if more {
                let token = self.value()?;
                log.open(token)
            } else {
                log.close();
                false
            };
        }
        Ok(())
    }

    /// The present position.
    #[inline]
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// The whole input.
    #[inline]
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.raw.get(self.pos).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.pos += 1;
        }
    }

    #[cold]
    fn invalid(&self, pos: usize) -> ScanError {
        ScanError { reason: Reason::InvalidJson, offset: offset32(pos) }
    }

    fn enter(&mut self, token: Token) -> Result<Token> {
        if self.depth == self.limits.max_depth {
            return Err(ScanError { reason: Reason::TooDeep, offset: offset32(self.pos) });
        }
        self.depth += 1;
        self.pos += 1;
        Ok(token)
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.pos += 1;
    }

    #[inline]
    fn count_key(&mut self) -> Result<()> {
        self.n_keys += 1;
        if self.n_keys > self.limits.max_keys {
            return Err(ScanError { reason: Reason::TooManyKeys, offset: offset32(self.pos) });
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8], token: Token) -> Result<Token> {
        if self.raw.get(self.pos..self.pos + word.len()) != Some(word) {
            return Err(self.invalid(self.pos));
        }
        self.pos += word.len();
        Ok(token)
    }

    /// The rest of a text after its opening quote.
    #[inline]
    fn text(&mut self) -> Result<Text> {
        let start = self.pos;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = self.text_stop(at);
            match self.raw.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(Text { start: offset32(start), end: offset32(at), escaped });
                }
                Some(b'\\') => {
                    at = self.escape(at)?;
                    escaped = true;
                }
                _ => return Err(self.invalid(at)),
            }
        }
    }

    /// The first byte from `at` on that is a quote, a backslash or a control character, or the end.
    #[inline]
    fn text_stop(&self, mut at: usize) -> usize {
        while let Some(chunk) = self.raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stops = stop_bytes(u64::from_le_bytes(*chunk));
            if stops != 0 {
                return at + (stops.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        while self.raw.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
            at += 1;
        }
        at
    }

    /// Checks the escape at `at` and returns the position after it.
    #[cold]
    fn escape(&self, at: usize) -> Result<usize> {
        match self.raw.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let unit = self.code_unit(at).ok_or_else(|| self.invalid(at))?;
                match unit {
                    0xd800..0xdc00 => match self.code_unit(at + 6) {
                        Some(0xdc00..0xe000) => Ok(at + 12),
                        _ => Err(self.invalid(at)),
                    },
                    0xdc00..0xe000 => Err(self.invalid(at)),
                    _ => Ok(at + 6),
                }
            }
            _ => Err(self.invalid(at)),
        }
    }

    /// The code unit of `\uXXXX` at `at`.
    fn code_unit(&self, at: usize) -> Option<u32> {
        self.raw.get(at..at + 6).and_then(code_unit)
    }

    #[inline]
    fn number(&mut self) -> Result<Number> {
        let start = self.pos;
        match number_end(self.raw, start) {
            Ok((end, integer)) => {
                self.pos = end;
                Ok(Number { start: offset32(start), end: offset32(end), integer })
            }
            Err(at) => Err(self.invalid(at)),
        }
    }
}

/// Marks the high bit of each byte that ends the plain part of a text. The lowest mark is exact.
#[inline]
fn stop_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (quote | backslash | control) & HIGHS
}

/// The end of the run of digits from `at` on.
#[inline]
fn digits_end(raw: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // A digit has the high nibble 3, also after adding 6. The lowest other byte is exact.
        let sixes = word.wrapping_add(0x0606_0606_0606_0606);
        let others = ((word ^ 0x3030_3030_3030_3030) | (sixes ^ 0x3030_3030_3030_3030))
            & 0xf0f0_f0f0_f0f0_f0f0;
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while raw.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The end of the number at `at`, and whether it is an integer; or where it goes wrong.
#[inline]
fn number_end(raw: &[u8], at: usize) -> core::result::Result<(usize, bool), usize> {
    let first = at + usize::from(raw.get(at) == Some(&b'-'));
    let mut end = digits_end(raw, first);
    if end == first || (end > first + 1 && raw.get(first) == Some(&b'0')) {
        return Err(first);
    }
    let whole_end = end;
    if raw.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits_end(raw, fraction);
        if end == fraction {
            return Err(end);
        }
    }
    if let Some(b'e' | b'E') = raw.get(end) {
        let exponent = end + 1 + usize::from(matches!(raw.get(end + 1), Some(b'+' | b'-')));
        end = digits_end(raw, exponent);
        if end == exponent {
            return Err(end);
        }
    }
    Ok((end, end == whole_end))
}

/// Whether the whole text is a JSON number, and if so whether it is an integer.
pub fn number_kind(text: &[u8]) -> Option<NumberKind> {
    match number_end(text, 0) {
        Ok((end, integer)) if end == text.len() => {
            Some(if integer { NumberKind::Integer } else { NumberKind::Decimal })
        }
        _ => None,
    }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// Digits only.
    Integer,
    /// With a fraction or an exponent.
    Decimal,
}

fn code_unit(escape: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = escape else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends a text of a scanned record with its escapes resolved.
pub fn unescape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, len) = match escape.get(1) {
            Some(b'u') => {
                rest = unescape_unicode(escape, out);
                continue;
            }
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0c, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        rest = escape.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Appends the character of a `\uXXXX` escape or pair of them; returns what follows.
fn unescape_unicode<'a>(escape: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let unit = escape.get(..6).and_then(code_unit).unwrap_or(0xfffd);
    let low = escape.get(6..12).and_then(code_unit);
    let (code, len) = match low {
        Some(low) if (0xd800..0xdc00).contains(&unit) => {
            (0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff), 12)
        }
        _ => (unit, 6),
    };
    let mut utf8 = [0; 4];
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    escape.get(len..).unwrap_or_default()
}

/// The keys of the open objects, for finding duplicates. Reused from record to record.
#[derive(Clone, Debug, Default)]
pub struct KeyLog {
    keys: Vec<LoggedKey>,
    frames: Vec<Frame>,
    left: Vec<u8>,
    right: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct LoggedKey {
    hash: u64,
    key: Text,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    object: bool,
    first_key: usize,
    /// One bit per key hash: a clear bit proves a key new.
    bloom: u64,
}

impl KeyLog {
    /// Forgets a record that was given up half way.
    #[inline]
    pub fn clear(&mut self) {
        self.keys.clear();
        self.frames.clear();
    }

    /// Opens a container; false when the token is a scalar.
    pub(crate) fn open(&mut self, token: Token) -> bool {
        let object = match token {
            Token::Object => true,
            Token::Array => false,
            _ => return false,
        };
        self.frames.push(Frame { object, first_key: self.keys.len(), bloom: 0 });
        true
    }

    /// Closes the innermost container.
    pub(crate) fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.keys.truncate(frame.first_key);
        }
    }

    /// Adds a key to the innermost object, or finds that it is there already.
    pub(crate) fn add(&mut self, raw: &[u8], key: Text) -> Result<()> {
        let hash = if key.escaped {
            self.left.clear();
            unescape_into(slice(raw, key), &mut self.left);
            xxh3_64(&self.left)
        } else {
            xxh3_64(slice(raw, key))
        };
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let bit = 1_u64 << (hash & 63);
        let (first, maybe_seen) = (frame.first_key, frame.bloom & bit != 0);
        frame.bloom |= bit;
        if maybe_seen {
            for index in first..self.keys.len() {
                let other = self.keys[index];
                if other.hash == hash && self.same(raw, other.key, key) {
                    return Err(duplicate_key(key));
                }
            }
        }
        self.keys.push(LoggedKey { hash, key });
        Ok(())
    }

    fn same(&mut self, raw: &[u8], a: Text, b: Text) -> bool {
        if !a.escaped && !b.escaped {
            return slice(raw, a) == slice(raw, b);
        }
        self.left.clear();
        self.right.clear();
        unescape_into(slice(raw, a), &mut self.left);
        unescape_into(slice(raw, b), &mut self.right);
        self.left == self.right
    }
}

/// The error of a key that its object has already.
#[cold]
pub(crate) fn duplicate_key(key: Text) -> ScanError {
    ScanError { reason: Reason::DuplicateKey, offset: key.start }
}

/// The bytes of a text, escapes and all.
#[inline]
pub fn slice(raw: &[u8], text: Text) -> &[u8] {
    raw.get(text.start as usize..text.end as usize).unwrap_or_default()
}

/// Validates one JSON text as a whole.
///
/// # Errors
/// The first mistake and its position.
pub fn validate(raw: &[u8], limits: ScanLimits, log: &mut KeyLog) -> Result<()> {
    log.clear();
    let mut scanner = Scanner::new(raw, limits);
    let token = scanner.value()?;
    scanner.skip(token, log)?;
    scanner.end()
}

#[cfg(test)]
mod tests;
