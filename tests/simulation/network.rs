//! What is on its way: requests, answers, heartbeats, and what the brokers do by themselves.

use riskweir::runtime::log::{ErrorKind, LogError, Partition, Position, Wire};

use super::broker::{MemberId, No, Record, Visible};
use super::member::Told;
use super::profile::{MS, S};
use super::world::{LOOK, State};

/// How long a rebalance waits for members that are heard of but do not join.
pub(crate) const REBALANCE: u64 = 40 * S;

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A record of the input arrives at the broker, in this lane.
    Produce(usize, Record),
    /// The rule folder has another rule set, by its number.
    Folder(usize),
    /// An instance looks at the rule folder.
    LookAtRules(usize),
    /// An instance is started.
    Start(usize),
    /// See `State::look`.
    Look,
    /// A member is due to say that it lives.
    Heartbeat(u64),
    /// A member asks to join.
    Join(u64),
    /// The group's answer to a member.
    Share(u64, MemberId, i32, Vec<i32>),
    /// The next batch of a partition leaves a producer.
    Flush(u64, u64),
    /// A batch arrives at the broker.
    Arrive {
        writer: u64,
        lane: u64,
        round: u64,
        producer: Option<(String, u32)>,
        batch: Vec<(Wire, u64)>,
    },
    /// What became of a batch arrives at the producer.
    Ack { writer: u64, round: u64, batch: Vec<(Wire, u64)>, error: Option<LogError> },
    /// A commit without waiting arrives at the broker.
    Commit { client: u64, member: (MemberId, i32), positions: Vec<(Partition, Position)> },
    /// A producer sends the positions of its transaction.
    Offsets {
        writer: u64,
        member: (MemberId, i32),
        positions: Vec<(Partition, Position)>,
        deadline: u64,
    },
    /// A producer asks to commit its transaction.
    Finish { writer: u64, deadline: u64, answered: bool },
    /// A request to commit arrives long after its sender gave up waiting.
    LateFinish { producer: (String, u32) },
    /// What became of a commit.
    Outcome { writer: u64, outcome: Result<(), LogError> },
}

/// Whether a process can use the network now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    Yes,
    /// Not before this moment.
    At(u64),
    Gone,
}

/// An error as a client tells it.
pub(crate) fn told(kind: ErrorKind, code: &str) -> LogError {
    LogError { kind, code: code.to_owned(), text: format!("simulated: {code}") }
}

/// A broker's refusal as a client tells it.
pub(crate) fn refusal(no: No) -> LogError {
    match no {
        No::Fenced => told(ErrorKind::Fenced, "Fenced"),
        No::NotMember => told(ErrorKind::GroupLost, "IllegalGeneration"),
    }
}

