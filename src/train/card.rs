//! A model's file and its card: what it was made of, what it reached, and how to make it again.

use serde_json::{Value as Json, json};

use crate::base::Digest;
use crate::base::count::nearest_f64;
use crate::models::offline::{Artifact, Feature, Histogram, Quantile};
use crate::rules::program::LearnedFeature;
use crate::train::dataset::Wanted;
use crate::train::evaluate::{Extent, Method, Reached};
use crate::train::fit::{Fitted, LIBRARY, Lessons};
use crate::train::fold::{Fold, History, Question};
use crate::train::metrics::{Outcome, calibration};

/// Shares of scores that are told, in millionths.
const SHARES_PPM: [u32; 14] = [
    100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 800_000, 900_000, 950_000,
    980_000, 990_000, 995_000, 999_000,
];

/// All that a card tells beside the model itself.
#[derive(Debug)]
pub struct Origin<'o> {
    /// The model as the rules declare it.
    pub wanted: &'o Wanted,
    /// How it was trained.
    pub method: Method,
    /// What was trained on and measured.
    pub fold: Fold,
    /// Digest of the rule set.
    pub rules: Digest,
    /// Names of the input files and that of the labels.
    pub files: Vec<String>,
    /// The command that makes it again.
    pub command: String,
}

/// A trained model with its card.
#[derive(Debug)]
pub struct Trained {
    /// The model.
    pub artifact: Artifact,
    /// Its card as JSON.
    pub card: Json,
}

/// Trains a model, measures it, and writes down both.
///
/// # Errors
/// Where nothing can be learned.
pub fn train(
    history: &History<'_>,
    origin: &Origin<'_>,
) -> Result<Trained, crate::train::fit::FitError> {
    let lessons = origin.fold.lessons(history);
    let fitted = origin.method.fit(&lessons)?;
    let questions = origin.fold.exam(history);
    if questions.is_empty() {
        return Err(crate::train::fit::FitError::NothingMeasured);
    }
    let outcomes: Vec<Outcome> =
        questions.iter().map(|question| question.outcome(&fitted.scorer)).collect();
    // WHY: of a row of which nothing is known there is no score in the stream, either: it has no place among the others.
    let scores = questions.iter().map(|it| fitted.scorer.score_micro(it.row));
    let scores: Vec<Option<i64>> = scores.collect();
    let quantiles = quantiles(scores.iter().copied().flatten().collect());
    let features = features(origin.wanted, &lessons);
    let reference = Histogram::of(scores);
    let measured = Measured {
        questions: &questions,
        outcomes: &outcomes,
        quantiles: &quantiles,
        reference: &reference,
    };
    let card = card(origin, (&lessons, history), &fitted, (&features, &measured));
    let artifact = Artifact {
        name: origin.wanted.name.clone(),
        event: origin.wanted.event.clone(),
        features,
        fields: origin.wanted.fields().to_vec(),
        scorer: fitted.scorer,
        quantiles,
        reference,
        facts: card.to_string(),
    };
    Ok(Trained { artifact, card })
}

/// Measured events with their scores.
struct Measured<'m> {
    questions: &'m [Question<'m>],
    outcomes: &'m [Outcome],
    quantiles: &'m [Quantile],
    reference: &'m Histogram,
}

fn features(wanted: &Wanted, lessons: &Lessons) -> Vec<Feature> {
    let medians = lessons.medians();
    let feature = |(at, (known, median)): (usize, (&LearnedFeature, _))| Feature {
        name: known.name.clone(),
        identity: known.identity.clone(),
        unit: known.unit,
        median,
        reference: Histogram::of(lessons.column(at)),
    };
    wanted.learned().iter().zip(medians).enumerate().map(feature).collect()
}

/// Scores at [`SHARES_PPM`]: each is the least that has so many below it.
fn quantiles(mut scores: Vec<i64>) -> Vec<Quantile> {
    scores.sort_unstable();
    let quantile = |share_ppm: u32| {
        let at = scores.len() as u64 * u64::from(share_ppm) / 1_000_000;
        let score_micro = *scores.get(usize::try_from(at).ok()?)?;
        Some(Quantile { share_ppm, score_micro })
    };
    SHARES_PPM.into_iter().filter_map(quantile).collect()
}

