//! The baton, simulated time, and the life of instances.
//!
//! INVARIANT: only the thread whose turn it is touches anything; the lock is never contended, it only carries the
//! baton. So the order of all effects is a function of the seed.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use riskweir::config::DeliveryMode;
use riskweir::runtime::{Reloader, RunError, Stop};
use riskweir::telemetry::board::Board;
use riskweir::telemetry::books::Books;

use super::broker::Broker;
use super::check::{Check, Delivery, Seen};
use super::dice::Dice;
use super::disk::Disk;
use super::member::Member;
use super::network::Event;
use super::profile::{MS, Profile, S};
use super::reader::ReaderState;
use super::workload::Workload;
use super::writer::WriterState;

/// Between two looks around.
pub(crate) const LOOK: u64 = 50 * MS;
/// After the last fault and the last record everything is decided within this time.
pub(crate) const LIVENESS: u64 = 90 * S;
/// An orderly stop without faults ends within this time.
const STOP_LIMIT: u64 = 30 * S;
/// More calls than any seed needs: somebody runs in circles.
const MOST_CALLS: u64 = 3_000_000;
/// Lines of the trace that are kept for the report of a failure.
const TAIL: usize = 160;

/// The same, or all of them where the trace of one seed is asked for.
fn tail() -> usize {
    if std::env::var_os("RISKWEIR_SIM_SEED").is_some() { usize::MAX } else { TAIL }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The thread that starts instances and judges at the end.
    Main,
    /// An instance, by its slot.
    Instance(usize),
}

/// Thrown through an instance that is killed.
#[derive(Debug)]
pub(crate) struct Killed;

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    Killed,
    Panicked(String),
    Returned(Result<Box<Books>, RunError>),
}

impl End {
    /// What was thrown through an instance.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Self {
        if payload.is::<Killed>() {
            return Self::Killed;
        }
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Self::Panicked(text.unwrap_or("no words").to_owned())
    }
}

/// A place where an instance runs, again and again.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) life: u64,
    pub(crate) alive: bool,
    pub(crate) killed: bool,
    pub(crate) wake_at: u64,
    /// Whether news for its clients wake it before that.
    pub(crate) eager: bool,
    pub(crate) paused_until: u64,
    pub(crate) cut_until: u64,
    pub(crate) stop: Option<Stop>,
    pub(crate) board: Option<Arc<Board>>,
    pub(crate) reloader: Option<Arc<Reloader>>,
    pub(crate) calls: u64,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults strike.
    Faults,
    /// No more faults since then: everything must be decided.
    Calm(u64),
    /// Everything is decided, everybody is asked to stop.
    Stopping(u64),
    /// Verdict.
    Done,
}

/// The trace: a digest of all lines, the last ones word for word.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) digest: u64,
    pub(crate) lines: u64,
    pub(crate) tail: VecDeque<String>,
}

impl Trace {
    fn add(&mut self, line: String) {
        for byte in line.bytes().chain([b'\n']) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.tail.len() >= tail() {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) now: u64,
    pub(crate) turn: Turn,
    pub(crate) dice: Dice,
    pub(crate) profile: Profile,
    pub(crate) phase: Phase,
    pub(crate) instances: Vec<Instance>,
    pub(crate) events: BTreeMap<(u64, u64), Event>,
    n_events: u64,
    pub(crate) broker: Broker,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) writers: BTreeMap<u64, WriterState>,
    pub(crate) readers: BTreeMap<u64, ReaderState>,
    n_clients: u64,
    pub(crate) wall_shift_ms: i64,
    pub(crate) disks: Vec<Disk>,
    pub(crate) trace: Trace,
    pub(crate) check: Check,
    pub(crate) workload: Arc<Workload>,
    /// Which rule set lies in the folder.
    pub(crate) folder: usize,
    /// Starts accept that input is missing.
    pub(crate) accept_gaps: bool,
    /// Instances that the main thread is to start.
    pub(crate) starts: VecDeque<usize>,
    pub(crate) failure: Option<String>,
    pub(crate) produced: usize,
    pub(crate) stats: Stats,
    pub(crate) first_life_calls: u64,
    /// Looks at the clock since the last call into a port.
    pub(crate) looks: u64,
}

