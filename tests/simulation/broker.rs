//! What the brokers keep: records with gaps between their offsets, transactions, the group and its positions.
//!
//! Everything here happens at one moment; the clients around it decide when a request arrives and whether its answer
//! comes back. Times are microseconds of simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::runtime::log::{Partition, Position, Wire};

/// The input topics, each with the same number of partitions; a *lane* is one partition of one of them, by a number over
/// all: that of its topic times the partitions of a topic, and that of the partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) n_partitions: usize,
}

impl Layout {
    pub(crate) fn new(topics: &[&str], n_partitions: usize) -> Self {
        Self { topics: topics.iter().map(|&topic| topic.into()).collect(), n_partitions }
    }

    pub(crate) fn n_lanes(&self) -> usize {
        self.topics.len() * self.n_partitions
    }

    pub(crate) fn lane_of(&self, topic: &str, number: i32) -> Option<usize> {
        let at = self.topics.iter().position(|known| &**known == topic)?;
        let number = usize::try_from(number).ok().filter(|number| *number < self.n_partitions)?;
        Some(at * self.n_partitions + number)
    }

    pub(crate) fn lane(&self, partition: &Partition) -> usize {
        self.lane_of(&partition.topic, partition.number).expect("a partition of the input")
    }

    pub(crate) fn place(&self, lane: usize) -> Partition {
        let topic = Arc::clone(&self.topics[lane / self.n_partitions]);
        Partition { topic, number: i32::try_from(lane % self.n_partitions).unwrap() }
    }
}

/// Number of a transaction, for ever.
pub(crate) type TxnNo = usize;
/// Number of a group member, for ever.
pub(crate) type MemberId = u64;

/// One record of the input.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) arrival_ms: i64,
    pub(crate) payload: Option<Arc<[u8]>>,
}

/// One partition of the input: records, and marks that only take offsets.
#[derive(Clone, Debug, Default)]
pub(crate) struct InputLog {
    pub(crate) records: Vec<Record>,
    /// The oldest offset that is still there.
    pub(crate) low: i64,
    /// One past the last offset, marks included.
    pub(crate) high: i64,
}

impl InputLog {
    /// The first record at or after an offset that is still there.
    pub(crate) fn at(&self, offset: i64) -> Option<&Record> {
        let offset = offset.max(self.low);
        self.records.get(self.records.partition_point(|record| record.offset < offset))
    }
}

/// Why a broker says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// The producer's epoch is not the present one.
    Fenced,
    /// The member or its generation is not known.
    NotMember,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Committed,
    Aborted,
}

/// An open transaction.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) no: TxnNo,
    pub(crate) began: u64,
    pub(crate) written: Vec<usize>,
    pub(crate) offsets: BTreeMap<Partition, Position>,
    pub(crate) has_offsets: bool,
}

/// One transactional id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) epoch: u32,
    pub(crate) open: Option<Open>,
}

/// A member as the group knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) seen: u64,
    pub(crate) joined: bool,
    pub(crate) share: Vec<i32>,
}

/// The consumer group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) generation: i32,
    /// A rebalance waits for its members until then.
    pub(crate) preparing: Option<u64>,
    pub(crate) members: BTreeMap<MemberId, Known>,
    pub(crate) committed: BTreeMap<Partition, Position>,
    next_member: MemberId,
}

/// What became visible to readers of committed data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visible {
    /// Outputs, by their place in [`Broker::written`].
    pub(crate) outputs: Vec<usize>,
    /// Positions, in order.
    pub(crate) positions: Vec<(Partition, Position)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broker {
    pub(crate) layout: Layout,
    /// By lane.
    pub(crate) inputs: Vec<InputLog>,
    pub(crate) written: Vec<Wire>,
    /// When each of them came, and the transaction that it belongs to.
    pub(crate) came: Vec<(u64, Option<TxnNo>)>,
    pub(crate) fates: Vec<Fate>,
    pub(crate) ids: BTreeMap<String, Identity>,
    pub(crate) group: Group,
}

