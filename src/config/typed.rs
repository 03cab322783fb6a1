//! The typed configuration that the rest of the program reads, built from resolved settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::Digest;
use crate::config::api::{self, Api};
use crate::config::error::{ConfigError, Problem};
use crate::config::layers::Resolved;
use crate::config::secret::Secret;
use crate::config::value::{Origin, Rate, Value};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// Topic names.
    pub topics: Topics,
    /// How outputs and offsets travel.
    pub delivery: Delivery,
    /// Where the rules are.
    pub rules: Rules,
    /// Event time.
    pub time: Time,
    /// Limits of decoding.
    pub limits: Limits,
    /// Memory of windows.
    pub state: State,
    /// What happens at a start.
    pub recovery: Recovery,
    /// Snapshots; none are taken without a place for them.
    pub snapshot: Snapshot,
    /// Signatures of audit chains.
    pub audit: Audit,
    /// Keys of tokens.
    pub tokens: TokenFiles,
    /// Members whose values are never stored; `None`: the usual ones.
    pub never_store: Option<Vec<String>>,
    /// Metrics and health.
    pub http: Http,
    /// The HTTP API; none: it is not served.
    pub api: Option<Api>,
    /// Logs.
    pub log: Log,
    /// Longest orderly stop.
    pub shutdown_timeout: Duration,
    /// Digest of every resolved value, secrets apart: `settings` in the log. What decisions call `config` is the digest of
    /// those among them that a decision depends on.
    pub digest: Digest,
}

impl Config {
    /// How long one call to the log may block: short enough that the process still shows signs of life.
    pub fn call_timeout(&self) -> Duration {
        Duration::from_secs(5).min(self.delivery.transaction_timeout / 2)
    }
}

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Bootstrap addresses.
    pub brokers: Vec<String>,
    /// Consumer group.
    pub group_id: String,
    /// Name of the client.
    pub client_id: String,
    /// The entity by which input records are spread over partitions.
    pub partitioned_by: Option<String>,
    /// Session timeout of the group.
    pub session_timeout: Duration,
    /// How long an output waits for company.
    pub linger: Duration,
    /// TLS and SASL.
    pub security: Security,
    /// Pass-through settings.
    pub rdkafka: Vec<(String, String)>,
}

/// TLS and SASL.
#[derive(Clone, Debug)]
pub struct Security {
    /// librdkafka's `security.protocol`.
    pub protocol: String,
    /// Certificates.
    pub tls: Tls,
    /// Login, if any.
    pub sasl: Option<Sasl>,
}

/// Certificates of a TLS connection.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<PathBuf>,
    /// The client's key.
    pub key: Option<PathBuf>,
    /// Pass phrase of the key.
    pub key_password: Option<Secret>,
}

/// A login.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// Mechanism.
    pub mechanism: String,
    /// Who.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
}

/// Topic names.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Inputs; none means those of the schema.
    pub inputs: Option<Vec<String>>,
    /// Commands; none: no commands are taken.
    pub commands: Option<String>,
    /// Decisions.
    pub decisions: String,
    /// Alerts.
    pub alerts: String,
    /// Holds.
    pub holds: String,
    /// Audit records.
    pub audit: String,
    /// Records that could not be decided.
    pub dead_letter: String,
    /// Signed checkpoints; none: they are not wanted.
    pub checkpoints: Option<String>,
}

/// Signatures of audit chains.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Which decisions have an entry in the chains: `all`, `stopped` or `none`.
    pub decisions: String,
    /// The key that signs.
    pub key_file: Option<PathBuf>,
    /// Longest time between two checkpoints while records are decided.
    pub checkpoint_interval: Duration,
}

/// Keys of tokens.
#[derive(Clone, Debug)]
pub struct TokenFiles {
    /// The key that makes tokens.
    pub key_file: Option<PathBuf>,
    /// The one before it.
    pub previous_key_file: Option<PathBuf>,
}

