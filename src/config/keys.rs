//! The table of keys: the single source for parsing, defaults, suggestions and the commented example.

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A path of the file system.
    Path,
    /// `250ms`: the least and the most, written as in the file.
    Duration(&'static str, &'static str),
    /// `64MiB`: the least and the most, written as in the file.
    Size(&'static str, &'static str),
    /// `100/s`, at least one.
    Rate,
    /// A number of things: the least and the most.
    Count(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of a Kafka topic.
    Topic,
    /// Names of Kafka topics.
    TopicList,
    /// Names of members.
    NameList,
    /// Addresses, a host with a port each.
    AddressList,
    /// Names with texts.
    TextMap,
}

impl Kind {
    /// What belongs there, with an example: completes "expects …".
    pub fn expectation(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Secret => "a text such as `${env:NAME}` or `${file:/path}`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Duration(..) => {
                "a duration with its unit such as `250ms`, `30s` or `24h`".to_owned()
            }
            Self::Size(..) => "a size with its unit such as `64MiB`".to_owned(),
            Self::Rate => "a rate with its unit, at least `1/h`, such as `100/s`".to_owned(),
            Self::Count(least, u64::MAX) => format!("a whole number from {least} on"),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Topic => "the name of a Kafka topic: 1 to 249 letters, digits, `.`, `_` or `-`".to_owned(),
            Self::TopicList => "a list of names of Kafka topics such as `[payments, logins]`".to_owned(),
            Self::NameList => "a list of names such as `[cvv, pin_block]`".to_owned(),
            Self::AddressList => {
                "a list of addresses, each a host with a port and nothing before them, such as `[kafka:9092]`".to_owned()
            }
            Self::TextMap => "names with values such as `{name: value}`".to_owned(),
        }
    }

    /// What belongs there when a value could be read and is too small or too large.
    pub(crate) fn range(self) -> String {
        match self {
            Self::Duration(least, most) => format!("a duration from `{least}` to `{most}`"),
            Self::Size(least, most) => format!("a size from `{least}` to `{most}`"),
            other => other.expectation(),
        }
    }
}

