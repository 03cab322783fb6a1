//! The consumer of an instance: a member of the group, with what it has fetched.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use riskweir::runtime::RunError;
use riskweir::runtime::log::{
    ErrorKind, GroupEvent, LogError, Partition, Polled, Position, Source, Trouble,
};

use super::broker::MemberId;
use super::network::{Event, REBALANCE, Up, refusal, told};
use super::ports::{Taken, WALL_MS, micros};
use super::profile::MS;
use super::world::{Ctx, State};

/// A callback that waits for the next poll.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Assigned(Vec<i32>),
    Revoked,
}

/// One partition that is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) next: i64,
    pub(crate) paused: bool,
}

/// What the client of a member knows.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a member")]
pub(crate) struct Member {
    pub(crate) owner: (usize, u64),
    pub(crate) id: Option<MemberId>,
    pub(crate) generation: i32,
    /// When the group last answered a heartbeat.
    pub(crate) heard: u64,
    /// It has asked to join and not been answered.
    pub(crate) joining: bool,
    /// It was given partitions (maybe none) and has not given them back.
    pub(crate) holds: bool,
    /// It has to give them back: nothing is fetched meanwhile.
    pub(crate) revoking: bool,
    pub(crate) lost: bool,
    pub(crate) told: VecDeque<Told>,
    pub(crate) events: VecDeque<GroupEvent>,
    /// By lane.
    pub(crate) fetches: BTreeMap<usize, Fetch>,
    /// The lane that records come from now.
    current: usize,
    pub(crate) commit_failed: bool,
    /// What commits without waiting have reached.
    pub(crate) acknowledged: BTreeMap<usize, i64>,
    /// A commit without waiting does not overtake another.
    commits_until: u64,
}

/// The port.
pub(crate) struct SimSource {
    ctx: Ctx,
    client: u64,
}

impl SimSource {
    pub(crate) fn open(ctx: &Ctx) -> Self {
        let mut state = ctx.call();
        let client = state.new_client();
        let member = Member {
            owner: (ctx.slot, ctx.life),
            id: None,
            generation: -1,
            heard: state.now,
            joining: true,
            holds: false,
            revoking: false,
            lost: false,
            told: VecDeque::new(),
            events: VecDeque::new(),
            fetches: BTreeMap::new(),
            current: 0,
            commit_failed: false,
            acknowledged: BTreeMap::new(),
            commits_until: 0,
        };
        state.members.insert(client, member);
        let at = state.now + state.latency();
        state.at(at, Event::Join(client));
        let at = state.now + state.profile.heartbeat;
        state.at(at, Event::Heartbeat(client));
        drop(state);
        Self { ctx: ctx.clone(), client }
    }

