//! The whole state of an engine, written in parts while it goes on deciding.
//!
//! A snapshot is a sequence of sections `(kind, number, length, payload)`. A part is any number of whole sections; whoever
//! stores parts may cut them anywhere, for the reader puts sections together again. The
//! first section tells what the reader must know: version, rule set, tables and all that is small. The others carry
//! the cells of one store each, and may come interleaved.
//!
//! INVARIANT: what is written is the state at `begin_snapshot`, whatever is stepped between the parts, and taking a
//! snapshot changes no decision.
//!
//! Every field of [`Engine`], and where it is saved:
//!
//! - `setup`, `decoder`, `topics`: made of the rule set and the settings; their digests are in the head.
//! - `commands`: a setting; whoever restores says it again ([`Engine::take_commands_from`]).
//! - `sources`; `remembered.clocks`, `counters`, `trail`, `gap`, `breakers`, `chains`: in the head.
//! - `remembered.memory`: `tables` and `models` in sections of their own, `evictions` and `advances` in the head; `identities` and
//!   the plans (`reads`, `stored`, `places`) are made of the rule set; what models tallied is of the process alone.
//! - `remembered.lists`: files are made of the rule set; what rules changed, and until when members were forgotten, is
//!   saved.
//! - `remembered.snoozes`: in the head; there are few.
//! - `remembered.seen`, `repeats`, `episodes`, `holds`, `labels`: in sections of their own; what is small of labels in the head.
//! - `saving`, `work`, `scratch`, `row`: mean nothing between records.
//!
//! # Cost
//! Beginning: one bit per key, and the descriptions of the tables. A part: about its budget in bytes, and whatever
//! changed since the part before (written once); a busy key is written whole. So a part has no upper bound: where many busy
//! keys change between two parts, all of them are in it.

use crate::base::codec::Encoder;
use crate::engine::counters::{Counters, RuleCounters};
use crate::engine::memory::Passed;
use crate::engine::step::{Engine, Remembered};

/// The first bytes of a snapshot.
pub(super) const MAGIC: &[u8; 8] = b"RISKWEIR";

/// The form in which this engine writes snapshots, and the only one that it reads.
pub const SNAPSHOT_VERSION: u32 = 12;

/// Kinds of sections.
pub(super) mod kind {
    pub(crate) const HEAD: u8 = 1;
    pub(crate) const TABLE_SIDE: u8 = 2;
    pub(crate) const TABLE: u8 = 3;
    pub(crate) const SEEN: u8 = 4;
    pub(crate) const REPEATS: u8 = 5;
    pub(crate) const LISTS: u8 = 6;
    pub(crate) const EPISODES: u8 = 7;
    pub(crate) const HOLDS: u8 = 8;
    pub(crate) const END: u8 = 9;
    pub(crate) const MODEL: u8 = 10;
    pub(crate) const LABELS: u8 = 11;
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// There is more to write.
    More,
    /// All is written.
    Complete,
    /// None was begun.
    NotBegun,
}

/// A snapshot that is being taken.
#[derive(Debug)]
pub(super) struct Saving {
    /// The first section, until it is written.
    head: Vec<u8>,
    stage: Stage,
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Table(usize),
    Seen,
    Repeats,
    Lists,
    Episodes,
    Holds,
    Models,
    Labels,
    End,
}

impl Engine {
    /// Begins a snapshot of the state as it is now; one that was being taken is given up.
    pub fn begin_snapshot(&mut self) {
        let mut head = Vec::new();
        self.write_head(&mut Encoder::new(&mut head));
        let Remembered { repeats, lists, holds, episodes, .. } = &mut self.remembered;
        repeats.begin_save();
        lists.begin_save();
        holds.begin_save();
        episodes.begin_save();
        self.saving = Some(Saving { head, stage: Stage::Table(0) });
    }

