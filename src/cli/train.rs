//! `riskweir train`: a learned model from a labelled history, with its card.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::backtest::labels::Labels;
use crate::base::text::counted;
use crate::base::time::format_rfc3339;
use crate::cli::backtest::{LabelFile, day_or_time_ms, duration_ms, write};
use crate::cli::history::{Reading, check_outputs};
use crate::cli::import::write_artifact;
use crate::cli::rules::compile_folder_untrained;
use crate::cli::{Console, Exit, Failure, Format};
use crate::models::offline::packed::MAX_DEPTH;
use crate::rules::program::Program;
use crate::train::card::{Origin, Trained, markdown, own_sections, train};
use crate::train::dataset::{Collect, CollectAll, Dataset, Example, Wanted};
use crate::train::evaluate::Method;
use crate::train::fit::ForestPlan;
use crate::train::fold::{Fold, History, Period};

/// Arguments of `riskweir train`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub(crate) rules: PathBuf,
    /// Name of the model in the rules: of kind `learned`; its file may be missing.
    #[arg(long, value_name = "MODEL")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) source: Source,
    /// What is trained.
    #[arg(long, value_enum, default_value = "forest")]
    model: Kind,
    #[command(flatten)]
    pub(crate) knobs: Knobs,
    /// First day (or time) to train on, such as 2026-01-31 (default: the first of the history).
    #[arg(long, value_name = "DAY", value_parser = day_or_time_ms)]
    from: Option<i64>,
    /// The day (or time) before which training ends (default: the label delay before the measured days).
    #[arg(long, value_name = "DAY", value_parser = day_or_time_ms)]
    until: Option<i64>,
    /// First day (or time) to measure (default: the last fifth of the history).
    #[arg(long, value_name = "DAY", value_parser = day_or_time_ms)]
    test_from: Option<i64>,
    /// The day (or time) before which measuring ends (default: the end of the history).
    #[arg(long, value_name = "DAY", value_parser = day_or_time_ms)]
    test_until: Option<i64>,
    /// Also write all rows as CSV, features in the units that people use, to train elsewhere.
    #[arg(long, value_name = "FILE")]
    dataset: Option<PathBuf>,
    /// The file of the model; its card is written beside it as .md and .json. The rules name it with `from`.
    #[arg(long, value_name = "FILE", required_unless_present = "dataset")]
    out: Option<PathBuf>,
}

/// What is read, and what is known about it.
#[derive(Args, Debug)]
pub(crate) struct Source {
    /// Input files, read in this order as one history, as for `backtest`.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    labels: LabelFile,
    /// How long after an event its label is known.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration_ms)]
    pub(crate) label_delay: i64,
    /// Field that holds the card or customer: measured by card too, and those known to be defrauded leave.
    #[arg(long, value_name = "FIELD")]
    pub(crate) card: Option<String>,
    /// Column of the labels that tells kinds of fraud apart.
    #[arg(long, value_name = "COLUMN", requires = "labels")]
    scenario_column: Option<String>,
}

/// How models are trained.
#[derive(Args, Debug)]
pub(crate) struct Knobs {
    /// Trees of a forest.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=4096))]
    trees: u16,
    /// Most splits from a root to a leaf.
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_DEPTH)))]
    max_depth: u8,
    /// Least events of a leaf.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    min_leaf: u32,
    /// Features among which a split chooses (default: the root of their number).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    per_split: Option<u16>,
    /// Penalty on the square of a regression's coefficients.
    #[arg(long, value_name = "X", default_value = "1", value_parser = penalty)]
    penalty: f64,
    /// What all chance follows from.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Threads; the model does not depend on them.
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

fn penalty(text: &str) -> Result<f64, String> {
    let given = text.parse().ok().filter(|it: &f64| it.is_finite() && *it >= 0.0);
    given.ok_or_else(|| "write a number from 0 on, such as 0.5".to_owned())
}

/// What can be trained.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A random forest.
    Forest,
    /// A logistic regression.
    Logistic,
    /// One tree, for comparison.
    Tree,
}

