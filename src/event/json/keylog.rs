//! The keys of open objects, for finding duplicates.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::NeverStore;
use crate::event::error::{Reason, ScanError};
use crate::event::json::{Text, Token, slice, unescape_into};

type Result<T> = core::result::Result<T, ScanError>;

/// The keys of the open objects, for finding duplicates. Reused from record to record.
#[derive(Clone, Debug, Default)]
pub struct KeyLog {
    keys: Vec<LoggedKey>,
    frames: Vec<Frame>,
    left: Vec<u8>,
    right: Vec<u8>,
    /// Names whose values are never stored.
    pub(crate) never_store: Option<Arc<NeverStore>>,
    /// How many keys of the record have such a name.
    pub(crate) n_never_stored: u32,
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
        self.n_never_stored = 0;
    }

    /// Number of open containers.
    pub(super) fn n_open(&self) -> usize {
        self.frames.len()
    }

    /// Whether the innermost container is an object; `None` when only `bottom` containers are open.
    pub(super) fn innermost_is_object(&self, bottom: usize) -> Option<bool> {
        self.frames.get(bottom..)?.last().map(|frame| frame.object)
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
        let mut name = slice(raw, key);
        if key.escaped {
            self.left.clear();
            unescape_into(name, &mut self.left);
            name = &self.left;
        }
        let hash = xxh3_64(name);
        let is_never_stored = self.never_store.as_ref().is_some_and(|names| names.has(name));
        self.n_never_stored += u32::from(is_never_stored);
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let bit = 1_u64 << (hash & 63);
        let (first, maybe_seen) = (frame.first_key, frame.bloom & bit != 0);
        frame.bloom |= bit;
        if maybe_seen && self.holds(raw, first, LoggedKey { hash, key }) {
            return Err(duplicate_key(key));
        }
        self.keys.push(LoggedKey { hash, key });
        Ok(())
    }

    /// Whether one of the keys from `first` on is this one.
    fn holds(&mut self, raw: &[u8], first: usize, wanted: LoggedKey) -> bool {
        (first..self.keys.len()).any(|index| {
            let other = self.keys[index];
            other.hash == wanted.hash && self.same(raw, other.key, wanted.key)
        })
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
