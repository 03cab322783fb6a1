//! The port between a cell and the engine: what goes in, what comes out, and the two ways to step.

pub use crate::engine::{Output, OutputTopic};

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::Digest;
use crate::durable::{Header, LoadError, Parts};
use crate::engine::Link;
use crate::runtime::backfill::{Planned, Since};
use crate::runtime::error::RunError;
use crate::telemetry::books::{EngineReport, Outcome};

/// One record of an input topic.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The broker's timestamp, in ms since 1970.
    pub arrival_ms: Option<i64>,
    /// The record's bytes; none is a tombstone.
    pub payload: Option<&'a [u8]>,
}

impl Input<'_> {
    /// By what the record is known again: its bytes and the time that the broker stamped it with. Another log has another
    /// record at the same offset.
    pub fn fingerprint(&self) -> u64 {
        let stamp = self.arrival_ms.unwrap_or(-1).cast_unsigned();
        xxh3_64_with_seed(self.payload.unwrap_or_default(), stamp)
    }
}

/// The decision path as a cell sees it.
///
/// A step is a pure function of the state and the record: the same records in the same order give the same outputs.
pub trait Step {
    /// Takes one record, appends its outputs and says what became of it.
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome;

    /// Takes one record that was decided before: the state moves as in [`Step::step`], nothing comes out.
    fn replay(&mut self, input: &Input<'_>);

    /// A digest of everything that was decided so far; none where it would not be the same after a recovery.
    ///
    /// It depends on the order across partitions, which a recovery over several of them only approximates.
    fn digest(&self) -> Option<u64> {
        None
    }

    /// Begins a snapshot of the state as it is now.
    fn begin_snapshot(&mut self) {}

    /// Appends the next part, about so many bytes, to `out`. True: that was the last.
    fn snapshot_part(&mut self, _budget_bytes: usize, _out: &mut Vec<u8>) -> bool {
        true
    }

    /// Gives up the snapshot that is being taken.
    fn abandon_snapshot(&mut self) {}

    /// What a snapshot says about the engine.
    fn identity(&self) -> Identity {
        Identity::default()
    }

    /// Records before this one, with event times up to this (ms since 1970) where that is known, are missing from the state
    /// for good: decisions say so until no window reaches there.
    fn note_gap(&mut self, _latest_ms: Option<i64>) {}

    /// The largest event time seen, in ms since 1970; none before the first event.
    fn event_time_ms(&self) -> Option<i64> {
        None
    }

    /// Event time from which on all records of a partition are known, in ms since 1970, if it began with the first record
    /// that was taken of it; none before that.
    fn began_ms(&self, _topic: &str, _partition: i32) -> Option<i64> {
        None
    }

    /// Whether some window reaches back before what is known of it.
    fn is_warming(&self) -> bool {
        false
    }

    /// The deadline that comes first and that no record has brought yet, in ms since 1970.
    fn next_deadline_ms(&self) -> Option<i64> {
        None
    }

    /// How long before the event time of a record its broker may have stamped it, in ms; and how long before that its
    /// repeats may have begun.
    fn lead_ms(&self) -> (i64, i64) {
        (0, 0)
    }

    /// Where the audit chain of a partition stands after the record that was taken last, which was of this partition.
    fn audit_standing(&self) -> Option<AuditStanding> {
        None
    }

    /// Where the audit chain of a partition stands, as a commit notes it; none where nothing of it was written.
    fn audit_link(&self, _topic: &str, _partition: i32) -> Option<Link> {
        None
    }

    /// Goes on with the audit chain of a partition from what was noted, whatever the engine derived meanwhile.
    fn resume_audit(&mut self, _topic: &str, _partition: i32, _link: Link) {}

    /// Writes the engine's own counters over those in `report`. `wall_ms`, ms since 1970, says how late it is for figures about
    /// deadlines, and decides nothing.
    fn report(&self, wall_ms: i64, report: &mut EngineReport);
}

/// Where an audit chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditStanding {
    /// The number of its last record; 0 before the first.
    pub seq: u64,
    /// The digest of that record.
    pub last: Digest,
    /// Digest of everything that the engine decided.
    pub decisions: u64,
}

/// What a snapshot says about the engine that it was taken of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Digest of the rule set, hexadecimal.
    pub ruleset: String,
    /// Digest of everything that was decided.
    pub digest: u64,
    /// Largest event time seen, in ms since 1970.
    pub event_time_ms: Option<i64>,
}

