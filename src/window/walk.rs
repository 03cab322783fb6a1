//! What looks back from the newest entry of a window: windows by number, and runs.
//!
//! The newest entries are counted off first, whatever their filters say, then the filter looks at those. A run goes back
//! until an entry does not pass. In either case what is older does not matter, so the answer is complete as soon as the
//! entries that were looked at are known, however far the window reaches.
//!
//! Cost: two searches for the ends of the window, then the entries that are looked at; a run in a log is found by a tree.

use crate::window::layout::Layout;
use crate::window::plan::{Asked, ReadPlan};
use crate::window::scan::{Asking, Fold, Scratch, first_after};
use crate::window::spec::{Coverage, MeasureKind, ReadValue, Reading};

/// The entries of a key that are kept one by one.
pub(crate) struct Walked<'a> {
    pub(crate) run: &'a [u64],
    pub(crate) layout: &'a Layout,
    /// Older entries are held in slices, up to this time.
    pub(crate) spilled_until_ms: Option<i64>,
    /// Finds the latest of the entries in a range that does not pass a filter.
    pub(crate) failing: &'a dyn Fn(core::ops::Range<usize>, u64) -> Option<usize>,
}

/// What a measure looks at.
struct Stretch {
    /// The entries `far..near`.
    near: usize,
    far: usize,
    /// All entries after this time matter, and none before.
    after_ms: i64,
    /// Older entries would have been looked at, had there been any.
    open: bool,
}

impl Walked<'_> {
    /// Answers the measures of `plan` that look back from the newest entry: values and coverage.
    pub(crate) fn read(
        &self,
        plan: &ReadPlan,
        asking: &Asking<'_>,
        scratch: &mut Scratch,
        out: &mut [Reading],
    ) {
        if plan.walks.is_empty() {
            return;
        }
        scratch.positions.resize(plan.n_edges(), 0);
        for walk in &plan.walks {
            let asked = &plan.asked[walk.asked];
            let mut stretch = self.stretch(asked, asking, walk.asked);
            let Some(reading) = out.get_mut(walk.asked) else { continue };
            if asked.kind == MeasureKind::Run {
                let length = self.run_length(asked, asking, &mut stretch);
                reading.value = ReadValue::Int(i128::from(length));
            }
            reading.coverage = self.coverage(asked, asking, &stretch);
            scratch.positions.extend([stretch.near, stretch.far]);
        }
        for walk in &plan.walks {
            let (run, layout) = (self.run, self.layout);
            Fold { run, layout, plan, series: &walk.series, asking }.answer(scratch, out);
        }
    }

    fn stretch(&self, asked: &Asked, asking: &Asking<'_>, index: usize) -> Stretch {
        let (start_ms, end_ms) = asked.bounds_ms(asking.time_ms, asking.starts, index);
        let near = first_after(self.run, self.layout, end_ms);
        let first = first_after(self.run, self.layout, start_ms).min(near);
        let own = usize::from(asked.with_own && asking.own.is_some());
        let room = asked.newest.map(|newest| newest.saturating_sub(own));
        match room {
            Some(room) if near - first >= room => {
                let far = near - room;
                let after_ms = if room == 0 { end_ms } else { self.just_before(far) };
                Stretch { near, far, after_ms, open: false }
            }
            _ => Stretch { near, far: first, after_ms: start_ms, open: true },
        }
    }

    /// How long the run is; the stretch then says what it rests on.
    fn run_length(&self, asked: &Asked, asking: &Asking<'_>, stretch: &mut Stretch) -> u64 {
        let own = asking.own.filter(|_| asked.with_own);
        if own.is_some_and(|own| asked.mask != 0 && own.filters & asked.mask == 0) {
            *stretch = Stretch {
                near: stretch.near,
                far: stretch.near,
                after_ms: asking.time_ms,
                open: false,
            };
            return 0;
        }
        let failing = if asked.mask == 0 {
            None
        } else {
            (self.failing)(stretch.far..stretch.near, asked.mask)
        };
        if let Some(at) = failing {
            stretch.far = at + 1;
            stretch.after_ms = self.just_before(at);
            stretch.open = false;
        }
        (stretch.near - stretch.far) as u64 + u64::from(own.is_some())
    }

    /// The instant before that of an entry.
    fn just_before(&self, at: usize) -> i64 {
        self.layout.time_at(self.run, at).saturating_sub(1)
    }

    fn coverage(&self, asked: &Asked, asking: &Asking<'_>, stretch: &Stretch) -> Coverage {
        let in_slices = |until_ms: i64| stretch.open && stretch.after_ms < until_ms;
        if self.spilled_until_ms.is_some_and(in_slices) {
            return Coverage::Capped;
        }
        asking.known.coverage(asked, stretch.after_ms)
    }
}