impl Stats {
    /// All of them by name.
    pub(crate) fn named(&self) -> [(&'static str, u64); 28] {
        [
            ("calls", self.calls),
            ("crashes", self.crashes),
            ("pauses", self.pauses),
            ("cuts", self.cuts),
            ("jumps", self.jumps),
            ("stops", self.stops),
            ("rebalances", self.rebalances),
            ("commits", self.commits),
            ("commit faults", self.commit_faults),
            ("delivery failures", self.delivery_failures),
            ("call faults", self.call_faults),
            ("fenced", self.fenced),
            ("timed out", self.timed_out),
            ("errors", self.errors),
            ("snapshots", self.snapshots),
            ("disk faults", self.disk_faults),
            ("power losses", self.power_losses),
            ("rotten", self.rotten),
            ("folders", self.folders),
            ("refused", self.refused),
            ("deletions", self.deletions),
            ("gaps", self.gaps),
            ("changes", self.seen.changes),
            ("changes back", self.seen.back),
            ("stale answers", self.seen.stale),
            ("marked", self.seen.marked),
            ("commands done", self.seen.done),
            ("commands refused", self.seen.undone),
        ]
    }
}

/// What happened, to know that faults do strike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) calls: u64,
    pub(crate) crashes: u64,
    pub(crate) pauses: u64,
    pub(crate) cuts: u64,
    pub(crate) jumps: u64,
    pub(crate) stops: u64,
    pub(crate) rebalances: u64,
    pub(crate) commits: u64,
    pub(crate) commit_faults: u64,
    pub(crate) delivery_failures: u64,
    pub(crate) call_faults: u64,
    pub(crate) fenced: u64,
    pub(crate) timed_out: u64,
    pub(crate) errors: u64,
    pub(crate) snapshots: u64,
    pub(crate) disk_faults: u64,
    pub(crate) power_losses: u64,
    pub(crate) rotten: u64,
    pub(crate) folders: u64,
    pub(crate) refused: u64,
    pub(crate) deletions: u64,
    pub(crate) gaps: u64,
    pub(crate) seen: Seen,
}

impl State {
    pub(crate) fn new(dice: Dice, profile: Profile, workload: Arc<Workload>) -> Self {
        let delivery = match profile.mode {
            DeliveryMode::Transactional => Delivery::ExactlyOnce,
            DeliveryMode::Idempotent if profile.shows_outputs() => Delivery::Shown,
            DeliveryMode::Idempotent => Delivery::AtLeastOnce,
        };
        let check = Check::new(delivery, Arc::clone(&workload));
        let n_instances = profile.n_instances;
        let instances = (0..profile.n_instances).map(|_| Instance::default()).collect();
        let trace = Trace { digest: 0xcbf2_9ce4_8422_2325, lines: 0, tail: VecDeque::new() };
        Self {
            now: 0,
            turn: Turn::Main,
            dice,
            profile,
            phase: Phase::Faults,
            instances,
            events: BTreeMap::new(),
            n_events: 0,
            broker: Broker::default(),
            members: BTreeMap::new(),
            writers: BTreeMap::new(),
            readers: BTreeMap::new(),
            n_clients: 0,
            wall_shift_ms: 0,
            disks: vec![Disk::default(); n_instances],
            trace,
            check,
            workload,
            folder: 0,
            accept_gaps: false,
            starts: VecDeque::new(),
            failure: None,
            produced: 0,
            stats: Stats::default(),
            first_life_calls: 0,
            looks: 0,
        }
    }

