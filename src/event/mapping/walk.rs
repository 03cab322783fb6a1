//! One pass over a record that notes where the value of every pointer stands.

use crate::event::error::ScanError;
use crate::event::json::{self, KeyLog, Scanner, Text, Token};
use crate::event::mapping::keys::{Key, KeyTable, MAX_LEARNED, NO_NODE};
use crate::event::mapping::plan::{Node, Plan};

/// What stands at a pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: FoundKind,
}

/// Kinds of values at a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundKind {
    /// Nothing, or `null`.
    Absent,
    /// A text without escapes.
    Text,
    /// A text with escapes.
    Escaped,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Decimal,
    True,
    False,
    /// An object or array.
    Container,
    /// A cell of a table: a text that may stand for any type.
    Cell,
}

impl Found {
    pub(super) const ABSENT: Self = Self { start: 0, end: 0, kind: FoundKind::Absent };

    fn new(token: Token, pos: usize) -> Self {
        let pos = u32::try_from(pos).unwrap_or(u32::MAX);
        let (start, end, kind) = match token {
            Token::Null => return Self::ABSENT,
            Token::Text(Text { start, end, escaped: false }) => (start, end, FoundKind::Text),
            Token::Text(Text { start, end, escaped: true }) => (start, end, FoundKind::Escaped),
            Token::Number(number) if number.integer => {
                (number.start, number.end, FoundKind::Integer)
            }
            Token::Number(number) => (number.start, number.end, FoundKind::Decimal),
            Token::True => (pos, pos, FoundKind::True),
            Token::False => (pos, pos, FoundKind::False),
            Token::Object | Token::Array => (pos, pos, FoundKind::Container),
        };
        Self { start, end, kind }
    }
}

type Result<T> = core::result::Result<T, ScanError>;

/// The state of one walk.
pub(super) struct Walk<'w, 'r> {
    pub(super) scanner: Scanner<'r>,
    pub(super) plan: &'w Plan,
    pub(super) tables: &'w mut [KeyTable],
    pub(super) found: &'w mut [Found],
    pub(super) log: &'w mut KeyLog,
    pub(super) unescaped: &'w mut Vec<u8>,
}

impl Walk<'_, '_> {
    /// Walks the whole record; false when it is JSON, but no object.
    pub(super) fn record(&mut self) -> Result<bool> {
        self.log.clear();
        let token = self.scanner.value()?;
        self.value(token, 0)?;
        self.scanner.end()?;
        Ok(token == Token::Object)
    }

    /// The rest of a value at a node of the tree. Recursion ends where the pointers of the schema end.
    fn value(&mut self, token: Token, node_idx: u16) -> Result<()> {
        let plan = self.plan;
        let Some(node) = plan.nodes.get(usize::from(node_idx)) else {
            return self.scanner.skip(token, self.log);
        };
        if let Some(found) = node.pointer.and_then(|at| self.found.get_mut(usize::from(at))) {
            *found = Found::new(token, self.scanner.pos());
        }
        match token {
            Token::Object if !node.children.is_empty() => self.object(node_idx),
            Token::Array if !node.items.is_empty() => self.array(node),
            Token::Object | Token::Array => self.scanner.skip(token, self.log),
            _ => Ok(()),
        }
    }

    fn array(&mut self, node: &Node) -> Result<()> {
        let mut index = 0_usize;
        while self.scanner.next_item(index == 0)? {
            let token = self.scanner.value()?;
            match node.items.iter().find(|(wanted, _)| *wanted == index) {
                Some((_, child)) => self.value(token, *child)?,
                None => self.scanner.skip(token, self.log)?,
            }
            index += 1;
        }
        Ok(())
    }

    fn object(&mut self, node_idx: u16) -> Result<()> {
        let table_idx = usize::from(node_idx);
        self.log.open(Token::Object);
        let mut members = Members { first: true, seen: 0, before: None };
        loop {
            let key = match self.guessed_members(table_idx, &mut members)? {
                Some(key) => Some(key),
                None if self.scanner.at_key(members.first)? => {
                    self.unexpected_key(table_idx, &mut members)?
                }
                None => break,
            };
            let token = self.scanner.value()?;
            let key = key.and_then(|key| self.tables[table_idx].key(key));
            match key.map_or(NO_NODE, |key| key.node) {
                NO_NODE => self.scanner.skip(token, self.log)?,
                node => self.value(token, node)?,
            }
        }
        self.log.close();
        Ok(())
    }

