//! What models cost: an event scored and learned, a score of 100 trees, the reasons of both, and bytes; beside other
//! libraries on the same rows, in one run.
//!
//! `cargo bench --bench models`. Made-up payments with twelve features, 2 % of them fraud, from one seed. Nanoseconds per
//! event; of every fifty rows the fastest of many rounds, because other work on the machine only ever adds. The other side is
//! `benches/models.py` with the Python that `RISKWEIR_MODELS_PYTHON` names (`python3` without it), where that has `river`
//! and `scikit-learn`; the ratios carry over to other machines. Goals: 3 µs for the anomaly score, 12 µs for 100 trees,
//! 20 µs more for reasons.

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use riskweir::base::count::{nearest_f64, nearest_i64};
use riskweir::models::online::{
    DetectorKind, Direction, FeatureSpec, Lesson, ModelSpec, OnlineModel,
};
use riskweir::models::places::Lot;
use riskweir::models::serving::parts;
use riskweir::train::fit::{ForestPlan, Lessons, forest};

const FEATURES: usize = 12;
/// Rows that are learned before anything is measured, and rows that are measured.
const LEARNED: usize = 60_000;
const MEASURED: usize = 4_000;

/// Rows that are timed together: short, so that some round of each is not interrupted.
const SLICE: usize = 50;
const ROUNDS: usize = 20;
/// A day has so many events.
const EVENTS_A_DAY: usize = 10_000;

type Row = [Option<i64>; FEATURES];

/// One line of the table.
struct Cost {
    name: String,
    ns: f64,
    bytes: Option<usize>,
}

fn main() {
    let (rows, frauds) = rows(LEARNED + MEASURED);
    let mut costs = Vec::new();
    for (kind, name) in
        [(DetectorKind::TailSum, "tail sum"), (DetectorKind::IsolationForest, "isolation forest")]
    {
        costs.extend(online(kind, name, &rows));
    }
    costs.extend(trees(&rows, &frauds));
    let told = tell(&costs, &beside(&rows, &frauds));
    let written = std::io::stdout().lock().write_all(told.as_bytes());
    assert!(written.is_ok(), "standard output can be written");
}

/// Scored, then learned, as the engine does; and the reasons.
fn online(kind: DetectorKind, name: &str, rows: &[Row]) -> [Cost; 2] {
    let feature = |at: usize| FeatureSpec { name: format!("f{at:02}"), direction: Direction::High };
    let spec = ModelSpec {
        kind,
        features: (0..FEATURES).map(feature).collect(),
        window_ms: 14 * 86_400_000,
        allowance_micro: 1_000_000,
        seed: 7,
    };
    let time_ms = |at: usize| i64::try_from(at * 86_400_000 / EVENTS_A_DAY).unwrap_or(i64::MAX);
    let mut model = OnlineModel::new(&spec);
    let step = |model: &mut OnlineModel, at: usize| {
        let row = black_box(&rows[at]);
        model.turn(&spec, time_ms(at));
        let scored = model.score(&spec, (None, row), (time_ms(at), Lot(0)));
        let raw_micro = scored.map(|scored| scored.raw_micro);
        model.learn(&spec, (None, row), time_ms(at), (raw_micro, Lesson::Usual));
        raw_micro
    };
    (0..LEARNED).for_each(|at| {
        step(&mut model, at);
    });
    let whole = model.clone();
    let ns = fastest(|at| {
        if at == LEARNED {
            // WHY: every round learns the same rows at the same time of the window; what a copy shares is copied by its
            // first event.
            model = whole.clone();
            step(&mut model, LEARNED - 1);
        }
        step(&mut model, at).unwrap_or(0)
    });
    let reasons_ns = fastest(|at| count(model.parts(&spec, None, black_box(&rows[at])).len()));
    let bytes = Some(model.bytes());
    [
        Cost { name: format!("{name}, scored and learned"), ns, bytes },
        Cost { name: format!("{name}, reasons"), ns: reasons_ns, bytes: None },
    ]
}

/// A forest of 100 trees with the usual plan.
fn trees(rows: &[Row], frauds: &[bool]) -> Vec<Cost> {
    let mut lessons = Lessons::new(FEATURES);
    for (row, is_fraud) in rows.iter().zip(frauds).take(LEARNED) {
        lessons.push(row, *is_fraud);
    }
    let fitted = forest(&lessons, &ForestPlan { threads: 2, ..ForestPlan::default() });
    let Ok(fitted) = fitted else { return Vec::new() };
    let scorer = fitted.scorer;
    let ns = fastest(|at| scorer.score_micro(black_box(&rows[at])).unwrap_or(0));
    let reasons_ns = fastest(|at| count(parts(&scorer, black_box(&rows[at])).len()));
    vec![
        Cost { name: "100 trees, scored".to_owned(), ns, bytes: Some(scorer.bytes()) },
        Cost { name: "100 trees, reasons".to_owned(), ns: reasons_ns, bytes: None },
    ]
}