    /// Appends the next part, of about `budget_bytes`, to `out`. Records may be stepped between the parts.
    pub fn snapshot_part(&mut self, budget_bytes: usize, out: &mut Vec<u8>) -> SnapshotStatus {
        let Some(Saving { head, mut stage }) = self.saving.take() else {
            return SnapshotStatus::NotBegun;
        };
        let end = out.len().saturating_add(budget_bytes.max(1));
        if !head.is_empty() {
            section(out, kind::HEAD, 0, |code| code.raw(&head));
        }
        self.write_sides(out);
        while stage != Stage::End && out.len() < end {
            let budget = end - out.len();
            stage = self.write_stage(stage, budget, out);
        }
        if stage == Stage::End {
            let digest = self.remembered.trail.digest();
            section(out, kind::END, 0, |code| code.word(digest));
            self.abandon_snapshot();
            return SnapshotStatus::Complete;
        }
        self.saving = Some(Saving { head: Vec::new(), stage });
        SnapshotStatus::More
    }

    /// Gives a snapshot up that is being taken.
    pub fn abandon_snapshot(&mut self) {
        self.saving = None;
        let Remembered { memory, seen, repeats, lists, holds, episodes, labels, .. } =
            &mut self.remembered;
        labels.end_save();
        memory.tables_mut().iter_mut().for_each(crate::state::Table::end_save);
        memory.models_mut().end_save();
        seen.end_save();
        repeats.end_save();
        lists.end_save();
        holds.end_save();
        episodes.end_save();
    }

    /// What changed ahead of its turn.
    fn write_sides(&mut self, out: &mut Vec<u8>) {
        let Remembered { memory, lists, holds, episodes, .. } = &mut self.remembered;
        for (number, table) in (0_u64..).zip(memory.tables_mut()) {
            for side in table.save_side() {
                section(out, kind::TABLE_SIDE, number, |code| code.raw(&side));
            }
        }
        section(out, kind::LISTS, 0, |code| lists.save_side(code));
        section(out, kind::EPISODES, 0, |code| episodes.save_side(code));
        section(out, kind::HOLDS, 0, |code| holds.save_side(code));
    }

    fn write_stage(&mut self, stage: Stage, budget: usize, out: &mut Vec<u8>) -> Stage {
        let Remembered { memory, seen, repeats, lists, holds, episodes, labels, .. } =
            &mut self.remembered;
        let mut complete = true;
        let next = match stage {
            Stage::Table(number) => {
                let Some(table) = memory.tables_mut().get_mut(number) else { return Stage::Seen };
                section(out, kind::TABLE, number as u64, |code| {
                    complete = table.save_part(budget, code);
                });
                Stage::Table(number + 1)
            }
            Stage::Seen => {
                section(out, kind::SEEN, 0, |code| complete = seen.save_part(budget, code));
                Stage::Repeats
            }
            Stage::Repeats => {
                section(out, kind::REPEATS, 0, |code| complete = repeats.save_part(budget, code));
                Stage::Lists
            }
            Stage::Lists => {
                section(out, kind::LISTS, 0, |code| complete = lists.save_part(budget, code));
                Stage::Episodes
            }
            Stage::Episodes => {
                section(out, kind::EPISODES, 0, |code| complete = episodes.save_part(budget, code));
                Stage::Holds
            }
            Stage::Holds => {
                section(out, kind::HOLDS, 0, |code| complete = holds.save_part(budget, code));
                Stage::Models
            }
            Stage::Models => {
                let Some(number) = memory.models().next_saved() else { return Stage::Labels };
                let models = memory.models_mut();
                section(out, kind::MODEL, number as u64, |code| models.save_piece(code));
                Stage::Models
            }
            Stage::Labels => {
                section(out, kind::LABELS, 0, |code| complete = labels.save_part(budget, code));
                Stage::End
            }
            Stage::End => Stage::End,
        };
        if complete { next } else { stage }
    }

