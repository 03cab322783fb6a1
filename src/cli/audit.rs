//! `riskweir audit keygen|verify`: the key that signs checkpoints of the audit chains, and whoever holds both against each
//! other. `verify` needs the public key only, and no rules.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::audit::outputs::{At, Checked, Kind, Written};
use crate::audit::verify::ChainReport;
use crate::audit::{Problem, PublicKey, Report, SigningKey, Verifier};
use crate::base::text::counted;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::runtime::audited::read_trail;
use crate::runtime::rederive::bounds::Bounds;

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Where random bytes come from.
const RANDOM: &str = "/dev/urandom";

/// Arguments of `riskweir audit`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Make a key: `FILE` signs and is secret, `FILE.pub` verifies. Nothing is written over.
    Keygen(Keygen),
    /// Check the chains of audit records, and with a public key their signed checkpoints.
    Verify(Box<Verify>),
}

#[derive(Args, Debug)]
struct Keygen {
    /// The file of the signing key, for `audit.key_file`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    settings: Settings,
    /// A file with a public key; may be given several times, for checkpoints of several keys.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Audit records in a file, one a line in their order, in place of the topic.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Checkpoints in a file, one a line, in place of the topic.
    #[arg(long, value_name = "FILE", requires = "audit")]
    checkpoints: Option<PathBuf>,
    /// Records of decisions in a file, one a line, to hold them against their entries.
    #[arg(long, value_name = "FILE", requires = "audit")]
    decisions: Option<PathBuf>,
    /// Records of holds in a file, likewise.
    #[arg(long, value_name = "FILE", requires = "audit")]
    holds: Option<PathBuf>,
    /// Leave the topics of decisions and holds unread: only the chains are verified.
    #[arg(long, conflicts_with = "audit")]
    no_outputs: bool,
    /// The oldest records of a chain, or all, may be gone, as a topic's retention takes them; what no checkpoint proves of that
    /// is told.
    #[arg(long)]
    trimmed: bool,
}

/// Runs the command.
///
/// # Errors
/// When files cannot be read or written, or hold no keys.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    match &arguments.task {
        Task::Keygen(keygen) => make_key(&keygen.file, console),
        Task::Verify(verify) => check(verify, console),
    }
}

fn make_key(file: &Path, console: &Console) -> Result<Exit, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::invalid(format!("could not write `{}`: {error}", path.display()))
    };
    let mut seed = [0; 32];
    File::open(RANDOM)
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|error| Failure::invalid(format!("could not read `{RANDOM}`: {error}")))?;
    let key = SigningKey::of_seed(&seed);
    let public = PathBuf::from(format!("{}.pub", file.display()));
    write_new(file, 0o600, &key.to_pem()).map_err(|error| failed(file, error))?;
    write_new(&public, 0o644, &key.public().to_pem()).map_err(|error| failed(&public, error))?;
    let id = key.public().id();
    match console.format {
        Format::Json => {
            let line = json!({"key": id, "private": file.display().to_string(), "public": public.display().to_string()});
            console.data(&format!("{line}\n"));
        }
        Format::Text => console.data(&format!(
            "key {id}: `{}` signs, keep it secret; `{}` verifies\n",
            file.display(),
            public.display()
        )),
    }
    Ok(Exit::Ok)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn check(verify: &Verify, console: &Console) -> Result<Exit, Failure> {
    let mut keys = Vec::new();
    for file in &verify.key {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::invalid(format!("could not read `{shown}`: {error}")))?;
        keys.push(
            PublicKey::from_pem(&text)
                .map_err(|error| Failure::invalid(format!("`{shown}`: {error}")))?,
        );
    }
    let has_keys = !keys.is_empty();
    let mut verifier = Verifier::new(keys);
    if verify.trimmed {
        verifier = verifier.trimmed();
    }
    let files = [(Kind::Decision, &verify.decisions), (Kind::Hold, &verify.holds)];
    let has_files = files.iter().any(|(_, file)| file.is_some());
    let has_outputs = has_files || verify.audit.is_none() && !verify.no_outputs;
    if has_outputs {
        verifier = verifier.with_outputs();
    }
    if let Some(audit) = &verify.audit {
        lines(audit, &mut |line| verifier.record(line))?;
        if let Some(file) = &verify.checkpoints {
            lines(file, &mut |line| verifier.checkpoint(line))?;
        }
        for (kind, file) in files {
            let Some(file) = file else { continue };
            let (topic, mut offset) = (file.display().to_string(), 0);
            if verify.trimmed {
                verifier.output_trimmed(kind, 0);
            }
            lines(file, &mut |body| {
                let at = At { topic: topic.clone(), partition: 0, offset };
                offset += 1;
                verifier.output(Written { kind, at, answers: None, body }, true);
            })?;
        }
    } else {
        let Some(loaded) = verify.settings.load(console) else { return Ok(Exit::Invalid) };
        if let Err(error) =
            read_trail(&loaded.config, LIMIT, (&Bounds::none(), has_outputs), &mut verifier)
        {
            show(&error, *console);
            return Ok(exit(&error));
        }
    }
    let report = verifier.finish();
    tell(&report, has_keys, console);
    let sound = report.problems.is_empty() && !report.chains.is_empty();
    Ok(if sound { Exit::Ok } else { Exit::Invalid })
}