    fn member<'a>(&self, state: &'a State) -> &'a Member {
        state.members.get(&self.client).expect("a client lives as long as its port")
    }

    fn member_mut<'a>(&self, state: &'a mut State) -> &'a mut Member {
        state.members.get_mut(&self.client).expect("a client lives as long as its port")
    }

    /// What a poll finds at once.
    fn next(&self, state: &mut State) -> Option<Polled<Taken>> {
        let topics = state.broker.layout.topics.clone();
        let member = self.member_mut(state);
        if !member.told.is_empty() {
            while let Some(told) = member.told.pop_front() {
                let of_topic = |topic: &Arc<str>, share: &[i32]| -> Vec<Partition> {
                    let partition = |number| Partition { topic: Arc::clone(topic), number };
                    share.iter().copied().map(partition).collect()
                };
                member.events.push_back(match told {
                    Told::Assigned(share) => GroupEvent::Assigned(
                        topics.iter().flat_map(|topic| of_topic(topic, &share)).collect(),
                    ),
                    Told::Revoked => GroupEvent::Revoked,
                });
            }
            return Some(Polled::Nothing);
        }
        if member.revoking {
            return None;
        }
        if state.up((self.ctx.slot, self.ctx.life)) != Up::Yes {
            return None;
        }
        let chance = state.profile.trouble;
        if state.strikes(chance) {
            return Some(Polled::Trouble(trouble("BrokerTransportFailure", false)));
        }
        self.fetch(state)
    }

    fn fetch(&self, state: &mut State) -> Option<Polled<Taken>> {
        let inputs = &state.broker.inputs;
        let member = state.members.get(&self.client)?;
        let with: Vec<usize> = member
            .fetches
            .iter()
            .filter(|(_, fetch)| !fetch.paused)
            .filter(|(lane, fetch)| inputs[**lane].at(fetch.next).is_some())
            .map(|(lane, _)| *lane)
            .collect();
        if with.is_empty() {
            return None;
        }
        let stays = with.contains(&member.current) && !state.dice.one_in(4);
        let lane = if stays { member.current } else { state.dice.pick(&with) };
        let log = &state.broker.inputs[lane];
        let member = state.members.get_mut(&self.client)?;
        member.current = lane;
        let fetch = member.fetches.get_mut(&lane)?;
        if fetch.next < log.low {
            return Some(Polled::Trouble(trouble("AutoOffsetReset", true)));
        }
        let record = log.at(fetch.next)?.clone();
        fetch.next = record.offset + 1;
        Some(Polled::Record(Taken {
            partition: state.broker.layout.place(lane),
            record,
            headers: Vec::new(),
        }))
    }

    /// A call that needs an answer within `timeout`: waits for the way there, and says whether it got there.
    fn reach(&self, timeout: Duration) -> Result<std::sync::MutexGuard<'_, State>, LogError> {
        let state = self.ctx.call();
        reach(&self.ctx, state, timeout)
    }
}

/// Waits for the way of a request to the broker; an error when it does not get there within `timeout`.
pub(crate) fn reach<'a>(
    ctx: &'a Ctx,
    mut state: std::sync::MutexGuard<'a, State>,
    timeout: Duration,
) -> Result<std::sync::MutexGuard<'a, State>, LogError> {
    let deadline = state.now + micros(timeout);
    loop {
        let chance = state.profile.call_fault;
        let lost = state.strikes(chance);
        match state.up((ctx.slot, ctx.life)) {
            Up::Yes if !lost => break,
            Up::Yes => {
                state.stats.call_faults += 1;
                drop(ctx.wait(state, deadline, false));
                return Err(told(ErrorKind::Passing, "RequestTimedOut"));
            }
            Up::At(until) if until < deadline => state = ctx.wait(state, until + 1, false),
            _ => {
                drop(ctx.wait(state, deadline, false));
                return Err(told(ErrorKind::Passing, "RequestTimedOut"));
            }
        }
    }
    let at = state.now + state.latency();
    Ok(ctx.wait(state, at, false))
}

fn trouble(code: &str, offset_gone: bool) -> Trouble {
    Trouble { code: code.to_owned(), error: format!("simulated: {code}"), offset_gone }
}

impl Source for SimSource {
    type Membership = (MemberId, i32);
    type Record<'a> = Taken;

    fn poll(&self, wait: Duration) -> Result<Polled<Taken>, RunError> {
        let mut state = self.ctx.call();
        let deadline = state.now + micros(wait);
        loop {
            if let Some(polled) = self.next(&mut state) {
                let slot = self.ctx.slot;
                state.note(|| match &polled {
                    Polled::Record(taken) => {
                        let Partition { topic, number } = &taken.partition;
                        format!("#{slot} takes {topic}-{number}@{}", taken.record.offset)
                    }
                    Polled::Nothing => format!("#{slot} hears of the group"),
                    Polled::Trouble(trouble) => format!("#{slot} polls: {}", trouble.code),
                });
                return Ok(polled);
            }
            if state.now >= deadline {
                return Ok(Polled::Nothing);
            }
            state = self.ctx.wait(state, deadline, true);
        }
    }

    fn take_event(&self) -> Option<GroupEvent> {
        let mut state = self.ctx.quietly();
        let event = self.member_mut(&mut state).events.pop_front();
        if let Some(event) = &event {
            let slot = self.ctx.slot;
            state.note(|| format!("#{slot} acts on {event:?}"));
        }
        event
    }

