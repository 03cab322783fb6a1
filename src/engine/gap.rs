//! A hole in the input: records that nobody has any more are missing from the windows.
//!
//! From the first event after the hole until the longest window of the rule set has passed, and the time for which ids are
//! remembered, decisions say so. Decisions on events whose rules ask a list that rules fill say so until the longest time has
//! passed, too, for which a rule puts a member there: a missing record may have put one there. Decisions on events of a type
//! that models score say so until the models hold nothing of that time any more.
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

/// What a rule set asks of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// By event type: how far back its rules look, through windows, remembered ids, members that rules put on lists, and
    /// models; ms.
    reach_ms: Vec<i64>,
    /// The longest of them, and of what rules fill lists for, whether or not a rule asks these; ms.
    longest_ms: i64,
}

impl Asked {
    /// What a rule set asks, whose engine remembers ids for so long and takes events that late.
    pub(super) fn of(program: &Program, dedupe_window_ms: i64, lateness_ms: i64) -> Self {
        // WHY: the first event after the hole may be late, and then what is missing may be that much younger.
        let late = |ms: i64| ms.saturating_add(lateness_ms);
        let windows_ms = late(longest_window_ms(program).max(dedupe_window_ms));
        let fills: Vec<(ListId, i64)> = program.plans.iter().flat_map(filled).collect();
        let own: Vec<bool> = program.plans.iter().map(|plan| reads(plan, &fills)).collect();
        let is_own = |event: usize| own.get(event).copied().unwrap_or(false);
        // WHY: a filter of an aggregate asks when the event comes that is counted.
        let through = |lookup: &Lookup| {
            let table = program.tables.get(usize::from(lookup.table.0));
            table.is_some_and(|table| is_own(usize::from(table.event.0)))
        };
        let lists_ms = fills.iter().map(|(_, for_ms)| *for_ms).max().unwrap_or(0);
        let reach_ms = program.plans.iter().enumerate().map(|(event, plan)| {
            let reads_lists = is_own(event) || plan.lookups.iter().any(through);
            let lists_ms = if reads_lists { lists_ms } else { 0 };
            windows_ms.max(lists_ms).max(late(models_ms(program, plan)))
        });
        let reach_ms: Vec<i64> = reach_ms.collect();
        let longest_ms = reach_ms.iter().copied().chain([windows_ms, lists_ms]).max();
        let longest_ms = longest_ms.unwrap_or(windows_ms);
        Self { reach_ms, longest_ms }
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
        if late_ms >= ends_ms.saturating_add(asked.longest_ms) {
            // WHY: one that was not heard of until now may still come with a hole of its own; a new one has none.
            self.others = false;
        }
        let reach_ms = asked.reach_ms.get(usize::from(event)).copied().unwrap_or(asked.longest_ms);
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
    measures.map(|measure| measure.window.reach_ms()).max().unwrap_or(0)
}

/// How long the models of an event type hold an event, ms.
fn models_ms(program: &Program, plan: &EventPlan) -> i64 {
    let models = plan.models.iter();
    let models = models.filter_map(|(id, _)| program.models.get(usize::from(id.0)));
    models.map(|model| model.made_of.kept_ms()).max().unwrap_or(0)
}
