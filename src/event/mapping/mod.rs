//! Decoding: from the bytes of a record to a [`Row`], directed by the schema.
//!
//! A [`Decoder`] is compiled once from a [`Schema`] and shared by threads; what it needs to write while decoding lies in a
//! [`DecodeScratch`], one per thread. A record is validated as a whole (UTF-8, JSON, duplicate keys, bounds), then its event
//! type is chosen, then the declared fields are read. Keys may come in any order; the order of the record before is the
//! fast path. Texts stay in the record where they need no unescaping. Nothing is allocated per record once warm, except
//! for an error.
//!
//! Start reading at [`Decoder::decode`]; the parts are `plan` (compiling), `keys` and `walk` (finding values), `coerce`
//! (reading fields).

mod coerce;
mod keys;
mod plan;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::event::error::{DecodeError, Reason};
use crate::event::json::{KeyLog, ScanLimits, Scanner};
use crate::event::mapping::coerce::{Refusal, Values};
use crate::event::mapping::keys::{KeyTable, MAX_LEARNED, NO_NODE};
use crate::event::mapping::plan::{EventPlan, Plan};
use crate::event::mapping::walk::{Found, FoundKind, Walk};
use crate::event::row::Row;
use crate::event::schema::Schema;

/// Bounds of a record, so that hostile input costs a bounded amount of work and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the record, checked before anything else.
    pub max_record_bytes: usize,
    /// Containers within containers.
    pub max_depth: u32,
    /// Keys over all objects.
    pub max_keys: u32,
    /// Bytes of a text that a field reads.
    pub max_text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_record_bytes: 1 << 20, max_depth: 64, max_keys: 1024, max_text_bytes: 4096 }
    }
}

/// Largest record whatever the limits say: offsets of texts have 31 bits.
const MAX_RECORD_BYTES: usize = 1 << 30;

/// Index of a topic in a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicIdx(u16);

/// The compiled schema.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    topics: HashMap<String, TopicIdx>,
    /// One plan per topic, and last the one of all event types.
    plans: Vec<Plan>,
    /// Tells scratches of other schemas.
    fingerprint: u64,
}

/// What decoding writes to besides the row; starts empty and fits itself to the decoder.
#[derive(Clone, Debug, Default)]
pub struct DecodeScratch {
    fingerprint: Option<u64>,
    plans: Vec<PlanScratch>,
    log: KeyLog,
    /// An escaped text that is needed for a moment.
    buffer: Vec<u8>,
    /// The cells of a table row, one after the other.
    cells: Vec<u8>,
}

#[derive(Clone, Debug)]
struct PlanScratch {
    found: Vec<Found>,
    tables: Vec<KeyTable>,
}

type Result<T> = core::result::Result<T, DecodeError>;

impl Decoder {
    /// Compiles a checked schema.
    pub fn new(schema: &Schema, limits: Limits) -> Self {
        let mut topics = HashMap::new();
        let mut plans = Vec::new();
        for topic in schema.events.iter().filter_map(|event| event.topic.as_ref()) {
            let Ok(index) = u16::try_from(plans.len()) else { break };
            if !topics.contains_key(topic) {
                topics.insert(topic.clone(), TopicIdx(index));
                plans.push(Plan::new(schema, |event| event.topic.as_ref() == Some(topic)));
            }
        }
        plans.push(Plan::new(schema, |_| true));
        let limits =
            Limits { max_record_bytes: limits.max_record_bytes.min(MAX_RECORD_BYTES), ..limits };
        let fingerprint = xxh3_64(format!("{schema:?}").as_bytes());
        Self { limits, topics, plans, fingerprint }
    }

    /// The index of a topic that some event type arrives on.
    pub fn topic(&self, name: &str) -> Option<TopicIdx> {
        self.topics.get(name).copied()
    }

    /// The bounds in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Decodes a JSON record of a topic.
    ///
    /// Texts of the row refer to `raw` or to the row's arena. After an error the row holds nothing of use.
    ///
    /// # Errors
    /// A stable reason, with the field or the place where there is one.
    ///
    /// # Cost
    /// One pass over the record, whatever the order of its keys.
    pub fn decode(
        &self,
        topic: TopicIdx,
        raw: &[u8],
        scratch: &mut DecodeScratch,
        row: &mut Row,
    ) -> Result<()> {
        self.decode_json(usize::from(topic.0), raw, scratch, row)
    }

