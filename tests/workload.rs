//! The performance workload is decided exactly: the product against published digests and against brute force.
//!
//! Speed is measured elsewhere (`cargo bench --bench workload`); here the same events must give the same alerts on any
//! number of threads and with members in any order. Built for release, the big file is checked as well.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "support/workload/mod.rs"]
mod workload;

use std::fs;
use std::path::Path;

use riskweir::backtest::output::file_name;
use riskweir::engine::OutputTopic;

use crate::workload::payments::Profile;
use crate::workload::random::Random;
use crate::workload::{HOT, MAIN, ndjson, product, reference, sha256};

/// SHA-256 of the first 100,000 lines of the main file, from another implementation of its description.
const MAIN_HEAD_SHA256: &str = "95f9a4a02078787a8fc96aef268b1d3208f54964e9a80d83179b33cba0577ab0";

/// Runs a text through the product; gives the alerts in the form of the reference.
fn alerts_of_product(text: &str, threads: usize, folder: &Path) -> String {
    let input = folder.join("payments.ndjson");
    fs::write(&input, text).unwrap();
    let out = folder.join(format!("out-{threads}"));
    product::backtest(&input, &out, threads);
    product::alerts(&out)
}

#[track_caller]
fn assert_same_alerts(found: &str, expected: &str) {
    let differs = |(found, expected): &(&str, &str)| found != expected;
    let first = found.lines().zip(expected.lines()).find(differs);
    let counts = (found.lines().count(), expected.lines().count());
    assert!(found == expected, "alerts (found, expected): {counts:?}; first to differ: {first:?}");
}

/// Against brute force, on one thread and on two.
#[track_caller]
fn check_against_reference(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let expected = reference::alerts(text);
    assert!(expected.lines().count() > 100, "the events raise alerts at all");
    for threads in [1, 2] {
        assert_same_alerts(&alerts_of_product(text, threads, folder.path()), &expected);
    }
}

/// The same records with their members in an order that changes from line to line, and members that nobody asked for.
fn disguised(text: &str) -> String {
    let extras = [
        r#""note":"a \"quoted\" word, {braces} and a \\""#,
        r#""nested":{"ts":[1,2,{"amount":-1}],"account_id":null}"#,
        r#""flag":true"#,
    ];
    let mut random = Random::new(5);
    let mut disguised = String::new();
    for line in text.lines() {
        let inside = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')).unwrap();
        let mut members: Vec<&str> = inside.split(',').chain(extras).collect();
        for place in (1..members.len()).rev() {
            let other = random.below(u32::try_from(place + 1).unwrap());
            members.swap(place, other as usize);
        }
        disguised.push_str(&format!("{{ {} }}\n", members.join(" , ")));
    }
    disguised
}

#[test]
fn the_generator_makes_the_published_files() {
    assert_eq!(sha256(MAIN.head(100_000).as_bytes()), MAIN_HEAD_SHA256);
    assert_eq!(sha256(HOT.text().as_bytes()), HOT.sha256);
}

#[test]
fn hot_accounts_are_decided_exactly_on_one_thread_and_on_three() {
    let folder = tempfile::tempdir().unwrap();
    let text = HOT.text();
    let found = alerts_of_product(&text, 1, folder.path());
    assert_eq!(found.lines().count(), HOT.alerts);
    assert_eq!(sha256(found.as_bytes()), HOT.alerts_sha256);
    assert_same_alerts(&alerts_of_product(&text, 3, folder.path()), &found);
    for topic in OutputTopic::ALL {
        let [one, three] = ["out-1", "out-3"]
            .map(|out| fs::read(folder.path().join(out).join(file_name(topic))).unwrap());
        assert!(one == three, "{topic:?} depends on the number of threads");
    }
}

#[test]
fn the_begin_of_the_main_file_is_decided_as_by_brute_force() {
    check_against_reference(&MAIN.head(100_000));
}

#[test]
fn other_seeds_are_decided_as_by_brute_force() {
    check_against_reference(&ndjson(7, Profile::Main, 30_000));
    check_against_reference(&ndjson(8, Profile::Hot, 15_000));
}

#[test]
fn members_in_any_order_and_members_nobody_asked_for_change_nothing() {
    let plain = ndjson(9, Profile::Main, 20_000);
    let disguised = disguised(&plain);
    assert_ne!(plain, disguised);
    assert_eq!(reference::alerts(&plain), reference::alerts(&disguised));
    check_against_reference(&disguised);
}

#[cfg(not(debug_assertions))]
#[test]
fn the_main_file_is_decided_exactly_and_brute_force_gives_the_published_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let text = MAIN.text();
    assert_eq!(sha256(text.as_bytes()), MAIN.sha256);
    let expected = reference::alerts(&text);
    assert_eq!(expected.lines().count(), MAIN.alerts);
    assert_eq!(sha256(expected.as_bytes()), MAIN.alerts_sha256);
    assert_same_alerts(&alerts_of_product(&text, 1, folder.path()), &expected);
    assert_eq!(sha256(reference::alerts(&HOT.text()).as_bytes()), HOT.alerts_sha256);
}
