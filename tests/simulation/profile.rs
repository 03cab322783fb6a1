//! What a seed draws before it starts: how large the deployment is, which faults strike and how often.
//!
//! Every fault is off in about half of the seeds, so that rare combinations meet undisturbed code as well.

use riskweir::base::planted::Bug;
use riskweir::config::DeliveryMode;

use super::dice::Dice;

/// One millisecond in microseconds.
pub(crate) const MS: u64 = 1_000;
/// One second in microseconds.
pub(crate) const S: u64 = 1_000_000;

/// See the module. A chance is "one in so many"; 0 is never.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a deployment")]
pub(crate) struct Profile {
    pub(crate) mode: DeliveryMode,
    pub(crate) n_topics: usize,
    pub(crate) n_partitions: usize,
    pub(crate) n_instances: usize,
    /// One engine per partition number, or one for everything.
    pub(crate) by_partition: bool,
    /// One place of snapshots for all instances, or one for each.
    pub(crate) shared_disk: bool,
    /// How often another rule set lies in the folder.
    pub(crate) changes: usize,
    /// Whether people give commands about holds.
    pub(crate) commands: bool,
    /// Input that is deleted, per look around: no more than snapshots have seen, or anything that is committed.
    pub(crate) retention: u64,
    pub(crate) harsh: bool,
    pub(crate) n_records: usize,
    /// Time over which the input is produced.
    pub(crate) span: u64,
    /// Faults strike until then.
    pub(crate) faults_until: u64,
    pub(crate) commit_interval: u64,
    pub(crate) transaction_timeout: u64,
    pub(crate) session: u64,
    pub(crate) heartbeat: u64,
    /// Longest usual way of a request, one way.
    pub(crate) latency: u64,
    pub(crate) room: usize,
    pub(crate) max_in_flight: u64,
    /// Kill at a call into a port.
    pub(crate) crash: u64,
    /// Kill exactly at this call of the first instance's first life.
    pub(crate) crash_at: Option<u64>,
    /// Per look around (50 ms).
    pub(crate) pause: u64,
    pub(crate) cut: u64,
    pub(crate) outage: u64,
    pub(crate) jump: u64,
    pub(crate) stop: u64,
    pub(crate) churn: u64,
    /// Per batch of outputs.
    pub(crate) slow_ack: u64,
    pub(crate) delivery_failure: u64,
    /// Per commit.
    pub(crate) commit_fault: u64,
    /// Per call that waits for an answer.
    pub(crate) call_fault: u64,
    /// Per poll.
    pub(crate) trouble: u64,
    /// Time between snapshots; 0: none are taken.
    pub(crate) snapshots: u64,
    /// Per call to the disk.
    pub(crate) disk_fault: u64,
    /// Per killed process.
    pub(crate) power_loss: u64,
    /// Per ended process.
    pub(crate) rot: u64,
    /// After the last fault, at least so long until an orderly stop: calls without an answer end by themselves.
    pub(crate) quiet: u64,
    /// The mistake that instances make.
    pub(crate) bug: Option<Bug>,
}

