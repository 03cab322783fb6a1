//! `riskweir evaluate`: models and methods against each other over several weeks of a history.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::backtest::labels::Labels;
use crate::backtest::study::day_text;
use crate::backtest::summary::align;
use crate::base::count::nearest_f64;
use crate::cli::backtest::{day_or_time_ms, duration_ms};
use crate::cli::rules::compile_folder_untrained;
use crate::cli::train::{Knobs, Read, Source, tell_again};
use crate::cli::{Console, Exit, Failure, Format};
use crate::train::budget::{BUDGET_PLACE, Budget};
use crate::train::dataset::Wanted;
use crate::train::evaluate::{
    ALERT_RATES, Contestant, FoldReached, Method, Model, Reached, all_reasons, contestants, kinds,
    measure, recall_spread, spread,
};
use crate::train::fold::{Fold, Period};
use crate::train::metrics::{DAY_MS, Spread};

/// Arguments of `riskweir evaluate`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folders (or .risk files); the history runs through each by itself.
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: Vec<PathBuf>,
    /// Names of models in the rules (default: all). A learned one is trained anew, its file may be missing; one that learns
    /// by itself is measured by what it says.
    #[arg(long, value_name = "MODEL")]
    name: Vec<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    knobs: Knobs,
    /// How long each training period is.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration_ms)]
    train: i64,
    /// How long each measured period is; the one before is that much earlier.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration_ms)]
    test: i64,
    /// How many periods, back from the last.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=100))]
    folds: u8,
    /// The day (or time) before which the last measured period ends (default: the end of the history).
    #[arg(long, value_name = "DAY", value_parser = day_or_time_ms)]
    until: Option<i64>,
    /// Depth of the single tree.
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=20))]
    tree_depth: u8,
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, a file cannot be read, or a period has nothing to learn from.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let given = arguments.until.map(|until| folds(arguments, until)).transpose()?;
    let labels = arguments.source.labels()?;
    let period = given.as_deref().map_or(EVER, covered);
    let Some(read) = read(arguments, period, &labels, console)? else { return Ok(Exit::Invalid) };
    check_same(&read)?;
    for (_, read) in &read {
        tell_again(read, console);
    }
    let folds = if let Some(folds) = given {
        folds
    } else {
        let span_ms = read.first().and_then(|(_, read)| read.dataset.span_ms());
        let last_ms = span_ms.map_or(0, |(_, last_ms)| last_ms);
        folds(arguments, last_ms.div_euclid(DAY_MS).saturating_add(1) * DAY_MS)?
    };
    let methods = [
        arguments.knobs.logistic(),
        Method::Tree { max_depth: arguments.tree_depth },
        arguments.knobs.forest(),
    ];
    let models: Vec<Model<'_>> = read.iter().map(model).collect();
    let contestants = contestants(&models, &methods);
    let mut reached = Vec::new();
    for fold in &folds {
        reached.push(measure(fold, &contestants).map_err(|error| {
            let day = day_text(fold.test.from_ms.div_euclid(DAY_MS));
            Failure::invalid(format!(
                "period measured from {day}: {error}; where the history is too short, take fewer `--folds` or shorter `--train` and `--test`"
            ))
        })?);
    }
    let names = names(arguments, &contestants);
    let table = Table { folds: &reached, contestants: &contestants, names: &names };
    match console.format {
        Format::Json => console.data(&format!("{}\n", table.json())),
        Format::Text => console.data(&table.text()),
    }
    Ok(Exit::Ok)
}

fn model<'m>((rule_set, read): &'m (usize, Read<'_>)) -> Model<'m> {
    Model { wanted: &read.wanted, history: read.history(), rule_set: *rule_set }
}

/// What each rule set's models read, with the place of the rule set. None where rules do not compile.
fn read<'l>(
    arguments: &Arguments,
    period: Period,
    labels: &'l Labels,
    console: &Console,
) -> Result<Option<Vec<(usize, Read<'l>)>>, Failure> {
    let Arguments { rules, name: names, source, .. } = arguments;
    let (mut programs, mut known) = (Vec::new(), Vec::new());
    for folder in rules {
        let Some(program) = compile_folder_untrained(folder, console)? else { return Ok(None) };
        known.extend(program.models.iter().map(|plan| plan.name.clone()));
        programs.push(program);
    }
    let is_known = |name: &&String| known.contains(name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        known.dedup();
        let known = if known.is_empty() { "they have none".to_owned() } else { known.join(", ") };
        return Err(Failure::invalid(format!("the rules have no model `{name}`: {known}")));
    }
    if known.is_empty() {
        return Err(Failure::invalid("the rules have no model: declare one with `model`"));
    }
    let mut all = Vec::new();
    for (at, program) in programs.into_iter().enumerate() {
        let wanted = Wanted::all(&program, names, source.card.as_deref());
        let wanted = wanted.map_err(Failure::invalid)?;
        if !wanted.is_empty() {
            let read = source.read(program, wanted, period, labels)?;
            all.extend(read.into_iter().map(|read| (at, read)));
        }
    }
    Ok(Some(all))
}