impl Knobs {
    /// A forest.
    pub(crate) fn forest(&self) -> Method {
        Method::Forest(ForestPlan {
            trees: self.trees.into(),
            max_depth: self.max_depth,
            min_leaf: usize::try_from(self.min_leaf).unwrap_or(usize::MAX),
            per_split: self.per_split.map(usize::from),
            seed: self.seed,
            threads: self.threads.into(),
        })
    }

    /// A logistic regression.
    pub(crate) fn logistic(&self) -> Method {
        Method::Logistic { penalty: self.penalty }
    }

    fn method(&self, kind: Kind) -> Method {
        match kind {
            Kind::Forest => self.forest(),
            Kind::Logistic => self.logistic(),
            Kind::Tree => Method::Tree { max_depth: self.max_depth },
        }
    }
}

/// What was read for one model.
pub(crate) struct Read<'l> {
    pub(crate) wanted: Wanted,
    pub(crate) dataset: Dataset,
    pub(crate) labels: &'l Labels,
    pub(crate) rules: crate::base::Digest,
}

impl Read<'_> {
    /// The events with what is known of them.
    pub(crate) fn history(&self) -> History<'_> {
        History {
            dataset: &self.dataset,
            n_features: self.wanted.learned().len(),
            labels: self.labels,
            event: &self.wanted.event,
        }
    }
}

impl Source {
    /// Reads the labels, without which nothing is learned or measured.
    pub(crate) fn labels(&self) -> Result<Labels, Failure> {
        let labels = self.labels.read(self.scenario_column.as_deref())?;
        labels.ok_or_else(|| {
            Failure::invalid(
                "models are trained and measured by labels: name their file with `--labels`",
            )
        })
    }

    /// Runs the history through a rule set, without artifacts, and keeps events of a period for each model.
    pub(crate) fn read<'l>(
        &self,
        program: Program,
        wanted: Vec<Wanted>,
        period: Period,
        labels: &'l Labels,
    ) -> Result<Vec<Read<'l>>, Failure> {
        let period = (period.from_ms, period.before_ms);
        let collect = wanted.into_iter().map(|wanted| Collect::new(wanted, period, labels));
        let mut collect = CollectAll(collect.collect());
        let rules = program.digest;
        self.reading.run(&self.input, &Arc::new(program), &mut collect)?;
        let mut read = Vec::new();
        for collect in collect.0 {
            let (wanted, dataset) = collect.finish().map_err(Failure::invalid)?;
            check_known(&wanted, &dataset, labels)?;
            read.push(Read { wanted, dataset, labels, rules });
        }
        Ok(read)
    }

    /// Files that are read; an output must be none of them.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let labels = self.labels.labels.as_deref();
        self.input.iter().map(PathBuf::as_path).chain(labels).collect()
    }
}