impl Topics {
    /// The topics that are written: the key that names each, and its name.
    pub fn outputs(&self) -> Vec<(&'static str, &str)> {
        let mut all: Vec<(&'static str, &str)> = vec![
            ("topics.decisions", &self.decisions),
            ("topics.alerts", &self.alerts),
            ("topics.holds", &self.holds),
            ("topics.audit", &self.audit),
            ("topics.dead_letter", &self.dead_letter),
        ];
        all.extend(self.checkpoints.as_deref().map(|topic| ("topics.checkpoints", topic)));
        all
    }

    /// Why commands cannot be taken, if their topic is one of these that hold events.
    pub fn both(&self, inputs: &[String]) -> Option<String> {
        let commands = self.commands.as_ref().filter(|topic| inputs.contains(topic))?;
        Some(format!(
            "topic `{commands}` would hold events and commands: whoever may write events could release holds; give commands a topic of their own"
        ))
    }

    /// Why these topics cannot be read, if one of them is written, too.
    pub fn circle(&self, inputs: &[String]) -> Option<String> {
        let mut outputs = self.outputs().into_iter();
        let (key, topic) =
            outputs.find(|(_, output)| inputs.iter().any(|input| input == output))?;
        Some(format!(
            "topic `{topic}` is an input and, by `{key}`, an output: records would go in circles"
        ))
    }
}

/// The two ways to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// At least once, repeated writes byte-identical.
    Idempotent,
    /// Outputs and offsets in one Kafka transaction.
    Transactional,
}

/// How outputs and offsets travel.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Mode.
    pub mode: DeliveryMode,
    /// Which decisions are written: `all`, `notable` or `none`.
    pub decisions: String,
    /// Length of a Kafka transaction.
    pub commit_interval: Duration,
    /// Time between offset commits (idempotent).
    pub offset_commit_interval: Duration,
    /// When the broker gives up an open transaction.
    pub transaction_timeout: Duration,
    /// Identity for transactions.
    pub transactional_id: String,
    /// Most outputs that wait.
    pub max_in_flight: u64,
    /// Most bytes that wait.
    pub max_in_flight_bytes: u64,
}

/// Where the rules are.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Folder.
    pub path: PathBuf,
    /// Time between two looks at the folder; zero: none.
    pub watch_interval: Duration,
    /// Who lets another rule set become active.
    pub activation: Activation,
}

/// Who lets another rule set become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Whoever may change the rule folder.
    Folder,
    /// A second person, over the HTTP API.
    Approved,
}

/// Event time.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Allowed lateness.
    pub allowed_lateness: Duration,
    /// Guard against times in the future.
    pub future_guard: Duration,
    /// Do not run where producers' clocks stamp the records of an input topic.
    pub refuses_producer_stamps: bool,
    /// For how long ids are remembered.
    pub dedupe_window: Duration,
    /// Most ids that are remembered.
    pub dedupe_max_ids: u64,
    /// How far behind a partition may be and still keep windows.
    pub partition_idle: Duration,
}

/// Limits of decoding.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest record.
    pub max_record_bytes: u64,
    /// Deepest nesting.
    pub max_depth: u64,
    /// Most keys.
    pub max_keys: u64,
}

/// Memory of windows.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Budget; none means the policy's.
    pub budget_bytes: Option<u64>,
    /// Exact events per key.
    pub exact_events_per_key: u64,
}

/// What happens at a start.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Whether to rebuild the windows from the input.
    pub replay: bool,
    /// Whether to go on when the input no longer holds what a snapshot lacks.
    pub accept_gap: bool,
}

/// Snapshots of the windows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Folder or URL; none means that no snapshots are taken.
    pub dir: Option<String>,
    /// Time from one to the next.
    pub interval: Duration,
    /// Valid ones that are kept.
    pub keep: usize,
}

