//! When the day, week or month of an event began: for windows by the calendar.
//!
//! What was worked out is kept, because most events of a stream lie in the same day; the answers do not depend on it.

use crate::base::{Tag, TextRef, Value};
use crate::rules::eval::code::{Start, ZoneAt};
use crate::rules::eval::zone::Zone;
use crate::rules::eval::{Host, Run};
use crate::rules::program::LookupId;
use crate::window::spec::Period;

/// Most stretches of time and most zones named by events that are kept.
const KEPT: usize = 64;

/// Days, weeks and months worked out before, and zones that events named.
#[derive(Clone, Debug, Default)]
pub(super) struct Calendars {
    stretches: Vec<Stretch>,
    zones: Vec<(Tag, Option<Zone>)>,
    /// Where the next one goes when all places are taken.
    turn: usize,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    zone: Tag,
    period: Period,
    from_ms: i64,
    to_ms: i64,
}

impl Calendars {
    /// The instant before the part of the calendar around an event began.
    fn before(&mut self, zone: &Zone, period: Period, time_ms: i64) -> Option<i64> {
        let around = |held: &&Stretch| {
            held.zone == zone.tag
                && held.period == period
                && (held.from_ms..held.to_ms).contains(&time_ms)
        };
        if let Some(known) = self.stretches.iter().find(around) {
            return Some(known.from_ms - 1);
        }
        let (from_ms, to_ms) = zone.around(time_ms, period)?;
        let stretch = Stretch { zone: zone.tag, period, from_ms, to_ms };
        self.turn = keep(&mut self.stretches, self.turn, stretch);
        from_ms.checked_sub(1)
    }

    /// The zone that a text names.
    fn named(&mut self, text: &[u8]) -> Option<Zone> {
        let tag = Tag::of_text(text);
        if let Some((_, known)) = self.zones.iter().find(|(held, _)| *held == tag) {
            return known.clone();
        }
        let zone = Zone::of_text(text);
        self.turn = keep(&mut self.zones, self.turn, (tag, zone.clone()));
        zone
    }
}

/// Keeps one more, in the place of an older one where all are taken.
fn keep<T>(held: &mut Vec<T>, turn: usize, one: T) -> usize {
    if held.len() < KEPT {
        held.push(one);
        return turn;
    }
    let at = turn % KEPT;
    held[at] = one;
    at + 1
}

impl<H: Host> Run<'_, H> {
    /// The instant before the part of the calendar at which the window of a measure has an end.
    pub(super) fn start_ms(&mut self, lookup: LookupId, index: u16) -> Option<i64> {
        let plan = self.plan;
        let starts = &plan.lookups.get(usize::from(lookup.0))?.starts;
        self.start_of(starts.get(usize::from(index)).copied().flatten()?)
    }

    /// Works out where the windows of a look-up have an end by the calendar.
    pub(super) fn load_starts(&mut self, starts: &[Option<Start>]) {
        let mut known = core::mem::take(&mut self.memo.starts);
        known.clear();
        for start in starts {
            known.push(start.and_then(|start| self.start_of(start)));
        }
        self.memo.starts = known;
    }

    fn start_of(&mut self, Start { period, zone }: Start) -> Option<i64> {
        let plan = self.plan;
        let time_ms = self.row.time_ms;
        match zone {
            ZoneAt::Known(index) => {
                let zone = plan.zones.get(index as usize)?;
                self.memo.calendars.before(zone, period, time_ms)
            }
            ZoneAt::Named(at) => {
                let Value::Text(text) = self.value_at(at) else { return None };
                let zone = self.zone_of(text)?;
                self.memo.calendars.before(&zone, period, time_ms)
            }
        }
    }

    fn zone_of(&mut self, text: TextRef) -> Option<Zone> {
        let (row, raw) = (self.row, self.raw);
        self.memo.calendars.named(row.text(raw, text))
    }
}
