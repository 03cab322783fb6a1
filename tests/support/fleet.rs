//! Several real `riskweir run` processes on one input, for tests that kill, stop and starve them: topics, a rule set
//! whose keys follow the partition, load, and the answers of `backtest` to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer};

use crate::support::binary::{Binary, command};
use crate::support::broker::Broker;
use crate::support::dice::Dice;
use crate::support::topics::{Isolation, NewRecord, prefix};
use crate::support::wait::{self, PATIENCE};

/// The output topics, by the names of their files in `backtest` too.
pub(crate) const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

/// Every decision carries exact values of three windows, so windows that are not what they should be show in its bytes.
/// All keys are the account, and the account chooses the partition.
pub(crate) const RULES: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field payee   : payee   from "/payee"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"

rule tally "shows what the windows hold"
  id "R-1"  owner tests  severity low
  on pay
  when count(pay) by account over last 30s >= 1
   and sum(pay.amount in EUR) by account over last 10m > 0.01 EUR
   and distinct(pay.payee) by account over last 3m >= 1
  if missing skip
  then score +1 in tally

rule large "large payment"
  id "R-2"  owner tests  severity high
  on pay
  when amount >= 950.00 EUR
  if missing skip
  then hold for 20s otherwise release reason "a large payment"

rule burst "many payments"
  id "R-3"  owner tests  severity medium
  on pay
  when count(pay) by account over last 2s >= 4
  if missing skip
  then alert queue l1 once per account per 10s message "many payments"
"#;

/// Event time of the first payment: in the past of every machine, so that no event comes from the future.
const START_MS: u64 = 1_740_978_000_000;
const ACCOUNTS: u64 = 120;

/// Seeded payments: some late, some repeated, about one in a hundred no JSON.
#[derive(Debug)]
pub(crate) struct Payments {
    dice: Dice,
    n: u64,
    n_partitions: u64,
    step_ms: u64,
    recent: Vec<NewRecord>,
}

impl Payments {
    pub(crate) fn new(seed: u64, n_partitions: i32, step_ms: u64) -> Self {
        let n_partitions = n_partitions.unsigned_abs().into();
        Self { dice: Dice::new(seed), n: 0, n_partitions, step_ms, recent: Vec::new() }
    }

