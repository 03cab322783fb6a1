//! One pass over a record that notes where the value of every pointer stands.

use crate::event::error::ScanError;
use crate::event::json::{self, KeyLog, Scanner, Text, Token};
use crate::event::mapping::keys::{KeyTable, MAX_LEARNED, NO_NODE};
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
        // INVARIANT: one bit per key of the table that this object has already.
        let mut seen = 0_u128;
        let mut before = None;
        let mut first = true;
        while self.scanner.at_key(first)? {
            first = false;
            let key = self.key(table_idx, before, &mut seen)?;
            let token = self.scanner.value()?;
            let node = key.map_or(NO_NODE, |key| self.tables[table_idx].node(key));
            before = key.or(before);
            if node == NO_NODE {
                self.scanner.skip(token, self.log)?;
            } else {
                self.value(token, node)?;
            }
        }
        self.log.close();
        Ok(())
    }

    /// Reads the key at the present quote: its index in the table, `None` for a key that is not in it.
    #[inline]
    fn key(
        &mut self,
        table_idx: usize,
        before: Option<u16>,
        seen: &mut u128,
    ) -> Result<Option<u16>> {
        let table = &self.tables[table_idx];
        let at = self.scanner.pos();
        let guess = before.map_or(table.first(), |before| table.after(before));
        if usize::from(guess) < MAX_LEARNED
            && *seen >> guess & 1 == 0
            && let Some(len) = table.matches(guess, self.scanner.raw(), at)
        {
            *seen |= 1 << guess;
            self.scanner.accept_key(len)?;
            return Ok(Some(guess));
        }
        self.unexpected_key(table_idx, before, seen)
    }

    /// A key that was not guessed, or is written with escapes or spaces.
    #[cold]
    fn unexpected_key(
        &mut self,
        table_idx: usize,
        before: Option<u16>,
        seen: &mut u128,
    ) -> Result<Option<u16>> {
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
            table.learn_order(before, key);
        }
        match key {
            Some(key) if usize::from(key) < MAX_LEARNED => {
                if *seen >> key & 1 == 1 {
                    return Err(json::duplicate_key(text));
                }
                *seen |= 1 << key;
            }
            _ => self.log.add(raw, text)?,
        }
        Ok(key)
    }
}
