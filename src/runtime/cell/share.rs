//! Which share of the partitions a cell may work with: a rule set whose keys do not follow the partition needs all of them.

use crate::runtime::Views;
use crate::runtime::cell::{Cell, SETTLE};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{Log, Partition, Source as _};
use crate::runtime::port::{Engines, Spread};
use crate::telemetry::happening;

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// A topic has more partitions than at the start: keys may come to other partitions than those that know them.
    pub(super) fn look_for_growth(&mut self, offsets: &[(Partition, Option<i64>)]) {
        let numbers = offsets.iter().map(|(partition, _)| partition.number);
        let most =
            numbers.max().and_then(|last| u32::try_from(last).ok()).map_or(0, |last| last + 1);
        if most > self.n_shares {
            happening::PartitionsGrew { before: self.n_shares, now: most }.emit();
            self.engines.share(most);
            self.n_shares = most;
        }
    }

    /// Whether the rule set lets this instance work with so many partitions. If not, they stay unread: an instance that
    /// had all of them waits until it has them again; another one waits for a session, because a process that died has
    /// its share so long, and ends then.
    pub(super) fn may_have(
        &mut self,
        n_ours: usize,
        offsets: &[(Partition, Option<i64>)],
    ) -> Result<bool, RunError> {
        let Spread::Whole { who, key } = self.engines.spread() else { return Ok(true) };
        let n_all = self.n_partitions_of_all()?;
        if n_ours as u64 >= n_all {
            (self.had_all, self.lacks_since) = (true, None);
            return Ok(true);
        }
        let error = RunError::NeedsAllPartitions { who, key };
        if !self.had_all {
            self.lacks_since = Some(self.world.clock.now());
        }
        happening::PartitionsAwaited { code: error.code().0, error: &error.to_string() }.emit();
        self.source.assign(offsets)?;
        self.source.pause()?;
        self.paused = true;
        Ok(false)
    }

    /// Ends the run when a session has passed since this instance got fewer partitions than it needs: by then a process
    /// that died has lost its share.
    pub(super) fn mind_lack(&mut self) -> Result<(), RunError> {
        let limit = self.config.kafka.session_timeout + SETTLE;
        let Some(since) = self.lacks_since else { return Ok(()) };
        if self.world.clock.now().saturating_sub(since) < limit {
            return Ok(());
        }
        match self.engines.spread() {
            Spread::Whole { who, key } => Err(RunError::NeedsAllPartitions { who, key }),
            Spread::ByPartition | Spread::Anyhow => Ok(()),
        }
    }

    /// The partitions of all input topics together.
    fn n_partitions_of_all(&self) -> Result<u64, RunError> {
        let mut n = 0;
        for topic in self.inputs {
            n += u64::from(self.ask_partitions(topic)?);
        }
        Ok(n)
    }

    /// How many partitions each of the topics has.
    ///
    /// WHY: what concerns one key must have one number in all of them. With more partitions in one topic a payment would be held
    /// by one shard and its release be read by another, which knows no such hold.
    pub(super) fn n_partitions_of_each(&self) -> Result<u32, RunError> {
        let mut topics = Vec::with_capacity(self.inputs.len());
        for topic in self.inputs {
            topics.push((topic.clone(), self.ask_partitions(topic)?));
        }
        let first = topics.first().map_or(1, |(_, n)| *n);
        if topics.iter().any(|(_, n)| *n != first) {
            return Err(RunError::UnevenTopics { topics });
        }
        Ok(first.max(1))
    }

    fn ask_partitions(&self, topic: &str) -> Result<u32, RunError> {
        let Views { health, stop, .. } = self.views;
        loop {
            health.tick();
            match self.source.n_partitions(topic, self.config.call_timeout()) {
                Ok(n) => return Ok(n),
                Err(error) => {
                    let attempted = "ask for the partitions of a topic";
                    let (code, text) = (error.code.as_str(), error.text.as_str());
                    happening::KafkaTrouble { attempted, code, error: text }.emit();
                    if stop.requested() {
                        return Err(RunError::Fatal { reason: error.text, stage: Stage::Receive });
                    }
                }
            }
        }
    }
}