    /// Decodes a JSON record of any event type of the schema: the first, in declaration order, whose discriminator fits.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_any(&self, raw: &[u8], scratch: &mut DecodeScratch, row: &mut Row) -> Result<()> {
        self.decode_json(self.plans.len() - 1, raw, scratch, row)
    }

    /// Decodes a row of a table, for a topic or (`None`) any event type: column `name` is the pointer `/name`, an empty
    /// cell is absent, and cells are read as numbers, truth values (`true`, `false`, `1`, `0`) or texts as fields ask.
    ///
    /// All texts of the row lie in its arena; pass an empty record to [`Row::text`].
    ///
    /// # Errors
    /// As [`Decoder::decode`]; the bounds hold for all names and values together.
    pub fn decode_pairs(
        &self,
        topic: Option<TopicIdx>,
        pairs: &[(&str, &str)],
        scratch: &mut DecodeScratch,
        row: &mut Row,
    ) -> Result<()> {
        let index = topic.map_or(self.plans.len() - 1, |topic| usize::from(topic.0));
        scratch.fit(self);
        let DecodeScratch { plans, buffer, cells, .. } = scratch;
        let (Some(plan), Some(places)) = (self.plans.get(index), plans.get_mut(index)) else {
            return Err(DecodeError::record(Reason::UnknownEvent));
        };
        self.check_pairs(pairs)?;
        cells.clear();
        places.found.fill(Found::ABSENT);
        places.find_cells(pairs, cells)?;
        let values = Values {
            bytes: cells,
            borrow: false,
            found: &places.found,
            max_text_bytes: self.limits.max_text_bytes,
        };
        read_event(plan, &values, buffer, row)
    }

    #[inline]
    fn decode_json(
        &self,
        plan_idx: usize,
        raw: &[u8],
        scratch: &mut DecodeScratch,
        row: &mut Row,
    ) -> Result<()> {
        scratch.fit(self);
        let DecodeScratch { plans, log, buffer, .. } = scratch;
        let (Some(plan), Some(places)) = (self.plans.get(plan_idx), plans.get_mut(plan_idx)) else {
            return Err(DecodeError::record(Reason::UnknownEvent));
        };
        self.check_bytes(raw)?;
        places.found.fill(Found::ABSENT);
        let limits =
            ScanLimits { max_depth: self.limits.max_depth, max_keys: self.limits.max_keys };
        let mut walk = Walk {
            scanner: Scanner::new(raw, limits),
            plan,
            tables: &mut places.tables,
            found: &mut places.found,
            log,
            unescaped: buffer,
        };
        if !walk.record()? {
            return Err(DecodeError::record(Reason::NotAnObject));
        }
        let values = Values {
            bytes: raw,
            borrow: true,
            found: &places.found,
            max_text_bytes: self.limits.max_text_bytes,
        };
        read_event(plan, &values, buffer, row)?;
        row.n_never_stored = log.n_never_stored;
        Ok(())
    }

    /// What can be said before parsing.
    #[inline]
    fn check_bytes(&self, raw: &[u8]) -> Result<()> {
        if raw.len() > self.limits.max_record_bytes {
            return Err(DecodeError::record(Reason::TooLarge));
        }
        if raw.first() != Some(&b'{') {
            check_start(raw)?;
        }
        if raw.is_ascii() {
            return Ok(());
        }
        core::str::from_utf8(raw).map(|_| ()).map_err(|error| DecodeError {
            reason: Reason::InvalidUtf8,
            field: None,
            offset: u32::try_from(error.valid_up_to()).ok(),
        })
    }

    fn check_pairs(&self, pairs: &[(&str, &str)]) -> Result<()> {
        let n_bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if n_bytes > self.limits.max_record_bytes {
            return Err(DecodeError::record(Reason::TooLarge));
        }
        if u32::try_from(pairs.len()).map_or(true, |n_keys| n_keys > self.limits.max_keys) {
            return Err(DecodeError::record(Reason::TooManyKeys));
        }
        if pairs.iter().all(|(_, value)| value.is_empty()) {
            return Err(DecodeError::record(Reason::Empty));
        }
        Ok(())
    }
}

