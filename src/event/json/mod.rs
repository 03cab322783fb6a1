//! A strict pull scanner for JSON (RFC 8259) over bytes that are known to be UTF-8.
//!
//! The caller drives it: [`Scanner::value`], then [`Scanner::next_key`] or [`Scanner::next_item`] until a container ends,
//! [`Scanner::end`] at last. Texts and numbers come back as ranges of the input, nothing is copied. It accepts exactly the
//! grammar: no lone surrogates, no raw control characters, no trailing commas, nothing after the end. Depth and the number
//! of keys are bounded. [`Scanner::skip`] validates a value of no interest as strictly as one of interest, duplicate keys
//! included, without recursion.
//!
//! Cost: one pass, eight bytes at a time inside texts and runs of digits.

mod bytes;
mod keylog;

pub use bytes::{NumberKind, number_kind, unescape_into};
pub use keylog::KeyLog;
pub(crate) use keylog::duplicate_key;

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
pub(crate) fn offset32(pos: usize) -> u32 {
    u32::try_from(pos).unwrap_or(u32::MAX)
}

#[cold]
fn invalid(pos: usize) -> ScanError {
    ScanError { reason: Reason::InvalidJson, offset: offset32(pos) }
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
    ///
    /// # Errors
    /// Where the record breaks the grammar or a bound.
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
            _ => Err(invalid(self.pos)),
        }
    }

    /// The next key of an object and its colon; `None` at the closing bracket. `first` right after the opening one.
    ///
    /// # Errors
    /// Where the record breaks the grammar or a bound.
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
            _ => return Err(invalid(self.pos)),
        }
        if self.peek() == Some(b'"') { Ok(true) } else { Err(invalid(self.pos)) }
    }

    /// Reads the key at the present quote, and its colon.
    pub(crate) fn read_key(&mut self) -> Result<Text> {
        self.pos += 1;
        let key = self.text()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(invalid(self.pos));
        }
        self.resume(self.pos + 1, 1)?;
        Ok(key)
    }

    /// Goes on after members that the caller has read, with so many keys.
    #[inline]
    pub(crate) fn resume(&mut self, pos: usize, n_keys: u32) -> Result<()> {
        self.pos = pos;
        self.n_keys += n_keys;
        if self.n_keys > self.limits.max_keys {
            return Err(ScanError { reason: Reason::TooManyKeys, offset: offset32(self.pos) });
        }
        Ok(())
    }

    /// Whether an array has another value; false after the closing bracket. `first` right after the opening one.
    ///
    /// # Errors
    /// Where the record breaks the grammar or a bound.
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
            _ => Err(invalid(self.pos)),
        }
    }

    /// Nothing but white space may follow.
    ///
    /// # Errors
    /// Where the record breaks the grammar or a bound.
    pub fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.pos == self.raw.len() { Ok(()) } else { Err(invalid(self.pos)) }
    }

    /// Validates the rest of a value whose token has been read.
    ///
    /// # Errors
    /// Where the record breaks the grammar or a bound.
    ///
    /// # Cost
    /// No recursion; memory for the depth and for the keys of open objects, both bounded.
    pub fn skip(&mut self, token: Token, log: &mut KeyLog) -> Result<()> {
        let bottom = log.n_open();
        if !log.open(token) {
            return Ok(());
        }
        let mut first = true;
        while let Some(in_object) = log.innermost_is_object(bottom) {
            let more =
                if in_object { self.next_logged_key(first, log)? } else { self.next_item(first)? };
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

    /// The next key goes to the log; false at the closing bracket.
    fn next_logged_key(&mut self, first: bool, log: &mut KeyLog) -> Result<bool> {
        let key = self.next_key(first)?;
        key.map_or(Ok(false), |key| log.add(self.raw, key).map(|()| true))
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

    fn literal(&mut self, word: &[u8], token: Token) -> Result<Token> {
        if self.raw.get(self.pos..self.pos + word.len()) != Some(word) {
            return Err(invalid(self.pos));
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
            at = text_stop(self.raw, at);
            match self.raw.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(Text { start: offset32(start), end: offset32(at), escaped });
                }
                Some(b'\\') => {
                    at = self.escape(at)?;
                    escaped = true;
                }
                _ => return Err(invalid(at)),
            }
        }
    }

    /// Checks the escape at `at` and returns the position after it.
    #[cold]
    fn escape(&self, at: usize) -> Result<usize> {
        match self.raw.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let unit = self.code_unit(at).ok_or_else(|| invalid(at))?;
                match unit {
                    0xd800..0xdc00 => match self.code_unit(at + 6) {
                        Some(0xdc00..0xe000) => Ok(at + 12),
                        _ => Err(invalid(at)),
                    },
                    0xdc00..0xe000 => Err(invalid(at)),
                    _ => Ok(at + 6),
                }
            }
            _ => Err(invalid(at)),
        }
    }

    /// The code unit of `\uXXXX` at `at`.
    fn code_unit(&self, at: usize) -> Option<u32> {
        self.raw.get(at..at + 6).and_then(bytes::code_unit)
    }

    #[inline]
    fn number(&mut self) -> Result<Number> {
        let number = number_at(self.raw, self.pos)?;
        self.pos = number.end as usize;
        Ok(number)
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character, or the end.
#[inline]
pub(crate) fn text_stop(raw: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let stops = bytes::stop_bytes(u64::from_le_bytes(*chunk));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while raw.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

/// The number at `at`.
#[inline]
pub(crate) fn number_at(raw: &[u8], at: usize) -> Result<Number> {
    match bytes::number_end(raw, at) {
        Ok((end, integer)) => Ok(Number { start: offset32(at), end: offset32(end), integer }),
        Err(at) => Err(invalid(at)),
    }
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