/// Refuses a history without the events of a model, or without a label of them.
fn check_known(wanted: &Wanted, dataset: &Dataset, labels: &Labels) -> Result<(), Failure> {
    let Wanted { event, .. } = wanted;
    if dataset.is_empty() {
        return Err(Failure::invalid(format!(
            "the input has no `{event}` in the period that is looked at: see the flags of periods in `--help`"
        )));
    }
    let is_labeled =
        |(example, _): (&Example, _)| labels.get(event, &example.id, i64::MAX).is_some();
    if !dataset.iter().any(is_labeled) {
        return Err(Failure::invalid(format!(
            "none of the {} is about a `{event}` of the input: `--label-id` must name the column with the ids of these events",
            counted(labels.len() as u64, "label")
        )));
    }
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, a file cannot be read or written, or nothing can be learned.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Arguments { source, out, dataset, .. } = arguments;
    let files = out.iter().flat_map(|out| {
        [out.clone(), out.with_extension("md"), out.with_extension("json")].map(|it| ("--out", it))
    });
    let outputs = files.chain(dataset.iter().map(|path| ("--dataset", path.clone())));
    check_outputs(&outputs.collect::<Vec<_>>(), &source.files())?;
    let all = Period {
        from_ms: arguments.from.unwrap_or(i64::MIN),
        before_ms: arguments.test_until.unwrap_or(i64::MAX),
    };
    let labels = source.labels()?;
    let Some(program) = compile_folder_untrained(&arguments.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    let wanted = Wanted::find(&program, &arguments.name, source.card.as_deref());
    let wanted = vec![wanted.map_err(Failure::invalid)?];
    let Some(read) = source.read(program, wanted, all, &labels)?.pop() else {
        return Ok(Exit::Invalid);
    };
    tell_again(&read, console);
    if let Some(path) = dataset {
        write_rows(&read, path, source.label_delay)?;
    }
    let Some(out) = out else {
        console.data(&format!("{}\n", counted(read.dataset.len() as u64, "row")));
        return Ok(Exit::Ok);
    };
    let origin = Origin {
        wanted: &read.wanted,
        method: arguments.knobs.method(arguments.model),
        fold: fold(arguments, &read.dataset)?,
        rules: read.rules,
        files: source
            .files()
            .iter()
            .map(|path| crate::backtest::input::source_name(path))
            .collect(),
        command: command(),
    };
    let Trained { artifact, card } = train(&read.history(), &origin).map_err(Failure::invalid)?;
    let pretty = serde_json::to_string_pretty(&card).map_err(Failure::invalid)?;
    write_artifact(out, &artifact)?;
    let mut text = markdown(&card);
    let page = out.with_extension("md");
    // What people wrote about the model before, such as its licence, is not ours to drop.
    let own = std::fs::read_to_string(&page).map(|before| own_sections(&before));
    if let Some(own) = own.ok().filter(|own| !own.is_empty()) {
        text = format!("{text}\n{own}");
    }
    write(&page, &text)?;
    write(&out.with_extension("json"), &format!("{pretty}\n"))?;
    match console.format {
        Format::Json => console.data(&format!("{card}\n")),
        Format::Text => console.data(&text),
    }
    Ok(Exit::Ok)
}

/// Tells how many events were left out because their id had come before.
pub(crate) fn tell_again(read: &Read<'_>, console: &Console) {
    let n = read.dataset.n_again;
    if n > 0 {
        let event = &read.wanted.event;
        let events = counted(n, "event");
        console.message(&format!("{events} of `{event}` left out: their ids had come before"));
    }
}

/// The periods as they were given; where none was, those of the history.
fn fold(arguments: &Arguments, dataset: &Dataset) -> Result<Fold, Failure> {
    let delay_ms = arguments.source.label_delay;
    let span = dataset.span_ms().unwrap_or_default();
    let usual = Fold::of_span(span, delay_ms);
    let given = (arguments.until, arguments.test_from, arguments.test_until);
    let (test_from, test_until) = match (given, usual) {
        ((_, Some(from), Some(until)), _) => (from, until),
        (_, Ok(usual)) => (
            arguments.test_from.unwrap_or(usual.test.from_ms),
            arguments.test_until.unwrap_or(usual.test.before_ms),
        ),
        (_, Err(error)) => return Err(Failure::invalid(error)),
    };
    let train = Period {
        from_ms: arguments.from.unwrap_or(span.0),
        before_ms: arguments.until.unwrap_or(test_from.saturating_sub(delay_ms)),
    };
    let test = Period { from_ms: test_from, before_ms: test_until };
    Fold::new(train, test, delay_ms).map_err(Failure::invalid)
}

/// The command as it was called; only its words, not where the program lies.
fn command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,".contains(c));
        if plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    core::iter::once("riskweir".to_owned()).chain(words).collect::<Vec<String>>().join(" ")
}

fn write_rows(read: &Read<'_>, path: &Path, delay_ms: i64) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::invalid(format!("could not write `{}`: {error}", path.display()))
    };
    let file = BufWriter::new(File::create(path).map_err(failed)?);
    let history = read.history();
    let about = |example: &Example| {
        let event = &read.wanted.event;
        let is_fraud = history.is_fraud(example, i64::MAX);
        let found = read.labels.get(event, &example.id, i64::MAX);
        let known_ms = found.and_then(|found| found.reported_ms);
        let known_ms = known_ms.unwrap_or(example.time_ms.saturating_add(delay_ms));
        let kind = read.labels.kind(event, &example.id).unwrap_or_default();
        [u8::from(is_fraud).to_string(), format_rfc3339(known_ms), kind.to_owned()]
    };
    read.dataset
        .write_csv(read.wanted.learned(), ["label", "label_known_at", "scenario"], about, file)
        .map_err(failed)
}