    /// Reads members as long as their keys are guessed and their values are plain scalars. Returns a key whose value comes
    /// next, or `None` where the guessing ends.
    ///
    /// This is where a record is read when it looks like the one before.
    #[inline]
    fn guessed_members(&mut self, table_idx: usize, members: &mut Members) -> Result<Option<u16>> {
        let Some(table) = self.tables.get(table_idx) else { return Ok(None) };
        let raw = self.scanner.raw();
        let mut pos = self.scanner.pos();
        let mut guess = table.guess(members.before);
        let (mut n_keys, mut n_never_stored) = (0, 0);
        let pending = loop {
            let key = table.key(guess).filter(|key| key.bit & !members.seen != 0);
            let Some(key) = key else { break None };
            let Some(at) = key_at(table, key, raw, pos, members.first) else { break None };
            members.seen |= key.bit;
            members.before = Some(guess);
            members.first = false;
            n_keys += 1;
            n_never_stored += u32::from(key.is_never_stored);
            pos = at + key.len as usize;
            let Some((found, end)) = plain_scalar(raw, pos)? else { break Some(guess) };
            pos = end;
            if let Some(place) = self.found.get_mut(usize::from(key.pointer)) {
                *place = found;
            }
            guess = key.next;
        };
        self.log.n_never_stored += n_never_stored;
        self.scanner.resume(pos, n_keys)?;
        Ok(pending)
    }

    /// A key that was not guessed, or is written with escapes or spaces.
    #[inline(never)]
    fn unexpected_key(&mut self, table_idx: usize, members: &mut Members) -> Result<Option<u16>> {
        members.first = false;
        let raw = self.scanner.raw();
        let text = self.scanner.read_key()?;
        let mut name = json::slice(raw, text);
        if text.escaped {
            self.unescaped.clear();
            json::unescape_into(name, self.unescaped);
            name = self.unescaped;
        }
        let table = &mut self.tables[table_idx];
        let key = table.find(name).or_else(|| table.learn(name));
        if let Some(key) = key {
            table.learn_order(members.before, key);
            members.before = Some(key);
        }
        match key {
            Some(key) if usize::from(key) < MAX_LEARNED => {
                let is_never_stored = table.key(key).is_some_and(|key| key.is_never_stored);
                self.log.n_never_stored += u32::from(is_never_stored);
                if members.seen >> key & 1 == 1 {
                    return Err(json::duplicate_key(text));
                }
                members.seen |= 1 << key;
            }
            _ => self.log.add(raw, text)?,
        }
        Ok(key)
    }
}

/// What is known of the members of an open object.
struct Members {
    /// Whether the next one is the first.
    first: bool,
    /// INVARIANT: one bit for each of the first 64 keys of the table that this object has already.
    seen: u64,
    /// The last key that is in the table.
    before: Option<u16>,
}

/// Where the key stands that is expected at `pos`: after a comma unless it is the first, perhaps after a space.
#[inline]
fn key_at(table: &KeyTable, key: &Key, raw: &[u8], pos: usize, first: bool) -> Option<usize> {
    let at = if first {
        pos
    } else if raw.get(pos) == Some(&b',') {
        pos + 1
    } else {
        return None;
    };
    if table.matches(key, raw, at) {
        return Some(at);
    }
    // Many writers put a space after a comma.
    let spaced = raw.get(at) == Some(&b' ') && table.matches(key, raw, at + 1);
    spaced.then_some(at + 1)
}

/// The text without escapes or the number at `at`, perhaps after a space, and what follows it; `None` for anything else.
#[inline]
fn plain_scalar(raw: &[u8], at: usize) -> Result<Option<(Found, usize)>> {
    match raw.get(at) {
        Some(b'"') => Ok(plain_text(raw, at + 1)),
        Some(b'-' | b'0'..=b'9') => number(raw, at).map(Some),
        Some(b' ') => match raw.get(at + 1) {
            Some(b'"') => Ok(plain_text(raw, at + 2)),
            Some(b'-' | b'0'..=b'9') => number(raw, at + 1).map(Some),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

#[inline]
fn plain_text(raw: &[u8], start: usize) -> Option<(Found, usize)> {
    let end = json::text_stop(raw, start);
    if raw.get(end) != Some(&b'"') {
        return None;
    }
    let found =
        Found { start: json::offset32(start), end: json::offset32(end), kind: FoundKind::Text };
    Some((found, end + 1))
}

#[inline]
fn number(raw: &[u8], at: usize) -> Result<(Found, usize)> {
    let number = json::number_at(raw, at)?;
    let kind = if number.integer { FoundKind::Integer } else { FoundKind::Decimal };
    Ok((Found { start: number.start, end: number.end, kind }, number.end as usize))
}
