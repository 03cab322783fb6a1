//! `riskweir doctor`: one page about everything around the service: configuration, machine, brokers, topics, group, lag,
//! clocks, snapshots. It changes nothing and joins nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use crate::base::text::counted;
use crate::cli::deployment::Deployment;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::top;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::{Config, DeliveryMode};
use crate::durable::snapshots::{ENDING, examine};
use crate::durable::{Header, Storage, open};
use crate::runtime::{self, Cluster, Standing, TopicFacts, is_compacted, takes_any_stamp};
use crate::telemetry::happening::InputStampedByProducers;

/// How long each question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Open files below which a warning is given: each partition and each connection takes some.
const MIN_FILES: u64 = 4_096;
/// A newest snapshot older than so many intervals gets a warning.
const OLD_INTERVALS: u32 = 3;

/// Arguments of `riskweir doctor`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Good,
    Note,
    Warning,
    Bad,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warning => "warn",
            Self::Bad => "BAD",
        }
    }
}

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    about: &'static str,
    what: String,
    help: Option<String>,
}

/// The page as it grows.
#[derive(Debug, Default)]
struct Page(Vec<Finding>);

impl Page {
    fn good(&mut self, about: &'static str, what: impl Into<String>) {
        self.0.push(Finding { verdict: Verdict::Good, about, what: what.into(), help: None });
    }

    fn tell(
        &mut self,
        verdict: Verdict,
        about: &'static str,
        (what, help): (impl Into<String>, impl Into<String>),
    ) {
        let (what, help) = (what.into(), Some(help.into()));
        self.0.push(Finding { verdict, about, what, help });
    }
}

/// Runs the command.
///
/// # Errors
/// When the rule folder cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(loaded) = arguments.settings.load(console) else { return Ok(Exit::Invalid) };
    let Deployment { config, program, inputs, .. } = match Deployment::of(loaded.config, console)? {
        Ok(deployment) => deployment,
        Err(exit) => return Ok(exit),
    };
    let mut page = Page::default();
    let (ruleset, n_rules) = (program.digest.short_hex(), program.rules.len() as u64);
    page.good("rules", format!("rule set {ruleset}: {}", counted(n_rules, "rule")));
    machine(&mut page);
    snapshots(&config, &mut page);
    service(&config, &mut page);
    let names: Vec<&str> = inputs
        .iter()
        .map(String::as_str)
        .chain(config.topics.outputs().iter().map(|(_, name)| *name))
        .collect();
    let cluster = match runtime::inspect(&config, &names, LIMIT) {
        Ok(cluster) => cluster,
        Err(error) => {
            tell(&page, console);
            show(&error, *console);
            return Ok(exit(&error));
        }
    };
    brokers(&config, &names, &inputs, &cluster, &mut page);
    match runtime::standing(&config, &inputs) {
        Ok(standing) => input(&standing, &mut page),
        Err(error) => {
            page.tell(
                Verdict::Warning,
                "group",
                (error.to_string(), "may this user describe the group?"),
            );
        }
    }
    tell(&page, console);
    let worst = page.0.iter().map(|finding| finding.verdict).max();
    Ok(if worst == Some(Verdict::Bad) { Exit::Invalid } else { Exit::Ok })
}

/// What the machine allows.
fn machine(page: &mut Page) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        Some(files) if files < MIN_FILES => page.tell(
            Verdict::Warning,
            "open files",
            (
                format!("at most {files}"),
                format!(
                    "raise the limit to {MIN_FILES} or more (`LimitNOFILE` of systemd, `ulimit -n`)"
                ),
            ),
        ),
        Some(files) => page.good("open files", format!("at most {files}")),
        None => {}
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(kib) = memory.lines().find_map(available_kib) {
        page.good("memory", format!("{} MiB are free on this machine", kib / 1024));
    }
}

/// The soft limit of open files in `/proc/self/limits`; none where it is not told or unlimited.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn available_kib(line: &str) -> Option<u64> {
    line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse().ok()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The place of snapshots, and the newest of them.