/// Every line of a file.
fn lines(file: &Path, take: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
    let bytes = fs::read(file).map_err(|error| {
        Failure::invalid(format!("could not read `{}`: {error}", file.display()))
    })?;
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(take);
    Ok(())
}

fn tell(report: &Report, has_keys: bool, console: &Console) {
    if console.format == Format::Json {
        let chain = |chain: &ChainReport| {
            json!({
                "topic": chain.topic,
                "partition": chain.partition,
                "records": chain.records,
                "last_seq": chain.last_seq,
                "signed_seq": chain.signed_seq,
                "signed_at": Some(&chain.signed_at).filter(|at| !at.is_empty()),
                "repeats": chain.repeats,
            })
        };
        let problem = |it: &Problem| {
            let record = it.record.as_ref().map(
                |at| json!({"topic": at.topic, "partition": at.partition, "offset": at.offset}),
            );
            json!({"topic": it.topic, "partition": it.partition, "seq": it.seq, "what": it.what, "record": record})
        };
        let checked = |(kind, checked): (&Kind, &Checked)| json!({"kind": kind.word(), "records": checked.records, "proved": checked.proved});
        let line = json!({
            "sound": report.problems.is_empty() && !report.chains.is_empty(),
            "signatures": has_keys,
            "chains": report.chains.iter().map(chain).collect::<Vec<_>>(),
            "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
            "outputs": report.outputs.iter().map(checked).collect::<Vec<_>>(),
            "unproven": report.unproven.iter().map(problem).collect::<Vec<_>>(),
        });
        console.data(&format!("{line}\n"));
        return;
    }
    for chain in &report.chains {
        let ChainReport { topic, partition, records, last_seq, signed_seq, signed_at, .. } = chain;
        let signed = match signed_seq {
            Some(seq) => format!("signed up to {seq}, last at {signed_at}"),
            None if has_keys => "not signed".to_owned(),
            None => "signatures not looked at".to_owned(),
        };
        let records = counted(*records, "record");
        console
            .data(&format!("{topic}-{partition}: {records} up to number {last_seq}, {signed}\n"));
    }
    for (kind, Checked { records, proved }) in &report.outputs {
        let (kind, records) = (kind.word(), counted(*records, "record"));
        console.data(&format!("{kind}s: {records}, {proved} as their entries say\n"));
    }
    for Problem { topic, partition, seq, what, .. } in &report.problems {
        let place = if topic.is_empty() {
            "no chain".to_owned()
        } else {
            format!("{topic}-{partition}, record {seq}")
        };
        console.data(&format!("BAD {place}: {what}\n"));
    }
    for Problem { topic, partition, what, .. } in &report.unproven {
        console.data(&format!("UNPROVEN {topic}-{partition}: {what}\n"));
    }
    if report.chains.is_empty() {
        console.message("there are no audit records to verify");
    } else if !has_keys && !console.is_quiet() {
        console.message(
            "without `--key` a chain that was rebuilt as a whole, or cut at its end, is not found",
        );
    }
}
