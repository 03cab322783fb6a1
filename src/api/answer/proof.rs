//! Proofs: a decision derived again from the log, and the chains of the audit trail held against what was signed.
//!
//! Both read the log itself and not the read model, as `riskweir replay` and `riskweir audit verify` do.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::answer::decisions;
use crate::api::aside::{Allowance, aside};
use crate::api::call::{Call, Reply};
use crate::api::problem::{INTERNAL, LOG_UNAVAILABLE, NOT_CONFIGURED, Problem, REFUSED};
use crate::api::records::parsed;
use crate::api::state::State;
use crate::api::store::read::Kept;
use crate::audit::outputs::{At, Checked, Kind};
use crate::audit::verify::ChainReport;
use crate::audit::{PublicKey, SigningKey, Verifier};
use crate::decision::wire::SourceRef;
use crate::runtime::audited::read_trail;
use crate::runtime::rederive::bounds::Bounds;
use crate::runtime::rederive::compare::{Difference, differences, source_of};
use crate::runtime::rederive::{Derived, NotDerived, RecordAt, Stored, find_written, rederive};
use crate::runtime::{DecidingEngines, RunError};

/// How long it may take, where nobody says.
const TIME: Duration = Duration::from_secs(30);

/// How many records may be read, where nobody says; also the most of them.
pub(crate) const MAX_RECORDS: u64 = 1_000_000;

/// Most members that differ that are told.
const MAX_TOLD: usize = 100;

/// How long the brokers may take to say that topics are there.
const LIMIT: Duration = Duration::from_secs(10);

fn allowance(call: &Call) -> Allowance {
    Allowance {
        time: call.query.duration("deadline").unwrap_or(TIME),
        records: call.query.count("records").unwrap_or(MAX_RECORDS),
    }
}

/// What the log gives for the record of a decision now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Replayed {
    /// The decision.
    decision_id: String,
    /// Whether it is the same, byte for byte.
    same: bool,
    /// The members that differ, 100 at most; empty also where a decision differs in no member, but in its bytes.
    diff: Vec<DiffItem>,
    /// How many there are.
    differences: u64,
    /// Where the decision stands; absent where the log does not hold it any more, and what the read model kept of it is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SourceRef<'static>>")]
    stands_at: Option<Value>,
    /// The record that was decided.
    #[schemars(with = "SourceRef<'static>")]
    source: Value,
    /// What it was derived from: a snapshot, or the beginning of the log.
    from: String,
    /// Records that were decided again, this one included.
    records: u64,
    /// Digest of the rule set that decided.
    ruleset: String,
}

/// A member that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DiffItem {
    /// As a JSON pointer; empty for all of it.
    path: String,
    /// As it was written; absent where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Value>,
    /// As the log gives it; absent where it gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    derived: Option<Value>,
}

/// `POST /v1/decisions/{id}/replay`
pub(crate) async fn replay(call: Call) -> Result<Reply, Problem> {
    let kept = decisions::first(&call).await?;
    let at = source_of(&parsed(&kept.body)?);
    let at = at.ok_or_else(|| Problem::new(INTERNAL, "the decision names no record"))?;
    let (state, id) = (Arc::clone(&call.state), call.name().to_owned());
    let command = "riskweir replay --decision";
    let work = move |bounds: &Bounds| {
        let stored = find_written(&state.config, (&id, &at), kept.logged_ms, bounds);
        let stored = stored.map_err(|error| unavailable(&error))?;
        let derived = derive(&state, &at, bounds)?;
        replayed(&id, (&kept, stored.as_ref()), &at, &derived)
    };
    Reply::json(&aside(&call.state, (allowance(&call), command), work).await?)
}

fn derive(state: &State, at: &RecordAt, bounds: &Bounds) -> Result<Derived, Problem> {
    let config = &state.config;
    let mut inputs = state.inputs.clone();
    inputs.extend(config.topics.commands.clone());
    let mut engines = DecidingEngines::new(state.rules.get(), state.options)
        .keeping(state.privacy.clone())
        .partitioned_by(config.kafka.partitioned_by.as_deref())
        .commanded_from(config.topics.commands.as_deref());
    rederive(config, &inputs, &mut engines, at, bounds).map_err(|error| match error {
        NotDerived::Run(error) => unavailable(&error),
        error => Problem::new(REFUSED, format!("it cannot be derived: {error}")),
    })
}

fn unavailable(error: &RunError) -> Problem {
    Problem::new(LOG_UNAVAILABLE, format!("the log cannot be read: {error}"))
}

fn replayed(
    id: &str,
    (kept, stored): (&Kept, Option<&Stored>),
    at: &RecordAt,
    derived: &Derived,
) -> Result<Replayed, Problem> {
    let written = stored.map_or(kept.body.as_bytes(), |stored| &stored.body);
    let decision = derived.decision();
    let found = match decision {
        Some(decision) => differences(written, decision),
        None => vec![(String::new(), Some(parsed(&kept.body)?), None)],
    };
    let item = |(path, stored, derived): Difference| DiffItem { path, stored, derived };
    Ok(Replayed {
        decision_id: id.to_owned(),
        same: decision == Some(written),
        differences: found.len() as u64,
        diff: found.into_iter().take(MAX_TOLD).map(item).collect(),
        stands_at: stored.map(|stored| place(&stored.at)),
        source: place(at),
        from: derived.from(),
        records: derived.n_records,
        ruleset: derived.ruleset.clone(),
    })
}