fn snapshots(config: &Config, page: &mut Page) {
    let Some(place) = &config.snapshot.dir else {
        page.tell(
            Verdict::Warning,
            "snapshots",
            (
                "none are taken",
                "set `snapshot.dir`: without, every start reads the input from its beginning",
            ),
        );
        return;
    };
    if let Err(error) = runtime::check_room(config) {
        let help = error.help().unwrap_or_default();
        page.tell(Verdict::Bad, "snapshots", (error.to_string(), help));
        return;
    }
    match newest(place) {
        Ok(Some(header)) => {
            let age_ms = now_ms().saturating_sub(header.created_at_ms).max(0);
            let what = format!("the newest at `{place}` is {} s old", age_ms / 1_000);
            let old_ms = (config.snapshot.interval * OLD_INTERVALS).as_millis();
            if u128::try_from(age_ms).unwrap_or(0) > old_ms {
                page.tell(
                    Verdict::Note,
                    "snapshots",
                    (what, "where a service runs it is late: look at its log and at `riskweir_snapshot_errors_total`"),
                );
            } else {
                page.good("snapshots", what);
            }
        }
        Ok(None) => page.tell(
            Verdict::Note,
            "snapshots",
            (
                format!("there are none at `{place}` yet"),
                "the first start reads the input from its beginning",
            ),
        ),
        Err(reason) => {
            page.tell(Verdict::Bad, "snapshots", (reason, "look at the place and its permissions"));
        }
    }
}

/// What the newest whole snapshot of all shards says of itself.
fn newest(place: &str) -> Result<Option<Header>, String> {
    let storage: Box<dyn Storage + Send> = open(place).map_err(|error| error.to_string())?;
    let stored = storage.list(None).map_err(|error| error.to_string())?;
    let mut newest: Option<Header> = None;
    for name in stored.iter().map(|it| &it.name).filter(|name| name.ends_with(ENDING)) {
        let Ok(input) = storage.open(name) else { continue };
        let (header, outcome) = examine(input);
        let Some(header) = header.filter(|_| outcome.is_ok()) else { continue };
        if newest.as_ref().is_none_or(|known| known.created_at_ms < header.created_at_ms) {
            newest = Some(header);
        }
    }
    Ok(newest)
}

/// The service of this configuration, if one runs here.
fn service(config: &Config, page: &mut Page) {
    let address = config.http.listen;
    match top::get(address, "/readyz", None) {
        Ok((200, _)) => page.good("service", format!("ready at {address}")),
        Ok((status, body)) => page.tell(
            Verdict::Warning,
            "service",
            (
                format!("{address} answers {status}: {}", body.trim()),
                "the check that fails is named there",
            ),
        ),
        Err(_) => page.tell(
            Verdict::Note,
            "service",
            (
                format!("none answers at {address}"),
                "start it, or look on the machine where it runs",
            ),
        ),
    }
}

fn brokers(config: &Config, names: &[&str], inputs: &[String], cluster: &Cluster, page: &mut Page) {
    page.good("brokers", format!("{} in the cluster", counted(cluster.brokers as u64, "broker")));
    for name in names {
        match cluster.topics.iter().find(|topic| topic.name == *name) {
            None => page.tell(
                Verdict::Bad,
                "topics",
                (format!("`{name}` is not there"), "create it, or let this user describe it"),
            ),
            Some(topic) => one_topic(config, topic, inputs.iter().any(|it| it == name), page),
        }
    }
    match &cluster.group_state {
        None => page.tell(
            Verdict::Note,
            "group",
            (
                format!("the brokers know no group `{}`", config.kafka.group_id),
                "it comes with the first start",
            ),
        ),
        Some(state) => {
            let members = counted(cluster.members.len() as u64, "member");
            let who: Vec<String> =
                cluster.members.iter().map(|(client, host)| format!("{client} {host}")).collect();
            let listed =
                if who.is_empty() { String::new() } else { format!(": {}", who.join(", ")) };
            page.good(
                "group",
                format!("`{}` is {state} with {members}{listed}", config.kafka.group_id),
            );
        }
    }
}

