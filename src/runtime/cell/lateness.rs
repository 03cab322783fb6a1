//! Deadlines that no event brings: in a quiet partition this process says how late it is.
//!
//! It says so in the log, by a command, and takes the deadline when it reads that again. So a replay takes it at the same
//! place, and no decision hangs on a clock of this machine that nobody can look up.

use std::time::Duration;

use crate::decision::command::Command;
use crate::runtime::cell::Cell;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Scribe as _};
use crate::runtime::port::{Engines, Step as _};

/// How often it is looked for deadlines that have come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// Tells the log how late it is, for each shard whose next deadline has come and that takes commands.
    pub(super) fn tell_time(&mut self) -> Result<(), RunError> {
        let Some(topic) = &self.config.topics.commands else { return Ok(()) };
        let now = self.world.clock.now();
        if now < self.tell_time_at {
            return Ok(());
        }
        self.tell_time_at = now + LOOK_EVERY;
        let wall_ms = self.world.clock.wall_ms();
        let mut due = Vec::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let mut ours = self.assigned.iter().filter(|ours| ours.shard == at);
            let is_due = shard.engine.next_deadline_ms().is_some_and(|ms| ms <= wall_ms);
            let commands = ours.find(|ours| *ours.partition.topic == **topic);
            due.extend(commands.filter(|_| is_due).map(|ours| &ours.partition));
        }
        if due.is_empty() && self.scribe.is_none() {
            return Ok(());
        }
        let scribe = match &mut self.scribe {
            Some(scribe) => scribe,
            none => none.insert(self.world.log.scribe()?),
        };
        let body = Command::clock(wall_ms);
        for partition in due {
            scribe.write(partition, body.as_bytes());
        }
        scribe.serve();
        Ok(())
    }
}
