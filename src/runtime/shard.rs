//! A shard: one engine and the input partitions whose records it takes.
//!
//! By default one shard has all partitions of the instance, so that every key of a rule lies in one place. A rule set
//! whose keys all follow the partition can have one shard per partition number, which moves between instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Snapshot;
use crate::durable::Job;
use crate::runtime::World;
use crate::runtime::checkpoint::{Checkpoints, Standing};
use crate::runtime::clock::Clock;
use crate::runtime::delivery::Place;
use crate::runtime::epochs::{Epoch, Epochs, Fill};
use crate::runtime::error::RunError;
use crate::runtime::log::Partition;
use crate::runtime::port::{ActivationReport, Engines, Output, OutputTopic, Step};
use crate::telemetry::happening;

/// How an audit record begins that announces a rule set.
const ANNOUNCEMENT: &[u8] = br#"{"schema":"riskweir.audit.v1","kind":"ruleset_active","#;

/// The shard that has all partitions.
pub(crate) const WHOLE: &str = "all";

/// The name of the shard that has a partition.
pub(crate) fn shard_name(by_partition: bool, partition: &Partition) -> String {
    if by_partition { format!("p{}", partition.number) } else { WHOLE.to_owned() }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shard<S> {
    /// Its name: that of its snapshots.
    pub(crate) name: Arc<str>,
    /// What decides.
    pub(crate) engine: S,
    /// Identity of the rule set that the engine decides by, and the epoch.
    pub(crate) ruleset: String,
    pub(crate) epoch: u64,
    /// The latest epochs.
    pub(crate) epochs: Epochs,
    /// What the engine holds: of every partition that it ever took records of, the next offset.
    pub(crate) applied: BTreeMap<Partition, i64>,
    /// By what the log is known again at some offset of a partition, the latest one where that is known.
    pub(crate) known: BTreeMap<Partition, Known>,
    /// When what the engine began with was saved, in ms since 1970: the rest it took later. 0 where it began empty.
    pub(crate) saved_at_ms: i64,
    /// The record that the engine stepped last, since it has these partitions.
    pub(crate) latest: Option<Place>,
    /// Its snapshots, where any are taken.
    pub(crate) checkpoints: Option<Checkpoints>,
    /// The rule set that is being kept beside the snapshots, and the last one that was.
    pub(crate) keeping: Option<String>,
    pub(crate) kept: Option<String>,
    /// The rule set of which it was looked whether it can still be read there.
    pub(crate) looked: Option<String>,
    /// The rule set that is being kept again, and what was wrong with its file.
    pub(crate) again: Option<(String, String)>,
}

/// A record that a partition had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The offset after it.
    pub(crate) next: i64,
    /// Its fingerprint.
    pub(crate) record: u64,
}

/// Whether a rule set may become active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// Yes.
    Yes,
    /// Not now; ask again.
    NotYet,
    /// No, and why.
    No(String),
}

impl<S: Step> Shard<S> {
    /// A shard whose engine, of this rule set, holds nothing yet.
    pub(crate) fn new(
        name: &str,
        (engine, ruleset): (S, String),
        checkpoints: Option<Checkpoints>,
    ) -> Self {
        Self {
            name: name.into(),
            engine,
            ruleset,
            epoch: 0,
            epochs: Epochs::default(),
            applied: BTreeMap::new(),
            known: BTreeMap::new(),
            saved_at_ms: 0,
            latest: None,
            checkpoints,
            keeping: None,
            kept: None,
            looked: None,
            again: None,
        }
    }