/// Metrics and health.
#[derive(Clone, Debug)]
pub struct Http {
    /// Address.
    pub listen: SocketAddr,
    /// Longest standstill of the poll loop.
    pub progress_timeout: Duration,
    /// Whether a reload may be asked for over HTTP.
    pub reload: bool,
    /// File of the token that whoever reads metrics must send.
    pub token: Option<PathBuf>,
}

/// Format of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// Format.
    pub format: LogFormat,
    /// Least grave level.
    pub level: String,
    /// Limit for repeated happenings.
    pub repeat_limit: Rate,
}

/// Builds the typed form. Contradictions go to `errors`.
pub(crate) fn build(resolved: &Resolved, errors: &mut Vec<ConfigError>) -> Option<Config> {
    let read = Reader { resolved };
    check_version(&read, errors);
    // WHY: every section first, then the whole: one without a value must not hide what is wrong with the next.
    let (kafka, topics, delivery) =
        (kafka(&read, errors), topics(&read, errors), delivery(&read, errors));
    let (snapshot, http) = (snapshot(&read, errors), http(&read, errors));
    let api = api::build(&read, errors);
    let config = Config {
        kafka: kafka?,
        topics: topics?,
        delivery: delivery?,
        rules: rules(&read, errors)?,
        time: Time {
            allowed_lateness: read.duration("time.allowed_lateness")?,
            future_guard: read.duration("time.future_guard")?,
            refuses_producer_stamps: read.text("time.producer_stamps")? == "refuse",
            dedupe_window: read.duration("time.dedupe_window")?,
            dedupe_max_ids: read.count("time.dedupe_max_ids")?,
            partition_idle: read.duration("time.partition_idle")?,
        },
        limits: Limits {
            max_record_bytes: read.size("limits.max_record")?,
            max_depth: read.count("limits.max_depth")?,
            max_keys: read.count("limits.max_keys")?,
        },
        state: State {
            budget_bytes: read.size("state.budget"),
            exact_events_per_key: read.count("state.exact_events_per_key")?,
        },
        recovery: Recovery {
            replay: read.text("recovery.replay_from")? == "earliest",
            accept_gap: read.text("recovery.on_gap")? == "accept",
        },
        snapshot: snapshot?,
        audit: Audit {
            decisions: read.text("audit.decisions")?,
            key_file: read.path("audit.key_file"),
            checkpoint_interval: read.duration("audit.checkpoint_interval")?,
        },
        tokens: TokenFiles {
            key_file: read.path("tokens.key_file"),
            previous_key_file: read.path("tokens.previous_key_file"),
        },
        never_store: read.list("privacy.never_store"),
        http: http?,
        api,
        log: log(&read)?,
        shutdown_timeout: read.duration("shutdown.timeout")?,
        digest: resolved.digest(),
    };
    Some(config)
}

pub(super) struct Reader<'a> {
    resolved: &'a Resolved,
}

impl Reader<'_> {
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        self.resolved.get(path).map(|setting| &setting.value)
    }

    pub(super) fn origin(&self, path: &str) -> Origin {
        self.resolved.get(path).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.value(path)? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    pub(super) fn secret(&self, path: &str) -> Option<Secret> {
        match self.value(path)? {
            Value::Secret(secret) => Some(secret.clone()),
            _ => None,
        }
    }

    pub(super) fn list(&self, path: &str) -> Option<Vec<String>> {
        match self.value(path)? {
            Value::List(items) => Some(items.clone()),
            _ => None,
        }
    }

    pub(super) fn duration(&self, path: &str) -> Option<Duration> {
        match self.value(path)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    pub(super) fn size(&self, path: &str) -> Option<u64> {
        match self.value(path)? {
            Value::Size(bytes) => Some(*bytes),
            _ => None,
        }
    }

    pub(super) fn count(&self, path: &str) -> Option<u64> {
        match self.value(path)? {
            Value::Count(count) => Some(*count),
            _ => None,
        }
    }

    pub(super) fn contradiction(&self, path: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin(path), Problem::Contradiction { reason: reason.into() })
    }

    pub(super) fn bad_value(&self, path: &str, expected: &str, found: &str) -> ConfigError {
        let (key, expected, found) = (path.to_owned(), expected.to_owned(), found.to_owned());
        ConfigError::new(self.origin(path), Problem::BadValue { key, expected, found })
    }
}