    fn has_event(&self) -> bool {
        !self.member(&self.ctx.quietly()).events.is_empty()
    }

    fn is_lost(&self) -> bool {
        self.member(&self.ctx.quietly()).lost
    }

    fn committed(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Option<Position>>, LogError> {
        let mut state = self.reach(timeout)?;
        let deadline = state.now + micros(timeout);
        // WHY: readers of committed data are told to come back while a transaction may still move the positions.
        while state.broker.is_unstable(partitions) {
            if state.now >= deadline {
                return Err(told(ErrorKind::Unknown, "UnstableOffsetCommit"));
            }
            let at = state.now + 20 * MS;
            state = self.ctx.wait(state, at, false);
        }
        let committed = &state.broker.group.committed;
        let found: Vec<Option<Position>> =
            partitions.iter().map(|partition| committed.get(partition).cloned()).collect();
        let at = state.now + state.latency();
        let mut state = self.ctx.wait(state, at, false);
        let slot = self.ctx.slot;
        let offsets: Vec<Option<i64>> = found
            .iter()
            .map(|position| position.as_ref().map(|position| position.offset))
            .collect();
        state.note(|| format!("#{slot} reads positions {offsets:?}"));
        Ok(found)
    }

    fn assign(&self, starts: &[(Partition, Option<i64>)]) -> Result<(), RunError> {
        let mut state = self.ctx.call();
        let broker = &state.broker;
        let fetch = |(partition, start): &(Partition, Option<i64>)| {
            let lane = broker.layout.lane(partition);
            let next = start.unwrap_or(broker.inputs[lane].low);
            (lane, Fetch { next, paused: false })
        };
        let fetches = starts.iter().map(fetch).collect();
        self.member_mut(&mut state).fetches = fetches;
        let slot = self.ctx.slot;
        state.note(|| format!("#{slot} reads on from {starts:?}"));
        Ok(())
    }

    fn unassign(&self) -> Result<(), RunError> {
        let mut state = self.ctx.call();
        let member = self.member_mut(&mut state);
        member.fetches.clear();
        (member.holds, member.revoking, member.lost) = (false, false, false);
        if !member.joining {
            member.joining = true;
            let at = state.now + state.latency();
            state.at(at, Event::Join(self.client));
        }
        let slot = self.ctx.slot;
        state.note(|| format!("#{slot} gives its partitions back"));
        Ok(())
    }

    fn pause(&self) -> Result<(), RunError> {
        self.set_paused(true);
        Ok(())
    }

    fn resume(&self) -> Result<(), RunError> {
        self.set_paused(false);
        Ok(())
    }

    fn commit(&self, positions: &[(Partition, Position)], wait: bool) -> Result<(), LogError> {
        if wait {
            return self.commit_and_wait(positions);
        }
        let mut state = self.ctx.call();
        let latency = state.latency();
        let now = state.now;
        let up = state.up((self.ctx.slot, self.ctx.life));
        let client = self.client;
        let member = self.member_mut(&mut state);
        let Some(id) = member.id else {
            return Err(told(ErrorKind::GroupLost, "UnknownMemberId"));
        };
        let generation = member.generation;
        let at = (now + latency).max(member.commits_until + 1);
        member.commits_until = at;
        let lost = state.profile.call_fault;
        if up != Up::Yes || state.strikes(lost) {
            state.stats.call_faults += 1;
            self.member_mut(&mut state).commit_failed = true;
            return Ok(());
        }
        let positions = positions.to_vec();
        state.at(at, Event::Commit { client, member: (id, generation), positions });
        Ok(())
    }

    fn take_commit_failure(&self) -> bool {
        core::mem::take(&mut self.member_mut(&mut self.ctx.quietly()).commit_failed)
    }

    fn acknowledged(&self, partition: &Partition) -> Option<i64> {
        let state = self.ctx.quietly();
        let lane = state.broker.layout.lane(partition);
        self.member(&state).acknowledged.get(&lane).copied()
    }

    fn membership(&self) -> Option<(MemberId, i32)> {
        let state = self.ctx.quietly();
        let member = self.member(&state);
        Some((member.id?, member.generation))
    }

    fn tail(&self, partition: &Partition) -> Option<i64> {
        let state = self.ctx.quietly();
        Some(state.broker.inputs[state.broker.layout.lane(partition)].high)
    }

    fn n_partitions(&self, topic: &str, timeout: Duration) -> Result<u32, LogError> {
        let state = self.reach(timeout)?;
        if state.broker.layout.lane_of(topic, 0).is_none() {
            return Ok(1);
        }
        Ok(u32::try_from(state.broker.layout.n_partitions).unwrap())
    }

    fn bounds(&self, partition: &Partition, timeout: Duration) -> Result<(i64, i64), LogError> {
        let state = self.reach(timeout)?;
        let Some(lane) = state.broker.layout.lane_of(&partition.topic, partition.number) else {
            return Ok((0, i64::try_from(state.broker.written.len()).unwrap()));
        };
        let log = &state.broker.inputs[lane];
        Ok((log.low, log.high))
    }

    fn offsets_at(
        &self,
        partitions: &[Partition],
        time_ms: i64,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, LogError> {
        let state = self.reach(timeout)?;
        let at = |partition: &Partition| {
            if state.broker.layout.lane_of(&partition.topic, partition.number).is_none() {
                return state.broker.outputs_at(&partition.topic, time_ms - WALL_MS);
            }
            let log = &state.broker.inputs[state.broker.layout.lane(partition)];
            let held = log.records.iter().filter(|record| record.offset >= log.low);
            let mut young = held.filter(|record| record.arrival_ms >= time_ms.max(0));
            young.next().map(|record| record.offset)
        };
        Ok(partitions.iter().map(at).collect())
    }
}

impl SimSource {
    fn set_paused(&self, paused: bool) {
        let mut state = self.ctx.call();
        let member = self.member_mut(&mut state);
        member.fetches.values_mut().for_each(|fetch| fetch.paused = paused);
        let slot = self.ctx.slot;
        state.note(|| format!("#{slot} {}", if paused { "pauses" } else { "resumes" }));
    }

    fn commit_and_wait(&self, positions: &[(Partition, Position)]) -> Result<(), LogError> {
        let mut state = self.reach(Duration::from_secs(5))?;
        // WHY: both kinds of commit travel on one connection, one behind the other.
        let before = self.member(&state).commits_until;
        if before >= state.now {
            state = self.ctx.wait(state, before + 1, false);
        }
        let member = self.member(&state);
        let Some(id) = member.id else {
            return Err(told(ErrorKind::GroupLost, "UnknownMemberId"));
        };
        let member = (id, member.generation);
        let result = state.broker.commit(member, positions);
        let slot = self.ctx.slot;
        let answer = result.as_ref().map(|_| ()).map_err(|no| refusal(*no));
        state.note(|| format!("#{slot} commits and waits: {}", answer.is_ok()));
        state.visible(result.ok());
        let chance = state.profile.call_fault;
        let lost = state.strikes(chance);
        let at = state.now + state.latency();
        drop(self.ctx.wait(state, at, false));
        if lost { Err(told(ErrorKind::Passing, "RequestTimedOut")) } else { answer }
    }
}

impl Drop for SimSource {
    fn drop(&mut self) {
        let mut state = self.ctx.quietly();
        let killed = state.instances[self.ctx.slot].killed || std::thread::panicking();
        let Some(member) = state.members.remove(&self.client) else { return };
        let up = state.up((self.ctx.slot, self.ctx.life)) == Up::Yes;
        if let (false, true, Some(id)) = (killed, up, member.id) {
            let now = state.now;
            state.broker.group.remove(id, now, REBALANCE);
            state.settle_group();
            let slot = self.ctx.slot;
            state.note(|| format!("#{slot} leaves the group"));
        }
    }
}