/// Records that start with anything but a brace.
#[cold]
fn check_start(raw: &[u8]) -> Result<()> {
    if raw.starts_with(b"\xef\xbb\xbf") {
        return Err(DecodeError { reason: Reason::Bom, field: None, offset: Some(0) });
    }
    if raw.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return Err(DecodeError::record(Reason::Empty));
    }
    Ok(())
}

/// Chooses the event type and reads its fields.
#[inline]
fn read_event(plan: &Plan, values: &Values<'_>, buffer: &mut Vec<u8>, row: &mut Row) -> Result<()> {
    let Some(event) = choose(plan, values, buffer) else {
        return Err(DecodeError::record(Reason::UnknownEvent));
    };
    row.reset(event.id, event.n_slots);
    for field in &event.fields {
        if let Err(Refusal { reason, at }) = coerce::field(field, values, buffer, row) {
            let place = values.borrow && at.kind != FoundKind::Absent;
            let offset = place.then_some(at.start);
            return Err(DecodeError { reason, field: Some(Arc::clone(&field.name)), offset });
        }
    }
    Ok(())
}

/// The first event type whose discriminator fits; one without fits when it is the only one.
#[inline]
fn choose<'p>(plan: &'p Plan, values: &Values<'_>, buffer: &mut Vec<u8>) -> Option<&'p EventPlan> {
    if let [only] = plan.events.as_slice()
        && only.discriminator.is_none()
    {
        return Some(only);
    }
    plan.events.iter().find(|event| {
        let Some((pointer, wanted)) = &event.discriminator else { return false };
        let Some(at) = values.at(*pointer) else { return false };
        let text = matches!(
            at.kind,
            FoundKind::Text | FoundKind::Escaped | FoundKind::Cell | FoundKind::Integer
        );
        text && *values.plain(at, buffer) == **wanted
    })
}

impl DecodeScratch {
    /// Fits the scratch to a decoder; nothing to do when it is the same as before.
    #[inline]
    fn fit(&mut self, decoder: &Decoder) {
        if self.fingerprint != Some(decoder.fingerprint) {
            self.refit(decoder);
        }
    }

    #[cold]
    fn refit(&mut self, decoder: &Decoder) {
        let fresh = |plan: &Plan| PlanScratch {
            found: vec![Found::ABSENT; usize::from(plan.n_pointers)],
            tables: plan.tables(),
        };
        self.plans = decoder.plans.iter().map(fresh).collect();
        self.log.never_store = decoder.plans.first().map(|plan| Arc::clone(&plan.never_store));
        self.fingerprint = Some(decoder.fingerprint);
    }
}

/// The key of a column: the one that followed last time, or looked up.
fn column(table: &mut KeyTable, before: Option<u16>, name: &[u8]) -> Option<u16> {
    let guess = table.guess(before);
    if table.is(guess, name) {
        return Some(guess);
    }
    let key = table.find(name).or_else(|| table.learn(name))?;
    table.learn_order(before, key);
    Some(key)
}

impl PlanScratch {
    /// Notes the cells of the columns that fields read, and copies them.
    fn find_cells(&mut self, pairs: &[(&str, &str)], cells: &mut Vec<u8>) -> Result<()> {
        let Self { found, tables } = self;
        let Some(table) = tables.first_mut() else { return Ok(()) };
        let mut before = None;
        let mut seen = 0_u64;
        for (index, (name, value)) in pairs.iter().enumerate() {
            let key = column(table, before, name.as_bytes());
            let repeated = match key {
                Some(key) if usize::from(key) < MAX_LEARNED => {
                    let repeated = seen >> key & 1 == 1;
                    seen |= 1 << key;
                    repeated
                }
                _ => pairs.iter().take(index).any(|(other, _)| other == name),
            };
            if repeated {
                return Err(DecodeError::record(Reason::DuplicateKey));
            }
            before = key.or(before);
            let pointer = key.and_then(|key| table.key(key)).map_or(NO_NODE, |key| key.pointer);
            let place = found.get_mut(usize::from(pointer));
            if let Some(place) = place.filter(|_| !value.is_empty()) {
                let start = cells.len();
                cells.extend_from_slice(value.as_bytes());
                let [start, end] = [start, cells.len()].map(|n| u32::try_from(n).unwrap_or(0));
                *place = Found { start, end, kind: FoundKind::Cell };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