    /// Takes another engine, of this rule set and epoch, which holds the records before these offsets.
    pub(crate) fn replace(
        &mut self,
        engine: S,
        (ruleset, epoch): (String, u64),
        applied: BTreeMap<Partition, i64>,
    ) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.abandon(&mut self.engine);
        }
        (self.engine, self.applied) = (engine, applied);
        (self.ruleset, self.epoch, self.saved_at_ms) = (ruleset, epoch, 0);
        self.latest = None;
    }

    /// Takes note that a record is stepped. Returns the one before it, where that is of another partition.
    pub(crate) fn follow(&mut self, (partition, offset): (&Partition, i64)) -> Option<Place> {
        match &mut self.latest {
            Some((known, latest)) if known == partition => {
                *latest = offset;
                None
            }
            latest => latest.replace((partition.clone(), offset)),
        }
    }

    /// The epoch of the rule set that these outputs announce, if they do.
    ///
    /// WHY: commits forget epochs that no snapshot needs, and whoever derives an old decision again asks for them.
    pub(crate) fn announced(&self, outputs: &[Output]) -> Option<String> {
        let is_one = |output: &Output| {
            output.topic == OutputTopic::Audit && output.body.starts_with(ANNOUNCEMENT)
        };
        outputs.iter().any(is_one).then(|| self.epochs.find(self.epoch).map(Epoch::text)).flatten()
    }

    fn standing(&self) -> Standing {
        let (applied, known) = (self.applied.clone(), self.known.clone());
        Standing { applied, known, epoch: self.epoch, ruleset: self.ruleset.clone() }
    }

    /// Whether an epoch names the rule set that the engine decides by.
    pub(crate) fn is_named(&self) -> bool {
        self.epochs.last().is_some_and(|epoch| epoch.ruleset == self.ruleset)
    }

    /// Makes sure that a rule set could be found again before it decides anything.
    pub(crate) fn prepare<E: Engines<Engine = S>>(
        &mut self,
        wanted: &str,
        engines: &E,
    ) -> Prepared {
        let has_room = self.epochs.has_room();
        let Some(checkpoints) = &mut self.checkpoints else {
            if !has_room {
                // WHY: without snapshots every recovery begins at the oldest record and knows the wanted rules only.
                self.epochs.forget_oldest();
            }
            return Prepared::Yes;
        };
        if !has_room {
            checkpoints.hasten();
            return Prepared::NotYet;
        }
        if self.kept.as_deref() == Some(wanted) {
            return Prepared::Yes;
        }
        match checkpoints.take_kept() {
            Some((id, None)) if id == wanted => {
                self.kept = Some(id);
                return Prepared::Yes;
            }
            Some((id, Some(reason))) if id == wanted => {
                // WHY: whoever asks again is to have it tried again.
                self.keeping = None;
                return Prepared::No(format!(
                    "it could not be kept beside the snapshots: {reason}"
                ));
            }
            Some(_) | None => {}
        }
        if self.keeping.as_deref() != Some(wanted) {
            // WHY: to keep one may drop another.
            (self.keeping, self.kept) = (Some(wanted.to_owned()), None);
            let in_use = self.epochs.after(0).map(|epoch| epoch.ruleset.clone()).collect();
            let (id, rules) = (wanted.to_owned(), engines.bundle());
            checkpoints.keep_rules(&mut self.engine, Job::Rules { id, rules, in_use });
        }
        Prepared::NotYet
    }

    /// Looks, once after each assignment, whether the active rule set can still be read beside the snapshots, and keeps it
    /// again where it cannot: a recovery may ask for it.
    pub(crate) fn look_after_rules<E: Engines<Engine = S>>(&mut self, engines: &E) {
        self.tell_kept_again();
        let known = [&self.looked, &self.kept];
        let is_known = known.iter().any(|it| it.as_deref() == Some(&*self.ruleset));
        let Some(checkpoints) = self.checkpoints.as_mut().filter(|_| !is_known) else { return };
        if !checkpoints.may_write() || checkpoints.is_busy() {
            return;
        }
        self.looked = Some(self.ruleset.clone());
        if let Err(error) = checkpoints.snapshots.load_rules(&self.ruleset) {
            self.again = Some((self.ruleset.clone(), error.to_string()));
            let in_use = self.epochs.after(0).map(|epoch| epoch.ruleset.clone()).collect();
            let (id, rules) = (self.ruleset.clone(), engines.bundle());
            checkpoints.keep_rules(&mut self.engine, Job::Rules { id, rules, in_use });
        }
    }

    /// Tells what became of a rule set that was to be kept again.
    fn tell_kept_again(&mut self) {
        if self.again.is_none() {
            return;
        }
        let Some((_, outcome)) = self.checkpoints.as_mut().and_then(Checkpoints::take_kept) else {
            return;
        };
        let Some((ruleset, error)) = self.again.take() else { return };
        let (shard, ruleset, error) = (&*self.name, ruleset.as_str(), error.as_str());
        match outcome {
            None => happening::RuleSetKeptAgain { shard, ruleset, error }.emit(),
            Some(reason) => {
                happening::RuleSetNotKept { shard, ruleset, error, reason: &reason }.emit();
            }
        }
    }

    /// Begins the next epoch: this rule set decides from these offsets on, with what was read of the past for it.
    pub(crate) fn enter<E: Engines<Engine = S>>(
        &mut self,
        wanted: &str,
        from: BTreeMap<Partition, i64>,
        past: Option<(S, Fill)>,
        engines: &mut E,
    ) -> Result<(), RunError> {
        let is_noted = self.epochs.last().is_some_and(|epoch| epoch.ruleset == wanted);
        if is_noted && self.ruleset == wanted && past.is_none() {
            return Ok(());
        }
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.abandon(&mut self.engine);
            checkpoints.hasten();
        }
        let (past, fill) = past.unzip();
        let past = past.zip(fill.as_ref().map(|fill| fill.since_ms));
        let report = if let Some(past) = past {
            engines.activate_filled(&mut self.engine, wanted, past)?
        } else if self.ruleset != wanted {
            engines.activate(&mut self.engine, wanted)?
        } else {
            ActivationReport::default()
        };
        wanted.clone_into(&mut self.ruleset);
        self.epoch = self.epochs.begin(wanted, from, fill);
        self.keeping = None;
        happening::RuleSetActive {
            shard: &self.name,
            epoch: self.epoch,
            kept_as: wanted,
            kept: report.kept.len(),
            filled: report.filled.len(),
            warming: report.warming.len(),
            dropped: report.dropped.len(),
        }
        .emit();
        Ok(())
    }

    /// Begins a snapshot if it is time, and works on the one at hand.
    pub(crate) fn checkpoint<L>(
        &mut self,
        World { clock, vault, .. }: World<'_, L>,
        settings: &Snapshot,
        committed: &dyn Fn(&Partition) -> Option<i64>,
    ) {
        if let Some((checkpoints, vault)) = self.checkpoints.as_mut().zip(vault) {
            checkpoints.claim_again(vault, settings, clock);
        }
        let due = |checkpoints: &Checkpoints| checkpoints.is_due(clock, committed);
        let due = self.checkpoints.as_ref().is_some_and(due) && !self.applied.is_empty();
        let due = due && self.is_named();
        let standing = due.then(|| self.standing());
        let Some(checkpoints) = &mut self.checkpoints else { return };
        if let Some(standing) = standing {
            checkpoints.begin(&mut self.engine, standing, clock);
        }
        checkpoints.work(&mut self.engine, core::time::Duration::ZERO);
        if let Some(oldest) = checkpoints.oldest_epoch() {
            self.epochs.forget_before(oldest);
        }
    }

    /// The rule sets that it may come back to: the one that decides, and those of its epochs.
    pub(crate) fn rulesets(&self) -> impl Iterator<Item = &str> {
        let of_epochs = self.epochs.after(0).map(|epoch| epoch.ruleset.as_str());
        core::iter::once(self.ruleset.as_str()).chain(of_epochs)
    }

    /// Whether a snapshot is being taken.
    pub(crate) fn is_saving(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(Checkpoints::is_busy)
    }

    /// Takes a snapshot of the state as it is now, to its end, until `deadline`.
    pub(crate) fn save_now(&mut self, clock: &dyn Clock, deadline: core::time::Duration) -> bool {
        let standing = self.standing();
        let Some(checkpoints) = &mut self.checkpoints else { return true };
        if self.applied.is_empty() {
            return true;
        }
        checkpoints.abandon(&mut self.engine);
        if !checkpoints.finish(&mut self.engine, clock, deadline) {
            return false;
        }
        if checkpoints.has_seen(&self.applied) {
            return true;
        }
        if !checkpoints.may_write() {
            return false;
        }
        checkpoints.begin(&mut self.engine, standing, clock);
        checkpoints.finish(&mut self.engine, clock, deadline)
    }
}
