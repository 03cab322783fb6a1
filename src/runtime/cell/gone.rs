//! What a cell does when an input topic may be gone, or may have been made anew under its name.
//!
//! INVARIANT: once the client has said that it does not find a topic or a partition of it, no further record is decided
//! before the broker has said that all input topics are there and the last record of each partition that was decided
//! still stands where it stood.

use std::time::Duration;

use crate::runtime::cell::{Assigned, Cell};
use crate::runtime::continuity::{Claim, mind_log};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{Log, Partition, Position, Source as _, Trouble, is_not_found};
use crate::runtime::port::Engines;
use crate::runtime::recovery::Tools;
use crate::runtime::shard::Known;
use crate::telemetry::happening;

/// How long the brokers must say that there is no such topic. WHY: one that has only just started may not know it yet.
const GONE_FOR: Duration = Duration::from_secs(3);
/// How often they are asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Whether the input topics are in doubt, and since when they are said to be gone.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    is_raised: bool,
    gone_since: Option<Duration>,
    ask_at: Duration,
}

impl Doubt {
    /// Takes note of what the consumer met.
    pub(super) fn hear(&mut self, trouble: &Trouble) {
        self.is_raised |= is_not_found(&trouble.code);
    }
}

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// An error of the consumer: most pass, some end the run.
    pub(super) fn on_trouble(&mut self, trouble: Trouble) -> Result<(), RunError> {
        self.doubt.hear(&trouble);
        let Trouble { code, error, offset_gone } = trouble;
        self.books.kafka_error(&code);
        if offset_gone {
            if self.is_left_behind() {
                let partitions = self.assigned.iter().map(|ours| ours.partition.clone()).collect();
                self.end()?;
                self.source.unassign()?;
                return self.begin_again(partitions);
            }
            return Err(self.offset_gone(error));
        }
        happening::KafkaTrouble { attempted: "read the input", code: &code, error: &error }.emit();
        Ok(())
    }

    /// Whether the group has committed more than we have decided.
    ///
    /// WHY: who stood still for longer than its session reads on where it was, and the input there may be deleted, because
    /// somebody else has gone on. Nothing is missing.
    fn is_left_behind(&self) -> bool {
        let partitions: Vec<Partition> =
            self.assigned.iter().map(|ours| ours.partition.clone()).collect();
        let now = self.source.committed(&partitions, self.config.call_timeout());
        let is_beyond = |(ours, now): (&Assigned, &Option<Position>)| {
            now.as_ref().is_some_and(|now| now.offset > ours.next)
        };
        now.is_ok_and(|now| self.assigned.iter().zip(&now).any(is_beyond))
    }

    /// Which partition's committed offset the broker does not hold.
    fn offset_gone(&self, reason: String) -> RunError {
        let timeout = self.config.call_timeout();
        for Assigned { partition, next, .. } in &self.assigned {
            let Ok((low, high)) = self.source.bounds(partition, timeout) else { continue };
            if *next < low || *next > high {
                let (topic, number) = (partition.topic.to_string(), partition.number);
                return RunError::OffsetGone { topic, partition: number, offset: *next, low, high };
            }
        }
        RunError::Fatal { reason, stage: Stage::Receive }
    }

    /// Asks, where the client did not find an input topic, whether it is there and still is the log that was read. False:
    /// the broker does not say, so nothing may be read yet.
    ///
    /// # Errors
    /// A topic is gone, or another one has its name.
    pub(super) fn mind_inputs(&mut self) -> Result<bool, RunError> {
        if !self.doubt.is_raised {
            return Ok(true);
        }
        let (now, timeout) = (self.world.clock.now(), self.config.call_timeout());
        if now < self.doubt.ask_at {
            self.wait_for_note()?;
            return Ok(false);
        }
        self.doubt.ask_at = now + ASK_EVERY;
        for topic in self.inputs {
            match self.source.n_partitions(topic, timeout) {
                Ok(0) => {
                    let since = *self.doubt.gone_since.get_or_insert(now);
                    self.views.health.set_assigned(false);
                    if now.saturating_sub(since) < GONE_FOR {
                        return Ok(false);
                    }
                    let brokers = self.config.kafka.brokers.join(",");
                    return Err(RunError::TopicMissing { topic: topic.to_owned(), brokers });
                }
                Ok(_) => {}
                Err(error) => {
                    let attempted = "ask for a topic that was not found";
                    let (code, error) = (error.code.as_str(), error.text.as_str());
                    happening::KafkaTrouble { attempted, code, error }.emit();
                    return Ok(false);
                }
            }
        }
        let claims = self.assigned.iter().filter_map(|ours| {
            let known = Known { next: ours.next, record: ours.record? };
            Some(Claim::of((&ours.partition, known)))
        });
        let claims = claims.collect();
        let tools: Tools<'_, L, E> = Tools {
            config: self.config,
            log: self.world.log,
            clock: self.world.clock,
            source: &self.source,
            engines: &mut *self.engines,
            health: &self.views.health,
        };
        mind_log(claims, &tools)?;
        if core::mem::take(&mut self.doubt).gone_since.is_some() {
            self.views.health.set_assigned(true);
        }
        Ok(true)
    }

    /// Raises a doubt where the group gave us no partition of an input topic because there is no such topic.
    pub(super) fn mind_absent(&mut self, given: &[Partition]) {
        for topic in self.inputs {
            let is_given = given.iter().any(|partition| *partition.topic == **topic);
            // WHY: a broker that does not answer says nothing about a topic.
            if !is_given && self.source.n_partitions(topic, self.config.call_timeout()) == Ok(0) {
                (self.doubt.is_raised, self.doubt.ask_at) = (true, Duration::ZERO);
            }
        }
    }
}