fn card(
    origin: &Origin<'_>,
    (lessons, history): (&Lessons, &History<'_>),
    fitted: &Fitted,
    (features, measured): (&[Feature], &Measured<'_>),
) -> Json {
    let Measured { questions, outcomes, quantiles, reference } = measured;
    let Fold { train, test, delay_ms } = origin.fold;
    let frauds = outcomes.iter().filter(|outcome| outcome.is_fraud).count();
    let trained_on = Extent { period: train, events: lessons.len(), frauds: lessons.n_frauds() };
    let measured_on = Extent { period: test, events: outcomes.len(), frauds };
    let weights = features.iter().zip(&fitted.weights).map(|(feature, weight)| {
        json!({
            "name": feature.name, "meaning": feature.identity, "digest": feature.digest().short_hex(),
            "unit": feature.unit.natural(), "weight": rounded(*weight),
            "missing": nearest_f64(feature.reference.missing) / nearest_f64(lessons.len() as u64),
            "reference": histogram(&feature.reference),
        })
    });
    let bins = calibration(outcomes).map(|bin| {
        json!({
            "events": bin.events, "frauds": bin.frauds,
            "mean_score": bin.mean_score().map(rounded), "share": bin.share().map(rounded),
        })
    });
    let scores = quantiles.iter().map(|quantile| {
        json!({
            "share_below": f64::from(quantile.share_ppm) / 1e6,
            "score": nearest_f64(quantile.score_micro.unsigned_abs()) / 1e6,
        })
    });
    json!({
        "name": origin.wanted.name, "event": origin.wanted.event,
        "method": origin.method.name(), "parameters": origin.method.parameters(),
        "library": LIBRARY, "program": concat!("riskweir ", env!("CARGO_PKG_VERSION")),
        "command": origin.command, "rules": origin.rules.hex(), "files": origin.files,
        "data": digest(origin, history).hex(),
        "ids_again": history.dataset.n_again,
        "label_delay_days": nearest_f64(delay_ms.unsigned_abs()) / 86_400_000.0,
        "trained_on": trained_on.json(), "measured_on": measured_on.json(),
        "reached": Reached::of(questions, outcomes).json(),
        "features": weights.collect::<Vec<Json>>(),
        "fields": origin.wanted.fields().iter()
            .map(|field| json!({ "name": field.name, "read": field.read })).collect::<Vec<Json>>(),
        "scores": scores.collect::<Vec<Json>>(),
        "scores_reference": histogram(reference),
        "calibration": bins,
    })
}

/// How values lay: bounds of deciles as rows count them, and how many lie up to each, above the last, and are missing.
fn histogram(known: &Histogram) -> Json {
    json!({ "bounds": known.bounds, "counts": known.counts, "missing": known.missing })
}

/// Six places are more than a weight is worth.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// What was trained on: ids, times, rows and what was known of each, in order.
fn digest(origin: &Origin<'_>, history: &History<'_>) -> Digest {
    let Fold { train, test, .. } = origin.fold;
    let mut digest = Digest::of_parts(&[]);
    let mut bytes = Vec::new();
    for (example, row) in history.dataset.iter() {
        if !train.has(example.time_ms) {
            continue;
        }
        bytes.clear();
        bytes.extend(example.time_ms.to_le_bytes());
        bytes.push(u8::from(history.is_fraud(example, test.from_ms)));
        for value in row {
            bytes.push(u8::from(value.is_some()));
            bytes.extend(value.unwrap_or(0).to_le_bytes());
        }
        digest = Digest::of_parts(&[&digest.0, example.id.as_bytes(), &bytes]);
    }
    digest
}

/// A card for people.
pub fn markdown(card: &Json) -> String {
    let text = |name: &str| match &card[name] {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let period = |name: &str| {
        let it = &card[name];
        format!(
            "{} up to {} (exclusive): {} events, {} of them fraud",
            it["from"].as_str().unwrap_or("?"),
            it["until"].as_str().unwrap_or("?"),
            it["events"],
            it["frauds"]
        )
    };
    let mut out = format!("# Model `{}`\n\n", text("name"));
    out.push_str(&format!(
        "Scores events of type `{}`: 0 to 1, the share of fraud among events like it.\n\n",
        text("event")
    ));
    let rows = [
        ("method", format!("{}, {}", text("method"), text("parameters"))),
        ("trained by", format!("{} ({})", text("program"), text("library"))),
        ("trained on", period("trained_on")),
        ("label delay", format!("{} days", card["label_delay_days"].as_f64().unwrap_or(0.0))),
        ("measured on", period("measured_on")),
        ("left out, because their id had come before", text("ids_again")),
        ("digest of the training rows", format!("`{}`", text("data"))),
        ("digest of the rule set", format!("`{}`", text("rules"))),
        ("files", card["files"].to_string()),
    ];
    out.push_str("| | |\n|---|---|\n");
    for (name, value) in rows {
        out.push_str(&format!("| {name} | {} |\n", value.replace('|', "\\|")));
    }
    out.push_str(&format!("\nMade again by:\n\n```sh\n{}\n```\n", text("command")));
    out.push_str(&reached_text(&card["reached"]));
    out.push_str(&tables(card));
    out.push_str(LIMITS);
    out
}

/// The headings that a card has by itself.
const HEADINGS: [&str; 6] = [
    "Reached on the measured days",
    "Features",
    "Fields",
    "Scores of the measured events",
    "Calibration",
    "Limits",
];

/// What people have written into a card: its sections under other headings than a card has by itself, as they stand.
pub fn own_sections(card: &str) -> String {
    let mut kept = String::new();
    let mut is_own = false;
    for line in card.split_inclusive('\n') {
        if let Some(heading) = line.strip_prefix("## ") {
            is_own = !HEADINGS.contains(&heading.trim_end());
        }
        if is_own {
            kept.push_str(line);
        }
    }
    kept
}

/// What holds of every model.
const LIMITS: &str = "\n## Limits\n\n\
The figures are those of one period of one stream, and of labels as they are: what nobody reported counts as genuine. A\n\
pattern that the training period does not have is not known to the model; an anomaly score beside it may see it. The score\n\
of another stream, or of another time, may lie otherwise: bounds belong on `model.NAME`, the place among the newest scores.\n";

fn figure(value: &Json) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"))
}

fn reached_text(reached: &Json) -> String {
    let mut out = format!(
        "\n## Reached on the measured days\n\nAUC ROC {}, average precision {}, card precision at 100 {}.\n",
        figure(&reached["auc"]),
        figure(&reached["average_precision"]),
        figure(&reached["card_precision_100"])
    );
    let recalls = reached["recall"].as_array().map_or(&[][..], Vec::as_slice);
    if !recalls.is_empty() {
        out.push_str("\n| alert rate | frauds | of them | found |\n|---|---|---|---|\n");
    }
    for found in recalls {
        let percent = |value: &Json| value.as_f64().unwrap_or(0.0) * 100.0;
        out.push_str(&format!(
            "| {:.1} % | {} | {} | {:.1} % |\n",
            percent(&found["alert_rate"]),
            found["scenario"].as_str().map_or("all".to_owned(), |kind| format!("scenario {kind}")),
            found["frauds"],
            percent(&found["recall"])
        ));
    }
    out
}

fn tables(card: &Json) -> String {
    let list = |name: &str| card[name].as_array().cloned().unwrap_or_default();
    let mut out = String::from(
        "\n## Features\n\n| feature | weight | missing | unit | meaning |\n|---|---|---|---|---|\n",
    );
    for feature in list("features") {
        let word = |name: &str| feature[name].as_str().unwrap_or("").replace('|', "\\|");
        out.push_str(&format!(
            "| `{}` | {} | {:.1} % | {} | `{}` |\n",
            word("name"),
            figure(&feature["weight"]),
            feature["missing"].as_f64().unwrap_or(0.0) * 100.0,
            word("unit"),
            word("meaning")
        ));
    }
    out.push_str("\n## Fields\n\n| field | read as |\n|---|---|\n");
    for field in list("fields") {
        let word = |name: &str| field[name].as_str().unwrap_or("").replace('|', "\\|");
        out.push_str(&format!("| `{}` | {} |\n", word("name"), word("read")));
    }
    out.push_str("\n## Scores of the measured events\n\n| share below | score |\n|---|---|\n");
    for score in list("scores") {
        out.push_str(&format!(
            "| {} | {} |\n",
            figure(&score["share_below"]),
            figure(&score["score"])
        ));
    }
    out.push_str(
        "\n## Calibration\n\n| score from | events | mean score | share of fraud |\n|---|---|---|---|\n",
    );
    for (tenth, bin) in list("calibration").iter().enumerate() {
        out.push_str(&format!(
            "| 0.{tenth} | {} | {} | {} |\n",
            bin["events"],
            figure(&bin["mean_score"]),
            figure(&bin["share"])
        ));
    }
    out
}