    /// A line of the trace.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>10} {}", self.now, line());
        self.trace.add(line);
    }

    /// A property does not hold: the run ends.
    pub(crate) fn fail(&mut self, what: String) {
        if self.failure.is_none() {
            self.note(|| format!("FAILED {what}"));
            self.failure = Some(what);
        }
    }

    /// Something happens later.
    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.n_events += 1;
        self.events.insert((time.max(self.now), self.n_events), event);
    }

    pub(crate) fn new_client(&mut self) -> u64 {
        self.n_clients += 1;
        self.n_clients
    }

    /// One way of a request.
    pub(crate) fn latency(&mut self) -> u64 {
        let most = self.profile.latency;
        50 + self.dice.below(most)
    }

    /// True once in `chance` times; never when it is 0.
    pub(crate) fn strikes(&mut self, chance: u64) -> bool {
        chance > 0 && self.dice.one_in(chance)
    }

    /// News for the clients of an instance.
    pub(crate) fn wake(&mut self, slot: usize) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(slot)
            && instance.eager
        {
            instance.wake_at = instance.wake_at.min(now + 1);
        }
    }

    pub(crate) fn wake_all(&mut self) {
        (0..self.instances.len()).for_each(|slot| self.wake(slot));
    }

    fn ready(&self) -> Vec<usize> {
        let ready = |instance: &Instance| {
            instance.alive && instance.wake_at <= self.now && instance.paused_until <= self.now
        };
        (0..self.instances.len()).filter(|slot| ready(&self.instances[*slot])).collect()
    }

    /// Who goes on; moves time and lets happen what is due.
    pub(crate) fn schedule(&mut self) -> Turn {
        loop {
            let over = self.failure.is_some() || self.phase == Phase::Done;
            if over {
                self.instances.iter_mut().for_each(|instance| instance.killed = true);
            }
            let dying = |instance: &Instance| instance.alive && instance.killed;
            if let Some(slot) = self.instances.iter().position(dying) {
                return Turn::Instance(slot);
            }
            if over || !self.starts.is_empty() {
                return Turn::Main;
            }
            if let Some(((time, _), _)) = self.events.first_key_value()
                && *time <= self.now
            {
                if let Some((_, event)) = self.events.pop_first() {
                    self.happen(event);
                }
                continue;
            }
            let ready = self.ready();
            if !ready.is_empty() {
                let slot = self.dice.pick(&ready);
                self.call(slot);
                return Turn::Instance(slot);
            }
            let wakes = self.instances.iter().filter(|instance| instance.alive);
            let wakes = wakes.map(|instance| instance.wake_at.max(instance.paused_until));
            let events = self.events.first_key_value().map(|((time, _), _)| *time);
            match wakes.chain(events).min() {
                Some(next) => self.now = next.max(self.now),
                None => self.fail("nothing can happen any more".to_owned()),
            }
        }
    }

    /// A call into a port is about to go on: maybe it never does.
    fn call(&mut self, slot: usize) {
        self.stats.calls += 1;
        self.looks = 0;
        self.instances[slot].calls += 1;
        if self.stats.calls > MOST_CALLS {
            self.fail("P16: too many calls, somebody runs in circles".to_owned());
        }
        let Instance { life, calls, .. } = self.instances[slot];
        if (slot, life) == (0, 1) {
            self.first_life_calls = calls;
        }
        let exactly = slot == 0 && life == 1 && self.profile.crash_at == Some(calls);
        let chance = self.profile.crash;
        if exactly || self.strikes(chance) {
            self.kill(slot);
        }
    }

    fn kill(&mut self, slot: usize) {
        self.stats.crashes += 1;
        self.instances[slot].killed = true;
        self.note(|| format!("#{slot} is killed"));
    }

    /// A life has ended.
    pub(crate) fn gone(&mut self, slot: usize, end: &End) {
        self.note(|| match end {
            End::Killed => format!("#{slot} is dead"),
            End::Panicked(text) => format!("#{slot} panicked: {text}"),
            End::Returned(Ok(_)) => format!("#{slot} stopped in order"),
            End::Returned(Err(error)) => format!("#{slot} ended: {error}"),
        });
        let instance = &mut self.instances[slot];
        let life = instance.life;
        instance.alive = false;
        (instance.killed, instance.stop, instance.board) = (false, None, None);
        instance.reloader = None;
        (instance.paused_until, instance.cut_until) = (0, self.now.min(instance.cut_until));
        self.members.retain(|_, member| member.owner != (slot, life));
        self.writers.retain(|_, writer| writer.owner != (slot, life));
        self.readers.retain(|_, reader| reader.owner != (slot, life));
        let disk = self.disk_of(slot);
        self.disks[disk].release((slot, life));
        self.trouble_disk(slot, end);
        match end {
            End::Panicked(text) => self.fail(format!("an instance panicked: {text}")),
            End::Killed => {}
            End::Returned(Ok(books)) => self.judge_stop(books),
            End::Returned(Err(error)) => self.judge_error(slot, error),
        }
        if matches!(self.phase, Phase::Faults | Phase::Calm(_)) {
            let delay = self.dice.pick(&[MS, 50 * MS, 500 * MS, 2 * S, 8 * S]);
            self.at(self.now + delay, Event::Start(slot));
        }
    }

    /// What the end of a life does to its disk.
    fn trouble_disk(&mut self, slot: usize, end: &End) {
        let Profile { power_loss, rot, .. } = self.profile;
        let disk = self.disk_of(slot);
        // WHY: a disk that several share does not lose its power with one of them.
        if matches!(end, End::Killed) && !self.profile.shared_disk && self.strikes(power_loss) {
            self.stats.power_losses += 1;
            self.note(|| format!("#{slot} has lost its power"));
            self.disks[disk].lose_power(&mut self.dice);
        }
        if self.strikes(rot)
            && let Some(what) = self.disks[disk].rot(&mut self.dice)
        {
            self.stats.rotten += 1;
            self.check.damaged = true;
            self.note(|| format!("{what} of #{slot} has turned"));
        }
    }

    fn judge_stop(&mut self, books: &Books) {
        if books.imbalance() != 0 || books.in_flight != 0 {
            let (imbalance, in_flight) = (books.imbalance(), books.in_flight);
            self.fail(format!("P9: after a stop {imbalance} unbooked, {in_flight} in flight"));
        }
    }

    /// What a recovery decides again is what the notes say was decided, by their digest; where one instance reads one
    /// partition at a time. What is missing for good, or cannot be read any more, makes a difference.
    pub(crate) fn judge_replays(&mut self, errors: &str) {
        let differs = errors.lines().find(|line| line.contains("Replay decided otherwise"));
        if let Some(line) = differs
            && !self.check.gaps
            && !self.check.damaged
        {
            self.fail(format!("P4: a replay decided otherwise than the first time: {line}"));
        }
    }

    fn judge_error(&mut self, slot: usize, error: &RunError) {
        self.stats.errors += 1;
        let may_pass = matches!(
            error,
            RunError::Fatal { .. }
                | RunError::Unreachable { .. }
                | RunError::StopTimeout { .. }
                | RunError::Fenced { .. }
        );
        if self.stats.deletions > 0 && matches!(error, RunError::InputGone { .. }) {
            return self.judge_gap(slot, error);
        }
        let disk = self.profile.disk_fault > 0 || self.stats.disk_faults > 0;
        let may_pass = may_pass || (disk && matches!(error, RunError::Snapshots { .. }));
        if !may_pass {
            self.fail(format!("an instance ended for a reason that no fault explains: {error}"));
        }
        if matches!(self.phase, Phase::Stopping(_)) {
            self.fail(format!("P15: an orderly stop failed: {error}"));
        }
    }

    /// Looks around: sessions, transactions, faults, how far everything is.
    pub(crate) fn look(&mut self) {
        self.at(self.now + LOOK, Event::Look);
        self.police();
        self.books_balance();
        match self.phase {
            Phase::Faults if self.now >= self.profile.faults_until => self.calm_down(),
            Phase::Faults => self.strike(),
            Phase::Calm(since) => {
                let followed = self.follow_folder();
                if followed && self.all_decided() && self.now > since + self.profile.quiet {
                    self.note(|| "everything is decided".to_owned());
                    self.phase = Phase::Stopping(self.now);
                    let stops = self.instances.iter().filter_map(|instance| instance.stop.clone());
                    stops.for_each(|stop| stop.request());
                    self.starts.clear();
                    self.events.retain(|_, event| !matches!(event, Event::Start(_)));
                } else if self.now > since + LIVENESS {
                    let open = self.check.open(&self.broker);
                    let what = if followed {
                        "P16: not everything is decided"
                    } else {
                        "P14: not everybody decides by the rules in the folder"
                    };
                    self.fail(format!("{what} in time: {open}"));
                }
            }
            Phase::Stopping(since) => {
                if self.instances.iter().all(|instance| !instance.alive) {
                    self.phase = Phase::Done;
                } else if self.now > since + STOP_LIMIT {
                    self.fail("P15: an orderly stop takes too long".to_owned());
                }
            }
            Phase::Done => {}
        }
    }

    fn all_decided(&self) -> bool {
        let produced = self.produced == self.check.n_records();
        produced && self.check.is_decided()
    }

    fn books_balance(&mut self) {
        let boards = self.instances.iter().filter_map(|instance| instance.board.as_ref());
        let off = boards.flat_map(|board| board.books()).find(|books| books.imbalance() != 0);
        if let Some(books) = off {
            self.fail(format!("P9: {} records are in no book", books.imbalance()));
        }
    }

    fn calm_down(&mut self) {
        self.note(|| "faults stop".to_owned());
        self.profile.heal();
        self.mend_folder();
        self.phase = Phase::Calm(self.now);
        let now = self.now;
        for instance in &mut self.instances {
            instance.paused_until = instance.paused_until.min(now);
            instance.cut_until = instance.cut_until.min(now);
        }
    }

    /// Faults of whole instances.
    fn strike(&mut self) {
        for slot in 0..self.instances.len() {
            if !self.instances[slot].alive {
                continue;
            }
            let Profile { pause, cut, stop, session, .. } = self.profile;
            let length = self.dice.pick(&[S / 5, S, session + S, 2 * session]);
            if self.strikes(pause) {
                self.stats.pauses += 1;
                self.instances[slot].paused_until = self.now + length;
                self.note(|| format!("#{slot} stands still for {} ms", length / MS));
            }
            if self.strikes(cut) {
                self.stats.cuts += 1;
                self.instances[slot].cut_until = self.now + length;
                self.note(|| format!("#{slot} is cut off for {} ms", length / MS));
            }
            if self.strikes(stop)
                && let Some(wish) = &self.instances[slot].stop
            {
                self.stats.stops += 1;
                wish.request();
                self.note(|| format!("#{slot} is asked to stop"));
            }
        }
        let Profile { outage, jump, churn, retention, .. } = self.profile;
        if self.strikes(retention) {
            self.delete_input();
        }
        if self.strikes(outage) {
            let length = self.dice.pick(&[S / 2, 3 * S, 9 * S]);
            self.stats.cuts += 1;
            self.note(|| format!("no broker answers for {} ms", length / MS));
            let until = self.now + length;
            self.instances.iter_mut().for_each(|it| it.cut_until = it.cut_until.max(until));
        }
        if self.strikes(jump) {
            const HOUR: i64 = 3_600_000;
            const YEARS: i64 = 10 * 365 * 24 * HOUR;
            self.stats.jumps += 1;
            self.wall_shift_ms += self.dice.pick(&[HOUR, -HOUR, YEARS, -YEARS, 1, -1]);
        }
        if self.strikes(churn) {
            self.note(|| "the group begins anew".to_owned());
            self.churn();
        }
    }
}

