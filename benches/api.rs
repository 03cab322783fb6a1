//! `POST /v1/score` on a real Apache Kafka: from the moment a request was due until its whole answer was read.
//!
//! `cargo bench --bench api [-- RATE [SECONDS [MODE]]]`, by default 500 requests/s for 60 s in both delivery modes. It runs the
//! release binary with the shipped rules and its default settings but for the share of the token, one input partition,
//! everything on this machine: broker, service and callers. The broker is that of `RISKWEIR_KAFKA`, else one of its own.
//!
//! The load is open: request n is due at start + n / RATE whatever became of those before, and its latency counts from
//! there, so a stall is charged to every request that it delayed (no coordinated omission). Callers keep their connections.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]
#![expect(clippy::disallowed_methods, reason = "an open loop sends by the clock")]

mod open_loop;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use riskweir::api::roles::{Person, Role, Scope};
use riskweir::api::tokens::Token;
use riskweir::demo::traffic::{Delivery, Traffic, TrafficConfig, TrafficEvent};
use serde_json::Value;

use open_loop::{Load, WARM_UP_S, float, load_average, print_quantiles};
use support::binary::{Binary, wait_for};
use support::broker::Broker;
use support::topics::prefix;
use support::wait;

/// Connections, each with one request at a time.
const CALLERS: usize = 64;
const OUTPUTS: [&str; 6] = ["decisions", "alerts", "holds", "audit", "dead_letter", "commands"];
/// Payments in their order, each with its number.
type Payments = Arc<Mutex<dyn Iterator<Item = (u64, TrafficEvent)> + Send>>;

/// What one caller saw.
#[derive(Debug, Default)]
struct Seen {
    latencies: Vec<Duration>,
    outcomes: BTreeMap<String, u64>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default| words.get(at).map_or(default, |word| word.parse().unwrap());
    let load = Load { rate: number(0, 500), seconds: number(1, 60) };
    let modes =
        words.get(2).map_or(vec!["transactional", "idempotent"], |mode| vec![mode.as_str()]);
    println!("command: cargo bench --bench api -- {} {} [MODE]", load.rate, load.seconds);
    println!(
        "load: {} requests/s for {} s after {WARM_UP_S} s of warm-up, {CALLERS} connections",
        load.rate, load.seconds
    );
    for mode in modes {
        measure(mode, load);
    }
}

fn measure(mode: &str, load: Load) {
    let (broker, prefix) = (Broker::shared(), prefix("api"));
    let folder = tempfile::tempdir().unwrap();
    for name in OUTPUTS.iter().chain(&["in"]) {
        broker.create_topic(&format!("{prefix}{name}"), 1);
    }
    let token = Token::new().unwrap();
    let person =
        Person { name: "checkout".to_owned(), roles: vec![Role::Service], scope: Scope::All };
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, token.line(&person, None)).unwrap();
    let file = folder.path().join("riskweir.yaml");
    let api = format!(
        "api:\n  listen: 127.0.0.1:0\n  tokens: {}\n  rate_limit: 1000000/s\n",
        tokens.display()
    );
    fs::write(&file, config(broker.address(), &prefix, mode) + &api).unwrap();
    let service = Binary::start(&["run", "-c", &file.display().to_string()]);
    wait_for(&service, "/readyz", 200);
    let said = service.said();
    let line = said.lines().find(|line| line.starts_with("api ")).unwrap();
    let address = line.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
    wait::until(|| is_listening(&address, token.reveal()), || service.describe());

    let traffic = Traffic::new(TrafficConfig {
        events_per_second: 5.0,
        customers: 100_000,
        start_ms: 1_740_978_000_000,
        ..TrafficConfig::default()
    });
    // WHY: a broken event has no decision.
    let whole = |event: &TrafficEvent| event.delivery != Delivery::Malformed;
    let n = usize::try_from(load.n_in_all()).unwrap();
    let payments: Payments = Arc::new(Mutex::new((0..).zip(traffic.filter(whole).take(n))));
    let load_before = load_average();
    let start = Instant::now() + Duration::from_millis(200);
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (payments, address) = (Arc::clone(&payments), address.clone());
            let token = token.reveal().to_owned();
            thread::spawn(move || call(&payments, &address, &token, load, start))
        })
        .collect();
    let mut seen = Seen::default();
    for caller in callers {
        let one = caller.join().unwrap();
        seen.latencies.extend(one.latencies);
        for (outcome, n) in one.outcomes {
            *seen.outcomes.entry(outcome).or_default() += n;
        }
    }
    let took = start.elapsed();
    println!("\n{mode}");
    print_quantiles("due to answered", seen.latencies);
    println!(
        "  achieved {:.1} requests/s, {} in all",
        float(load.n_in_all()) / took.as_secs_f64(),
        load.n_in_all()
    );
    println!("  answers after the warm-up {:?}", seen.outcomes);
    println!("  load average {load_before} before, {} after", load_average());
    assert_eq!(service.stop(), Some(0));
}

fn config(brokers: &str, prefix: &str, mode: &str) -> String {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let outputs = OUTPUTS.iter().map(|name| format!("  {name}: {prefix}{name}\n"));
    let outputs = outputs.collect::<Vec<_>>().concat();
    format!(
        "version: 1\nkafka:\n  brokers: [\"{brokers}\"]\n  group_id: {prefix}group\ntopics:\n  inputs: [{prefix}in]\n{outputs}delivery:\n  mode: {mode}\nrules:\n  path: {rules}\nhttp:\n  listen: 127.0.0.1:0\n"
    )
}

/// Whether the service hears the answers to what it writes.
fn is_listening(address: &str, token: &str) -> bool {
    let mut reader = BufReader::new(TcpStream::connect(address).unwrap());
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    reader.get_mut().write_all(request.as_bytes()).unwrap();
    let (status, body) = answer(&mut reader);
    assert_eq!(status, 200);
    serde_json::from_slice::<Value>(&body).unwrap()["is_listening"] == true
}

/// Takes the next payment, waits until it is due, and has it decided; again and again.
fn call(payments: &Payments, address: &str, token: &str, load: Load, start: Instant) -> Seen {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let mut seen = Seen::default();
    loop {
        let next = payments.lock().unwrap().next();
        let Some((nth, event)) = next else { return seen };
        let due = load.due(start, nth);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let head = format!(
            "POST /v1/score?deadline=30s HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            event.body.len()
        );
        let request = [head.as_bytes(), &event.body].concat();
        reader.get_mut().write_all(&request).unwrap();
        let (status, body) = answer(&mut reader);
        if nth < load.n_warm_up() {
            continue;
        }
        seen.latencies.push(due.elapsed());
        let body: Value = serde_json::from_slice(&body).unwrap();
        let word = body["outcome"].as_str().or(body["code"].as_str()).unwrap_or_default();
        *seen.outcomes.entry(format!("{status} {word}")).or_default() += 1;
    }
}

/// Status and body.
fn answer(reader: &mut BufReader<TcpStream>) -> (u16, Vec<u8>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (status, body)
}