/// Figures are beside each other only where they are about the same events.
fn check_same(read: &[(usize, Read<'_>)]) -> Result<(), Failure> {
    let Some(((_, first), others)) = read.split_first() else { return Ok(()) };
    let events = |read: &Read<'_>| (read.wanted.event.clone(), read.dataset.len());
    let other = others.iter().find(|(_, other)| events(other) != events(first));
    other.map_or(Ok(()), |(_, other)| {
        let [one, two] = [first, other].map(|read| {
            let (event, n) = events(read);
            format!("`{}` scores {n} of `{event}`", read.wanted.name)
        });
        Err(Failure::invalid(format!(
            "models of different events are not measured beside each other: {one}, {two}; choose with `--name`"
        )))
    })
}

/// The names of the contestants, with the rule set where there are several.
fn names(arguments: &Arguments, contestants: &[Contestant<'_>]) -> Vec<String> {
    let name = |contestant: &Contestant<'_>| {
        let folder = arguments.rules.get(contestant.model.rule_set);
        let folder = folder.filter(|_| arguments.rules.len() > 1).and_then(|it| it.file_name());
        let folder = folder.map(|folder| format!("{}: ", folder.to_string_lossy()));
        format!("{}{}", folder.unwrap_or_default(), contestant.name)
    };
    contestants.iter().map(name).collect()
}

/// All of a history.
const EVER: Period = Period { from_ms: i64::MIN, before_ms: i64::MAX };

/// The folds, the last first.
fn folds(arguments: &Arguments, until_ms: i64) -> Result<Vec<Fold>, Failure> {
    let delay_ms = arguments.source.label_delay;
    let test = Period { from_ms: until_ms.saturating_sub(arguments.test), before_ms: until_ms };
    let before_ms = test.from_ms.saturating_sub(delay_ms);
    let train = Period { from_ms: before_ms.saturating_sub(arguments.train), before_ms };
    let last = Fold::new(train, test, delay_ms).map_err(Failure::invalid)?;
    let earlier = |at: u8| Some(last.earlier(arguments.test.checked_mul(at.into())?));
    let folds: Option<Vec<Fold>> = (0..arguments.folds).map(earlier).collect();
    folds.ok_or_else(|| {
        Failure::invalid(
            "`--test` times `--folds` is longer than time is counted: shorten one of them",
        )
    })
}

/// What all folds need.
fn covered(folds: &[Fold]) -> Period {
    let from_ms = folds.iter().map(|fold| fold.train.from_ms).min().unwrap_or(i64::MIN);
    let before_ms = folds.iter().map(|fold| fold.test.before_ms).max().unwrap_or(i64::MAX);
    Period { from_ms, before_ms }
}

/// First reasons of a kind of fraud that the table shows; the JSON form has all.
const MAX_REASONS: usize = 4;

/// A figure of a method in one period.
type Figure = fn(&Reached) -> Option<f64>;

/// The figures of a ranking.
const FIGURES: [(&str, Figure); 3] = [
    ("AUC ROC", |reached| reached.quality.auc),
    ("average precision", |reached| reached.quality.average_precision),
    ("card precision @100", |reached| reached.quality.card_precision),
];

/// All that is told.
struct Table<'t> {
    folds: &'t [FoldReached],
    contestants: &'t [Contestant<'t>],
    names: &'t [String],
}