/// What a topic should be: an input keeps every record, outputs are safe.
fn one_topic(config: &Config, topic: &TopicFacts, is_input: bool, page: &mut Page) {
    let TopicFacts { name, partitions, replicas, behind, unstable, settings } = topic;
    let setting = |key: &str| settings.get(key).map(String::as_str);
    let n_findings = page.0.len();
    if *behind > 0 {
        page.tell(
            Verdict::Warning,
            "topics",
            (
                format!("`{name}`: copies of {behind} partitions are not up to date"),
                "look at the brokers",
            ),
        );
    }
    if is_input && takes_any_stamp(settings, config.time.future_guard) {
        let mend = InputStampedByProducers { topic: name }.mend(&config.kafka.brokers.join(","));
        let means = InputStampedByProducers::MEANS;
        let what = format!(
            "input `{name}` takes the producers' clocks for the arrival of records: {means}"
        );
        page.tell(Verdict::Warning, "topics", (what, mend));
    }
    if is_input && is_compacted(settings) {
        page.tell(
            Verdict::Bad,
            "topics",
            (
                format!("input `{name}` is compacted"),
                "set `cleanup.policy=delete`: records that a start needs are removed",
            ),
        );
    }
    if *replicas > 1 && setting("min.insync.replicas") == Some("1") && !is_input {
        page.tell(
            Verdict::Warning,
            "topics",
            (format!("`{name}` takes records that one copy has"), "set `min.insync.replicas=2`"),
        );
    }
    if *unstable > 0 && config.delivery.mode == DeliveryMode::Transactional {
        page.tell(
            Verdict::Note,
            "topics",
            (
                format!("`{name}`: {} behind an open Kafka transaction", counted(u64::try_from(*unstable).unwrap_or(0), "record")),
                "usual for a moment; if it stays, a producer died and its transaction ends with its timeout",
            ),
        );
    }
    if page.0.len() == n_findings {
        let told: Vec<String> =
            settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let told =
            if told.is_empty() { "settings are not told".to_owned() } else { told.join(" ") };
        let partitions = counted(*partitions as u64, "partition");
        page.good(
            "topics",
            format!("`{name}`: {partitions}, {} each; {told}", counted(*replicas as u64, "copy")),
        );
    }
}

/// Where the group stands in its input.
fn input(standing: &Standing, page: &mut Page) {
    let Standing { lag_records, unread_partitions, stamped_ahead } = standing;
    if *unread_partitions > 0 {
        page.tell(
            Verdict::Note,
            "lag",
            (
                format!("the group has committed nothing in {unread_partitions} partitions"),
                "usual before the first start",
            ),
        );
    }
    page.good("lag", format!("{} behind", counted(*lag_records, "record")));
    if *stamped_ahead > 0 {
        page.tell(
            Verdict::Warning,
            "clocks",
            (
                format!("{stamped_ahead} partitions hold records stamped more than 2 s after this machine's present"),
                "this clock, or one of the producers' or brokers', is wrong: look at NTP",
            ),
        );
    } else {
        page.good("clocks", "no record of the input is stamped after this machine's present");
    }
}

fn tell(page: &Page, console: &Console) {
    for Finding { verdict, about, what, help } in &page.0 {
        let line = match console.format {
            Format::Json => {
                json!({"verdict": verdict.word(), "about": about, "what": what, "help": help})
                    .to_string()
            }
            Format::Text => {
                let help =
                    help.as_ref().map_or_else(String::new, |help| format!("\n{:18}= {help}", ""));
                format!("{:<5} {about:<11} {what}{help}", verdict.word())
            }
        };
        console.data(&format!("{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files            unlimited  unlimited  files"), None);
        assert_eq!(available_kib("MemAvailable:    2048 kB"), Some(2048));
    }

    #[test]
    fn a_compacted_input_is_bad_and_a_sound_topic_is_told_in_one_line() {
        let loaded = crate::config::load(&crate::config::Sources {
            flags: vec![("--set".to_owned(), "kafka.brokers".to_owned(), "a:1".to_owned())],
            ..crate::config::Sources::default()
        });
        let config = loaded.unwrap().config;
        let topic = |policy: &str| TopicFacts {
            name: "t".to_owned(),
            partitions: 3,
            replicas: 1,
            settings: [("cleanup.policy".to_owned(), policy.to_owned())].into(),
            ..TopicFacts::default()
        };
        let verdicts = |topic: &TopicFacts, is_input: bool| -> Vec<Verdict> {
            let mut page = Page::default();
            one_topic(&config, topic, is_input, &mut page);
            page.0.iter().map(|finding| finding.verdict).collect()
        };
        assert_eq!(verdicts(&topic("compact"), true), [Verdict::Bad]);
        assert_eq!(verdicts(&topic("compact"), false), [Verdict::Good]);
        assert_eq!(verdicts(&topic("delete"), true), [Verdict::Good]);
        let mut stamped = topic("delete");
        stamped.settings.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        assert_eq!(verdicts(&stamped, true), [Verdict::Warning]);
        assert_eq!(verdicts(&stamped, false), [Verdict::Good]);
        assert_eq!(verdicts(&TopicFacts { unstable: 4, ..topic("delete") }, true), [Verdict::Note]);
    }
}