/// What holds when nobody sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, written as in the file.
    Value(&'static str),
    /// The operator must give one; the text is an example.
    Required(&'static str),
    /// Nothing; the text says in words what that means.
    Unset(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path.
    pub path: &'static str,
    /// Kind of value.
    pub kind: Kind,
    /// Value when nobody sets it.
    pub fallback: Fallback,
    /// One or two sentences for the operator.
    pub doc: &'static str,
}

const fn key(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Key {
    Key { path, kind, fallback, doc }
}

use Fallback::{Required, Unset, Value};
use Kind::{
    AddressList, Choice, Count, Duration, NameList, Path, Rate, Secret, Size, Text, TextMap, Topic,
    TopicList,
};

/// The longest span of event time that a setting may ask for: ten years, so that no sum of times can overflow.
const LONGEST: &str = "3650d";
/// The largest number that a 32-bit counter of the engine holds.
const MOST: u64 = 4_294_967_295;

/// The words of `kafka.security.protocol`.
pub const PROTOCOLS: &[&str] = &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
/// The words of `kafka.security.sasl.mechanism`.
pub const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
/// The words of `delivery.mode`.
pub const DELIVERY_MODES: &[&str] = &["idempotent", "transactional"];
/// The words of `audit.decisions`.
pub(super) const AUDITED: &[&str] = &["all", "stopped", "none"];
/// The words of `delivery.decisions`.
pub const DECISIONS: &[&str] = &["all", "notable", "none"];
/// The words of `recovery.replay_from`.
pub const REPLAY_FROM: &[&str] = &["earliest", "none"];
/// The words of `recovery.on_gap`.
pub const ON_GAP: &[&str] = &["stop", "accept"];
/// The words of `time.producer_stamps`.
pub const PRODUCER_STAMPS: &[&str] = &["warn", "refuse"];
/// The words of `http.reload`.
pub const HTTP_RELOAD: &[&str] = &["auto", "on", "off"];
/// The words of a switch.
pub const ON_OFF: &[&str] = &["off", "on"];
/// The words of `api.plaintext`.
pub const PLAINTEXT: &[&str] = &["refuse", "allow"];
/// The words of `log.format`.
pub const LOG_FORMATS: &[&str] = &["auto", "text", "json"];
/// The words of `log.level`.
pub const LOG_LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// Every key, in the order of the example.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("version", Count(1, u64::MAX), Value("1"), "Version of this file's format."),
    key("kafka.brokers", AddressList, Required("[127.0.0.1:9092]"), "Addresses to start from, `host:port` each."),
    key("kafka.group_id", Text, Value("riskweir"), "Consumer group: instances with the same id share the partitions."),
    key("kafka.partitioned_by", Text, Unset("not known: one instance must have all partitions"), "The entity whose value is the key of the input records in Kafka, such as `customer`. Rules that read and write by it alone are decided partition by partition, so several instances can share the work."),
    key("kafka.client_id", Text, Value("riskweir"), "Name of this client in the broker's logs and quotas."),
    key("kafka.session_timeout", Duration("1s", "1h"), Value("10s"), "How long the group waits for an instance that went silent before others take its partitions."),
    key("kafka.linger", Duration("0ms", "15m"), Value("1ms"), "How long an output waits for others to travel with it. Longer is cheaper and later."),
    key("kafka.security.protocol", Choice(PROTOCOLS), Value("plaintext"), "How to reach the brokers. `plaintext` beyond this machine gives a warning at start."),
    key("kafka.security.tls.ca", Path, Unset("the certificates of the system"), "PEM file of the authorities that the brokers' certificates must come from."),
    key("kafka.security.tls.certificate", Path, Unset("no client certificate"), "PEM file of the client's certificate, for mutual TLS."),
    key("kafka.security.tls.key", Path, Unset("no client key"), "PEM file of the client's private key."),
    key("kafka.security.tls.key_password", Secret, Unset("the key is not encrypted"), "Pass phrase of the private key."),
    key("kafka.security.sasl.mechanism", Choice(MECHANISMS), Unset("no SASL"), "How to log in."),
    key("kafka.security.sasl.username", Text, Unset("no SASL"), "Who logs in."),
    key("kafka.security.sasl.password", Secret, Unset("no SASL"), "The password; give it as `${env:NAME}` or `${file:/path}`."),
    key("kafka.rdkafka", TextMap, Value("{}"), "Further settings of librdkafka by their own names. Typed keys win; settings that would break a promise are refused."),
    key("topics.inputs", TopicList, Unset("the topics that the rules' schema names"), "Topics to read."),
    key("topics.commands", Topic, Unset("no commands are taken"), "Commands of people and services, such as the release of a hold: whoever may write there may let held payments go. Its records have the key of the hold's records."),
    key("topics.decisions", Topic, Value("risk.decisions"), "One decision for every event."),
    key("topics.alerts", Topic, Value("risk.alerts"), "Alerts for analysts."),
    key("topics.holds", Topic, Value("risk.holds"), "Holds and what became of them."),
    key("topics.audit", Topic, Value("risk.audit"), "Rule sets, lists and actions as they took effect."),
    key("topics.dead_letter", Topic, Value("risk.dead_letter"), "Records that could not be decided, with their bytes and the reason."),
    key("topics.checkpoints", Topic, Unset("no checkpoints are signed"), "Signed checkpoints of the audit chains; needs `audit.key_file`."),
    key("delivery.mode", Choice(DELIVERY_MODES), Value("transactional"), "`transactional`: outputs and offsets in one Kafka transaction. `idempotent`: at least once, repeated writes byte-identical, lowest latency."),
    key("delivery.decisions", Choice(DECISIONS), Value("all"), "Which decisions are written: `all`, `notable` (a hit, a score band, an outcome other than `pass`, or a remark) or `none`."),
    key("delivery.commit_interval", Duration("0ms", "30m"), Value("10ms"), "How long a Kafka transaction collects records before it is committed (transactional)."),
    key("delivery.offset_commit_interval", Duration("0ms", "1h"), Value("200ms"), "How often offsets are committed (idempotent)."),
    key("delivery.transaction_timeout", Duration("1s", "1h"), Value("15s"), "How long the broker lets a transaction stay open when this instance dies; readers of committed data wait so long."),
    key("delivery.transactional_id", Text, Unset("the group id"), "Identity of this instance for Kafka transactions: stable across restarts, different for each instance of a group."),
    key("delivery.max_in_flight", Count(1, 100_000_000), Value("50000"), "Most outputs that wait for the broker; reading pauses beyond."),
    key("delivery.max_in_flight_size", Size("1KiB", "512GiB"), Value("64MiB"), "Most bytes of outputs that wait for the broker; reading pauses beyond."),
    key("rules.path", Path, Value("rules"), "Folder of the rule files."),
    key("rules.watch_interval", Duration("0s", "1d"), Value("1s"), "How often the folder is looked at for another rule set. `0s`: never, only on SIGHUP and `riskweir reload`."),
    key("rules.approval", Choice(ON_OFF), Value("off"), "`on`: only a rule set that a second person approved over the HTTP API becomes active. The folder is not followed, SIGHUP and `riskweir reload` are refused another one than was approved last, and a start with another one than decided or was approved last ends. Needs `api.listen` and `topics.commands`."),
    key("time.allowed_lateness", Duration("0s", LONGEST), Value("5m"), "How far behind its partition's clock an event may be and still block or hold."),
    key("time.future_guard", Duration("0s", LONGEST), Value("5m"), "How far ahead of its arrival an event's time may be and still move the clock."),
    key("time.producer_stamps", Choice(PRODUCER_STAMPS), Value("warn"), "When an input topic takes the clock of whoever writes for the arrival of a record (`message.timestamp.type=CreateTime`, Kafka's default), so that a clock that is ahead ends holds and disarms rules. `warn`: say so at the start. `refuse`: end with K0016, also where the brokers do not tell."),
    key("time.dedupe_window", Duration("0s", LONGEST), Value("1d"), "For how long a repeated event id is recognised."),
    key("time.dedupe_max_ids", Count(1, MOST), Value("16000000"), "Most event ids that are remembered, by all shards together, and no more than fit into a quarter of the state budget at 40 bytes each; beyond it the window shrinks."),
    key("time.partition_idle", Duration("0s", LONGEST), Value("1h"), "A partition without an event while the furthest one moved on by this much is idle: it no longer keeps windows from being forgotten."),
    key("limits.max_record", Size("1KiB", "1GiB"), Value("1MiB"), "Largest record that is decoded."),
    key("limits.max_depth", Count(1, MOST), Value("64"), "Deepest nesting that is decoded."),
    key("limits.max_keys", Count(1, MOST), Value("1024"), "Most keys of one record."),
    key("state.budget", Size("1MiB", "65536GiB"), Unset("the rules' policy"), "Most memory for windows; beyond it the oldest keys are evicted, counted and marked."),
    key("state.exact_events_per_key", Count(1, 1_000_000), Value("65536"), "Most events that one key keeps exactly."),
    key("recovery.replay_from", Choice(REPLAY_FROM), Value("earliest"), "`earliest`: rebuild the windows from the oldest records that the topics hold. `none`: start with empty windows."),
    key("recovery.on_gap", Choice(ON_GAP), Value("stop"), "When the topics no longer hold records that the newest snapshot lacks. `stop`: end with a message. `accept`: go on; decisions whose windows may miss them are marked `state_gap`."),
    key("snapshot.dir", Text, Unset("no snapshots: every start rebuilds the windows from the input topics"), "Where snapshots of the windows lie: a folder, or a URL such as `s3://bucket/folder`. Holds payment data."),
    key("snapshot.interval", Duration("1ms", "7d"), Value("30s"), "Time from one snapshot to the next."),
    key("snapshot.keep", Count(1, 1_000), Value("2"), "Valid snapshots that are kept, at least 2. There must be room for one more."),
    key("audit.decisions", Choice(AUDITED), Value("stopped"), "Decisions with an entry in the audit chain: all that are written, those that stop money (`step_up`, `hold`, `block`), none. Holds always have one."),
    key("audit.key_file", Path, Unset("no checkpoints are signed"), "PEM file of the Ed25519 key that signs checkpoints: `riskweir audit keygen FILE` makes one. Only the service may read it."),
    key("audit.checkpoint_interval", Duration("1s", "1d"), Value("1m"), "A checkpoint is signed at every record that lengthens an audit chain, and otherwise so often while records are decided."),
    key("tokens.key_file", Path, Unset("no field may be `tokenized`"), "File with the secret, at least 32 bytes, by which values of `tokenized` fields become tokens: `openssl rand -hex 32` makes one. Only the service may read it."),
    key("tokens.previous_key_file", Path, Unset("no key was changed"), "The secret before it, so that records which were decided with it can be decided again."),
    key("privacy.never_store", NameList, Unset("verification codes, track data and PINs by their usual names (SECURITY.md)"), "Members of records whose values are never stored, wherever they stand: blanked in dead letters, and no field may read them. Names are compared without regard to capitals, `_` and `-`; what is given here replaces the list."),
    key("http.listen", Text, Value("127.0.0.1:9464"), "Address of /metrics, /livez and /readyz."),
    key("http.reload", Choice(HTTP_RELOAD), Value("auto"), "Whether `riskweir reload` may ask. `auto`: only where `http.listen` is a loopback address."),
    key("http.token_file", Path, Unset("whoever reaches the address may read"), "File with the token, at least 16 characters, that whoever reads /metrics or asks for a reload sends as `Authorization: Bearer`: `openssl rand -hex 32` makes one. /livez and /readyz take none."),
    key("http.progress_timeout", Duration("100ms", "1h"), Value("10s"), "How long the poll loop may stand still before /livez and /readyz say so."),
    key("api.listen", Text, Unset("no API is served"), "Address of the HTTP API, such as `127.0.0.1:9465`."),
    key("api.expose", Choice(ON_OFF), Value("off"), "Whether `api.listen` may be an address that other machines reach."),
    key("api.plaintext", Choice(PLAINTEXT), Value("refuse"), "Whether an exposed API may do without TLS, because something before it speaks TLS. `allow` gives a warning at start."),
    key("api.tls.certificate", Path, Unset("no TLS"), "PEM file of the server's certificate and its chain."),
    key("api.tls.key", Path, Unset("no TLS"), "PEM file of the server's private key."),
    key("api.tokens", Path, Unset("nobody is let in by a token"), "File of tokens, one a line, as `riskweir token new` writes them: digests, never the tokens. Read again when it changes."),
    key("api.jwt.issuer", Text, Unset("no identity provider; only `api.tokens` says who somebody is"), "Name of an identity provider whose tokens (JWT) are taken beside those of `api.tokens`: their `iss`. Needs a build with the cargo feature `api-jwt`."),
    key("api.jwt.audience", Text, Unset("none; needed with an issuer"), "Name of this service there: in `aud` of the tokens."),
    key("api.jwt.keys", Text, Unset("none; needed with an issuer"), "Its public keys (JWKS): a path, looked at again when the file changes, or an `https://` address, asked again every `api.jwt.refresh`."),
    key("api.jwt.algorithms", Text, Value("RS256,ES256,EdDSA"), "Algorithms that are taken, joined by commas; there are no others."),
    key("api.jwt.leeway", Duration("0s", "5m"), Value("30s"), "How far its clock may be from this one."),
    key("api.jwt.refresh", Duration("1m", "7d"), Value("10m"), "How often the address of the keys is asked; also when a token names a key that is not known, every 30 s at most."),
    key("api.jwt.name_claim", Text, Value("sub"), "Claim whose text is the name that stands in records, or a JSON pointer to it: 1 to 64 letters, digits, `.`, `_`, `-` or `@`."),
    key("api.jwt.roles_claim", Text, Value("roles"), "Claim that says roles, a list or words with blanks between, or a JSON pointer to it such as `/realm_access/roles`."),
    key("api.jwt.roles", TextMap, Value("{}"), "Words of that claim with the role that each stands for, such as `{fraud-desk: analyst}`; where none are given, a word stands for the role that it names."),
    key("api.jwt.topics_claim", Text, Unset("whoever is let in sees the payments of all input topics"), "Claim that says of which input topics somebody sees payments, as `roles_claim` is read; `*` stands for all. A token that lacks it sees none."),
    key("api.rate_limit", Rate, Value("100/s"), "Most requests of one token; an address may fail to say who it is a tenth as often."),
    key("api.max_body", Size("1KiB", "64MiB"), Value("1MiB"), "Largest body of a request."),
    key("api.store", Path, Unset("in memory, and read anew from the output topics at every start"), "SQLite file of the read model: decisions, alerts, holds. Holds payment data; it can be deleted while the service is stopped."),
    key("api.retention", Duration("1h", LONGEST), Value("30d"), "How long the read model keeps what has ended."),
    key("api.store_size", Size("1MiB", "16384GiB"), Unset("256MiB in memory; of a file, as much as `api.retention` makes"), "Most bytes of the read model. Beyond it the oldest go first, open holds never."),
    key("api.four_eyes_above", TextMap, Value("{}"), "Currency to amount, such as `{EUR: 10000}`: a held payment above it is released by two people. Where this is set, so is one in a currency that is not named, or without an amount."),
    key("api.four_eyes_for", Text, Unset("one person is enough"), "What takes two people whatever the amount, joined by commas: `hold.release`, `hold.place`, `list.add`, `list.remove`, `snooze.set`, `snooze.end`. Of rule sets `rules.approval` says it."),
    key("api.write_rules", Choice(ON_OFF), Value("off"), "Whether a rule set that people proposed over HTTP, or a former one, is written into `rules.path` when a second person approves it. `off`: text comes into the folder by other ways alone."),
    key("api.override", Choice(ON_OFF), Value("off"), "Whether an `admin` may do alone what waits for a second person. The records, the log and a metric say so."),
    key("log.format", Choice(LOG_FORMATS), Value("auto"), "`auto`: text on a terminal, JSON otherwise."),
    key("log.level", Choice(LOG_LEVELS), Value("info"), "Least grave level that is written."),
    key("log.repeat_limit", Rate, Value("6/m"), "How often the same warning or error is written; the rest is counted."),
    key("shutdown.timeout", Duration("1s", "1d"), Value("25s"), "Longest orderly stop; keep it below what the supervisor waits."),
];

/// The key of a path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys stand below this path.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| below(key.path, path).is_some())
}

/// The names that may stand directly below a section; the root is the empty path.
pub fn children(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let rest = if section.is_empty() { Some(key.path) } else { below(key.path, section) };
        let Some(name) = rest.and_then(|rest| rest.split('.').next()) else { continue };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn below(path: &'static str, section: &str) -> Option<&'static str> {
    path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
}
