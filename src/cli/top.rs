//! `riskweir top`: a running service at a glance, from its `/metrics`: rates, lag, latency, holds, errors. On a terminal
//! the page is drawn anew; elsewhere each look is a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use crate::cli::backtest::duration_ms;
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};

/// How long a service may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST_BYTES: u64 = 64 << 20;
/// Rules that the page names.
const SHOWN_RULES: usize = 5;
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Arguments of `riskweir top`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Time between two looks; rates are those between them.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration_ms)]
    interval: i64,
    /// Ends after so many looks.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// When the service does not answer at the first look.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some((address, token)) = arguments.settings.service(console)? else {
        return Ok(Exit::Invalid);
    };
    let metrics = |address: SocketAddr| metrics(address, token.as_deref());
    let interval = Duration::from_millis(u64::try_from(arguments.interval).unwrap_or(0).max(100));
    let unreachable = |error: std::io::Error| {
        Failure::unreachable(format!(
            "no service answers at {address}: {error}; name its `http.listen` with --http"
        ))
    };
    let mut before = (Instant::now(), Sample::of(&metrics(address).map_err(unreachable)?));
    let draws = console.format == Format::Text && std::io::stdout().is_terminal();
    let mut looks = 0;
    while arguments.count.is_none_or(|count| looks < count) {
        std::thread::park_timeout(interval);
        let text = metrics(address).map_err(unreachable)?;
        let now = (Instant::now(), Sample::of(&text));
        let figures = Figures::between(&before, &now);
        console.data(&match console.format {
            Format::Json => format!("{}\n", figures.json()),
            Format::Text if draws => format!("{CLEAR}{}", figures.page(address)),
            Format::Text => figures.line(),
        });
        before = now;
        looks += 1;
    }
    Ok(Exit::Ok)
}

/// The text of `/metrics`.
///
/// # Errors
/// Nobody answers, or otherwise than with 200.
pub(crate) fn metrics(address: SocketAddr, token: Option<&str>) -> std::io::Result<String> {
    let (status, body) = get(address, "/metrics", token)?;
    if status == 200 {
        return Ok(body);
    }
    Err(std::io::Error::other(format!("it answers {status}")))
}

/// Asks for a path, with the token of the service where there is one: status and body.
///
/// # Errors
/// Nobody answers.
pub(crate) fn get(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let shown = token.map_or_else(String::new, |it| format!("Authorization: Bearer {it}\r\n"));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{shown}Connection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// Labels and value.
type Series = (BTreeMap<String, String>, f64);

/// One scrape: the series of each name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    series: BTreeMap<String, Vec<Series>>,
}

impl Sample {
    /// Reads Prometheus' text format as riskweir writes it.
    fn of(text: &str) -> Self {
        let mut series: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = match name.split_once('{') {
                Some((name, labels)) => (name, labels.trim_end_matches('}')),
                None => (name, ""),
            };
            series.entry(name.to_owned()).or_default().push((pairs(labels), value));
        }
        Self { series }
    }

    fn all(&self, name: &str) -> &[Series] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }

    fn sum(&self, name: &str) -> f64 {
        self.all(name).iter().map(|(_, value)| value).sum()
    }

    /// Values summed by one label.
    fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (labels, value) in self.all(name) {
            let key = labels.get(label).cloned().unwrap_or_default();
            *sums.entry(key).or_insert(0.0) += value;
        }
        sums
    }
}

/// `a="b",c="d"` as pairs; values with escaped quotes keep their backslashes.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let mut rest = text;
    let mut found = BTreeMap::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut end = 0;
        let mut is_escaped = false;
        for (at, c) in after.char_indices() {
            end = at;
            match c {
                '\\' => is_escaped = !is_escaped,
                '"' if !is_escaped => break,
                _ => is_escaped = false,
            }
        }
        let (value, left) = after.split_at_checked(end).unwrap_or((after, ""));
        found.insert(name.trim_start_matches(',').to_owned(), value.to_owned());
        rest = left.get(1..).unwrap_or_default();
    }
    found
}