/// How a rule set may be spread over engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All its keys follow the partition: an engine for each.
    ByPartition,
    /// One engine must see all partitions, because of this and its key.
    Whole {
        /// The rule or event, with its noun.
        who: String,
        /// The key; none when nobody said by what the records are spread over partitions.
        key: Option<String>,
    },
    /// One engine for whatever partitions there are.
    Anyhow,
}

/// What came since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing.
    None,
    /// Somebody asked for the rule set that is wanted already.
    AskedAgain,
    /// Another rule set is wanted, or the past for it.
    Another,
}

/// What became of the aggregates when a rule set became active.
pub use crate::engine::ActivationReport;

/// The identity of the rule set of whoever has only one.
const THE_ONE: &str = "the-one";

/// Makes engines, of one rule set after the other.
///
/// A rule set is named by an identity: a text without `;`, `,`, `:`, `@` and `=` that is the same for the same rules,
/// lists and settings, and for nothing else.
pub trait Engines {
    /// What it makes.
    type Engine: Step;

    /// The identity of the rule set that is to decide.
    fn wanted(&self) -> &str {
        THE_ONE
    }

    /// Takes note of a rule set that came since, if one did: from now on it is wanted.
    fn poll(&mut self) -> News {
        News::None
    }

    /// From when on the wanted rule set's windows are to be filled from the log before it becomes active. `is_active`: it
    /// is active already, so only who asked for it now means this one.
    fn backfill(&self, _is_active: bool) -> Option<Since> {
        None
    }

    /// Tells whoever asked for the backfill what will be read for it.
    fn tell_backfill(&mut self, _planned: &Planned) {}

    /// The wanted rule set is active and filled wherever this instance decides.
    fn end_backfill(&mut self) {}

    /// The wanted rule set cannot become active now, and why. It stays wanted and is tried again.
    fn hold_back(&mut self, _reason: &str) {}

    /// The wanted rule set did not become active, and why: the one that is active stays.
    fn refuse(&mut self, _active: &str, _reason: &str) {}

    /// The wanted rule set is the one that decides. Called often.
    fn tell_active(&mut self) {}

    /// The wanted rule set as bytes, from which [`Engines::learn`] makes it again.
    fn bundle(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes a rule set that was wanted in the past. Says whether it is that one and can run.
    fn learn(&mut self, _id: &str, _bundle: &[u8]) -> bool {
        false
    }

    /// Drops what is at hand of rule sets of the past, but for these.
    fn retain(&mut self, _named: &BTreeSet<String>) {}

    /// How the wanted rule set may be spread over engines.
    fn spread(&self) -> Spread {
        Spread::Anyhow
    }

    /// There will be so many engines at most; they share the memory that is allowed.
    fn share(&mut self, _engines: u32) {}

    /// Whether a rule set is at hand.
    fn knows(&self, id: &str) -> bool {
        self.wanted() == id
    }

    /// An engine with empty windows, of a rule set that is at hand.
    ///
    /// # Errors
    /// The rule set cannot be run.
    fn fresh(&mut self, id: &str) -> Result<Self::Engine, RunError>;

    /// Why a snapshot that fits the history is of no use all the same, if so.
    fn refuses(&mut self, _header: &Header) -> Option<String> {
        None
    }

    /// An engine of a rule set that is at hand, with the state that a snapshot holds. `tick` is called on the way, so
    /// that somebody sees progress.
    ///
    /// # Errors
    /// The snapshot is damaged or makes no state.
    fn restore(
        &mut self,
        _id: &str,
        _parts: &mut Parts<'_>,
        _tick: &mut dyn FnMut(),
    ) -> Result<Self::Engine, LoadError> {
        Err(LoadError::Refused("this engine takes no snapshots".to_owned()))
    }

    /// Makes another rule set, one that is at hand, active in an engine: all of it or nothing.
    ///
    /// # Errors
    /// The rule set cannot be run; the engine is as it was.
    fn activate(
        &mut self,
        _engine: &mut Self::Engine,
        _id: &str,
    ) -> Result<ActivationReport, RunError> {
        Ok(ActivationReport::default())
    }

    /// The same with an engine of that rule set that read the past again, completely from an event time on (ms since
    /// 1970): what is warming is filled from it.
    ///
    /// # Errors
    /// As [`Engines::activate`].
    fn activate_filled(
        &mut self,
        engine: &mut Self::Engine,
        id: &str,
        _past: (Self::Engine, i64),
    ) -> Result<ActivationReport, RunError> {
        self.activate(engine, id)
    }
}

impl<S: Step, F: FnMut() -> Result<S, RunError>> Engines for F {
    type Engine = S;

    fn fresh(&mut self, _id: &str) -> Result<S, RunError> {
        self()
    }
}