    /// From now on over so many partitions.
    pub(crate) fn spread_over(&mut self, n_partitions: i32) {
        self.n_partitions = n_partitions.unsigned_abs().into();
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> NewRecord {
        self.n += 1;
        if self.dice.one_in(40) && !self.recent.is_empty() {
            return self.dice.pick(&self.recent);
        }
        let account = self.dice.below(ACCOUNTS);
        let late_ms = if self.dice.one_in(30) { self.dice.below(5_000) } else { 0 };
        let at = START_MS + (self.n * self.step_ms).saturating_sub(late_ms);
        let (cents, payee) = (self.dice.below(100_000), self.dice.below(20));
        let mut body = format!(
            r#"{{"id":"p{}","at":{at},"account":"a{account}","payee":"x{payee}","amount":"{}.{:02}","currency":"EUR"}}"#,
            self.n,
            cents / 100,
            cents % 100,
        );
        if self.dice.one_in(100) {
            body.truncate(body.len() / 2);
        }
        let mut record = NewRecord::new(format!("a{account}"), body, 0)
            .at_partition(i32::try_from(account % self.n_partitions).unwrap());
        record.timestamp_ms = None;
        if self.recent.len() < 100 {
            self.recent.push(record.clone());
        } else {
            let at = usize::try_from(self.n % 100).unwrap();
            self.recent[at] = record.clone();
        }
        record
    }

    /// A payment of an account of its own, an hour after the first of all.
    pub(crate) fn after_all(n: i32) -> NewRecord {
        let at = START_MS + 3_600_000;
        let body = format!(
            r#"{{"id":"z{n}","at":{at},"account":"z{n}","payee":"x","amount":"1.00","currency":"EUR"}}"#
        );
        NewRecord { timestamp_ms: None, ..NewRecord::new(format!("z{n}"), body, 0) }
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<NewRecord> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// The topics of one test and the instances that it starts.
pub(crate) struct Fleet<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) mode: &'static str,
    pub(crate) n_partitions: i32,
    pub(crate) folder: tempfile::TempDir,
    prefix: String,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(
        broker: &'a Broker,
        test: &str,
        (mode, n_partitions): (&'static str, i32),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        fs::write(folder.path().join("rules/rules.risk"), RULES).unwrap();
        let fleet = Self { broker, mode, n_partitions, folder, prefix: prefix(test) };
        broker.create_topic(&fleet.input(), n_partitions);
        for output in OUTPUTS {
            broker.create_topic(&fleet.topic(output), 2);
        }
        fleet
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Named like a file, so that `backtest` of a file of that name writes the same bytes.
    pub(crate) fn input(&self) -> String {
        self.topic("in.ndjson")
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.folder.path().join("rules")
    }

    /// Where an instance keeps its snapshots.
    pub(crate) fn snapshots(&self, instance: &str) -> PathBuf {
        self.folder.path().join(format!("snapshots-{instance}"))
    }

    /// The snapshot files of an instance, oldest first.
    pub(crate) fn snapshot_files(&self, instance: &str) -> Vec<PathBuf> {
        self.shard_files(instance, "all")
    }

    /// Those of one shard.
    pub(crate) fn shard_files(&self, instance: &str, shard: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.snapshots(instance).join(shard)) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_one = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "rws");
        let files: BTreeSet<PathBuf> = paths.filter(is_one).collect();
        files.into_iter().collect()
    }

    /// The arguments of an instance; `extra` are settings, `key=value`.
    pub(crate) fn arguments(&self, instance: &str, extra: &[&str]) -> Vec<String> {
        let mut settings = vec![
            format!("kafka.brokers={}", self.broker.address()),
            format!("kafka.group_id={}", self.topic("group")),
            "kafka.session_timeout=2s".to_owned(),
            format!("topics.inputs={}", self.input()),
            format!("delivery.mode={}", self.mode),
            format!("delivery.transactional_id={}", self.topic(instance)),
            "delivery.transaction_timeout=5s".to_owned(),
            format!("rules.path={}", self.rules().display()),
            format!("snapshot.dir={}", self.snapshots(instance).display()),
            "snapshot.interval=1s".to_owned(),
            "http.listen=127.0.0.1:0".to_owned(),
        ];
        settings.extend(OUTPUTS.map(|name| format!("topics.{name}={}", self.topic(name))));
        settings.extend(extra.iter().map(|&setting| setting.to_owned()));
        let flags = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        ["run".to_owned()].into_iter().chain(flags).collect()
    }

    #[track_caller]
    pub(crate) fn start(&self, instance: &str, extra: &[&str]) -> Binary {
        let mut command = command();
        command.args(self.arguments(instance, extra));
        Binary::start_command(command)
    }

    /// Starts an instance that shares partitions and their snapshots with others.
    #[track_caller]
    pub(crate) fn start_sharing(&self, instance: &str) -> Binary {
        let place = format!("snapshot.dir={}", self.snapshots("all").display());
        self.start(instance, &["kafka.partitioned_by=account", &place])
    }

    /// Starts an instance that can write files of so many KiB at most.
    #[track_caller]
    pub(crate) fn start_limited(&self, instance: &str, kib: u32, extra: &[&str]) -> Binary {
        self.start_under(&format!("ulimit -S -f {kib}"), instance, extra)
    }

    /// Starts an instance after these commands of a shell.
    #[track_caller]
    pub(crate) fn start_under(&self, limits: &str, instance: &str, extra: &[&str]) -> Binary {
        let program = command();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(self.arguments(instance, extra))
            .env("NO_COLOR", "1");
        Binary::start_command(shell)
    }

    pub(crate) fn produce(&self, records: &[NewRecord]) {
        self.broker.produce(&self.input(), records);
    }

    pub(crate) fn n_committed(&self) -> i64 {
        self.broker.committed(&self.topic("group"), &self.input()).values().sum()
    }

    /// Waits until the group has committed so many records.
    #[track_caller]
    pub(crate) fn wait_committed(&self, count: usize, among: &[&Binary]) {
        let count = i64::try_from(count).unwrap();
        let describe = || among.iter().map(|it| it.describe()).collect::<Vec<_>>().join("\n---\n");
        let is_done = || {
            // WHY: each question makes a client of its own, and the instances need the processor more.
            wait::pass(Duration::from_millis(100));
            self.n_committed() == count || among.iter().any(|it| it.has_ended())
        };
        wait::until(is_done, || {
            format!("{count} committed, found {}: {}", self.n_committed(), describe())
        });
        assert!(!among.iter().any(|it| it.has_ended()), "{}", describe());
    }

    /// What `backtest` answers, as the service would write it: kind of output to bodies.
    #[track_caller]
    pub(crate) fn golden(&self) -> BTreeMap<&'static str, BTreeSet<Vec<u8>>> {
        let mut golden: BTreeMap<&'static str, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for answers in self.golden_in_order(2) {
            for (kind, bodies) in answers {
                golden.entry(kind).or_default().extend(bodies);
            }
        }
        golden
    }

    /// The same of each partition by itself and in order, by so many threads.
    #[track_caller]
    pub(crate) fn golden_in_order(
        &self,
        threads: u16,
    ) -> Vec<BTreeMap<&'static str, Vec<Vec<u8>>>> {
        let records = self.broker.read(&self.input(), Isolation::Committed);
        let answers = |partition: i32| {
            let file = self.folder.path().join(self.input());
            let mut text = Vec::new();
            for record in records.iter().filter(|record| record.partition == partition) {
                text.extend_from_slice(record.payload.as_deref().unwrap());
                text.push(b'\n');
            }
            fs::write(&file, text).unwrap();
            let out = self.folder.path().join(format!("golden-{partition}-{threads}"));
            self.backtest(&file, &out, threads);
            let place = format!(r#""topic":"{}","partition":{partition},"#, self.input());
            let file_place = format!(r#""topic":"{}","partition":0,"#, self.input());
            let (words, file_words) =
                (format!("`{}`-{partition}:", self.input()), format!("`{}`-0:", self.input()));
            let as_read = |line: &str| {
                line.replace(&file_place, &place).replace(&file_words, &words).into_bytes()
            };
            let read = |kind: &'static str| {
                let text = fs::read_to_string(out.join(format!("{kind}.ndjson"))).unwrap();
                (kind, text.lines().map(as_read).collect())
            };
            ["decisions", "alerts", "holds", "dead_letter"].map(read).into_iter().collect()
        };
        (0..self.n_partitions).map(answers).collect()
    }

    fn backtest(&self, input: &Path, out: &Path, threads: u16) {
        let done = command()
            .arg("backtest")
            .args(["--rules", self.rules().to_str().unwrap(), "--input", input.to_str().unwrap()])
            .args(["--out", out.to_str().unwrap(), "--threads", &threads.to_string()])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The bodies in an output topic, each once.
    pub(crate) fn bodies(&self, kind: &str) -> BTreeSet<Vec<u8>> {
        let records = self.broker.read(&self.topic(kind), Isolation::Committed);
        records.into_iter().map(|record| record.payload.unwrap()).collect()
    }

    /// The answers in the topics are those of `backtest`, byte by byte.
    #[track_caller]
    pub(crate) fn check_golden(&self) {
        for (kind, expected) in self.golden() {
            let found = self.bodies(kind);
            let show =
                |body: Option<&Vec<u8>>| body.map(|it| String::from_utf8_lossy(it).into_owned());
            let (mut extra, mut lacking) =
                (found.difference(&expected), expected.difference(&found));
            assert!(
                found == expected,
                "{kind}: {} found, {} expected, {} of them; found\n{:?}\nnot found\n{:?}",
                found.len(),
                expected.len(),
                found.intersection(&expected).count(),
                show(extra.next()),
                show(lacking.next()),
            );
        }
    }
}

/// A producer that never gives a record up, whatever the broker does.
pub(crate) struct Feed {
    producer: BaseProducer,
    topic: String,
}

impl Feed {
    pub(crate) fn new(fleet: &Fleet<'_>) -> Self {
        let mut client = fleet.broker.client();
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "0");
        Self { producer: client.create().unwrap(), topic: fleet.input() }
    }

    pub(crate) fn send(&self, record: &NewRecord) {
        let mut next = record.to_topic(&self.topic);
        while let Err((_, refused)) = self.producer.send(next) {
            self.producer.poll(Duration::from_millis(10));
            next = refused;
        }
        self.producer.poll(Duration::ZERO);
    }

    pub(crate) fn end(self) {
        self.producer.flush(PATIENCE).expect("all acknowledgements");
    }
}
