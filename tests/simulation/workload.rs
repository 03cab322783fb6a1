//! Records, rule sets and the golden run of a seed.
//!
//! Keys and ids carry their partition, so a partition's answers hang on its own records alone. That is what a group
//! of several instances asks of a rule set, and what lets the golden run take one partition at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::base::time::format_rfc3339;
use riskweir::config::{self, Config, DeliveryMode, Sources};
use riskweir::diag::{Source, Sources as RuleSources};
use riskweir::rules::program::Program;
use riskweir::runtime::port::{Engines as _, Spread, Step as _};
use riskweir::runtime::{Deciding, DecidingEngines, Input, Output, OutputTopic, engine_options};

use super::broker::Record;
use super::check::{AUDIT, Golden};
use super::dice::Dice;
use super::ports::WALL_MS;
use super::profile::{MS, Profile};

/// The topic of the input.
pub(crate) const TOPIC: &str = "payments";

const EVENTS: &str = r#"
event payment from "payments" when "/type" = "payment"
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field shop   : text?
event login from "payments" when "/type" = "login"
  id   id   : text
  time at   : time
  key  card : card
  field ok  : bool
"#;

/// Velocity, holds with two deadlines, an episode.
const VELOCITY: &str = r#"
rule large "More than nine hundred"
  id "R-1"  owner fraud  severity high
  on payment
  when amount > 900 EUR
  then hold for 20m otherwise block reason "{amount} is a lot"
rule fast "Four in ten minutes"
  id "R-2"  owner fraud  severity medium
  on payment
  when count(payment) by card over last 10m >= 4
  then score +35 in velocity cap 50
       alert queue l1 once per card per 30m message "now {amount}"
rule spent "More than two thousand in an hour"
  id "R-3"  owner fraud  severity high
  on payment
  when sum(payment.amount in EUR) by card over last 1h > 2_000 EUR
  then hold for 45m otherwise release reason "much in an hour"
"#;

/// State of every kind: lists that rules change, distinct values, extremes, deviation, what came last.
const STATE: &str = r#"
list blocked : card
rule guessing "Two failed logins"
  id "R-1"  owner fraud  severity medium
  on login where ok = false
  when count(login where ok = false) by card over last 30m >= 2
  then add card to blocked for 40m
rule from_blocked "A card that guessed"
  id "R-2"  owner fraud  severity high
  on payment
  when card in blocked
  then block reason "blocked card"
rule shops "Three shops in an hour"
  id "R-3"  owner fraud  severity low
  on payment
  when distinct(payment.shop) by card over last 1h >= 3
  then score +20 in shops
       alert queue l2
rule larger "The largest in two hours"
  id "R-4"  owner fraud  severity medium
  on payment
  when amount > max(payment.amount) by card over prior 2h
  if missing skip
  then score +15 in size
rule unusual "Far above the average"
  id "R-5"  owner fraud  severity high
  on payment
  when amount > avg(payment.amount) by card over prior 3h + 2 * stddev(payment.amount) by card over prior 3h
  if missing skip
  then hold for 1h otherwise block reason "unusual"
rule moved "Another shop than last time"
  id "R-6"  owner fraud  severity low
  on payment
  when shop != last(payment.shop) by card over prior 1h
  if missing skip
  then score +5 in shops
       tag moved
"#;

/// Everything that a seed runs on.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) program: Arc<Program>,
    pub(crate) config: Config,
    /// Per partition: when each record arrives, and the record.
    pub(crate) inputs: Vec<Vec<(u64, Record)>>,
    pub(crate) golden: Vec<Golden>,
    pub(crate) announcement: Vec<u8>,
}