impl Table<'_> {
    fn text(&self) -> String {
        let mut out = String::new();
        for fold in self.folds {
            if let Some(train) = &fold.train {
                out.push_str(&format!("train {}\n", train.text()));
            }
            out.push_str(&format!(" test {}\n", fold.test.text()));
            let cell = |(at, figure): (usize, Figure)| shown(fold.methods.get(at).and_then(figure));
            out.push_str(&align(&self.ranked(cell), 2));
            out.push('\n');
        }
        out.push_str(&format!("mean of {} periods, and deviation\n", self.folds.len()));
        let cell = |(at, figure)| spread_text(spread(self.folds, at, figure));
        out.push_str(&align(&self.ranked(cell), 2));
        out.push_str("\nfrauds found, by share of events alerted\n");
        out.push_str(&align(&self.recalls(), 3));
        let budgets = self.budgets();
        if budgets.len() > 1 {
            out.push_str(&format!(
                "\nevents whose score has a place of {BUDGET_PLACE} or more, of all events of {} days\n",
                self.days()
            ));
            out.push_str(&align(&budgets, 2));
        }
        let reasons = self.reasons();
        if reasons.len() > 1 {
            out.push_str("\nwhat is named first, of all measured frauds\n");
            out.push_str(&align(&reasons, 4));
        }
        out
    }

    /// A line for each contestant, of its name, what makes the scores, and the cells of [`FIGURES`].
    fn ranked(&self, cell: impl Fn((usize, Figure)) -> String) -> Vec<[String; 5]> {
        let [auc, precision, cards] = FIGURES.map(|(name, _)| name.to_owned());
        let header = ["model".to_owned(), "method".to_owned(), auc, precision, cards];
        let line = |(at, name, method): (usize, &String, &String)| {
            let [auc, precision, cards] = FIGURES.map(|(_, figure)| cell((at, figure)));
            [name.clone(), method.clone(), auc, precision, cards]
        };
        core::iter::once(header).chain(self.lines().map(line)).collect()
    }

    /// The contestants with their places: name and method.
    fn lines(&self) -> impl Iterator<Item = (usize, &String, &String)> {
        let lines = self.names.iter().zip(self.contestants).enumerate();
        lines.map(|(at, (name, contestant))| (at, name, &contestant.method))
    }

    fn recalls(&self) -> Vec<[String; 6]> {
        let [few, some, many] = ALERT_RATES.map(|rate| format!("{:.1} %", rate * 100.0));
        let header = ["model", "method", "frauds"].map(str::to_owned);
        let [model, method, frauds] = header;
        let mut rows = vec![[model, method, frauds, few, some, many]];
        for (at, name, method) in self.lines() {
            for kind in kinds(self.folds) {
                let frauds = kind_text(kind.as_deref(), "all");
                let [few, some, many] = ALERT_RATES.map(|rate| {
                    spread_text(recall_spread(self.folds, at, (kind.as_deref(), rate)))
                });
                rows.push([name.clone(), method.clone(), frauds, few, some, many]);
            }
        }
        rows
    }

    fn days(&self) -> usize {
        let longest = |fold: &FoldReached| {
            fold.methods.iter().map(|reached| reached.budget.len()).max().unwrap_or(0)
        };
        self.folds.iter().map(longest).sum()
    }

    fn budget(&self, at: usize) -> Option<Budget> {
        let methods = self.folds.iter().filter_map(|fold| fold.methods.get(at));
        Budget::of(methods.flat_map(|reached| &reached.budget))
    }

    fn budgets(&self) -> Vec<[String; 8]> {
        let header = [
            "model",
            "method",
            "alerts",
            "share",
            "least of a day",
            "most of a day",
            "precision",
            "frauds found",
        ];
        let line = |(at, name, method): (usize, &String, &String)| {
            let budget = self.budget(at)?;
            Some([
                name.clone(),
                method.clone(),
                budget.all.alerts.to_string(),
                per_cent(Some(budget.all.share())),
                per_cent(Some(budget.least)),
                per_cent(Some(budget.most)),
                per_cent(budget.precision()),
                per_cent(budget.recall()),
            ])
        };
        core::iter::once(header.map(str::to_owned)).chain(self.lines().filter_map(line)).collect()
    }

    fn reasons(&self) -> Vec<[String; 6]> {
        let header = ["model", "method", "frauds", "named first", "of them", "share"];
        let mut rows = vec![header.map(str::to_owned)];
        for (at, name, method) in self.lines() {
            let reasons = all_reasons(self.folds, at);
            for of_kind in reasons.chunk_by(|one, other| one.kind == other.kind) {
                let all: u64 = of_kind.iter().map(|reason| reason.frauds).sum();
                rows.extend(of_kind.iter().take(MAX_REASONS).map(|reason| {
                    [
                        name.clone(),
                        method.clone(),
                        kind_text(reason.kind.as_deref(), "all"),
                        reason.feature.clone().unwrap_or_else(|| "nothing".to_owned()),
                        format!("{} of {all}", reason.frauds),
                        per_cent(Some(nearest_f64(reason.frauds) / nearest_f64(all.max(1)))),
                    ]
                }));
            }
        }
        rows
    }

    fn json(&self) -> Json {
        let of_spread = |spread: Option<Spread>| {
            spread.map(|spread| json!({ "mean": spread.mean, "deviation": spread.deviation }))
        };
        let mean = self.lines().zip(self.contestants).map(|((at, name, method), contestant)| {
            let of = |figure: Figure| of_spread(spread(self.folds, at, figure));
            let mut out = json!({
                "model": name, "method": method, "parameters": contestant.parameters,
                "auc": of(|reached| reached.quality.auc),
                "average_precision": of(|reached| reached.quality.average_precision),
                "card_precision_100": of(|reached| reached.quality.card_precision),
            });
            if let Some(budget) = self.budget(at) {
                out["budget"] = json!({
                    "place": BUDGET_PLACE, "days": budget.days, "events": budget.all.events,
                    "alerts": budget.all.alerts, "share": budget.all.share(),
                    "least": budget.least, "most": budget.most,
                    "precision": budget.precision(), "recall": budget.recall(),
                });
            }
            out
        });
        let each = self.folds.iter().map(|fold| {
            let reached = self.lines().zip(&fold.methods).map(|((_, name, method), reached)| {
                json!({ "model": name, "method": method, "reached": reached.json() })
            });
            json!({
                "trained_on": fold.train.map(|train| train.json()), "measured_on": fold.test.json(),
                "methods": reached.collect::<Vec<Json>>(),
            })
        });
        json!({ "mean": mean.collect::<Vec<Json>>(), "periods": each.collect::<Vec<Json>>() })
    }
}

fn kind_text(kind: Option<&str>, none: &str) -> String {
    kind.map_or_else(|| none.to_owned(), |kind| format!("scenario {kind}"))
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"))
}

fn per_cent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

fn spread_text(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |spread| format!("{:.3} ± {:.3}", spread.mean, spread.deviation),
    )
}