/// What two looks tell.
#[derive(Clone, Debug, Default, PartialEq)]
struct Figures {
    read_rate: f64,
    decided_rate: f64,
    dead_letter_rate: f64,
    outcomes: BTreeMap<String, f64>,
    lag: f64,
    /// Seconds, of what was acknowledged between the looks.
    latency_p50: Option<f64>,
    latency_p99: Option<f64>,
    decision_p99: Option<f64>,
    in_flight: f64,
    holds_open: f64,
    alerts_per_minute: f64,
    errors: f64,
    state_bytes: f64,
    snapshot_age: Option<f64>,
    rules: Vec<(String, f64)>,
    identity: String,
}

impl Figures {
    fn between((then, before): &(Instant, Sample), (now, after): &(Instant, Sample)) -> Self {
        let seconds = now.saturating_duration_since(*then).as_secs_f64().max(0.001);
        // WHY: after a restart the counters begin again at 0.
        let rate = |name: &str| ((after.sum(name) - before.sum(name)) / seconds).max(0.0);
        let rates = |name: &str, label: &str| -> BTreeMap<String, f64> {
            let earlier = before.by(name, label);
            let of = |(key, value): (String, f64)| {
                let rate = (value - earlier.get(&key).copied().unwrap_or(0.0)) / seconds;
                (key, rate.max(0.0))
            };
            after.by(name, label).into_iter().map(of).collect()
        };
        let mut rules: Vec<(String, f64)> = rates("riskweir_rule_hits_total", "rule")
            .into_iter()
            .filter(|(_, rate)| *rate > 0.0)
            .collect();
        rules.sort_by(|a, b| b.1.total_cmp(&a.1));
        rules.truncate(SHOWN_RULES);
        let label = |name: &str, label: &str| {
            let first = after.all(name).first().and_then(|(labels, _)| labels.get(label));
            first.cloned().unwrap_or_else(|| "?".to_owned())
        };
        let quantile = |name: &str, q: f64| quantile(before, after, name, q);
        let latency = "riskweir_end_to_end_latency_seconds_bucket";
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let newest = after.all("riskweir_snapshot_timestamp_seconds").iter().map(|(_, at)| *at);
        let newest = newest.fold(f64::NEG_INFINITY, f64::max);
        Self {
            read_rate: rate("riskweir_records_read_total"),
            decided_rate: rate("riskweir_decisions_total"),
            dead_letter_rate: rate("riskweir_dead_letter_total"),
            outcomes: rates("riskweir_decisions_total", "outcome"),
            lag: after.sum("riskweir_consumer_lag_records"),
            latency_p50: quantile(latency, 0.5),
            latency_p99: quantile(latency, 0.99),
            decision_p99: quantile("riskweir_decision_duration_seconds_bucket", 0.99),
            in_flight: after.sum("riskweir_records_in_flight"),
            holds_open: after.sum("riskweir_holds_open"),
            alerts_per_minute: 60.0 * rate("riskweir_alerts_total"),
            errors: after.sum("riskweir_kafka_errors_total"),
            state_bytes: after.sum("riskweir_state_bytes"),
            snapshot_age: newest.is_finite().then_some(since.as_secs_f64() - newest),
            rules,
            identity: format!(
                "riskweir {}, rule set {}",
                label("riskweir_build_info", "version"),
                label("riskweir_ruleset_info", "digest")
            ),
        }
    }

    fn line(&self) -> String {
        format!(
            "read {:.0}/s  decided {:.0}/s  dead {:.1}/s  lag {:.0}  p50 {}  p99 {}  holds {:.0}  alerts {:.1}/min  errors {:.0}\n",
            self.read_rate,
            self.decided_rate,
            self.dead_letter_rate,
            self.lag,
            length(self.latency_p50),
            length(self.latency_p99),
            self.holds_open,
            self.alerts_per_minute,
            self.errors,
        )
    }