fn check_version(read: &Reader<'_>, errors: &mut Vec<ConfigError>) {
    if let Some(found) = read.count("version").filter(|version| *version != 1) {
        errors.push(ConfigError::new(read.origin("version"), Problem::Version { found }));
    }
}

fn kafka(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Kafka> {
    let brokers = read.list("kafka.brokers")?;
    let rdkafka = match read.value("kafka.rdkafka")? {
        Value::Map(entries) => {
            entries.iter().map(|(name, (text, _))| (name.clone(), text.clone())).collect()
        }
        _ => Vec::new(),
    };
    let security = security(read, errors)?;
    if security.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == OAUTHBEARER) {
        tokens_of_brokers(read, &rdkafka, errors);
    }
    Some(Kafka {
        brokers,
        group_id: read.text("kafka.group_id")?,
        client_id: read.text("kafka.client_id")?,
        partitioned_by: read.text("kafka.partitioned_by"),
        session_timeout: read.duration("kafka.session_timeout")?,
        linger: read.duration("kafka.linger")?,
        security,
        rdkafka,
    })
}

/// Logs in by a token.
const OAUTHBEARER: &str = "OAUTHBEARER";

/// Where the tokens come from: the client fetches them (OIDC), or makes unsigned ones for tests. Without either it would
/// wait for one forever.
fn tokens_of_brokers(
    read: &Reader<'_>,
    rdkafka: &[(String, String)],
    errors: &mut Vec<ConfigError>,
) {
    const KEY: &str = "kafka.security.sasl.mechanism";
    let says = |setting: &str, value: &str| {
        rdkafka.iter().any(|(name, said)| name == setting && said.eq_ignore_ascii_case(value))
    };
    if says("sasl.oauthbearer.method", "oidc") {
        if !cfg!(feature = "kafka-oidc") {
            let (key, feature) = (KEY.to_owned(), "tokens of an identity provider".to_owned());
            errors.push(ConfigError::new(read.origin(KEY), Problem::NotBuiltIn { key, feature }));
        }
    } else if !says("enable.sasl.oauthbearer.unsecure.jwt", "true") {
        let reason = "`OAUTHBEARER` needs `sasl.oauthbearer.method: oidc` in `kafka.rdkafka`, which says where tokens come from";
        errors.push(read.contradiction(KEY, reason));
    }
}