impl Broker {
    /// Outputs of a topic, committed ones, from an offset on: their place in [`Self::written`] is their offset, as if each
    /// topic had one partition.
    pub(crate) fn outputs(&self, topic: &str, from: i64) -> impl Iterator<Item = (i64, &Wire)> {
        let is_there = |txn: Option<TxnNo>| {
            txn.is_none_or(|txn| self.fates.get(txn) == Some(&Fate::Committed))
        };
        let all = self.written.iter().zip(&self.came).enumerate();
        all.filter_map(move |(at, (wire, (_, txn)))| {
            let at = i64::try_from(at).unwrap();
            (at >= from && *wire.topic == *topic && is_there(*txn)).then_some((at, wire))
        })
    }
    /// The offset of the first output of a topic that came at this time, in ms of simulated time, or later.
    pub(crate) fn outputs_at(&self, topic: &str, time_ms: i64) -> Option<i64> {
        let came = |at: i64| {
            let at = usize::try_from(at).unwrap();
            i64::try_from(self.came[at].0 / 1_000).unwrap()
        };
        self.outputs(topic, 0).map(|(at, _)| at).find(|at| came(*at) >= time_ms)
    }

    /// Registers a transactional id: whatever was open under it is aborted. Returns the new epoch.
    pub(crate) fn register(&mut self, id: &str) -> u32 {
        self.abort_open(id);
        let identity = self.ids.entry(id.to_owned()).or_default();
        identity.epoch += 1;
        identity.epoch
    }

    fn abort_open(&mut self, id: &str) {
        let open = self.ids.get_mut(id).and_then(|identity| identity.open.take());
        if let Some(open) = open {
            self.fates[open.no] = Fate::Aborted;
        }
    }

    /// The open transaction of a producer, begun now when there is none.
    fn open(&mut self, id: &str, epoch: u32, now: u64) -> Result<&mut Open, No> {
        let identity = self.ids.get_mut(id).filter(|identity| identity.epoch == epoch);
        let identity = identity.ok_or(No::Fenced)?;
        let fates = &mut self.fates;
        Ok(identity.open.get_or_insert_with(|| {
            fates.push(Fate::Open);
            let (written, offsets, has_offsets) = (Vec::new(), BTreeMap::new(), false);
            Open { no: fates.len() - 1, began: now, written, offsets, has_offsets }
        }))
    }

    /// Takes an output, inside a transaction or at once visible.
    pub(crate) fn append(
        &mut self,
        producer: Option<(&str, u32)>,
        wire: Wire,
        now: u64,
    ) -> Result<Visible, No> {
        let place = self.written.len();
        let txn = match producer {
            None => None,
            Some((id, epoch)) => {
                let open = self.open(id, epoch, now)?;
                open.written.push(place);
                Some(open.no)
            }
        };
        self.written.push(wire);
        self.came.push((now, txn));
        let outputs = if txn.is_none() { vec![place] } else { Vec::new() };
        Ok(Visible { outputs, positions: Vec::new() })
    }

    /// Adds positions to a transaction; the member must be known and of the present generation.
    pub(crate) fn add_offsets(
        &mut self,
        (id, epoch): (&str, u32),
        member: (MemberId, i32),
        positions: &[(Partition, Position)],
        now: u64,
    ) -> Result<(), No> {
        let known = self.is_member(member);
        let open = self.open(id, epoch, now)?;
        if !known {
            return Err(No::NotMember);
        }
        open.offsets.extend(positions.iter().cloned());
        open.has_offsets = true;
        Ok(())
    }

    /// Ends the open transaction. As brokers without per-transaction epochs: a delayed request ends whatever is open.
    pub(crate) fn end(
        &mut self,
        (id, epoch): (&str, u32),
        commit: bool,
    ) -> Result<Option<Visible>, No> {
        let identity = self.ids.get_mut(id).filter(|identity| identity.epoch == epoch);
        let Some(open) = identity.ok_or(No::Fenced)?.open.take() else { return Ok(None) };
        if !commit {
            self.fates[open.no] = Fate::Aborted;
            return Ok(Some(Visible::default()));
        }
        self.fates[open.no] = Fate::Committed;
        let positions: Vec<(Partition, Position)> = open.offsets.into_iter().collect();
        self.group.committed.extend(positions.iter().cloned());
        Ok(Some(Visible { outputs: open.written, positions }))
    }

