//! What a demonstration prints: who is there, alerts and holds as they come, a line of numbers.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::base::count::nearest_f64;
use crate::cli::demo::{Arguments, Shared};
use crate::cli::{Console, Format};
use crate::config::{Config, Topics};
use crate::demo::customers::Customers;
use crate::demo::report::percentiles;
use crate::demo::show::{self, Paint, Tone, thousands};
use crate::demo::tally::{Fact, Tally};
use crate::demo::wire::{Alert, DeadLetter, Decision, Hold};
use crate::rules::program::Program;
use crate::runtime::Seen;

/// Most alerts and holds that are shown to people in one second; JSON has them all.
const MOST_PER_SECOND: u32 = 12;

/// How often people see an alert of the score bands, which come with every record that has enough points.
const BAND_EVERY: Duration = Duration::from_millis(1_500);

/// How often the line of numbers is written, on a terminal and elsewhere.
const STATUS_EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What is said first.
pub(super) struct Greeting<'a> {
    pub(super) config: &'a Config,
    pub(super) seed: u64,
    pub(super) origin: &'a str,
    pub(super) http: SocketAddr,
    pub(super) api: Option<SocketAddr>,
    /// The file with the token for it.
    pub(super) token: &'a Path,
}

/// See the module.
pub(super) struct View<'a> {
    console: Console,
    program: &'a Program,
    customers: Customers,
    paint: Paint,
    rate: f64,
    topics: Option<Topics>,
    titles: BTreeMap<&'a str, &'a str>,
    is_terminal: bool,
    status_at: Instant,
    has_status: bool,
    sent_before: u64,
    second: Instant,
    shown: u32,
    hidden: u64,
    band_at: Option<Instant>,
}

impl<'a> View<'a> {
    pub(super) fn new(console: Console, program: &'a Program, arguments: &Arguments) -> Self {
        let mut titles = BTreeMap::new();
        for rule in &program.rules {
            let title = rule.title.as_deref().unwrap_or(&rule.name);
            titles.insert(rule.name.as_str(), title);
            titles.insert(rule.id.as_str(), title);
        }
        let now = Instant::now();
        Self {
            console,
            program,
            paint: Paint { color: console.color_data },
            customers: Customers::of(arguments.seed, program),
            rate: arguments.rate,
            topics: None,
            titles,
            is_terminal: std::io::stderr().is_terminal(),
            status_at: now,
            has_status: false,
            sent_before: 0,
            second: now,
            shown: 0,
            hidden: 0,
            band_at: None,
        }
    }

    /// Says what this is and where to look.
    pub(super) fn greet(&mut self, greeting: &Greeting<'_>) {
        let Greeting { config, seed, origin, http, api, token } = *greeting;
        let api = api.map(|address| format!("http://{address}/v1"));
        let api = api.as_deref();
        self.topics = Some(config.topics.clone());
        let broker = config.kafka.brokers.join(",");
        if self.console.format == Format::Json {
            let line = json!({
                "kind": "start",
                "version": env!("CARGO_PKG_VERSION"),
                "ruleset": self.program.digest.short_hex(),
                "broker": broker,
                "metrics": format!("http://{http}/metrics"),
                "api": api,
                "token_file": token.display().to_string(),
                "seed": seed,
                "rate_per_second": self.rate,
            });
            self.console.data(&format!("{line}\n"));
            return;
        }
        if self.console.is_quiet() {
            return;
        }
        let live = self.program.rules.iter().filter(|rule| rule.mode.acts()).count();
        let watching = self.program.rules.len() - live;
        let lines = [
            format!(
                "riskweir {} demo: {} made-up payments and logins a second, frauds among them",
                env!("CARGO_PKG_VERSION"),
                self.rate
            ),
            format!("  rules    {live} live, {watching} watching, from {origin}"),
            format!("  broker   in this process, {broker}: wallet.events, bank.events → risk.*"),
            format!("  metrics  http://{http}/metrics   health http://{http}/readyz"),
            format!("  api      {}", api.unwrap_or_default()),
            format!(
                "           curl -H \"Authorization: Bearer $(cat {})\" {}/alerts",
                token.display(),
                api.unwrap_or_default()
            ),
            format!("  traffic  seed {seed}; its clock runs about {} times faster", self.speed()),
            "  Each line below ends with the generator's label, which the engine never sees. \
             Ctrl-C ends with a report."
                .to_owned(),
            "  Joining the consumer group takes about 3 seconds.\n".to_owned(),
        ];
        for line in lines {
            self.console.message(&line);
        }
    }

    /// How much faster event time passes: the traffic has a record each ten seconds on average.
    fn speed(&self) -> String {
        format!("{:.0}", self.rate * 10.0)
    }

