//! What every record about one event says of it: names, times, ids, written once.

use crate::base::amount::format_minor;
use crate::base::time::TimeText;
use crate::base::{Digest, EntityKey, TextRef};
use crate::decision::holds::HoldKey;
use crate::decision::wire::{EventRef, SourceRef};
use crate::engine::port::Input;
use crate::engine::step::{Decoded, Setup, Shape};
use crate::engine::streams::Source;
use crate::engine::turn::Standing;
use crate::event::schema::{EventType, FieldType, SlotId};
use crate::rules::eval::explain::SENSITIVE;
use crate::rules::program::{HoldBound, HoldBounds};

/// The event as its records name it. Ids are made on demand: a quiet event whose decision is not written costs none.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) setup: &'a Setup,
    pub(super) decoded: Decoded<'a>,
    pub(super) event: &'a EventType,
    pub(super) shape: &'a Shape,
    pub(super) decision_id: String,
    /// The event's time, or where it comes from the future, its partition's clock.
    pub(super) now_ms: i64,
    body_digest: u64,
    id: &'a str,
    time: TimeText,
    topic: &'a str,
    partition: i32,
    offset: i64,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        source: &'a Source,
        input: &Input<'_>,
        decoded: Decoded<'a>,
        standing: &Standing,
    ) -> Self {
        let event = setup.program.schema.event(decoded.row.event());
        let shape = &setup.shapes[usize::from(decoded.row.event)];
        let id = text(decoded, shape.id);
        let parts: [&[u8]; 5] = [
            b"decision",
            event.name.as_bytes(),
            id.as_bytes(),
            &standing.body_digest.to_le_bytes(),
            setup.ruleset.as_bytes(),
        ];
        Self {
            setup,
            decoded,
            event,
            shape,
            decision_id: Digest::of_parts(&parts).short_hex(),
            now_ms: standing.now_ms(decoded),
            body_digest: standing.body_digest,
            id,
            time: TimeText::of(decoded.row.time_ms),
            topic: &source.topic,
            partition: source.partition,
            offset: input.offset,
        }
    }

    pub(super) fn event_ref(&self) -> EventRef<'_> {
        EventRef { id: self.id, event_type: &self.event.name, time: self.time.as_str() }
    }

    pub(super) fn source_ref(&self) -> SourceRef<'_> {
        SourceRef { topic: self.topic, partition: self.partition, offset: self.offset }
    }

    pub(super) fn event_id(&self) -> &'a str {
        self.id
    }

    /// Key of the output records: the event's first key, so that what concerns it stays in one partition.
    pub(super) fn output_key(&self) -> &'a [u8] {
        let outlet = text(self.decoded, self.shape.outlet);
        if outlet.is_empty() { self.id.as_bytes() } else { outlet.as_bytes() }
    }

    /// What a payment is held under, so that it has one open hold: event type, event id and body.
    ///
    /// WHY: with the body. An id that is used again is another payment. It must not inherit the deadline of the first,
    /// which may be a minute away, nor pass for a repeat with readers of holds, who leave out what they know.
    pub(super) fn hold_key(&self) -> HoldKey {
        let body = self.body_digest.to_le_bytes();
        let parts = [self.event.name.as_bytes(), self.id.as_bytes(), &body];
        EntityKey::combine(&parts.map(EntityKey::of_text))
    }

    /// The id of the hold of this payment, made of the same.
    pub(super) fn hold_id(&self) -> String {
        let (name, id) = (self.event.name.as_bytes(), self.id.as_bytes());
        let (body, now) = (self.body_digest.to_le_bytes(), self.now_ms.to_le_bytes());
        let parts: [&[u8]; 5] = [b"hold", name, id, &body, &now];
        // WHY: an event from the future is held by the clock of its partition. If it comes again when its id is forgotten, that
        // is another hold, with another deadline.
        let n_parts = if self.now_ms == self.decoded.row.time_ms { 4 } else { 5 };
        Digest::of_parts(&parts[..n_parts]).short_hex()
    }

    /// The alert of a rule (or band) about this event. A rule that alerts more than once says about what.
    pub(super) fn alert_id(&self, rule: &str, about: &str) -> String {
        let about = Some(about.as_bytes()).filter(|about| !about.is_empty());
        let parts: Vec<&[u8]> = [b"alert", rule.as_bytes(), self.decision_id.as_bytes()]
            .into_iter()
            .chain(about)
            .collect();
        Digest::of_parts(&parts).short_hex()
    }

    /// What its type says about how long such an event may be held, if it says something.
    pub(super) fn hold_bound(&self) -> Option<(&'a HoldBounds, &'a HoldBound)> {
        let bounds = &self.setup.program.hold_bounds;
        let bounds = bounds.get(usize::from(self.decoded.row.event))?;
        let slot = bounds.by.map(|by| self.event.field(by).slot);
        Some((bounds, bounds.of(slot.and_then(|slot| self.decoded.row.get(slot)))?))
    }

    /// The event's first amount as decimal text, and its currency.
    pub(super) fn amount(&self) -> Option<(String, String)> {
        let (minor, currency) = self.shape.amount_of(self.decoded.row)?;
        Some((format_minor(minor, currency.minor_digits()), currency.to_string()))
    }

    /// Name and text of a key slot that is somebody, when present; of a sensitive one nothing but the name.
    pub(super) fn entity(&self, slot: SlotId) -> Option<(&'a str, &'a str)> {
        let field = self.event.fields.iter().find(|field| field.slot == slot)?;
        if !matches!(field.ty, FieldType::Text | FieldType::Ip | FieldType::Entity(_)) {
            return None;
        }
        let shown =
            || field.sensitive.as_ref().map_or_else(|| text(self.decoded, slot), |_| SENSITIVE);
        self.decoded.row.has(slot).then(|| (field.name.as_str(), shown()))
    }
}

/// The text in a slot; empty when absent. Texts are UTF-8 by construction.
pub(super) fn text(decoded: Decoded<'_>, slot: SlotId) -> &str {
    let reference = decoded.row.get(slot).map(TextRef);
    let bytes = reference.map(|reference| decoded.row.text(decoded.raw, reference));
    bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}