    /// Gives up transactions that are open for longer than `limit`; their producers are fenced.
    pub(crate) fn time_out(&mut self, now: u64, limit: u64) -> Vec<String> {
        let is_old = |identity: &Identity| {
            identity.open.as_ref().is_some_and(|open| now.saturating_sub(open.began) >= limit)
        };
        let old = self.ids.iter().filter(|(_, identity)| is_old(identity));
        let old: Vec<String> = old.map(|(id, _)| id.clone()).collect();
        for id in &old {
            self.register(id);
        }
        old
    }

    /// Whether a transaction that is still open will move the position of one of these partitions.
    pub(crate) fn is_unstable(&self, partitions: &[Partition]) -> bool {
        let mut open = self.ids.values().filter_map(|identity| identity.open.as_ref());
        open.any(|open| partitions.iter().any(|partition| open.offsets.contains_key(partition)))
    }

    pub(crate) fn is_member(&self, (id, generation): (MemberId, i32)) -> bool {
        generation == self.group.generation && self.group.members.contains_key(&id)
    }

    /// Commits positions outside a transaction.
    pub(crate) fn commit(
        &mut self,
        member: (MemberId, i32),
        positions: &[(Partition, Position)],
    ) -> Result<Visible, No> {
        if !self.is_member(member) {
            return Err(No::NotMember);
        }
        self.group.committed.extend(positions.iter().cloned());
        Ok(Visible { outputs: Vec::new(), positions: positions.to_vec() })
    }
}

impl Group {
    /// A number for a new member.
    pub(crate) fn new_member(&mut self) -> MemberId {
        self.next_member += 1;
        self.next_member
    }

    /// A member asks to join; a rebalance begins unless one runs already.
    pub(crate) fn join(&mut self, member: MemberId, now: u64, patience: u64) {
        let known = Known { seen: now, joined: false, share: Vec::new() };
        let known = self.members.entry(member).or_insert(known);
        (known.joined, known.seen) = (true, now);
        self.prepare(now, patience);
    }

    fn prepare(&mut self, now: u64, patience: u64) {
        if self.preparing.is_none() {
            self.preparing = Some(now + patience);
        }
    }

    /// A member leaves, or is not heard of any more.
    pub(crate) fn remove(&mut self, member: MemberId, now: u64, patience: u64) {
        if self.members.remove(&member).is_some() && !self.members.is_empty() {
            self.prepare(now, patience);
        }
        if self.members.is_empty() {
            self.preparing = None;
            self.generation += 1;
        }
    }

    /// Members that were not heard of for a whole session.
    pub(crate) fn silent(&self, now: u64, session: u64) -> Vec<MemberId> {
        let silent = self.members.iter();
        silent
            .filter(|(_, known)| now.saturating_sub(known.seen) >= session)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Ends a rebalance when everybody has joined, or the wait is over: shares out the numbers of `n` partitions by range,
    /// so that a number of all topics goes to one member.
    pub(crate) fn settle(&mut self, now: u64, n: usize) -> bool {
        let Some(until) = self.preparing else { return false };
        if now >= until {
            self.members.retain(|_, known| known.joined);
        }
        if self.members.is_empty() || self.members.values().any(|known| !known.joined) {
            return false;
        }
        self.preparing = None;
        self.generation += 1;
        let count = self.members.len();
        let (each, more) = (n / count, n % count);
        let mut next = 0;
        for (index, known) in self.members.values_mut().enumerate() {
            let end = next + each + usize::from(index < more);
            known.share = (next..end).map(|number| i32::try_from(number).unwrap()).collect();
            known.joined = false;
            next = end;
        }
        true
    }
}
