//! A hole in the input: records that nobody has any more are missing from the windows.
//!
//! From the first event after the hole until the longest window of the rule set has passed, and the time for which ids are
//! remembered, decisions say so. Decisions on events whose rules ask a list that rules fill say so until the longest time has
//! passed, too, for which a rule puts a member there: a missing record may have put one there.
//!
//! Several partitions may lack records, and each goes on at a time of its own. So the first event after the hole is one per
//! partition; decisions of all say so until that has passed the latest of these, because a key may have events in any.
//! Where a hole is stays known: the next rule set may look further back.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::streams::{ClockId, Placement, Timeliness};
use crate::rules::program::{ActionPlan, EventPlan, ListId, Lookup, Op, Program};

/// Whether windows reach into a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// By the number of the clock: whether its next event is the first after the hole.
    here: Vec<bool>,
    /// The same for clocks that come: their records may be missing as well.
    others: bool,
    /// The youngest record of the hole, or the latest of the first events after it, had this time; what reaches further back
    /// may lack records.
    ///
    /// WHY: kept for good, because a later rule set may look further back than the present one.
    ends_ms: Option<i64>,
}

/// How far back a rule set looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Through windows and remembered ids, ms.
    windows_ms: i64,
    /// Through members that rules put on lists, ms.
    lists_ms: i64,
}

/// What a rule set asks of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    reach: Reach,
    /// By event type: whether its rules ask a list that rules fill.
    reads_lists: Vec<bool>,
}

impl Asked {
    /// What a rule set asks, whose engine remembers ids for so long and takes events that late.
    pub(super) fn of(program: &Program, dedupe_window_ms: i64, lateness_ms: i64) -> Self {
        let windows_ms = longest_window_ms(program).max(dedupe_window_ms);
        // WHY: the first event after the hole may be late, and then what is missing may be that much younger.
        let windows_ms = windows_ms.saturating_add(lateness_ms);
        let fills: Vec<(ListId, i64)> = program.plans.iter().flat_map(filled).collect();
        let own: Vec<bool> = program.plans.iter().map(|plan| reads(plan, &fills)).collect();
        let is_own = |event: usize| own.get(event).copied().unwrap_or(false);
        // WHY: a filter of an aggregate asks when the event comes that is counted.
        let through = |lookup: &Lookup| {
            let table = program.tables.get(usize::from(lookup.table.0));
            table.is_some_and(|table| is_own(usize::from(table.event.0)))
        };
        let reads_lists = program.plans.iter().enumerate();
        let reads_lists =
            reads_lists.map(|(event, plan)| is_own(event) || plan.lookups.iter().any(through));
        let reads_lists: Vec<bool> = reads_lists.collect();
        let lists_ms = fills.iter().map(|(_, for_ms)| *for_ms).max().unwrap_or(0).max(windows_ms);
        Self { reach: Reach { windows_ms, lists_ms }, reads_lists }
    }
}

/// The lists that the rules of an event type fill, and for how long, ms.
fn filled(plan: &EventPlan) -> impl Iterator<Item = (ListId, i64)> + '_ {
    plan.rules.iter().flat_map(|rule| &rule.actions).filter_map(|action| match action {
        ActionPlan::Add { list, for_ms, .. } => Some((*list, *for_ms)),
        _ => None,
    })
}

fn reads(plan: &EventPlan, fills: &[(ListId, i64)]) -> bool {
    let is_filled = |list: ListId| fills.iter().any(|(filled, _)| *filled == list);
    plan.nodes.iter().any(|node| match &node.op {
        Op::InList(_, list) | Op::Given(_, list) => is_filled(*list),
        _ => false,
    })
}

impl Gap {
    /// Records of any partition may be missing before its next one, with event times up to `latest_ms` where that is known;
    /// `n` clocks are known.
    pub(super) fn note(&mut self, n: usize, latest_ms: Option<i64>) {
        self.ends_ms = self.ends_ms.max(latest_ms);
        self.here.clear();
        self.here.resize(n, true);
        self.others = true;
    }

    /// Whether an event's windows reach into the hole. `late_ms`: the time of the latest event that may
    /// still come late, by the clock of the partition furthest behind.
    pub(super) fn touches(
        &mut self,
        (time_ms, clock, event): (i64, ClockId, u16),
        placement: &Placement,
        late_ms: i64,
        asked: &Asked,
    ) -> bool {
        if self.ends_ms.is_none() && !self.others {
            return false;
        }
        let at = clock.0 as usize;
        if self.others && at >= self.here.len() {
            self.here.resize(at + 1, true);
        }
        if let Some(here @ true) = self.here.get_mut(at) {
            // WHY: an event from the future says nothing about where its partition goes on.
            if placement.timeliness != Timeliness::Future {
                *here = false;
                self.ends_ms = self.ends_ms.max(Some(placement.clock_ms));
            }
            return true;
        }
        let Some(ends_ms) = self.ends_ms else { return false };
        let Reach { windows_ms, lists_ms } = asked.reach;
        if late_ms >= ends_ms.saturating_add(lists_ms) {
            // WHY: one that was not heard of until now may still come with a hole of its own; a new one has none.
            self.others = false;
        }
        let reads_lists = asked.reads_lists.get(usize::from(event)).copied().unwrap_or(false);
        let reach_ms = if reads_lists { lists_ms } else { windows_ms };
        // WHY: an event from the future is judged at its own time, but known ids and members are those of its partition's.
        time_ms.min(placement.clock_ms) < ends_ms.saturating_add(reach_ms)
    }

    /// Writes it.
    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.flag(self.others);
        code.flag(self.ends_ms.is_some());
        code.int(self.ends_ms.unwrap_or(0));
        code.count(self.here.len());
        self.here.iter().for_each(|here| code.flag(*here));
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "hole in the input";
        let others = code.flag(WHAT)?;
        let (is_known, ends_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        let n = code.count(1, WHAT)?;
        let here: Vec<bool> = (0..n).map(|_| code.flag(WHAT)).collect::<Result<_, _>>()?;
        Ok(Self { here, others, ends_ms: is_known.then_some(ends_ms) })
    }
}

/// How far back the longest window of a rule set reaches.
fn longest_window_ms(program: &Program) -> i64 {
    let measures = program.tables.iter().flat_map(|table| &table.spec.measures);
    let reach = |span: crate::window::spec::Span| span.length_ms.saturating_add(span.ending_ago_ms);
    measures.map(|measure| reach(measure.window)).max().unwrap_or(0)
}