fn security(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Security> {
    const PROTOCOL: &str = "kafka.security.protocol";
    let protocol = read.text(PROTOCOL)?;
    let mechanism = read.text("kafka.security.sasl.mechanism");
    let username = read.text("kafka.security.sasl.username");
    let password = read.secret("kafka.security.sasl.password");
    let wants_sasl = protocol.starts_with("sasl");
    let built_with_tls = cfg!(any(feature = "secure", feature = "secure-system"));
    let needs_tls = mechanism.as_ref().is_some_and(|mechanism| mechanism != "PLAIN");
    if (protocol.ends_with("ssl") || needs_tls) && !built_with_tls {
        let (key, feature) = (PROTOCOL.to_owned(), "TLS, SCRAM and OAUTHBEARER".to_owned());
        errors.push(ConfigError::new(read.origin(PROTOCOL), Problem::NotBuiltIn { key, feature }));
    }
    if wants_sasl && mechanism.is_none() {
        let reason = format!("`{PROTOCOL}: {protocol}` needs `kafka.security.sasl.mechanism`");
        errors.push(read.contradiction(PROTOCOL, reason));
    }
    if !wants_sasl && mechanism.is_some() {
        let reason =
            format!("`kafka.security.sasl` is set but `{PROTOCOL}: {protocol}` does not log in");
        errors.push(read.contradiction("kafka.security.sasl.mechanism", reason));
    }
    let needs_password = mechanism.as_ref().is_some_and(|mechanism| mechanism != OAUTHBEARER);
    if wants_sasl && needs_password && (username.is_none() || password.is_none()) {
        let reason = "this SASL mechanism needs `kafka.security.sasl.username` and `.password`";
        errors.push(read.contradiction("kafka.security.sasl.mechanism", reason));
    }
    let tls = Tls {
        ca: read.path("kafka.security.tls.ca"),
        certificate: read.path("kafka.security.tls.certificate"),
        key: read.path("kafka.security.tls.key"),
        key_password: read.secret("kafka.security.tls.key_password"),
    };
    if tls.certificate.is_some() != tls.key.is_some() {
        let reason = "`kafka.security.tls.certificate` and `.key` go together";
        errors.push(read.contradiction("kafka.security.tls.certificate", reason));
    }
    let sasl = mechanism.map(|mechanism| Sasl { mechanism, username, password });
    Some(Security { protocol, tls, sasl })
}

fn rules(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Rules> {
    let (path, watch_interval) = (read.path("rules.path")?, read.duration("rules.watch_interval")?);
    if read.text("rules.approval")? == "off" {
        return Some(Rules { path, watch_interval, activation: Activation::Folder });
    }
    if read.text("api.listen").is_none() || read.text("topics.commands").is_none() {
        let reason = "`rules.approval` needs `api.listen`, where people approve, and `topics.commands`, by which the audit trail names them";
        errors.push(read.contradiction("rules.approval", reason));
    }
    Some(Rules { path, watch_interval: Duration::ZERO, activation: Activation::Approved })
}

fn topics(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Topics> {
    let topics = Topics {
        inputs: read.list("topics.inputs"),
        commands: read.text("topics.commands"),
        decisions: read.text("topics.decisions")?,
        alerts: read.text("topics.alerts")?,
        holds: read.text("topics.holds")?,
        audit: read.text("topics.audit")?,
        dead_letter: read.text("topics.dead_letter")?,
        checkpoints: read.text("topics.checkpoints"),
    };
    for (n, (key, topic)) in topics.outputs().into_iter().enumerate() {
        if let Some((other, _)) = topics.outputs().into_iter().take(n).find(|(_, it)| *it == topic)
        {
            let reason = format!(
                "`{other}` and `{key}` are both the topic `{topic}`: who reads it could not tell one kind of record from the other"
            );
            errors.push(read.contradiction(key, reason));
        }
    }
    if let Some(reason) = topics.inputs.as_deref().and_then(|inputs| topics.circle(inputs)) {
        errors.push(read.contradiction("topics.inputs", reason));
    }
    let commands: Vec<String> = topics.commands.iter().cloned().collect();
    if let Some(reason) =
        topics.circle(&commands).or_else(|| topics.both(topics.inputs.as_deref()?))
    {
        errors.push(read.contradiction("topics.commands", reason));
    }
    if topics.checkpoints.is_some() != read.text("audit.key_file").is_some() {
        let reason = "`topics.checkpoints` and `audit.key_file` go together";
        errors.push(read.contradiction("topics.checkpoints", reason));
    }
    Some(topics)
}

fn delivery(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Delivery> {
    const TIMEOUT: &str = "delivery.transaction_timeout";
    let mode = match read.text("delivery.mode")?.as_str() {
        "idempotent" => DeliveryMode::Idempotent,
        _ => DeliveryMode::Transactional,
    };
    let group_id = read.text("kafka.group_id")?;
    let delivery = Delivery {
        mode,
        decisions: read.text("delivery.decisions")?,
        commit_interval: read.duration("delivery.commit_interval")?,
        offset_commit_interval: read.duration("delivery.offset_commit_interval")?,
        transaction_timeout: read.duration(TIMEOUT)?,
        transactional_id: read.text("delivery.transactional_id").unwrap_or(group_id),
        max_in_flight: read.count("delivery.max_in_flight")?,
        max_in_flight_bytes: read.size("delivery.max_in_flight_size")?,
    };
    if delivery.transaction_timeout < Duration::from_secs(1)
        || delivery.commit_interval * 2 > delivery.transaction_timeout
    {
        let reason =
            format!("`{TIMEOUT}` must be at least 1s and twice `delivery.commit_interval`");
        errors.push(read.contradiction(TIMEOUT, reason));
    }
    Some(delivery)
}

/// The object stores: what a URL begins with, the cargo feature, whether it was built in.
const OBJECT_STORES: &[(&[&str], &str, bool)] = &[
    (&["memory"], "object-store", cfg!(feature = "object-store")),
    (&["s3", "s3a"], "s3", cfg!(feature = "s3")),
    (&["gs"], "gcs", cfg!(feature = "gcs")),
    (&["az", "adl", "azure", "abfs", "abfss"], "azure", cfg!(feature = "azure")),
];

fn snapshot(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Snapshot> {
    const DIR: &str = "snapshot.dir";
    let (dir, keep) = (read.text(DIR), read.count("snapshot.keep")?);
    if let Some((dir, scheme)) = dir.as_ref().and_then(|dir| Some((dir, dir.split_once("://")?.0)))
    {
        let store = OBJECT_STORES.iter().find(|(schemes, ..)| schemes.contains(&scheme));
        match store {
            Some((_, _, true)) => {}
            Some((_, feature, false)) => {
                let (key, feature) = (DIR.to_owned(), format!("the cargo feature `{feature}`"));
                errors
                    .push(ConfigError::new(read.origin(DIR), Problem::NotBuiltIn { key, feature }));
            }
            None if scheme == "file" => {}
            None => {
                let expected = "a folder, or a URL with `file`, `s3`, `gs` or `az` before `://`";
                errors.push(read.bad_value(DIR, expected, dir));
            }
        }
    }
    // WHY: `s3:/bucket` would be a folder of that name, in which nobody would ever look for snapshots.
    if let Some(dir) = dir.as_ref().filter(|dir| !dir.contains("://") && is_maimed_url(dir)) {
        let expected = "a folder, or a URL with `://` behind its first word";
        errors.push(read.bad_value(DIR, expected, dir));
    }
    if keep < 2 {
        let expected = "at least 2: one may turn out damaged";
        errors.push(read.bad_value("snapshot.keep", expected, &keep.to_string()));
    }
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    Some(Snapshot { dir, interval: read.duration("snapshot.interval")?, keep })
}

/// Whether a text begins like a URL that lacks a slash or two.
fn is_maimed_url(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme == "file" || OBJECT_STORES.iter().any(|(schemes, ..)| schemes.contains(&scheme))
    })
}

fn http(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Http> {
    let text = read.text("http.listen")?;
    let progress_timeout = read.duration("http.progress_timeout")?;
    let wanted = read.text("http.reload")?;
    if let Ok(listen) = text.parse::<SocketAddr>() {
        let is_wanted = wanted == "on" || wanted == "auto" && listen.ip().is_loopback();
        let needs_approval = read.text("rules.approval")? == "on";
        if wanted == "on" && needs_approval {
            let reason = "with `rules.approval: on` no reload is taken: leave `http.reload` out";
            errors.push(read.contradiction("http.reload", reason));
        }
        let (reload, token) = (is_wanted && !needs_approval, read.path("http.token_file"));
        return Some(Http { listen, progress_timeout, reload, token });
    }
    let expected = "an IP address with a port such as `127.0.0.1:9464`";
    errors.push(read.bad_value("http.listen", expected, &text));
    None
}

fn log(read: &Reader<'_>) -> Option<Log> {
    let format = match read.text("log.format")?.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    let Value::Rate(repeat_limit) = *read.value("log.repeat_limit")? else { return None };
    Some(Log { format, level: read.text("log.level")?, repeat_limit })
}
