//! What people and brokers do around the instances: another rule set in the folder, input that is deleted, a gap that is
//! accepted.

use riskweir::durable::snapshots::examine;
use riskweir::runtime::log::Partition;
use riskweir::runtime::{Reload, RunError};

use super::network::Event;
use super::profile::{MS, S};
use super::world::State;

impl State {
    /// The rule folder has another rule set; instances notice in their time.
    pub(crate) fn change_folder(&mut self, set: usize) {
        self.folder = set;
        self.stats.folders += 1;
        self.note(|| format!("rule set {set} lies in the folder"));
        for slot in 0..self.instances.len() {
            let delay = self.dice.pick(&[1, 20 * MS, 200 * MS, 2 * S]);
            self.at(self.now + delay, Event::LookAtRules(slot));
        }
    }

    /// An instance looks at the rule folder.
    pub(crate) fn look_at_rules(&mut self, slot: usize) {
        let instance = &self.instances[slot];
        if !instance.alive || instance.killed {
            return;
        }
        if instance.paused_until > self.now {
            return self.at(instance.paused_until + 1, Event::LookAtRules(slot));
        }
        let Some(reloader) = instance.reloader.clone() else { return };
        let program = self.workload.sets[self.folder].program.clone();
        let compile = || program.ok_or_else(|| "it does not compile".to_owned());
        let outcome = reloader.take(compile, None);
        self.stats.refused += u64::from(matches!(outcome, Reload::Refused { .. }));
        self.note(|| format!("#{slot} looks at the rule folder: {outcome:?}"));
    }

    /// Starts an instance; with a bad rule set in the folder it does not come up.
    pub(crate) fn start(&mut self, slot: usize) {
        if self.workload.sets[self.folder].program.is_none() {
            self.stats.refused += 1;
            self.note(|| format!("#{slot} does not start: the rule set has errors"));
            return self.at(self.now + S / 2, Event::Start(slot));
        }
        self.starts.push_back(slot);
    }

    /// Somebody mends the rule folder.
    pub(crate) fn mend_folder(&mut self) {
        if self.workload.sets[self.folder].program.is_none() {
            self.change_folder(0);
        }
    }

    /// Whether everybody at work decides by the rule set in the folder; who does not is asked to look again.
    pub(crate) fn follow_folder(&mut self) -> bool {
        let Some(wanted) = self.workload.sets[self.folder].program.clone() else { return false };
        let wanted = wanted.digest.short_hex();
        let behind = |slot: usize| {
            let board = self.instances[slot].board.as_ref();
            let works = self.members.values().any(|member| {
                member.owner.0 == slot && !member.revoking && !member.fetches.is_empty()
            });
            works && board.is_some_and(|board| board.ruleset() != wanted)
        };
        let behind: Vec<usize> = (0..self.instances.len()).filter(|slot| behind(*slot)).collect();
        for slot in &behind {
            if self.now % S < 40 * MS {
                self.look_at_rules(*slot);
            }
        }
        behind.is_empty()
    }

    /// The disk of an instance.
    pub(crate) fn disk_of(&self, slot: usize) -> usize {
        if self.profile.shared_disk { 0 } else { slot }
    }

    fn shard_of(&self, lane: usize) -> (String, Vec<usize>) {
        let layout = &self.broker.layout;
        if !self.profile.by_partition {
            return ("all".to_owned(), (0..layout.n_lanes()).collect());
        }
        let number = layout.place(lane).number;
        let same = |lane: &usize| layout.place(*lane).number == number;
        (format!("p{number}"), (0..layout.n_lanes()).filter(same).collect())
    }

    fn position(&self, lane: usize) -> i64 {
        let committed = self.broker.group.committed.get(&self.broker.layout.place(lane));
        committed.map_or(0, |position| position.offset)
    }

    /// What the newest snapshot that a start could use has seen of a lane; none when there is no such snapshot. Found by
    /// reading them as they lie on the disk.
    fn snapshot_has_seen(&self, disk: usize, lane: usize) -> Option<i64> {
        let (shard, lanes) = self.shard_of(lane);
        let layout = &self.broker.layout;
        let objects = self.disks[disk].snapshots(&shard);
        objects.into_iter().rev().find_map(|bytes| {
            let (header, whole) = examine(bytes);
            let (header, _) = (header?, whole.ok()?);
            let seen = |lane: usize| {
                let Partition { topic, number } = layout.place(lane);
                let mut positions = header.positions.iter();
                let at = positions.find(|at| at.topic == *topic && at.partition == number);
                at.map_or(0, |at| at.next_offset)
            };
            let there = |lane: &usize| {
                let (seen, low) = (seen(*lane), self.broker.inputs[*lane].low);
                let is_there =
                    seen <= self.position(*lane) && seen >= low.min(self.position(*lane));
                is_there && !self.check.outran(*lane, header.epoch, seen)
            };
            lanes.iter().all(there).then(|| seen(lane))
        })
    }

    /// Brokers delete input.
    pub(crate) fn delete_input(&mut self) {
        let n_lanes = self.broker.inputs.len() as u64;
        let lane = usize::try_from(self.dice.below(n_lanes)).unwrap();
        let low = self.broker.inputs[lane].low;
        let most = if self.profile.harsh {
            self.position(lane)
        } else {
            let disks = 0..if self.profile.shared_disk { 1 } else { self.disks.len() };
            disks.map(|disk| self.snapshot_has_seen(disk, lane).unwrap_or(0)).min().unwrap_or(0)
        };
        let Ok(spare @ 1..) = u64::try_from(most - low) else { return };
        let to = low + 1 + i64::try_from(self.dice.below(spare)).unwrap();
        self.broker.inputs[lane].low = to;
        self.stats.deletions += 1;
        self.note(|| format!("input {lane} is deleted before {to}"));
    }

    /// An instance stops because input that it needs is gone: right where no snapshot makes it superfluous. Then somebody
    /// accepts that.
    pub(crate) fn judge_gap(&mut self, slot: usize, error: &RunError) {
        let RunError::InputGone { topic, partition, from, low } = error else { return };
        let lane = self.broker.layout.lane_of(topic, *partition).unwrap();
        let seen = self.snapshot_has_seen(self.disk_of(slot), lane);
        if from >= low || *low > self.broker.inputs[lane].low {
            return self.fail(format!("F9: nothing is gone: {error}"));
        }
        // WHY: a snapshot that the disk did not give may be the one that is needed; the next start reads it.
        if seen.is_some() && self.stats.disk_faults == 0 {
            return self.fail(format!("F9: a snapshot has seen up to {seen:?}: {error}"));
        }
        if seen.is_none() {
            self.stats.gaps += 1;
            (self.accept_gaps, self.check.gaps) = (true, true);
        }
    }
}
