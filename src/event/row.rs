//! A decoded record: typed slots, a presence mask, and texts that point into the record.

use crate::base::value::Place;
use crate::base::{EntityKey, TextRef};
use crate::event::schema::{EventId, SlotId};

/// One decoded event. Reused from record to record: `slots` and `arena` keep their capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Which event type; meaningless before the first decode.
    pub event: u16,
    /// Event time in ms since 1970 (also in its slot).
    pub time_ms: i64,
    /// One bit per slot: set when the field was present.
    pub present: u128,
    /// One word per slot, as [`crate::event::schema::FieldType`] says.
    pub slots: Vec<u64>,
    /// Texts that had to be unescaped or normalised.
    pub arena: Vec<u8>,
    /// Members of the record whose values are never stored.
    pub n_never_stored: u32,
}

impl Row {
    /// The event type.
    pub fn event(&self) -> EventId {
        EventId(self.event)
    }

    /// Empties the row for an event type with this many slots.
    pub fn reset(&mut self, event: EventId, n_slots: u16) {
        self.event = event.0;
        self.time_ms = 0;
        self.present = 0;
        self.n_never_stored = 0;
        self.slots.clear();
        self.slots.resize(usize::from(n_slots), 0);
        self.arena.clear();
    }

    /// Whether the slot holds a value.
    pub fn has(&self, slot: SlotId) -> bool {
        self.present >> slot.0 & 1 == 1
    }

    /// The word of a slot, when present.
    pub fn get(&self, slot: SlotId) -> Option<u64> {
        if self.has(slot) { self.slots.get(usize::from(slot.0)).copied() } else { None }
    }

    /// Sets a slot.
    pub fn set(&mut self, slot: SlotId, word: u64) {
        if let Some(place) = self.slots.get_mut(usize::from(slot.0)) {
            *place = word;
            self.present |= 1 << slot.0;
        }
    }

    /// Copies a text into the arena and returns its reference.
    ///
    /// # Panics
    /// Never: records are capped far below 2 GiB.
    pub fn store_text(&mut self, text: &[u8]) -> TextRef {
        let offset = u32::try_from(self.arena.len()).unwrap_or(0);
        let len = u32::try_from(text.len()).unwrap_or(0);
        self.arena.extend_from_slice(text);
        TextRef::new(Place::Arena, offset, len)
    }

    /// The bytes of a text, UTF-8 by construction.
    pub fn text<'a>(&'a self, raw: &'a [u8], text: TextRef) -> &'a [u8] {
        let buffer = match text.place() {
            Place::Raw => raw,
            Place::Arena => &self.arena,
        };
        buffer.get(text.range()).unwrap_or_default()
    }

    /// The state key of a text slot, when present.
    pub fn key(&self, raw: &[u8], slot: SlotId) -> Option<EntityKey> {
        self.get(slot).map(|word| EntityKey::of_text(self.text(raw, TextRef(word))))
    }
}