fn place(at: &RecordAt) -> Value {
    let RecordAt { topic, partition, offset } = at;
    serde_json::json!({"topic": topic, "partition": partition, "offset": offset})
}

/// How the chains of the audit trail stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Verified {
    /// Whether there are chains, and nothing is wrong with any.
    sound: bool,
    /// Whether signatures were held against the key of `audit.key_file`; without, a chain that was rebuilt as a whole, or cut
    /// at its end, is not found.
    signatures: bool,
    /// The key, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Each chain.
    chains: Vec<ChainItem>,
    /// Records of decisions and holds that were held against their entries.
    outputs: Vec<CheckedItem>,
    /// What belongs to no chain that is known.
    problems: Vec<FaultItem>,
}

/// The chain of an input partition.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChainItem {
    /// Topic of the input.
    topic: String,
    /// Partition of the input.
    partition: i32,
    /// Whether nothing is wrong with it.
    sound: bool,
    /// Number of its first record that is not as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad_seq: Option<u64>,
    /// Its records, each once.
    records: u64,
    /// Its last number.
    last_seq: u64,
    /// The last number that is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_seq: Option<u64>,
    /// When the newest checkpoint was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at: Option<String>,
    /// What is wrong with it.
    problems: Vec<FaultItem>,
    /// What a retention may have taken, and nobody who signs says so; with `trimmed=true` only.
    unproven: Vec<FaultItem>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct FaultItem {
    /// Number of the first record that is not as it was; 0 where it is not known.
    seq: u64,
    /// In words.
    what: String,
    /// The record of the topic of decisions or holds that it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SourceRef<'static>>")]
    record: Option<Value>,
}

impl FaultItem {
    fn of(problem: &crate::audit::Problem) -> Self {
        let place = |at: &At| {
            let At { topic, partition, offset } = at;
            serde_json::json!({"topic": topic, "partition": partition, "offset": offset})
        };
        let (seq, what) = (problem.seq, problem.what.clone());
        Self { seq, what, record: problem.record.as_ref().map(place) }
    }
}

/// Records of the topic of decisions or of holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CheckedItem {
    /// `decision` or `hold`.
    kind: &'static str,
    /// Those that were read.
    records: u64,
    /// Of these, those that are as their entry says.
    proved: u64,
}

/// `POST /v1/audit:verify`
pub(crate) async fn verify(call: Call) -> Result<Reply, Problem> {
    let has_outputs = call.query.text("outputs") != Some("false");
    let is_trimmed = call.query.text("trimmed") == Some("true");
    let state = Arc::clone(&call.state);
    let command = "riskweir audit verify";
    let work = move |bounds: &Bounds| {
        let key = key(&state)?;
        let mut verifier = Verifier::new(key.iter().cloned().collect());
        if is_trimmed {
            verifier = verifier.trimmed();
        }
        if has_outputs {
            verifier = verifier.with_outputs();
        }
        read_trail(&state.config, LIMIT, (bounds, has_outputs), &mut verifier)
            .map_err(|error| unavailable(&error))?;
        Ok(verified(&verifier.finish(), key.as_ref()))
    };
    Reply::json(&aside(&call.state, (allowance(&call), command), work).await?)
}

/// The public half of the key that signs here.
fn key(state: &State) -> Result<Option<PublicKey>, Problem> {
    let config = &state.config;
    let file = config.audit.key_file.as_ref().filter(|_| config.topics.checkpoints.is_some());
    let Some(file) = file else { return Ok(None) };
    let unusable = || Problem::new(NOT_CONFIGURED, "the key of `audit.key_file` cannot be read");
    let text = fs::read_to_string(file).map_err(|_| unusable())?;
    Ok(Some(SigningKey::from_pem(&text).map_err(|_| unusable())?.public()))
}

fn verified(report: &crate::audit::Report, key: Option<&PublicKey>) -> Verified {
    let sound = report.problems.is_empty() && !report.chains.is_empty();
    let of = |all: &[crate::audit::Problem], topic: &str, partition: i32| -> Vec<FaultItem> {
        let its = all.iter().filter(|it| it.topic == topic && it.partition == partition);
        its.map(FaultItem::of).collect()
    };
    let known: Vec<(String, i32)> =
        report.chains.iter().map(|chain| (chain.topic.clone(), chain.partition)).collect();
    let strange = report.problems.iter().filter(|it| {
        !known.iter().any(|(topic, partition)| *topic == it.topic && *partition == it.partition)
    });
    let problems = strange.map(FaultItem::of).collect();
    let item = |chain: ChainReport| {
        let ChainReport { topic, partition, records, last_seq, signed_seq, signed_at, .. } = chain;
        let problems = of(&report.problems, &topic, partition);
        let unproven = of(&report.unproven, &topic, partition);
        ChainItem {
            sound: problems.is_empty(),
            first_bad_seq: problems.iter().map(|it| it.seq).min(),
            signed_at: Some(signed_at).filter(|at| !at.is_empty()),
            topic,
            partition,
            records,
            last_seq,
            signed_seq,
            problems,
            unproven,
        }
    };
    let chains = report.chains.iter().cloned().map(item).collect();
    let checked = |(kind, checked): (&Kind, &Checked)| CheckedItem {
        kind: kind.word(),
        records: checked.records,
        proved: checked.proved,
    };
    let outputs = report.outputs.iter().map(checked).collect();
    let (signatures, key) = (key.is_some(), key.map(PublicKey::id));
    Verified { sound, signatures, key, chains, outputs, problems }
}
