//! Records, rule sets and the golden runs of a seed.
//!
//! Keys and ids carry their lane (a partition of a topic), so a lane's answers hang on its own records and on the rule sets
//! alone. That is what a group of several instances asks of a rule set, and what lets a golden run take one lane at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use riskweir::base::time::format_rfc3339;
use riskweir::config::{self, Config, DeliveryMode, Sources};
use riskweir::runtime::port::{Engines as _, Spread, Step as _};
use riskweir::runtime::{DecidingEngines, Input, Output, OutputTopic, Wish, engine_options};
use riskweir::telemetry::Board;
use riskweir::telemetry::board::Identity;

use super::broker::{Layout, Record};
use super::check::{AUDIT, Golden};
use super::commands::{self, COMMANDS};
use super::dice::Dice;
use super::ports::WALL_MS;
use super::profile::{MS, Profile};
use super::shelf::{self, RuleSet, TOPICS};

/// Everything that a seed runs on.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) layout: Layout,
    /// What may lie in the rule folder; the first does at the start.
    pub(crate) sets: Vec<RuleSet>,
    /// When another one does.
    pub(crate) changes: Vec<(u64, usize)>,
    pub(crate) config: Config,
    /// Per lane: when each record arrives, and the record.
    pub(crate) inputs: Vec<Vec<(u64, Record)>>,
}

fn settings(profile: &Profile, decisions: &str) -> Config {
    let mode = match profile.mode {
        DeliveryMode::Idempotent => "idempotent",
        DeliveryMode::Transactional => "transactional",
    };
    let ms = |length: u64| format!("{}ms", length / MS);
    // WHY: with several lanes in one engine, what is forgotten hangs on the slowest and the fastest of them.
    let (skew, window, lateness) =
        if profile.is_single() { ("1h", "2h", "5m") } else { ("365d", "30d", "30d") };
    let settings = [
        ("kafka.brokers", "localhost:1".to_owned()),
        ("delivery.mode", mode.to_owned()),
        ("delivery.decisions", decisions.to_owned()),
        ("delivery.commit_interval", ms(profile.commit_interval)),
        ("delivery.offset_commit_interval", ms(profile.commit_interval * 4)),
        ("delivery.transaction_timeout", ms(profile.transaction_timeout)),
        ("delivery.max_in_flight", profile.max_in_flight.to_string()),
        ("snapshot.interval", ms(profile.snapshots.max(MS))),
        ("kafka.session_timeout", ms(profile.session)),
        ("time.partition_idle", skew.to_owned()),
        ("time.dedupe_window", window.to_owned()),
        ("time.allowed_lateness", lateness.to_owned()),
    ];
    let key = profile.by_partition.then(|| ("kafka.partitioned_by", "card".to_owned()));
    let commands = profile.commands.then(|| ("topics.commands", COMMANDS.to_owned()));
    let flags = settings.into_iter().chain(key).chain(commands);
    let flags = flags.map(|(key, value)| ("--set".to_owned(), key.to_owned(), value)).collect();
    let loaded = config::load(&Sources { flags, ..Sources::default() });
    loaded.unwrap_or_else(|errors| panic!("{errors:#?}")).config
}

/// Makes the records of one lane.
struct Maker<'a> {
    dice: &'a mut Dice,
    lane: usize,
    topic: usize,
    n_made: usize,
    event_ms: i64,
    bodies: Vec<String>,
}

