//! The performance workload through the whole program: from process start to process exit, files on both sides.
//!
//! `cargo bench --bench workload [-- ROUNDS]`. It makes the main file once, runs `riskweir backtest` on it, and prints per
//! round and as medians: user and system CPU per event, peak memory, and whether the alerts are exactly the expected
//! ones. With `RISKWEIR_WORKLOAD_ANCHOR` naming a hand-made program for this one schema (called as
//! `ANCHOR IN OUT sonic 1 128 4`), both take turns and the ratio is given pair by pair: on a shared machine only ratios
//! from one run mean something. Linux only, because it reads `/proc`.
//!
//! `cargo bench --bench workload -- many [ROUNDS]` takes a hundred and a thousand made-up rules instead, over the first
//! 200,000 events: what ten times the rules cost, and how long `check` takes.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]

#[path = "../tests/support/workload/mod.rs"]
mod workload;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::workload::random::Random;
use crate::workload::{MAIN, ensure, product, sha256};

/// Rounds where the command line does not say how many.
const ROUNDS: usize = 5;

/// Time between two looks at the memory of a running program.
const MEMORY_LOOK: Duration = Duration::from_millis(5);

/// Kernel ticks per second in `/proc`: fixed on all Linux platforms of today.
const TICKS_PER_S: f64 = 100.0;

/// What one run of a program cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_us_per_event: f64,
    peak_mb: f64,
    exact: bool,
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("workload");
    fs::create_dir_all(&folder).unwrap();
    let input = folder.join("main.ndjson");
    ensure(&input, &MAIN);
    if std::env::args().any(|word| word == "many") {
        return many_rules(&input, &folder, rounds);
    }
    let anchor = std::env::var_os("RISKWEIR_WORKLOAD_ANCHOR").map(PathBuf::from);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let cost = run_product(&input, &folder, round == 1);
        print_cost(round, "riskweir", &cost);
        ours.push(cost);
        if let Some(anchor) = &anchor {
            let cost = run_anchor(anchor, &input, &folder, round == 1);
            print_cost(round, "anchor", &cost);
            theirs.push(cost);
        }
    }
    summarize(&ours, &theirs);
    assert!(ours.iter().all(|cost| cost.exact), "a figure with wrong alerts is no result");
}

/// Events that the many rules judge.
const MANY_EVENTS: usize = 200_000;

/// A hundred rules and ten times as many, in turn.
fn many_rules(input: &Path, folder: &Path, rounds: usize) {
    let events = folder.join("first.ndjson");
    let lines: Vec<String> =
        fs::read_to_string(input).unwrap().lines().take(MANY_EVENTS).map(str::to_owned).collect();
    fs::write(&events, lines.join("\n") + "\n").unwrap();
    let counts = [100, 1_000];
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (n_rules, costs) in counts.iter().zip(&mut costs) {
            let rules = folder.join(format!("rules-{n_rules}"));
            fs::create_dir_all(&rules).unwrap();
            fs::write(rules.join("all.risk"), made_up_rules(*n_rules)).unwrap();
            let check =
                cpu_of(Command::new(env!("CARGO_BIN_EXE_riskweir")).arg("check").arg(&rules));
            let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
            command.arg("backtest").arg("--rules").arg(&rules).arg("--input").arg(&events);
            command.arg("--out").arg(folder.join("many"));
            command.args(["--decisions", "notable", "--threads", "1"]);
            let seconds = cpu_of(&mut command);
            println!("{n_rules:>5} rules {seconds:>6.2} s CPU, check {check:.2} s CPU");
            costs.push(seconds);
        }
    }
    let [few, many] = costs.map(median);
    println!("median {few:.2} s and {many:.2} s: {:.2} times", many / few);
}

/// User and system CPU of a command, in seconds.
fn cpu_of(command: &mut Command) -> f64 {
    let before = waited_for_ticks();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}: {}", shown(command));
    (waited_for_ticks() - before) / TICKS_PER_S
}

