//! A consumer outside the group, for replay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use riskweir::runtime::RunError;
use riskweir::runtime::log::{Partition, Read, Reader, Trouble};

use super::broker::{Broker, Record};
use super::network::Up;
use super::ports::{Taken, micros};
use super::world::{Ctx, State};

#[derive(Clone, Copy, Debug)]
struct Lane {
    next: i64,
    paused: bool,
    /// The end was told at this offset.
    told_end: Option<i64>,
}

/// What a reader knows.
#[derive(Clone, Debug)]
pub(crate) struct ReaderState {
    pub(crate) owner: (usize, u64),
    /// By partition number: a reader has one topic.
    lanes: BTreeMap<i32, Lane>,
}

/// The port.
pub(crate) struct SimReader {
    ctx: Ctx,
    client: u64,
    topic: Arc<str>,
}

impl SimReader {
    pub(crate) fn open(ctx: &Ctx, starts: &[(Partition, Option<i64>)]) -> Self {
        let mut state = ctx.call();
        let client = state.new_client();
        let mut lanes = BTreeMap::new();
        for (partition, start) in starts {
            let is_input = state.broker.layout.lane_of(&partition.topic, partition.number);
            let low = is_input.map_or(0, |lane| state.broker.inputs[lane].low);
            let lane = Lane { next: start.unwrap_or(low), paused: false, told_end: None };
            lanes.insert(partition.number, lane);
        }
        let slot = ctx.slot;
        state.note(|| format!("#{slot} reads again from {starts:?}"));
        state.readers.insert(client, ReaderState { owner: (ctx.slot, ctx.life), lanes });
        drop(state);
        let topic = starts.first().map_or_else(|| "".into(), |start| Arc::clone(&start.0.topic));
        Self { ctx: ctx.clone(), client, topic }
    }

    fn next(&self, state: &mut State) -> Option<Read<Taken>> {
        if state.up((self.ctx.slot, self.ctx.life)) != Up::Yes {
            return None;
        }
        let chance = state.profile.trouble;
        if state.strikes(chance) {
            let (code, offset_gone) = ("BrokerTransportFailure".to_owned(), false);
            let error = format!("simulated: {code}");
            return Some(Read::Trouble(Trouble { code, error, offset_gone }));
        }
        let reader = state.readers.get(&self.client)?;
        let numbers: Vec<i32> =
            reader.lanes.iter().filter(|(_, lane)| !lane.paused).map(|it| *it.0).collect();
        if numbers.is_empty() || state.dice.one_in(16) {
            return None;
        }
        let first = usize::try_from(state.dice.below(numbers.len() as u64)).unwrap();
        let reader = state.readers.get_mut(&self.client)?;
        for number in numbers.iter().cycle().skip(first).take(numbers.len()) {
            let partition = Partition { topic: Arc::clone(&self.topic), number: *number };
            let lane = reader.lanes.get_mut(number)?;
            let Some(input) = state.broker.layout.lane_of(&self.topic, *number) else {
                if let Some(read) = next_output(&state.broker, partition, lane) {
                    return Some(read);
                }
                continue;
            };
            let log = &state.broker.inputs[input];
            if lane.next < log.low {
                let (code, error) = ("AutoOffsetReset".to_owned(), "simulated: gone".to_owned());
                return Some(Read::Trouble(Trouble { code, error, offset_gone: true }));
            }
            if let Some(record) = log.at(lane.next) {
                lane.next = record.offset + 1;
                let record = record.clone();
                return Some(Read::Record(Taken { partition, record, headers: Vec::new() }));
            }
            if lane.told_end != Some(log.high) {
                lane.told_end = Some(log.high);
                return Some(Read::End(*number));
            }
        }
        None
    }

    fn set_paused(&self, partition: &Partition, paused: bool) {
        let mut state = self.ctx.call();
        let reader = state.readers.get_mut(&self.client);
        let lane = reader.and_then(|reader| reader.lanes.get_mut(&partition.number));
        if let Some(lane) = lane {
            lane.paused = paused;
        }
    }
}

/// The same of an output topic.
fn next_output(broker: &Broker, partition: Partition, lane: &mut Lane) -> Option<Read<Taken>> {
    let found = broker.outputs(&partition.topic, lane.next).next();
    if let Some((offset, wire)) = found {
        lane.next = offset + 1;
        let payload = Some(wire.body.clone().into());
        let record = Record { offset, arrival_ms: 0, payload };
        return Some(Read::Record(Taken { partition, record, headers: wire.headers.clone() }));
    }
    let end = i64::try_from(broker.written.len()).unwrap();
    (lane.told_end.replace(end) != Some(end)).then_some(Read::End(partition.number))
}

impl Reader for SimReader {
    type Record<'a> = Taken;

    fn poll(&self, wait: Duration) -> Result<Read<Taken>, RunError> {
        let mut state = self.ctx.call();
        let deadline = state.now + micros(wait);
        loop {
            if let Some(read) = self.next(&mut state) {
                return Ok(read);
            }
            if state.now >= deadline {
                return Ok(Read::Nothing);
            }
            state = self.ctx.wait(state, deadline, false);
        }
    }

    fn pause(&self, partition: &Partition) -> Result<(), RunError> {
        self.set_paused(partition, true);
        Ok(())
    }

    fn resume(&self, partition: &Partition) -> Result<(), RunError> {
        self.set_paused(partition, false);
        Ok(())
    }
}

impl Drop for SimReader {
    fn drop(&mut self) {
        self.ctx.quietly().readers.remove(&self.client);
    }
}
