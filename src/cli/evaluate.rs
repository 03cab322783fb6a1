//! `riskweir evaluate`: methods against each other over several weeks of a history.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::backtest::study::day_text;
use crate::backtest::summary::align;
use crate::cli::backtest::{day_or_time_ms, duration_ms};
use crate::cli::train::{Knobs, Source};
use crate::cli::{Console, Exit, Failure, Format};
use crate::train::evaluate::{
    ALERT_RATES, FoldReached, Method, Reached, kinds, measure, recall_spread, spread,
};
use crate::train::fold::{Fold, Period};
use crate::train::metrics::{DAY_MS, Spread};

/// Arguments of `riskweir evaluate`.
#[derive(Args, Debug)]
pub struct Arguments {
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
    let Arguments { source, .. } = arguments;
    let given = arguments.until.map(|until| folds(arguments, until)).transpose()?;
    let period = given.as_deref().map_or(EVER, covered);
    let Some(read) = source.read(period, console)? else { return Ok(Exit::Invalid) };
    let folds = if let Some(folds) = given {
        folds
    } else {
        let last_ms = read.dataset.span_ms().map_or(0, |(_, last_ms)| last_ms);
        folds(arguments, last_ms.div_euclid(DAY_MS).saturating_add(1) * DAY_MS)?
    };
    let methods = [
        arguments.knobs.logistic(),
        Method::Tree { max_depth: arguments.tree_depth },
        arguments.knobs.forest(),
    ];
    let history = read.history();
    let mut reached = Vec::new();
    for fold in &folds {
        reached.push(measure(&history, fold, &methods).map_err(|error| {
            let day = day_text(fold.test.from_ms.div_euclid(DAY_MS));
            Failure::invalid(format!(
                "period measured from {day}: {error}; where the history is too short, take fewer `--folds` or shorter `--train` and `--test`"
            ))
        })?);
    }
    match console.format {
        Format::Json => console.data(&format!("{}\n", as_json(&reached, &methods))),
        Format::Text => console.data(&text(&reached, &methods)),
    }
    Ok(Exit::Ok)
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

/// A figure of a method in one period.
type Figure = fn(&Reached) -> Option<f64>;

/// The figures of a ranking.
const FIGURES: [(&str, Figure); 3] = [
    ("AUC ROC", |reached| reached.quality.auc),
    ("average precision", |reached| reached.quality.average_precision),
    ("card precision @100", |reached| reached.quality.card_precision),
];

fn text(folds: &[FoldReached], methods: &[Method]) -> String {
    let mut out = String::new();
    for fold in folds {
        out.push_str(&format!("train {}\n test {}\n", fold.train.text(), fold.test.text()));
        let mut rows = vec![header()];
        for (method, reached) in methods.iter().zip(&fold.methods) {
            rows.push(line(method, |figure| shown(figure(reached))));
        }
        out.push_str(&align(&rows, 1));
        out.push('\n');
    }
    out.push_str(&format!("mean of {} periods, and deviation\n", folds.len()));
    let mut rows = vec![header()];
    for (at, method) in methods.iter().enumerate() {
        rows.push(line(method, |figure| spread_text(spread(folds, at, figure))));
    }
    out.push_str(&align(&rows, 1));
    out.push_str("\nfrauds found, by share of events alerted\n");
    out.push_str(&align(&recall_rows(folds, methods), 2));
    out
}

fn header() -> [String; 4] {
    let [auc, precision, cards] = FIGURES.map(|(name, _)| name.to_owned());
    ["method".to_owned(), auc, precision, cards]
}

fn line(method: &Method, cell: impl Fn(Figure) -> String) -> [String; 4] {
    let [auc, precision, cards] = FIGURES.map(|(_, figure)| cell(figure));
    [method.name(), auc, precision, cards]
}

fn recall_rows(folds: &[FoldReached], methods: &[Method]) -> Vec<[String; 5]> {
    let [few, some, many] = ALERT_RATES.map(|rate| format!("{:.1} %", rate * 100.0));
    let mut rows = vec![["method".to_owned(), "frauds".to_owned(), few, some, many]];
    for (at, method) in methods.iter().enumerate() {
        for kind in kinds(folds) {
            let name = kind.as_deref().map_or("all".to_owned(), |kind| format!("scenario {kind}"));
            let [few, some, many] = ALERT_RATES
                .map(|rate| spread_text(recall_spread(folds, at, (kind.as_deref(), rate))));
            rows.push([method.name(), name, few, some, many]);
        }
    }
    rows
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"))
}

fn spread_text(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |spread| format!("{:.3} ± {:.3}", spread.mean, spread.deviation),
    )
}

fn as_json(folds: &[FoldReached], methods: &[Method]) -> Json {
    let of_spread = |spread: Option<Spread>| {
        spread.map(|spread| json!({ "mean": spread.mean, "deviation": spread.deviation }))
    };
    let mean = methods.iter().enumerate().map(|(at, method)| {
        json!({
            "method": method.name(), "parameters": method.parameters(),
            "auc": of_spread(spread(folds, at, |reached| reached.quality.auc)),
            "average_precision":
                of_spread(spread(folds, at, |reached| reached.quality.average_precision)),
            "card_precision_100":
                of_spread(spread(folds, at, |reached| reached.quality.card_precision)),
        })
    });
    let each = folds.iter().map(|fold| {
        let reached = methods
            .iter()
            .zip(&fold.methods)
            .map(|(method, reached)| json!({ "method": method.name(), "reached": reached.json() }));
        json!({
            "trained_on": fold.train.json(), "measured_on": fold.test.json(),
            "methods": reached.collect::<Vec<Json>>(),
        })
    });
    json!({ "mean": mean.collect::<Vec<Json>>(), "periods": each.collect::<Vec<Json>>() })
}