/// See the module.
pub(crate) struct World {
    state: Mutex<State>,
    bells: Vec<Condvar>,
    main: Condvar,
}

impl World {
    pub(crate) fn new(state: State) -> Self {
        let bells = state.instances.iter().map(|_| Condvar::new()).collect();
        Self { state: Mutex::new(state), bells, main: Condvar::new() }
    }

    /// The state. Only for whoever has the baton, or where nobody runs.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, turn: Turn) {
        match turn {
            Turn::Main => self.main.notify_one(),
            Turn::Instance(slot) => self.bells[slot].notify_one(),
        }
    }

    fn await_turn<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        me: Turn,
    ) -> MutexGuard<'a, State> {
        let bell = match me {
            Turn::Main => &self.main,
            Turn::Instance(slot) => &self.bells[slot],
        };
        while state.turn != me {
            state = bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Hands the baton on and waits until it comes back.
    pub(crate) fn pass<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        me: Turn,
    ) -> MutexGuard<'a, State> {
        state.turn = state.schedule();
        if state.turn != me {
            self.ring(state.turn);
        }
        self.await_turn(state, me)
    }

    /// Hands the baton on for good.
    pub(crate) fn leave(&self, mut state: MutexGuard<'_, State>) {
        state.turn = state.schedule();
        self.ring(state.turn);
    }

    /// Waits for the first turn.
    pub(crate) fn enter(&self, me: Turn) -> MutexGuard<'_, State> {
        self.await_turn(self.lock(), me)
    }
}