fn program(rules: &str) -> Arc<Program> {
    let text = format!("{EVENTS}{rules}");
    let files = vec![Source { path: "rules.risk".to_owned(), text }];
    let (program, report) = riskweir::rules::compile(&RuleSources { files });
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn settings(profile: &Profile, decisions: &str) -> Config {
    let mode = match profile.mode {
        DeliveryMode::Idempotent => "idempotent",
        DeliveryMode::Transactional => "transactional",
    };
    let ms = |length: u64| format!("{}ms", length / MS);
    // WHY: with several partitions in one engine, what is forgotten hangs on the slowest and the fastest of them.
    let single = profile.by_partition || profile.n_partitions == 1;
    let (skew, window, lateness) = if single { ("1h", "2h", "5m") } else { ("365d", "30d", "30d") };
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
    let flags = settings.into_iter().chain(key);
    let flags = flags.map(|(key, value)| ("--set".to_owned(), key.to_owned(), value)).collect();
    let loaded = config::load(&Sources { flags, ..Sources::default() });
    loaded.unwrap_or_else(|errors| panic!("{errors:#?}")).config
}

/// Makes the records of one partition.
struct Maker<'a> {
    dice: &'a mut Dice,
    partition: usize,
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
        let (partition, card) = (self.partition, self.dice.below(3));
        let head =
            format!(r#""id":"p{partition}-{number}","at":"{at}","card":"c{partition}-{card}""#);
        let body = if self.dice.one_in(5) {
            let ok = self.dice.one_in(2);
            format!(r#"{{"type":"login",{head},"ok":{ok}}}"#)
        } else {
            let amount = self.dice.pick(&["1.00", "20.50", "99.99", "300.00", "901.00", "1500.00"]);
            let shop = self.dice.pick(&["", r#","shop":"a""#, r#","shop":"b""#, r#","shop":"c""#]);
            format!(r#"{{"type":"payment",{head},"amount":"{amount}"{shop}}}"#)
        };
        self.bodies.push(body.clone());
        Some(body.into_bytes())
    }
}

fn partition_of(
    dice: &mut Dice,
    profile: &Profile,
    partition: usize,
    n: usize,
) -> Vec<(u64, Record)> {
    let mut maker = Maker { dice, partition, n_made: 0, event_ms: WALL_MS, bodies: Vec::new() };
    let (mut records, mut offset) = (Vec::new(), 0_i64);
    let mut times: Vec<u64> = (0..n).map(|_| maker.dice.below(profile.span)).collect();
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
        OutputTopic::Alerts => "risk.alerts",
        OutputTopic::Holds => "risk.holds",
        OutputTopic::Audit => AUDIT,
        OutputTopic::DeadLetter => "risk.dead_letter",
    }
}

impl Workload {
    /// Draws the records and runs them through one engine per partition.
    pub(crate) fn draw(dice: &mut Dice, profile: &Profile) -> Self {
        let rules = dice.pick(&[VELOCITY, STATE]);
        let decisions = dice.pick(&["all", "all", "notable", "none"]);
        let program = program(rules);
        let config = settings(profile, decisions);
        let mut left = profile.n_records;
        let mut inputs = Vec::new();
        for partition in 0..profile.n_partitions {
            let others = profile.n_partitions - partition;
            // WHY: one partition in six has nothing at all.
            let share = if others > 1 && dice.one_in(6) { 0 } else { left / others };
            left -= share;
            inputs.push(partition_of(dice, profile, partition, share));
        }
        let mut made =
            Self { program, config, inputs, golden: Vec::new(), announcement: Vec::new() };
        made.golden =
            (0..profile.n_partitions).map(|partition| made.golden_run(partition)).collect();
        made
    }

    /// The engines of an instance.
    pub(crate) fn engines(&self) -> DecidingEngines {
        let engines = DecidingEngines::new(Arc::clone(&self.program), engine_options(&self.config));
        engines.partitioned_by(self.config.kafka.partitioned_by.as_deref())
    }

    fn engine(&self) -> Deciding {
        let mut engines = self.engines();
        if engines.spread() == Spread::ByPartition {
            engines.share(u32::try_from(self.inputs.len()).unwrap());
        }
        let wanted = engines.wanted().to_owned();
        engines.fresh(&wanted).unwrap()
    }

    fn golden_run(&mut self, partition: usize) -> Golden {
        let mut engine = self.engine();
        let mut golden = BTreeMap::new();
        let mut outputs: Vec<Output> = Vec::new();
        for (_, record) in &self.inputs[partition] {
            let input = Input {
                topic: TOPIC,
                partition: i32::try_from(partition).unwrap(),
                offset: record.offset,
                arrival_ms: Some(record.arrival_ms),
                payload: record.payload.as_deref(),
            };
            engine.step(&input, &mut outputs);
            let mut answers = Vec::new();
            for output in outputs.drain(..) {
                if output.topic == OutputTopic::Audit {
                    self.announcement = output.body;
                } else {
                    answers.push((topic_name(output.topic).to_owned(), output.body));
                }
            }
            golden.insert(record.offset, answers);
        }
        golden
    }
}
