//! One command's turn: what people and services ask of holds is done once, or refused with the reason.
//!
//! A command is a record of the input like any other: it has its place in the log, and a replay does the same again. It is
//! judged by the time that the log stamped it with, never by a clock of this machine.

use crate::base::EntityKey;
use crate::decision::command::{Command, HoldCommand};
use crate::decision::holds::{Hold, HoldState};
use crate::decision::wire::{CommandAnswer, CommandRef, SourceRef};
use crate::engine::counters::CommandResult;
use crate::engine::emit;
use crate::engine::port::{Input, Sink};
use crate::engine::step::{Remembered, Setup};
use crate::engine::streams::Source;
use crate::state::Seen;

/// Another command had this id.
const REUSED: &str = "command_id_reused";

/// One command on its way through the engine.
#[derive(Debug)]
pub(super) struct Obedience<'a, S> {
    pub(super) setup: &'a Setup,
    pub(super) source: &'a Source,
    pub(super) remembered: &'a mut Remembered,
    pub(super) input: &'a Input<'a>,
    pub(super) body: &'a mut Vec<u8>,
    pub(super) sink: &'a mut S,
}

/// What came of a command: of the hold afterwards, and why it was refused.
struct Answer {
    result: CommandResult,
    cause: Option<&'static str>,
    state: Option<&'static str>,
}

impl<S: Sink> Obedience<'_, S> {
    /// Takes the turn.
    pub(super) fn take(mut self, command: &Command) {
        self.remembered.trail.add(u64::from(self.input.stream.0));
        self.remembered.trail.add(self.input.offset.cast_unsigned());
        self.remembered.trail.add_bytes(self.input.payload.unwrap_or_default());
        match command {
            Command::Clock(at_ms) => self.pass_time(*at_ms),
            Command::Hold(command) => self.answer(command),
        }
    }

    /// Deadlines of all partitions come that lie before a time, as far as the log has it.
    fn pass_time(&mut self, at_ms: i64) {
        self.remembered.counters.count_command(CommandResult::Clock);
        let now_ms = self.input.arrival_ms.map_or(at_ms, |arrival_ms| at_ms.min(arrival_ms));
        let state_ms = self.state_ms();
        let n_clocks = u32::try_from(self.remembered.clocks.all().len()).unwrap_or(u32::MAX);
        for clock in 0..n_clocks {
            while let Some(hold) = self.remembered.holds.take_expired(clock, now_ms, state_ms) {
                self.tell(&hold, None);
            }
        }
    }

    fn answer(&mut self, command: &HoldCommand) {
        let seen = self.recognise(command);
        let answer = match seen {
            Seen::New => self.act(command),
            Seen::Duplicate => self.stands(command, CommandResult::Repeated, None),
            Seen::Reused => self.stands(command, CommandResult::Refused, Some(REUSED)),
        };
        self.remembered.counters.count_command(answer.result);
        let record = CommandAnswer {
            kind: command.kind(),
            by: by(command),
            hold_id: &command.hold_id,
            result: answer.result.as_str(),
            cause: answer.cause,
            state: answer.state,
            source: SourceRef {
                topic: &self.source.topic,
                partition: self.source.partition,
                offset: self.input.offset,
            },
        };
        emit::command(record, self.setup, self.body, self.sink);
        self.remembered.trail.add_bytes(self.body);
    }

    /// Whether the command came before; ids of commands are remembered like those of events.
    fn recognise(&mut self, command: &HoldCommand) -> Seen {
        let HoldCommand { id, ask, hold_id, actor, reason, at_ms: _ } = command;
        let word = |texts: &[&str]| {
            let keys: Vec<EntityKey> =
                texts.iter().map(|text| EntityKey::of_text(text.as_bytes())).collect();
            let EntityKey(wide) = EntityKey::combine(&keys);
            u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0)
        };
        let expected = ask.expected.map_or("", |state| state.as_str());
        let until = ask.until_ms.to_string();
        let id = word(&["command", id]);
        let body = word(&[command.kind(), hold_id, actor, reason, expected, &until]);
        let furthest_ms = self.remembered.clocks.furthest_ms().unwrap_or(i64::MIN);
        let state_ms = self.state_ms();
        self.remembered.seen.check_and_insert(id, body, furthest_ms, state_ms)
    }

    fn act(&mut self, command: &HoldCommand) -> Answer {
        let state_ms = self.state_ms();
        let holds = &mut self.remembered.holds;
        // WHY: in a quiet partition no event has said yet that the deadline came; the promise was given all the same.
        if let Some(now_ms) = self.input.arrival_ms.or(command.at_ms)
            && let Some(hold) = holds.expire(&command.hold_id, now_ms, state_ms)
        {
            self.tell(&hold, None);
        }
        match self.remembered.holds.act(&command.hold_id, command.ask, state_ms) {
            Ok(hold) => {
                self.tell(&hold, Some(by(command)));
                let state = Some(hold.state.as_str());
                Answer { result: CommandResult::Done, cause: None, state }
            }
            Err(refusal) => Answer {
                result: CommandResult::Refused,
                cause: Some(refusal.as_str()),
                state: refusal.state().map(HoldState::as_str),
            },
        }
    }

    /// Nothing happens: how the hold stands.
    fn stands(
        &self,
        command: &HoldCommand,
        result: CommandResult,
        cause: Option<&'static str>,
    ) -> Answer {
        let hold = self.remembered.holds.find(&command.hold_id);
        Answer { result, cause, state: hold.map(|hold| hold.state.as_str()) }
    }

    /// A hold has come into another state.
    fn tell(&mut self, hold: &Hold, by: Option<CommandRef<'_>>) {
        self.remembered.counters.count_hold(hold.state);
        emit::hold(hold, by, self.setup, self.body, self.sink);
        self.remembered.trail.add_bytes(self.body);
    }

    fn state_ms(&self) -> i64 {
        self.remembered.clocks.state_clock_ms(self.setup.options.partition_idle_ms)
    }
}

fn by(command: &HoldCommand) -> CommandRef<'_> {
    CommandRef { command_id: &command.id, actor: &command.actor, reason: &command.reason }
}