    fn page(&self, address: SocketAddr) -> String {
        let mut page = format!("{}  at {address}\n\n", self.identity);
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .filter(|(_, rate)| **rate > 0.0)
            .map(|(outcome, rate)| format!("{outcome} {rate:.1}"))
            .collect();
        let rows = [
            ("read", format!("{:.0}/s", self.read_rate)),
            ("decided", format!("{:.0}/s   {}", self.decided_rate, outcomes.join("  "))),
            ("dead letters", format!("{:.1}/s", self.dead_letter_rate)),
            ("lag", format!("{:.0} records, {:.0} in flight", self.lag, self.in_flight)),
            (
                "latency",
                format!("p50 {}  p99 {}", length(self.latency_p50), length(self.latency_p99)),
            ),
            ("in the engine", format!("p99 {}", length(self.decision_p99))),
            ("holds open", format!("{:.0}", self.holds_open)),
            ("alerts", format!("{:.1}/min", self.alerts_per_minute)),
            ("Kafka errors", format!("{:.0} since the start", self.errors)),
            ("state", format!("{:.1} MiB", self.state_bytes / 1_048_576.0)),
            (
                "snapshot",
                self.snapshot_age.map_or("none".to_owned(), |age| format!("{age:.0} s old")),
            ),
        ];
        for (name, value) in rows {
            _ = writeln!(page, "{name:<14} {value}");
        }
        if !self.rules.is_empty() {
            page.push_str("\nhits a second\n");
        }
        for (rule, rate) in &self.rules {
            _ = writeln!(page, "  {rate:>8.2}  {rule}");
        }
        page
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "read_per_second": self.read_rate,
            "decided_per_second": self.decided_rate,
            "outcomes_per_second": self.outcomes,
            "dead_letters_per_second": self.dead_letter_rate,
            "lag_records": self.lag,
            "records_in_flight": self.in_flight,
            "latency_p50_seconds": self.latency_p50,
            "latency_p99_seconds": self.latency_p99,
            "decision_p99_seconds": self.decision_p99,
            "holds_open": self.holds_open,
            "alerts_per_minute": self.alerts_per_minute,
            "kafka_errors": self.errors,
            "state_bytes": self.state_bytes,
            "snapshot_age_seconds": self.snapshot_age,
        })
    }
}

/// A length of time for people.
fn length(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if !seconds.is_finite() => "> 60 s".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} us", seconds * 1_000_000.0),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1_000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// The upper bound of the bucket in which a quantile of what came between two looks lies; infinite in the last one, none
/// where nothing came.
fn quantile(before: &Sample, after: &Sample, name: &str, q: f64) -> Option<f64> {
    let earlier = before.by(name, "le");
    let mut buckets: Vec<(f64, f64)> = after
        .by(name, "le")
        .into_iter()
        .filter_map(|(le, count)| {
            let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().ok()? };
            Some((bound, count - earlier.get(&le).copied().unwrap_or(0.0)))
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    if total <= 0.0 {
        return None;
    }
    buckets.iter().find(|(_, count)| *count >= q * total).map(|(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP x y\nriskweir_records_read_total{topic=\"a\"} 100\nriskweir_rule_hits_total{rule=\"say \\\"hi\\\", you\"} 1\nriskweir_end_to_end_latency_seconds_bucket{le=\"0.01\"} 10\nriskweir_end_to_end_latency_seconds_bucket{le=\"0.1\"} 10\nriskweir_end_to_end_latency_seconds_bucket{le=\"+Inf\"} 10\n";
    const AFTER: &str = "riskweir_records_read_total{topic=\"a\"} 300\nriskweir_rule_hits_total{rule=\"say \\\"hi\\\", you\"} 5\nriskweir_holds_open 7\nriskweir_end_to_end_latency_seconds_bucket{le=\"0.01\"} 108\nriskweir_end_to_end_latency_seconds_bucket{le=\"0.1\"} 110\nriskweir_end_to_end_latency_seconds_bucket{le=\"+Inf\"} 110\n";

    #[test]
    fn two_looks_give_rates_and_quantiles_of_what_came_between() {
        let then = Instant::now();
        let now = then + Duration::from_secs(2);
        let figures = Figures::between(&(then, Sample::of(BEFORE)), &(now, Sample::of(AFTER)));
        assert!(
            (figures.read_rate - 100.0).abs() < 1e-9 && (figures.holds_open - 7.0).abs() < 1e-9
        );
        // 98 of 100 took up to 10 ms, the others up to 100 ms.
        assert_eq!((figures.latency_p50, figures.latency_p99), (Some(0.01), Some(0.1)));
        assert_eq!(figures.decision_p99, None);
        assert_eq!(figures.rules, [("say \\\"hi\\\", you".to_owned(), 2.0)]);
        assert!(figures.line().starts_with("read 100/s  decided 0/s"), "{}", figures.line());
        // A service that was started anew counts from 0.
        let again = Figures::between(&(then, Sample::of(AFTER)), &(now, Sample::of(BEFORE)));
        assert!(again.read_rate.abs() < 1e-9);
    }
}