    fn write_head(&mut self, code: &mut Encoder<'_>) {
        code.raw(MAGIC);
        code.var(u64::from(SNAPSHOT_VERSION));
        code.text(env!("CARGO_PKG_VERSION"));
        code.raw(&self.setup.program.digest.0);
        code.raw(&self.setup.options.digest().0);
        code.int(self.setup.options.allowed_lateness_ms);
        code.var(u64::from(self.setup.options.exact_events_per_key));
        let Remembered {
            clocks,
            memory,
            lists,
            seen,
            repeats,
            holds,
            episodes,
            counters,
            trail,
            gap,
            breakers,
            labels,
            snoozes,
            chains,
        } = &mut self.remembered;
        code.count(clocks.all().len());
        for clock in clocks.all() {
            code.flag(clock.now_ms.is_some());
            code.int(clock.now_ms.unwrap_or(0));
            code.int(clock.began_ms);
            code.int(clock.heard_ms);
            code.var(clock.heard_at);
        }
        code.count(self.sources.len());
        for source in &self.sources {
            code.text(&source.topic);
            code.int(i64::from(source.partition));
            code.var(u64::from(source.clock.0));
        }
        code.word(trail.digest());
        gap.save(code);
        let Passed { evictions, advances } = memory.passed();
        code.var(evictions);
        code.var(advances);
        let program = &self.setup.program;
        write_counters(counters, program.rules.iter().map(|rule| rule.name.as_str()), code);
        breakers.save(code);
        snoozes.save(code);
        chains.save(code);
        code.count(program.lists.len());
        program.lists.iter().for_each(|list| code.text(&list.name));
        code.flag(lists.expired_ms().is_some());
        code.int(lists.expired_ms().unwrap_or(0));
        code.flag(repeats.lost_answers());
        for n in [lists.edits().len(), repeats.len(), episodes.n_saved(), holds.n_saved()] {
            code.count(n);
        }
        seen.begin_save(code);
        let identities = memory.identities().to_vec();
        code.count(identities.len());
        for (identity, table) in identities.iter().zip(memory.tables_mut()) {
            identity.save(table.spec(), code);
            table.begin_save(code);
        }
        memory.models_mut().begin_save(code);
        labels.begin_save(code);
    }
}

/// Appends a section, unless there is nothing in it.
fn section(out: &mut Vec<u8>, kind: u8, number: u64, write: impl FnOnce(&mut Encoder<'_>)) {
    let begin = out.len();
    let mut code = Encoder::new(out);
    code.byte(kind);
    code.var(number);
    let head = code.len() + size_of::<u64>();
    code.framed(write);
    if out.len() == head {
        out.truncate(begin);
    }
}

fn write_counters<'a>(
    counters: &Counters,
    rules: impl Iterator<Item = &'a str>,
    code: &mut Encoder<'_>,
) {
    for count in scalars(counters) {
        code.var(count);
    }
    code.count(counters.dead_letters.len());
    for (reason, count) in &counters.dead_letters {
        code.text(reason);
        code.var(*count);
    }
    for named in [&counters.mapping_errors, &counters.never_stored] {
        code.count(named.len());
        for (name, count) in named {
            code.text(name);
            code.var(*count);
        }
    }
    code.count(counters.rules.len());
    for (name, rule) in rules.zip(&counters.rules) {
        code.text(name);
        let RuleCounters {
            hits,
            alerts,
            thinned,
            undecided,
            exempt,
            snoozed,
            holds,
            blocks,
            amounts,
        } = rule;
        for count in [hits, alerts, thinned, undecided, exempt, snoozed, holds, blocks] {
            code.var(*count);
        }
        amounts.save(code);
    }
}

/// The counters that are plain numbers, in the order in which they are saved.
fn scalars(counters: &Counters) -> impl Iterator<Item = u64> {
    let Counters {
        read,
        outcomes,
        dead_letters: _,
        mapping_errors: _,
        never_stored: _,
        rules: _,
        late,
        too_late,
        future,
        duplicates,
        id_reuse,
        alerts,
        holds,
        hold_ages,
        episode_ends,
        commands,
        answers,
        evictions,
        breaker_trips,
        ids_cut_short,
        episodes_cut_short,
        list_changes_refused,
        overflows,
    } = counters;
    let others = [
        *late,
        *too_late,
        *future,
        *duplicates,
        *id_reuse,
        *alerts,
        *evictions,
        *breaker_trips,
        *ids_cut_short,
        *episodes_cut_short,
        *list_changes_refused,
        *overflows,
    ];
    let ages = hold_ages.iter().flat_map(|ages| ages.counts.into_iter().chain([ages.sum_ms]));
    core::iter::once(*read)
        .chain(*outcomes)
        .chain(*holds)
        .chain(ages)
        .chain(*episode_ends)
        .chain(*commands)
        .chain(*answers)
        .chain(others)
}