impl State {
    /// Whether a life can send or receive now.
    pub(crate) fn up(&self, (slot, life): (usize, u64)) -> Up {
        let instance = &self.instances[slot];
        if !instance.alive || instance.killed || instance.life != life {
            return Up::Gone;
        }
        let until = instance.paused_until.max(instance.cut_until);
        if until > self.now { Up::At(until) } else { Up::Yes }
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Produce(lane, record) => self.produce(lane, record),
            Event::Folder(ruleset) => self.change_folder(ruleset),
            Event::LookAtRules(slot) => self.look_at_rules(slot),
            Event::Start(slot) => self.start(slot),
            Event::Look => self.look(),
            Event::Heartbeat(client) => self.heartbeat(client),
            Event::Join(client) => self.join(client),
            Event::Share(client, member, generation, share) => {
                self.share((client, member, generation), share);
            }
            Event::Flush(writer, lane) => self.flush(writer, lane),
            Event::Arrive { writer, lane, round, producer, batch } => {
                self.arrive((writer, lane, round), producer.as_ref(), batch);
            }
            Event::Ack { writer, round, batch, error } => {
                self.acknowledge((writer, round), batch, error);
            }
            Event::Commit { client, member, positions } => {
                self.commit_arrives(client, member, &positions);
            }
            Event::Offsets { writer, member, positions, deadline } => {
                self.offsets(writer, member, positions, deadline);
            }
            Event::Finish { writer, deadline, answered } => self.finish(writer, deadline, answered),
            Event::LateFinish { producer } => {
                let ended = self.broker.end((&producer.0, producer.1), true);
                self.note(|| format!("{producer:?} commits late: {}", outcome(&ended)));
                self.visible(ended.ok().flatten());
            }
            Event::Outcome { writer, outcome } => self.outcome(writer, outcome),
        }
    }

    fn produce(&mut self, lane: usize, record: Record) {
        let log = &mut self.broker.inputs[lane];
        let offset = record.offset;
        log.high = offset + 1;
        log.records.push(record);
        self.produced += 1;
        self.note(|| format!("input {lane}@{offset}"));
        self.wake_all();
    }

    /// What is visible from now on is judged.
    pub(crate) fn visible(&mut self, visible: Option<Visible>) {
        let Some(visible) = visible else { return };
        // WHY: what a transaction commits together is there together.
        for (partition, position) in &visible.positions {
            let lane = self.broker.layout.lane(partition);
            if let Err(what) = self.check.learns(lane, position) {
                self.fail(what);
            }
        }
        for place in visible.outputs {
            let wire = &self.broker.written[place];
            if let Err(what) = self.check.sees(wire) {
                self.fail(what);
            }
        }
        for (partition, position) in visible.positions {
            let lane = self.broker.layout.lane(&partition);
            self.note(|| format!("committed {lane}@{} {}", position.offset, position.note));
            self.stats.commits += 1;
            if let Err(what) = self.check.committed(lane, position.offset) {
                self.fail(what);
            }
        }
    }

    /// What brokers do by themselves.
    pub(crate) fn police(&mut self) {
        let limit = self.profile.transaction_timeout;
        for id in self.broker.time_out(self.now, limit) {
            self.stats.timed_out += 1;
            self.note(|| format!("the transaction of {id} timed out"));
        }
        for member in self.broker.group.silent(self.now, self.profile.session) {
            self.note(|| format!("member {member} is not heard of"));
            self.broker.group.remove(member, self.now, REBALANCE);
        }
        self.settle_group();
    }

    pub(crate) fn settle_group(&mut self) {
        let n_partitions = self.broker.layout.n_partitions;
        if !self.broker.group.settle(self.now, n_partitions) {
            return;
        }
        self.stats.rebalances += 1;
        let generation = self.broker.group.generation;
        let members = self.broker.group.members.iter();
        let shares: Vec<(MemberId, Vec<i32>)> =
            members.map(|(id, known)| (*id, known.share.clone())).collect();
        self.note(|| format!("generation {generation}: {shares:?}"));
        for (id, share) in shares {
            let client = self.members.iter().find(|(_, member)| member.id == Some(id));
            if let Some(client) = client.map(|(client, _)| *client) {
                let at = self.now + self.latency();
                self.at(at, Event::Share(client, id, generation, share));
            }
        }
    }

    /// Everybody has to join again.
    pub(crate) fn churn(&mut self) {
        if !self.broker.group.members.is_empty() && self.broker.group.preparing.is_none() {
            self.broker.group.preparing = Some(self.now + REBALANCE);
        }
    }

    fn heartbeat(&mut self, client: u64) {
        let Some(member) = self.members.get(&client) else { return };
        let (owner, id, heard) = (member.owner, member.id, member.heard);
        let every = self.profile.heartbeat;
        match self.up(owner) {
            Up::Gone => return,
            Up::At(until) => {
                // WHY: a process that stands still notices nothing; one that is cut off counts the time.
                let awake = self.instances[owner.0].paused_until <= self.now;
                if awake && id.is_some() && self.now.saturating_sub(heard) >= self.profile.session {
                    self.lose(client);
                }
                let next = until.min(self.now + every);
                self.at(next.max(self.now + MS), Event::Heartbeat(client));
                return;
            }
            Up::Yes => {}
        }
        let now = self.now;
        self.at(now + every, Event::Heartbeat(client));
        let Some(id) = id else { return };
        let preparing = self.broker.group.preparing.is_some();
        match self.broker.group.members.get_mut(&id) {
            None => self.lose(client),
            Some(known) => {
                known.seen = now;
                let joined = known.joined;
                if let Some(member) = self.members.get_mut(&client) {
                    member.heard = now;
                }
                if preparing && !joined {
                    self.rejoin(client);
                }
            }
        }
    }

    /// The group asks a member to join again: first it must give its partitions back.
    fn rejoin(&mut self, client: u64) {
        let Some(member) = self.members.get_mut(&client) else { return };
        if member.joining || member.revoking {
            return;
        }
        let slot = member.owner.0;
        if member.holds {
            member.revoking = true;
            member.told.push_back(Told::Revoked);
            self.note(|| format!("#{slot} has to give its partitions back"));
        } else {
            member.joining = true;
            let at = self.now + self.latency();
            self.at(at, Event::Join(client));
        }
        self.wake(slot);
    }

    /// A member learns that the group does not know it any more.
    pub(crate) fn lose(&mut self, client: u64) {
        let Some(member) = self.members.get_mut(&client) else { return };
        let slot = member.owner.0;
        (member.id, member.generation) = (None, -1);
        if member.holds {
            member.lost = true;
            if !member.revoking {
                member.revoking = true;
                member.told.push_back(Told::Revoked);
            }
        } else {
            member.joining = true;
            let at = self.now + self.latency();
            self.at(at, Event::Join(client));
        }
        self.note(|| format!("#{slot} is not known to the group"));
        self.wake(slot);
    }

    fn join(&mut self, client: u64) {
        let Some(member) = self.members.get(&client) else { return };
        if member.holds || !member.joining {
            return;
        }
        match self.up(member.owner) {
            Up::Gone => return,
            Up::At(until) => return self.at(until + 1, Event::Join(client)),
            Up::Yes => {}
        }
        let known = |id: &MemberId| self.broker.group.members.contains_key(id);
        let id = member.id.filter(known).unwrap_or_else(|| self.broker.group.new_member());
        let slot = member.owner.0;
        let now = self.now;
        if let Some(member) = self.members.get_mut(&client) {
            (member.id, member.heard, member.joining) = (Some(id), now, true);
        }
        self.broker.group.join(id, now, REBALANCE);
        self.note(|| format!("#{slot} joins as {id}"));
        // WHY: others may join in a moment; the group waits for the next look around, or for them.
        if self.dice.one_in(2) {
            self.settle_group();
        }
    }

    fn share(&mut self, (client, id, generation): (u64, MemberId, i32), share: Vec<i32>) {
        let Some(member) = self.members.get(&client) else { return };
        match self.up(member.owner) {
            Up::Gone => return,
            Up::At(until) => {
                return self.at(until + 1, Event::Share(client, id, generation, share));
            }
            Up::Yes => {}
        }
        let group = &self.broker.group;
        let stale = group.generation != generation || !group.members.contains_key(&id);
        let Some(member) = self.members.get_mut(&client) else { return };
        if member.id != Some(id) {
            return;
        }
        member.joining = false;
        let slot = member.owner.0;
        if stale {
            return self.lose(client);
        }
        member.generation = generation;
        member.holds = true;
        member.told.push_back(Told::Assigned(share));
        self.wake(slot);
    }

    fn commit_arrives(
        &mut self,
        client: u64,
        member: (MemberId, i32),
        positions: &[(Partition, Position)],
    ) {
        let result = self.broker.commit(member, positions);
        let failed = result.is_err();
        if let (true, Some(member)) = (failed, self.members.get_mut(&client)) {
            member.commit_failed = true;
        }
        if failed {
            self.note(|| format!("a commit of member {member:?} is refused"));
        }
        let up = self.members.get(&client).map(|member| self.up(member.owner));
        if let (false, Some(Up::Yes), Some(member)) = (failed, up, self.members.get_mut(&client)) {
            let layout = &self.broker.layout;
            let reached = positions.iter().map(|(at, position)| (layout.lane(at), position.offset));
            member.acknowledged.extend(reached);
        }
        self.visible(result.ok());
    }
}

/// A short word for the trace.
pub(crate) fn outcome<T>(result: &Result<Option<T>, No>) -> &'static str {
    match result {
        Ok(Some(_)) => "done",
        Ok(None) => "nothing open",
        Err(No::Fenced) => "fenced",
        Err(No::NotMember) => "not a member",
    }
}

/// The first events of a run.
pub(crate) fn begin(state: &mut State) {
    state.at(LOOK, Event::Look);
    for slot in 0..state.instances.len() {
        let at = state.dice.below(S / 2);
        state.at(at, Event::Start(slot));
    }
}