/// Rules as a large set has them: a channel, an amount, and two of sixty windows that many share.
fn made_up_rules(n_rules: usize) -> String {
    let whole = fs::read_to_string(product::rules_folder().join("workload.risk")).unwrap();
    let (schema, _) = whole.split_once("feature ").unwrap();
    let mut text = schema.to_owned();
    let mut random = Random::new(7);
    let mut below = |n: u64| usize::try_from(random.bits() % n).unwrap();
    for index in 0..n_rules {
        let (entity, channel) = (["account", "device"][below(2)], below(4));
        let channel = ["pos", "ecom", "atm", "app"][channel];
        write!(text, "\nrule g{index:04}\n  id \"G{index}\"  owner performance\n  on payment\n")
            .unwrap();
        write!(text, "  when channel = {channel} and amount > {} EUR", 1 + below(900)).unwrap();
        for _ in 0..2 {
            let aggregate = below(5);
            let window = ["10m", "30m", "1h", "6h", "24h", "7d"][below(6)];
            let (aggregate, threshold) = match aggregate {
                0 => ("count(payment)", (4 + below(56)).to_string()),
                1 => ("distinct(payment.merchant)", (4 + below(56)).to_string()),
                2 => ("sum(payment.amount)", format!("{} EUR", 500 + below(90_000))),
                3 => ("avg(payment.amount)", format!("{} EUR", 500 + below(90_000))),
                _ => ("max(payment.amount)", format!("{} EUR", 500 + below(90_000))),
            };
            write!(text, "\n   and {aggregate} by {entity} over last {window} > {threshold}")
                .unwrap();
        }
        let group = index % 9;
        writeln!(text, "\n  then score +{} in g{group} cap 60", 1 + below(40)).unwrap();
    }
    text
}

fn run_product(input: &Path, folder: &Path, show: bool) -> Cost {
    let out = folder.join("riskweir");
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.arg("backtest").arg("--rules").arg(product::rules_folder());
    command.arg("--input").arg(input).arg("--out").arg(&out);
    command.args(["--decisions", "notable", "--threads", "1"]);
    measure(command, show, || product::alerts(&out))
}

fn run_anchor(anchor: &Path, input: &Path, folder: &Path, show: bool) -> Cost {
    let out = folder.join("anchor.ndjson");
    let mut command = Command::new(anchor);
    command.arg(input).arg(&out).args(["sonic", "1", "128", "4"]);
    measure(command, show, || fs::read_to_string(&out).unwrap())
}

/// Runs a command to its end; compares the alerts that it leaves.
fn measure(mut command: Command, show: bool, alerts: impl FnOnce() -> String) -> Cost {
    if show {
        println!("$ {}", shown(&command));
    }
    let before = waited_for_ticks();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status_file = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_kb = 0.0;
    let status = loop {
        peak_kb = peak_memory_kb(&status_file).unwrap_or(peak_kb);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => rest(),
        }
    };
    assert!(status.success(), "{status}: {}", shown(&command));
    let seconds = (waited_for_ticks() - before) / TICKS_PER_S;
    let alerts = alerts();
    let exact =
        alerts.lines().count() == MAIN.alerts && sha256(alerts.as_bytes()) == MAIN.alerts_sha256;
    #[expect(clippy::cast_precision_loss, reason = "a million lines")]
    let events = MAIN.lines as f64;
    Cost { cpu_us_per_event: seconds * 1e6 / events, peak_mb: peak_kb / 1024.0, exact }
}

#[expect(clippy::disallowed_methods, reason = "the kernel offers no event for a new peak")]
fn rest() {
    std::thread::sleep(MEMORY_LOOK);
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// User and system ticks of all children that have ended and were waited for.
fn waited_for_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name in parentheses may hold spaces; `cutime` and `cstime` are fields 16 and 17, the state is field 3.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
}

/// The largest resident memory so far; none once the program has ended.
fn peak_memory_kb(status_file: &Path) -> Option<f64> {
    let status = fs::read_to_string(status_file).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn print_cost(round: usize, name: &str, cost: &Cost) {
    let Cost { cpu_us_per_event, peak_mb, exact } = cost;
    let verdict = if *exact { "exact" } else { "WRONG ALERTS" };
    println!(
        "{round:>3} {name:<9} {cpu_us_per_event:>6.2} us CPU/event {peak_mb:>7.1} MB  {verdict}"
    );
}

fn summarize(ours: &[Cost], theirs: &[Cost]) {
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_us_per_event).collect());
    let memory = |costs: &[Cost]| median(costs.iter().map(|cost| cost.peak_mb).collect());
    println!("events {}, expected alerts {}", MAIN.lines, MAIN.alerts);
    println!("median riskweir {:.2} us CPU/event, peak {:.1} MB", cpu(ours), memory(ours));
    if !theirs.is_empty() {
        println!("median anchor   {:.2} us CPU/event, peak {:.1} MB", cpu(theirs), memory(theirs));
        let ratios: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours.cpu_us_per_event / theirs.cpu_us_per_event)
            .collect();
        let listed: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        println!("ratio {} (pairs: {})", format_args!("{:.2}", median(ratios)), listed.join(" "));
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