    /// Counts a record of an output topic and shows it when it is an alert or a hold.
    pub(super) fn take(&mut self, seen: &Seen, shared: &Shared) {
        let Some(topics) = self.topics.take() else { return };
        let body = seen.payload.as_slice();
        if seen.topic == topics.decisions {
            let at = shared.began.get().map(Instant::elapsed).unwrap_or_default();
            if let Some(decision) = parse::<Decision>(body) {
                let mut tally = lock(&shared.tally);
                tally.on_decision(&decision, at);
                let reply = tally.fact(&decision.event.id);
                let reply = reply.and_then(|fact| self.customers.ask(&decision, fact));
                tally.to_send.extend(reply.and_then(|(_, answer)| answer));
            }
        } else if seen.topic == topics.alerts {
            if let Some(alert) = parse::<Alert>(body) {
                lock(&shared.tally).on_alert(&alert);
                self.show_alert(&alert, body, shared);
            }
        } else if seen.topic == topics.holds {
            if let Some(hold) = parse::<Hold>(body) {
                lock(&shared.tally).on_hold(&hold);
                self.show_hold(&hold, body, shared);
            }
        } else if seen.topic == topics.dead_letter
            && let Some(letter) = parse::<DeadLetter>(body)
        {
            lock(&shared.tally).on_dead_letter(&letter.reason);
        }
        self.topics = Some(topics);
    }

    fn show_alert(&mut self, alert: &Alert, body: &[u8], shared: &Shared) {
        let fact = lock(&shared.tally).fact(&alert.event.id).cloned();
        if self.console.format == Format::Json {
            self.show_json("alert", body, fact.as_ref());
        } else if self.has_room(alert.name == "policy") {
            let title = match alert.name.as_str() {
                "policy" => "Risk points reach a band of the policy",
                name => self.titles.get(name).copied().unwrap_or(name),
            };
            let text = show::alert(alert, title, fact.as_ref(), self.paint);
            self.clear();
            self.console.data(&text);
        }
    }

    fn show_hold(&mut self, hold: &Hold, body: &[u8], shared: &Shared) {
        let fact = lock(&shared.tally).fact(&hold.subject.id).cloned();
        if self.console.format == Format::Json {
            self.show_json("hold", body, fact.as_ref());
        } else if self.has_room(false) {
            let rule = hold.placed_by.first().map_or("policy", String::as_str);
            let title =
                self.titles.get(rule).copied().unwrap_or("Risk points reach a band of the policy");
            let text = show::hold(hold, title, fact.as_ref(), self.paint);
            self.clear();
            self.console.data(&text);
        }
    }

    fn show_json(&self, kind: &str, body: &[u8], fact: Option<&Fact>) {
        let record: Value = serde_json::from_slice(body).unwrap_or_default();
        let label = fact.map(|fact| fact.label.map_or("honest", |label| label.name()));
        let line = json!({"kind": kind, "label": label, "record": record});
        self.console.data(&format!("{line}\n"));
    }

    /// Whether people can take one more now.
    fn has_room(&mut self, is_band: bool) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            (self.second, self.shown) = (Instant::now(), 0);
        }
        let too_soon = is_band && self.band_at.is_some_and(|at| at.elapsed() < BAND_EVERY);
        if too_soon || self.shown >= MOST_PER_SECOND {
            self.hidden += 1;
            return false;
        }
        self.shown += 1;
        if is_band {
            self.band_at = Some(Instant::now());
        }
        true
    }

    /// Writes the line of numbers when it is time.
    pub(super) fn status(&mut self, shared: &Shared) {
        let every = if self.is_terminal { STATUS_EVERY.0 } else { STATUS_EVERY.1 };
        let since = self.status_at.elapsed();
        if self.console.is_quiet() || since < every || shared.began.get().is_none() {
            return;
        }
        self.status_at = Instant::now();
        let line = {
            let tally = lock(&shared.tally);
            let rate = nearest_f64(tally.sent - self.sent_before) / since.as_secs_f64();
            self.sent_before = tally.sent;
            self.line(&tally, rate, shared)
        };
        self.clear();
        let mut out = std::io::stderr().lock();
        if self.is_terminal {
            let line = Paint { color: self.console.color }.paint(Tone::Strong, &line);
            // Cut at the edge: a line that wraps could not be taken off again.
            drop(write!(out, "\x1b[?7l{line}\x1b[?7h").and_then(|()| out.flush()));
            self.has_status = true;
        } else {
            drop(writeln!(out, "{line}"));
        }
    }

    fn line(&self, tally: &Tally, rate: f64, shared: &Shared) -> String {
        let books = shared.board.books();
        let sum = |count: fn(&crate::telemetry::Books) -> u64| books.iter().map(count).sum::<u64>();
        let read = sum(|books| books.read.iter().map(|(_, count)| count).sum());
        let decided = sum(|books| books.decided.values().sum());
        let dead = sum(|books| books.dead_lettered.values().sum());
        let in_flight = sum(|books| books.in_flight);
        let open = sum(|books| books.engine.holds_open);
        let verdict = if read == decided + dead + in_flight { "=" } else { "≠" };
        let hidden = match self.hidden {
            0 => String::new(),
            hidden => format!(" ({} not shown)", thousands(hidden)),
        };
        format!(
            "{rate:.0}/s · read {} {verdict} decided {} + dead {dead} + in flight {in_flight} · alerts {}{hidden} · holds open {open} · {}",
            thousands(read),
            thousands(decided),
            thousands(tally.alerts.total()),
            percentiles(&tally.latency)
        )
    }

    /// Takes the line of numbers off the terminal.
    pub(super) fn clear(&mut self) {
        if self.has_status {
            let mut out = std::io::stderr().lock();
            drop(write!(out, "\r\x1b[2K").and_then(|()| out.flush()));
            self.has_status = false;
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

// WHY: nothing under this lock can leave half a change behind, so a poisoned lock is as good as a sound one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