impl Profile {
    /// What this seed draws.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let transactional = !dice.one_in(3);
        let n_instances = dice.pick(&[1, 1, 2, 2, 3]);
        let span = dice.pick(&[S / 2, S, 2 * S, 4 * S]);
        let mut maybe = |often: &[u64]| if dice.one_in(2) { 0 } else { dice.pick(often) };
        let faults = [
            maybe(&[100, 400, 1_500, 5_000]),
            maybe(&[20, 60, 150]),
            maybe(&[20, 60, 150]),
            maybe(&[40, 100]),
            maybe(&[10, 50]),
            maybe(&[40, 100]),
            maybe(&[30, 80]),
            maybe(&[4, 20, 60]),
            maybe(&[10, 40, 150]),
            maybe(&[3, 10, 40]),
            maybe(&[3, 10, 40]),
            maybe(&[50, 300]),
            maybe(&[20, 100]),
            maybe(&[1, 2]),
            maybe(&[2, 6]),
            maybe(&[4, 20]),
        ];
        let snapshots = dice.pick(&[0, 50 * MS, 200 * MS, S]);
        // WHY: without snapshots there is no place for rule sets, and a restart knows the present one only.
        let changes = if snapshots > 0 { dice.pick(&[0, 0, 2, 4, 8]) } else { 0 };
        let (n_topics, n_partitions) = (dice.pick(&[1, 1, 2]), dice.pick(&[1, 1, 2, 3, 4]));
        let mode =
            if transactional { DeliveryMode::Transactional } else { DeliveryMode::Idempotent };
        Self {
            mode,
            n_topics,
            n_partitions: if n_topics > 1 { n_partitions.min(3) } else { n_partitions },
            n_instances,
            by_partition: n_instances > 1 || dice.one_in(2),
            // WHY: who takes a partition over must find its rule sets.
            shared_disk: n_instances > 1 && (changes > 0 || dice.one_in(2)),
            changes,
            commands: false,
            retention: if snapshots > 0 { faults[15] } else { 0 },
            harsh: snapshots > 0 && faults[15] > 0 && dice.one_in(2),
            n_records: usize::try_from(10 + dice.below(110)).unwrap(),
            span,
            faults_until: span + dice.pick(&[0, S, 3 * S, 8 * S]),
            commit_interval: dice.pick(&[5, 10, 10, 50]) * MS,
            transaction_timeout: dice.pick(&[4, 8, 15]) * S,
            session: dice.pick(&[2, 6]) * S,
            heartbeat: dice.pick(&[100, 300, 1_000]) * MS,
            latency: dice.pick(&[300, 2 * MS, 2 * MS, 20 * MS]),
            room: dice.pick(&[3, 20, 1_000]),
            max_in_flight: dice.pick(&[2, 10, 50_000]),
            crash: faults[0],
            crash_at: None,
            pause: faults[1],
            cut: faults[2],
            outage: faults[3],
            jump: faults[4],
            stop: faults[5],
            churn: faults[6],
            slow_ack: faults[7],
            delivery_failure: faults[8],
            commit_fault: faults[9],
            call_fault: faults[10],
            trouble: faults[11],
            snapshots,
            disk_fault: faults[12],
            power_loss: faults[13],
            rot: faults[14],
            quiet: 20 * S,
            bug: None,
        }
    }

    /// Whether all outputs of a life are on the topics before the next one looks for them.
    pub(crate) fn shows_outputs(&self) -> bool {
        let late = [self.pause, self.cut, self.outage, self.jump, self.slow_ack, self.churn];
        let lost = [self.delivery_failure, self.call_fault, self.commit_fault, self.trouble];
        self.n_instances == 1 && late.iter().chain(&lost).all(|chance| *chance == 0)
    }

    /// A deployment where nothing goes wrong but that its process is killed, also between two rule sets.
    pub(crate) fn killed(mode: DeliveryMode) -> Self {
        let changes = 12;
        Self { crash: 150, changes, n_records: 60, commit_interval: 50 * MS, ..Self::calm(mode) }
    }

    /// Two instances whose rule set changes all the time while partitions go to and fro: whoever gets one back has warm
    /// windows from before a change, and replays over it.
    pub(crate) fn restless(self) -> Self {
        let (n_instances, n_partitions) = (2, self.n_partitions.max(2));
        let calm =
            Self { n_instances, n_partitions, by_partition: true, shared_disk: true, ..self };
        let (span, faults_until) = (4 * S, 8 * S);
        Self { snapshots: S, changes: 24, churn: 10, n_records: 240, span, faults_until, ..calm }
    }

    /// People give commands, too; no input is deleted before it is seen.
    pub(crate) fn commanded(self) -> Self {
        let n_records = self.n_records.max(60);
        Self { commands: true, n_records, retention: 0, harsh: false, ..self }
    }

    /// A small deployment where nothing goes wrong.
    pub(crate) fn calm(mode: DeliveryMode) -> Self {
        Self {
            mode,
            n_topics: 1,
            n_partitions: 1,
            n_instances: 1,
            by_partition: true,
            shared_disk: false,
            changes: 3,
            commands: false,
            retention: 0,
            harsh: false,
            n_records: 12,
            span: S,
            faults_until: 1_200 * MS,
            commit_interval: 10 * MS,
            transaction_timeout: 8 * S,
            session: 6 * S,
            heartbeat: 300 * MS,
            latency: 2 * MS,
            room: 1_000,
            max_in_flight: 50_000,
            crash: 0,
            crash_at: None,
            pause: 0,
            cut: 0,
            outage: 0,
            jump: 0,
            stop: 0,
            churn: 0,
            slow_ack: 0,
            delivery_failure: 0,
            commit_fault: 0,
            call_fault: 0,
            trouble: 0,
            snapshots: 50 * MS,
            disk_fault: 0,
            power_loss: 0,
            rot: 0,
            quiet: 200 * MS,
            bug: None,
        }
    }

    /// Whether every engine has one lane.
    pub(crate) fn is_single(&self) -> bool {
        !self.commands && self.n_topics == 1 && (self.by_partition || self.n_partitions == 1)
    }

    /// No more faults.
    pub(crate) fn heal(&mut self) {
        for chance in [
            &mut self.crash,
            &mut self.pause,
            &mut self.cut,
            &mut self.outage,
            &mut self.jump,
            &mut self.stop,
            &mut self.churn,
            &mut self.slow_ack,
            &mut self.delivery_failure,
            &mut self.commit_fault,
            &mut self.call_fault,
            &mut self.trouble,
            &mut self.disk_fault,
            &mut self.power_loss,
            &mut self.rot,
            &mut self.retention,
        ] {
            *chance = 0;
        }
    }
}