impl Maker<'_> {
    fn payload(&mut self) -> Option<Vec<u8>> {
        const MINUTE: i64 = 60_000;
        if self.dice.one_in(20) {
            return self.dice.pick(&[
                None,
                Some(Vec::new()),
                Some(b"{\"type\":\"payment\"".to_vec()),
                Some(b"{\"type\":\"nonsense\"}".to_vec()),
                Some(b"{\"type\":\"payment\",\"id\":\"x\",\"at\":\"yesterday\"}".to_vec()),
                Some(vec![0xff, 0xfe]),
            ]);
        }
        if !self.bodies.is_empty() && self.dice.one_in(8) {
            let body = self.dice.pick(&self.bodies);
            return Some(body.into_bytes());
        }
        self.event_ms += self.dice.pick(&[0, 1, 1_000, 20_000, MINUTE, 3 * MINUTE, 9 * MINUTE]);
        let at = match self.dice.below(12) {
            0 => self.event_ms - self.dice.pick(&[1, MINUTE, 4 * MINUTE]),
            1 => self.event_ms - self.dice.pick(&[6 * MINUTE, 100 * MINUTE]),
            2 if self.dice.one_in(3) => self.event_ms + 600 * MINUTE,
            _ => self.event_ms,
        };
        let (at, number) = (format_rfc3339(at), self.n_made);
        self.n_made += 1;
        // WHY: now and then another body under a known id.
        let number = if number > 0 && self.dice.one_in(25) { number - 1 } else { number };
        let (lane, card) = (self.lane, self.dice.below(3));
        let head = format!(r#""id":"p{lane}-{number}","at":"{at}","card":"c{lane}-{card}""#);
        let amount = self.dice.pick(&["1.00", "20.50", "99.99", "300.00", "901.00", "1500.00"]);
        let body = if self.dice.one_in(if self.topic == 0 { 5 } else { 2 }) {
            let ok = self.dice.one_in(2);
            // What it says of the record before, if that is a payment, is in snapshots and replays.
            let about = number.saturating_sub(1);
            format!(r#"{{"type":"login",{head},"about":"p{lane}-{about}","ok":{ok}}}"#)
        } else if self.topic == 0 {
            let shop = self.dice.pick(&["", r#","shop":"a""#, r#","shop":"b""#, r#","shop":"c""#]);
            format!(r#"{{"type":"payment",{head},"amount":"{amount}"{shop}}}"#)
        } else {
            format!(r#"{{"type":"topup",{head},"amount":"{amount}"}}"#)
        };
        self.bodies.push(body.clone());
        Some(body.into_bytes())
    }
}

/// The records of a lane, and when they come.
fn lane_of(
    dice: &mut Dice,
    profile: &Profile,
    lane: usize,
    n_records: usize,
) -> Vec<(u64, Record)> {
    let topic = lane / profile.n_partitions;
    let mut maker = Maker { dice, lane, topic, n_made: 0, event_ms: WALL_MS, bodies: Vec::new() };
    let (mut records, mut offset) = (Vec::new(), 0_i64);
    let mut times: Vec<u64> = (0..n_records).map(|_| maker.dice.below(profile.span)).collect();
    times.sort_unstable();
    for time in times {
        offset += maker.dice.pick(&[0, 0, 0, 0, 1, 2]);
        let payload = maker.payload().map(Into::into);
        let arrival_ms = maker.event_ms + 250;
        records.push((time, Record { offset, arrival_ms, payload }));
        offset += 1;
    }
    records
}

/// The name of an output's topic.
fn topic_name(topic: OutputTopic) -> &'static str {
    match topic {
        OutputTopic::Decisions => "risk.decisions",
        OutputTopic::Alerts | OutputTopic::Episodes => "risk.alerts",
        OutputTopic::Holds => "risk.holds",
        OutputTopic::Audit | OutputTopic::Checkpoints => AUDIT,
        OutputTopic::DeadLetter => "risk.dead_letter",
    }
}

impl Workload {
    /// Draws rule sets, when they change, and the records.
    pub(crate) fn draw(dice: &mut Dice, profile: &Profile) -> Self {
        let decisions = dice.pick(&["all", "all", "notable", "none"]);
        // WHY: only decisions say that records are missing, as they may be where snapshots are damaged and input is deleted.
        let decisions = if profile.retention > 0 { "all" } else { decisions };
        let config = settings(profile, decisions);
        let mut topics = TOPICS[..profile.n_topics].to_vec();
        topics.extend(profile.commands.then_some(COMMANDS));
        let layout = Layout::new(&topics, profile.n_partitions);
        let kind = (profile.n_topics, profile.is_single());
        let sets = shelf::draw(dice, kind, engine_options(&config));
        let mut changes = Vec::new();
        for _ in 0..profile.changes {
            let time = dice.below(profile.faults_until.min(2 * profile.span));
            let set = usize::try_from(dice.below(sets.len() as u64)).unwrap();
            changes.push((time, set));
        }
        let (mut inputs, mut left) = (Vec::new(), profile.n_records);
        let n_lanes = profile.n_topics * profile.n_partitions;
        for lane in 0..n_lanes {
            let others = n_lanes - lane;
            // WHY: one lane in six has nothing at all.
            let share = if others > 1 && dice.one_in(6) { 0 } else { left / others };
            left -= share;
            inputs.push(lane_of(dice, profile, lane, share));
        }
        let mut workload = Self { layout, sets, changes, config, inputs };
        if profile.commands {
            let commands = commands::draw(dice, profile, &workload);
            workload.inputs.extend(commands);
        }
        workload
    }

    /// Engines that begin with a rule set of the shelf, a good one.
    pub(crate) fn engines(&self, set: usize) -> DecidingEngines {
        let program = self.sets[set].program.as_ref().expect("a good rule set");
        let engines = DecidingEngines::new(Arc::clone(program), engine_options(&self.config));
        engines
            .partitioned_by(self.config.kafka.partitioned_by.as_deref())
            .commanded_from(self.config.topics.commands.as_deref())
    }

    /// A rule set, by its name in notes.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.sets.iter().position(|set| set.program.is_some() && set.id == id)
    }

    /// What the records of a lane bring about when rule sets of the shelf decide from these offsets on: one engine that
    /// takes this lane alone, with nothing between. The first decides from the beginning.
    pub(crate) fn golden(&self, lane: usize, history: &[(usize, i64)]) -> Golden {
        let mut golden = BTreeMap::new();
        let Some((first, _)) = history.first() else { return golden };
        let (sender, receiver) = channel();
        let board = Arc::new(Board::new(1, Identity::default()));
        let mut engines = self.engines(*first).following(receiver, board);
        for (set, _) in history {
            // WHY: engines know what was wanted once.
            let program = Arc::clone(self.sets[*set].program.as_ref().unwrap());
            sender.send(Wish { program, backfill: None, told: None }).unwrap();
            engines.poll();
        }
        if engines.spread() == Spread::ByPartition {
            engines.share(u32::try_from(self.layout.n_partitions).unwrap());
        }
        let mut engine = engines.fresh(&self.sets[*first].id).unwrap();
        let mut later = history.iter().skip(1).peekable();
        let mut outputs: Vec<Output> = Vec::new();
        let place = self.layout.place(lane);
        for (_, record) in &self.inputs[lane] {
            while let Some((set, _)) = later.next_if(|(_, from)| *from <= record.offset) {
                engines.activate(&mut engine, &self.sets[*set].id).unwrap();
            }
            let input = Input {
                topic: &place.topic,
                partition: place.number,
                offset: record.offset,
                arrival_ms: Some(record.arrival_ms),
                payload: record.payload.as_deref(),
            };
            engine.step(&input, &mut outputs);
            let answers = outputs.drain(..).filter(|output| output.topic != OutputTopic::Audit);
            let answers = answers.map(|output| (topic_name(output.topic).to_owned(), output.body));
            golden.insert(record.offset, answers.collect());
        }
        golden
    }

    /// What is announced when a rule set becomes active.
    pub(crate) fn announcement(&self, set: usize) -> Vec<u8> {
        let mut engine = self.engines(set).fresh(&self.sets[set].id).unwrap();
        let mut outputs: Vec<Output> = Vec::new();
        let input =
            Input { topic: TOPICS[0], partition: 0, offset: 0, arrival_ms: None, payload: None };
        engine.step(&input, &mut outputs);
        let audit = outputs.into_iter().find(|output| output.topic == OutputTopic::Audit);
        audit.map(|output| output.body).unwrap_or_default()
    }
}