/// What the other side prints, or why it could not.
fn beside(rows: &[Row], frauds: &[bool]) -> Result<String, String> {
    let file = std::env::temp_dir().join(format!("riskweir-models-{}.csv", std::process::id()));
    let called = write(&file, rows, frauds).and_then(|()| {
        let python = std::env::var_os("RISKWEIR_MODELS_PYTHON").unwrap_or("python3".into());
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/models.py");
        Command::new(python).arg(script).arg(&file).arg(LEARNED.to_string()).output()
    });
    let removed = fs::remove_file(&file);
    let out = called.map_err(|error| error.to_string())?;
    removed.map_err(|error| error.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim_end().to_owned());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn write(file: &Path, rows: &[Row], frauds: &[bool]) -> std::io::Result<()> {
    let mut text = String::new();
    for (row, is_fraud) in rows.iter().zip(frauds) {
        for value in row {
            text.push_str(&value.map_or(String::new(), |value| value.to_string()));
            text.push(',');
        }
        text.push_str(if *is_fraud { "1\n" } else { "0\n" });
    }
    fs::write(file, text)
}

/// The table. A line of the other side is `what it is compared with | name | ns | bytes`.
fn tell(costs: &[Cost], beside: &Result<String, String>) -> String {
    let mut out = format!("{:52} {:>12} {:>12} {:>9}\n", "one event", "ns", "bytes", "ratio");
    let bytes = |bytes: Option<usize>| bytes.map_or("-".to_owned(), |it| it.to_string());
    for cost in costs {
        let Cost { name, ns, .. } = cost;
        out.push_str(&format!("{name:52} {ns:12.0} {:>12} {:>9}\n", bytes(cost.bytes), "1"));
    }
    let lines = match beside {
        Ok(lines) => lines,
        Err(why) => return out + &format!("the other side could not be run: {why}\n"),
    };
    for line in lines.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [with, name, ns, size] = cells.as_slice() else { continue };
        let own = costs.iter().find(|cost| cost.name == *with);
        let ratio = own.zip(ns.parse::<f64>().ok()).map(|(own, ns)| ns / own.ns);
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}"));
        out.push_str(&format!("{name:52} {ns:>12} {size:>12} {ratio:>9}\n"));
    }
    out + "ratio: how many times the cost of the line of ours that it stands beside\n"
}

/// Payments with heavy tails: amounts, counts, shares, times. Frauds move some of them.
fn rows(n: usize) -> (Vec<Row>, Vec<bool>) {
    let mut state = 11_u64;
    // `SplitMix64`, to doubles from 0 to 1.
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        unit(z ^ z >> 31)
    };
    let mut one = || {
        let is_fraud = next() < 0.02;
        let kind = if is_fraud { 1 + usize::from(next() < 0.5) } else { 0 };
        let value = |feature: usize, draw: f64, other: f64| {
            // About a normal deviate, from two uniform ones; a third of the features is moved by each kind of fraud.
            let moved = if kind > 0 && feature % 3 == kind { 1.5 } else { 0.0 };
            let deviate = (draw + other - 1.0) * 2.4 + moved;
            match feature % 4 {
                // Minor units of money.
                0 => nearest_i64((deviate + 8.0).exp()),
                // A count.
                1 => nearest_i64((deviate * 0.9).exp() * 2.0),
                // A share in millionths, mostly 0.
                2 if deviate < 1.2 => 0,
                2 => nearest_i64((deviate - 1.2) * 250_000.0),
                // Milliseconds.
                _ => nearest_i64((15.0 - deviate).exp()),
            }
        };
        let row: Row = core::array::from_fn(|feature| Some(value(feature, next(), next())));
        (row, is_fraud)
    };
    (0..n).map(|_| one()).unzip()
}

/// From 0 up to 1: the leading 53 bits, which a double holds exactly.
fn unit(word: u64) -> f64 {
    nearest_f64(word >> 11) / nearest_f64(1 << 53)
}

/// Nanoseconds per event: of every slice of the measured rows the fastest of all rounds, and the mean of the slices.
fn fastest(mut one: impl FnMut(usize) -> i64) -> f64 {
    let mut best = [f64::INFINITY; MEASURED / SLICE];
    for _ in 0..ROUNDS {
        for (slice, best) in best.iter_mut().enumerate() {
            let from = LEARNED + slice * SLICE;
            let start = Instant::now();
            let sum: i64 = (from..from + SLICE).map(&mut one).fold(0, i64::wrapping_add);
            black_box(sum);
            *best = best.min(per_event(start, SLICE));
        }
    }
    best.iter().sum::<f64>() / per_slice()
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn per_slice() -> f64 {
    nearest_f64((MEASURED / SLICE) as u64)
}

fn per_event(start: Instant, events: usize) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / nearest_f64(events as u64)
}