/// Who calls: one life of one instance.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) world: Arc<World>,
    pub(crate) slot: usize,
    pub(crate) life: u64,
}

impl Ctx {
    /// Enters a port: the moment at which anything may happen.
    pub(crate) fn call(&self) -> MutexGuard<'_, State> {
        let mut state = self.world.lock();
        let cost = match state.dice.below(64) {
            0 => 1 + state.dice.below(2 * MS),
            _ => 1 + state.dice.below(12),
        };
        let until = state.now + cost;
        self.wait(state, until, false)
    }

    /// Waits until a moment, or until there is news when `eager`.
    pub(crate) fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: u64,
        eager: bool,
    ) -> MutexGuard<'a, State> {
        // WHY: who sleeps is woken late, now and then.
        let late = if eager { state.dice.pick(&[0, 0, 0, MS, 6 * MS]) } else { 0 };
        let instance = &mut state.instances[self.slot];
        (instance.wake_at, instance.eager) = (until + late, eager);
        let state = self.world.pass(state, Turn::Instance(self.slot));
        if state.instances[self.slot].killed {
            drop(state);
            resume_unwind(Box::new(Killed));
        }
        state
    }

    /// The state, where nobody else may go first: when a client is dropped.
    pub(crate) fn quietly(&self) -> MutexGuard<'_, State> {
        self.world.lock()
    }
}
