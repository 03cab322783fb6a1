//! Snapshots and recovery of the real binary on a real Apache Kafka: what a start loads, what it replays, what it says
//! when something is damaged or gone, and that no byte of an answer depends on any of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use support::binary::{Binary, DIFFERS};
use support::broker::Broker;
use support::fleet::{Fleet, Payments};
use support::topics::{Isolation, NewRecord};
use support::wait;

const MODES: [&str; 2] = ["transactional", "idempotent"];
const LOADED: &str = "Windows come from a snapshot.";
const REBUILT: &str = "Windows are rebuilt; deciding live.";
const SKIPPED: &str = "Snapshot is not used; trying the one before it.";
/// No snapshot but that of an orderly stop.
const RARELY: &str = "snapshot.interval=1h";

fn fleet(test: &str, mode: &'static str) -> Fleet<'static> {
    // One partition: only then recovery compares the engine's digest with the one that was written down.
    Fleet::new(Broker::shared(), test, (mode, 1))
}

/// The log lines with this message.
fn lines(said: &str, message: &str) -> Vec<Value> {
    let parsed = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line.to_string().contains(message)).collect()
}

/// A number in a log line, wherever it stands.
fn number(line: &Value, name: &str) -> u64 {
    let fields = line.get("fields").unwrap_or(line);
    fields[name].as_u64().unwrap_or_else(|| panic!("`{name}` in {line}"))
}

/// How many records the start replayed; none when there was nothing to replay.
fn replayed(said: &str) -> u64 {
    lines(said, REBUILT).iter().map(|line| number(line, "records")).sum()
}

/// Waits for so many snapshots after those that there are.
#[track_caller]
fn wait_snapshot(fleet: &Fleet<'_>, service: &Binary, newer_than: Option<&Path>) {
    wait::until(
        || fleet.snapshot_files("one").last().map(AsRef::as_ref) > newer_than,
        || format!("a snapshot: {}", service.describe()),
    );
}

#[track_caller]
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// A fleet of one that has decided 3,000 records, was stopped after 2,000 and after 2,500 of them with a snapshot each,
/// and was killed then.
fn with_two_snapshots(test: &str, mode: &'static str) -> (Fleet<'static>, Payments) {
    let (fleet, mut payments) = (fleet(test, mode), Payments::new(5, 1, 20));
    let mut n = 0;
    for more in [2_000, 500] {
        fleet.produce(&payments.take(more));
        n += more;
        let service = fleet.start("one", &[RARELY]);
        fleet.wait_committed(n, &[&service]);
        service.stop_in_order();
    }
    assert_eq!(fleet.snapshot_files("one").len(), 2);
    fleet.produce(&payments.take(500));
    let service = fleet.start("one", &[RARELY]);
    fleet.wait_committed(3_000, &[&service]);
    service.kill();
    (fleet, payments)
}

/// Decides some more with a start that is to have replayed so many records, and compares everything with `backtest`.
#[track_caller]
fn check_goes_on(fleet: &Fleet<'_>, payments: &mut Payments, n_replayed: u64) -> String {
    fleet.produce(&payments.take(400));
    let service = fleet.start("one", &[RARELY]);
    fleet.wait_committed(3_400, &[&service]);
    let said = service.stop_in_order();
    assert_eq!(replayed(&said), n_replayed, "{said}");
    fleet.check_golden();
    said
}

#[test]
fn after_a_kill_the_next_start_loads_the_newest_snapshot_and_replays_the_rest() {
    for mode in MODES {
        let (fleet, mut payments) = with_two_snapshots("newest", mode);
        let said = check_goes_on(&fleet, &mut payments, 500);
        assert_eq!((lines(&said, LOADED).len(), lines(&said, SKIPPED).len()), (1, 0), "{said}");
    }
}

#[test]
fn snapshots_between_records_are_used_after_a_kill() {
    for mode in MODES {
        let (fleet, mut payments) = (fleet("interval", mode), Payments::new(6, 1, 20));
        fleet.produce(&payments.take(2_000));
        let first = fleet.start("one", &[]);
        fleet.wait_committed(2_000, &[&first]);
        wait_snapshot(&fleet, &first, None);
        let newest = fleet.snapshot_files("one").last().cloned();
        fleet.produce(&payments.take(500));
        fleet.wait_committed(2_500, &[&first]);
        wait_snapshot(&fleet, &first, newest.as_deref());
        assert!(!first.kill_and_hear().contains(DIFFERS));
        fleet.produce(&payments.take(500));
        let second = fleet.start("one", &[]);
        fleet.wait_committed(3_000, &[&second]);
        let said = second.stop_in_order();
        assert_eq!(lines(&said, LOADED).len(), 1, "{said}");
        assert!(replayed(&said) < 2_500, "{said}");
        fleet.check_golden();
    }
}

#[test]
fn after_a_stop_in_order_the_next_start_replays_nothing() {
    for mode in MODES {
        let (fleet, mut payments) = (fleet("ordered", mode), Payments::new(7, 1, 20));
        fleet.produce(&payments.take(2_000));
        let first = fleet.start("one", &[RARELY]);
        fleet.wait_committed(2_000, &[&first]);
        first.stop_in_order();
        assert!(!fleet.snapshot_files("one").is_empty());
        fleet.produce(&payments.take(500));
        let second = fleet.start("one", &[RARELY]);
        // WHY: a member that left the group keeps nobody waiting for its session to end.
        fleet.wait_committed(2_500, &[&second]);
        let said = second.stop_in_order();
        assert_eq!((lines(&said, LOADED).len(), replayed(&said)), (1, 0), "{said}");
        fleet.check_golden();
    }
}

#[test]
fn a_damaged_newest_snapshot_is_named_and_the_one_before_it_used() {
    let (fleet, mut payments) = with_two_snapshots("damaged", "transactional");
    let newest = fleet.snapshot_files("one").pop().unwrap();
    flip(&newest);
    let said = check_goes_on(&fleet, &mut payments, 1_000);
    let skipped = lines(&said, SKIPPED);
    let name = newest.file_name().unwrap().to_str().unwrap();
    assert!(skipped.len() == 1 && skipped[0].to_string().contains(name), "{said}");
    assert_eq!(lines(&said, LOADED).len(), 1, "{said}");
}

#[test]
fn without_any_good_snapshot_everything_is_replayed() {
    let (fleet, mut payments) = with_two_snapshots("foreign", "transactional");
    let files = fleet.snapshot_files("one");
    flip(&files[0]);
    fs::write(&files[1], b"what another program wrote").unwrap();
    let said = check_goes_on(&fleet, &mut payments, 3_000);
    assert_eq!((lines(&said, LOADED).len(), lines(&said, SKIPPED).len()), (0, 2), "{said}");
}

/// Both snapshots are damaged, and the oldest record that is still there is number 100.
fn with_nothing_but_damage_and_a_hole(test: &str) -> (Fleet<'static>, Payments) {
    let (fleet, payments) = with_two_snapshots(test, "transactional");
    fleet.snapshot_files("one").iter().for_each(|file| flip(file));
    fleet.broker.delete_records(&fleet.input(), 0, 100);
    (fleet, payments)
}

#[test]
fn damaged_snapshots_do_not_hide_that_the_input_no_longer_begins_at_the_beginning() {
    let (fleet, mut payments) = with_nothing_but_damage_and_a_hole("hidden");
    let (code, said) = fleet.start("one", &[RARELY]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("K0012") && said.contains("100 records are gone"), "{said}");
    assert_eq!(lines(&said, SKIPPED).len(), 2, "{said}");
    fleet.produce(&payments.take(400));
    let accepting = fleet.start("one", &[RARELY, "recovery.on_gap=accept"]);
    fleet.wait_committed(3_400, &[&accepting]);
    let said = stop_after_gap(accepting);
    assert_eq!(replayed(&said), 2_900, "{said}");
    let is_marked = |body: &Vec<u8>| {
        let decision: Value = serde_json::from_slice(body).unwrap();
        decision["provenance"].as_array().unwrap().iter().any(|word| word == "state_gap")
    };
    let behind = fleet.bodies("decisions").into_iter().filter(|body| {
        let decision: Value = serde_json::from_slice(body).unwrap();
        decision["source"]["offset"].as_i64().unwrap() >= 3_000 && decision["duplicate"] != true
    });
    let behind: Vec<Vec<u8>> = behind.collect();
    assert!(behind.len() > 300 && behind.iter().all(is_marked), "{}", behind.len());
}

#[test]
fn a_place_of_snapshots_that_is_empty_does_not_hide_it_either() {
    let (fleet, _) = with_nothing_but_damage_and_a_hole("empty");
    fs::remove_dir_all(fleet.snapshots("one")).unwrap();
    let (code, said) = fleet.start("one", &[RARELY]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("K0012") && said.contains("100 records are gone"), "{said}");
}

#[test]
fn records_gone_between_snapshot_and_committed_offset_stop_the_start_unless_the_gap_is_accepted() {
    let (fleet, mut payments) = with_two_snapshots("gap", "transactional");
    fleet.broker.delete_records(&fleet.input(), 0, 2_800);
    let (code, said) = fleet.start("one", &[RARELY]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("K0012") && said.contains("300 records are gone"), "{said}");
    fleet.produce(&payments.take(400));
    let accepting = fleet.start("one", &[RARELY, "recovery.on_gap=accept"]);
    fleet.wait_committed(3_400, &[&accepting]);
    let said = stop_after_gap(accepting);
    assert_eq!(replayed(&said), 200, "{said}");
    let mut marked = 0;
    for body in fleet.bodies("decisions") {
        let decision: Value = serde_json::from_slice(&body).unwrap();
        let provenance = decision["provenance"].as_array().unwrap();
        let is_marked = provenance.iter().any(|word| word == "state_gap");
        let is_behind = decision["source"]["offset"].as_i64().unwrap() >= 3_000;
        assert!(is_behind || !is_marked, "{decision}");
        // A repeat is the first answer again, and that may be from before the hole.
        assert!(!is_behind || is_marked || decision["duplicate"] == true, "{decision}");
        marked += usize::from(is_marked);
    }
    assert!(marked > 300, "{marked}");
}

#[test]
fn a_gap_that_was_accepted_is_behind_a_snapshot_at_once_and_no_crash_brings_it_back() {
    let (fleet, mut payments) = with_two_snapshots("accepted", "transactional");
    fleet.broker.delete_records(&fleet.input(), 0, 2_800);
    let before = fleet.snapshot_files("one").pop();
    let accepting = fleet.start("one", &[RARELY, "recovery.on_gap=accept"]);
    wait_snapshot(&fleet, &accepting, before.as_deref());
    accepting.kill();
    fleet.produce(&payments.take(100));
    let next = fleet.start("one", &[RARELY]);
    fleet.wait_committed(3_100, &[&next]);
    assert!(!next.said().contains("K0012"), "{}", next.said());
    stop_after_gap(next);
}

/// A fleet whose 500 records were decided and whose input topic was then made anew; with what the group had committed.
fn with_a_topic_made_anew(test: &str, n_records: usize) -> (Fleet<'static>, (i64, String)) {
    let (fleet, mut payments) = (fleet(test, "transactional"), Payments::new(14, 1, 20));
    fleet.produce(&payments.take(500));
    let service = fleet.start("one", &[RARELY]);
    fleet.wait_committed(500, &[&service]);
    service.stop_in_order();
    let committed = fleet.broker.commit_of(&fleet.topic("group"), &fleet.input()).unwrap();
    fleet.broker.delete_topics(&[&fleet.input()]);
    fleet.broker.create_topic(&fleet.input(), 1);
    fleet.produce(&payments.take(n_records));
    (fleet, committed)
}

/// A start is refused, and the error says this.
#[track_caller]
fn check_refused(fleet: &Fleet<'_>, why: &str) {
    let (code, said) = fleet.start("one", &[RARELY]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[K0014]") && said.contains(why), "{said}");
}

#[test]
fn a_topic_that_was_made_anew_stops_the_start_until_its_snapshots_are_gone() {
    let (fleet, _) = with_a_topic_made_anew("anew", 600);
    // WHY: a broker forgets offsets with their topic, so only the snapshot tells.
    assert_eq!(fleet.broker.commit_of(&fleet.topic("group"), &fleet.input()), None);
    check_refused(&fleet, "record 499 of");
    check_refused(&fleet, "another one stands there now");
    assert_eq!(fleet.n_committed(), 0);
    fs::remove_dir_all(fleet.snapshots("one")).unwrap();
    let anew = fleet.start("one", &[RARELY]);
    fleet.wait_committed(600, &[&anew]);
    anew.stop_in_order();
}

#[test]
fn a_topic_that_was_made_anew_stops_the_start_where_only_the_group_remembers_the_old_one() {
    let (fleet, committed) = with_a_topic_made_anew("remembered", 600);
    fs::remove_dir_all(fleet.snapshots("one")).unwrap();
    fleet.broker.commit(&fleet.topic("group"), &fleet.input(), &committed);
    check_refused(&fleet, "another one stands there now");
    // An offset that somebody set by hand says nothing of the log.
    fleet.broker.commit(&fleet.topic("group"), &fleet.input(), &(500, String::new()));
    let by_hand = fleet.start("one", &[RARELY]);
    fleet.wait_committed(600, &[&by_hand]);
    by_hand.stop_in_order();
}

#[test]
fn offsets_set_back_behind_deleted_input_name_what_was_lost() {
    let (fleet, mut payments) = (fleet("back", "transactional"), Payments::new(31, 1, 20));
    fleet.produce(&payments.take(400));
    let first = fleet.start("one", &[RARELY]);
    fleet.wait_committed(400, &[&first]);
    first.stop_in_order();
    // The newest snapshot alone is left, and has seen all 400.
    let mut snapshots = fleet.snapshot_files("one");
    snapshots.sort();
    snapshots.pop();
    for snapshot in snapshots {
        fs::remove_file(snapshot).unwrap();
    }
    fleet.broker.delete_records(&fleet.input(), 0, 100);
    fleet.broker.commit(&fleet.topic("group"), &fleet.input(), &(300, String::new()));
    let again = fleet.start("one", &[RARELY]);
    fleet.wait_committed(400, &[&again]);
    let said = stop_after_gap(again);
    let told = lines(&said, "The past of a partition is lost");
    let [line] = &told[..] else { panic!("{said}") };
    assert_eq!((&line["low"], &line["committed"]), (&100.into(), &300.into()), "{line}");
    assert!(line["snapshot"].as_str().unwrap().starts_with("all/"), "{line}");
}

#[test]
fn a_topic_that_ends_before_what_was_decided_stops_the_start() {
    let (fleet, _) = with_a_topic_made_anew("shorter", 100);
    check_refused(&fleet, "the partition ends before offset 100");
}

/// The digest differs here, rightly: records are missing.
#[track_caller]
fn stop_after_gap(service: Binary) -> String {
    service.signal("-TERM");
    let (code, said) = service.ended();
    assert_eq!(code, Some(0), "{said}");
    said
}

fn errors(service: &Binary) -> f64 {
    service.metric("riskweir_snapshot_errors_total").unwrap_or(0.0)
}

#[track_caller]
fn check_valid(file: &Path) {
    let done = support::binary::command()
        .args(["snapshot", "verify", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_snapshot_folder_that_goes_away_stops_no_decision_and_is_used_again_when_it_is_back() {
    for mode in MODES {
        let (fleet, mut payments) = (fleet("folder", mode), Payments::new(8, 1, 20));
        fleet.produce(&payments.take(1_000));
        let service = fleet.start("one", &[]);
        fleet.wait_committed(1_000, &[&service]);
        wait_snapshot(&fleet, &service, None);
        // A file in its place: that refuses root, too.
        let (folder, aside) = (fleet.snapshots("one"), fleet.folder.path().join("aside"));
        fs::rename(&folder, &aside).unwrap();
        fs::write(&folder, b"in the way").unwrap();
        let before = errors(&service);
        let mut n = 1_000;
        wait::until(
            || {
                fleet.produce(&payments.take(50));
                n += 50;
                errors(&service) > before + 1.0
            },
            || service.describe(),
        );
        fleet.wait_committed(n, &[&service]);
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
        let old = fleet.snapshot_files("one").pop().unwrap();
        check_valid(&old);
        wait::until(
            || {
                fleet.produce(&payments.take(50));
                n += 50;
                fleet.snapshot_files("one").pop() > Some(old.clone())
            },
            || service.describe(),
        );
        fleet.wait_committed(n, &[&service]);
        service.kill();
        let second = fleet.start("one", &[RARELY]);
        fleet.produce(&payments.take(50));
        fleet.wait_committed(n + 50, &[&second]);
        assert_eq!(lines(&second.stop_in_order(), LOADED).len(), 1);
        fleet.check_golden();
    }
}

#[test]
fn a_full_disk_stops_no_decision_and_the_earlier_snapshot_stays() {
    let (fleet, mut payments) = (fleet("full", "transactional"), Payments::new(9, 1, 20));
    fleet.produce(&payments.take(2_000));
    let first = fleet.start("one", &[RARELY]);
    fleet.wait_committed(2_000, &[&first]);
    first.stop_in_order();
    let before = fleet.snapshot_files("one");
    let good = before.last().cloned().unwrap();
    // Files of this process may have 4 KiB: no snapshot fits, as on a disk that is full.
    let starved = fleet.start_limited("one", 4, &[]);
    let mut n = 2_000;
    wait::until(
        || {
            fleet.produce(&payments.take(50));
            n += 50;
            errors(&starved) >= 2.0
        },
        || starved.describe(),
    );
    fleet.wait_committed(n, &[&starved]);
    assert_eq!(fleet.snapshot_files("one"), before);
    check_valid(&good);
    // There is room again.
    let pid = starved.pid().to_string();
    let raised =
        std::process::Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status();
    assert!(raised.unwrap().success());
    wait::until(
        || {
            fleet.produce(&payments.take(50));
            n += 50;
            fleet.snapshot_files("one").pop().as_ref() > Some(&good)
        },
        || starved.describe(),
    );
    fleet.wait_committed(n, &[&starved]);
    starved.kill();
    let last = fleet.start("one", &[RARELY]);
    fleet.produce(&payments.take(50));
    fleet.wait_committed(n + 50, &[&last]);
    assert_eq!(lines(&last.stop_in_order(), LOADED).len(), 1);
    fleet.check_golden();
}

#[test]
fn a_partition_without_records_keeps_no_snapshot_from_being_taken() {
    for mode in MODES {
        let fleet = Fleet::new(Broker::shared(), "idle", (mode, 2));
        // All in partition 0 of 2.
        let mut payments = Payments::new(10, 1, 20);
        fleet.produce(&payments.take(1_000));
        let service = fleet.start("one", &[]);
        fleet.wait_committed(1_000, &[&service]);
        wait_snapshot(&fleet, &service, None);
        let first = fleet.snapshot_files("one").pop();
        fleet.produce(&payments.take(100));
        wait_snapshot(&fleet, &service, first.as_deref());
        service.stop_in_order();
        let second = fleet.start("one", &[RARELY]);
        fleet.produce(&payments.take(100));
        fleet.wait_committed(1_200, &[&second]);
        // The snapshot of a stop is of use although a partition has no offset.
        assert_eq!(lines(&second.stop_in_order(), LOADED).len(), 1);
        fleet.check_golden();
    }
}

/// Holds that were placed and those that ended, by id; and the bodies of decisions by the place of their record.
fn outcomes(fleet: &Fleet<'_>) -> (BTreeSet<String>, BTreeSet<String>, usize) {
    let (mut placed, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for body in fleet.bodies("holds") {
        let hold: Value = serde_json::from_slice(&body).unwrap();
        let ids = if hold["state"] == "placed" { &mut placed } else { &mut ended };
        ids.insert(hold["hold_id"].as_str().unwrap().to_owned());
    }
    let mut by_place: BTreeMap<String, usize> = BTreeMap::new();
    for body in fleet.bodies("decisions") {
        let decision: Value = serde_json::from_slice(&body).unwrap();
        *by_place.entry(decision["source"].to_string()).or_default() += 1;
    }
    (placed, ended, by_place.into_values().max().unwrap())
}

#[test]
fn keys_that_span_partitions_end_after_a_kill_what_they_began_before() {
    for mode in MODES {
        let fleet = Fleet::new(Broker::shared(), "spanning", (mode, 3));
        let rules = fs::read_to_string(fleet.rules().join("rules.risk")).unwrap();
        let rules = rules.replace(
            "alert queue l1 once",
            "hold for 20s otherwise release\n       alert queue l1 once",
        );
        fs::write(fleet.rules().join("rules.risk"), rules).unwrap();
        let mut payments = Payments::new(15, 3, 5);
        // What an account pays goes through all partitions, and a reader gets each in large pieces.
        let mut spread = |n: usize| -> Vec<NewRecord> {
            let records = payments.take(n).into_iter().enumerate();
            records.map(|(at, it)| it.at_partition(i32::try_from(at % 3).unwrap())).collect()
        };
        fleet.produce(&spread(3_000));
        let rarely = "delivery.offset_commit_interval=1h";
        let first = fleet.start("one", &[RARELY, rarely]);
        let n_decided = || fleet.broker.read(&fleet.topic("decisions"), Isolation::Committed).len();
        wait::until(|| n_decided() > 1_500, || first.describe());
        first.kill();
        fleet.produce(&spread(1_000));
        // Each partition passes the deadline of every hold.
        let last: Vec<NewRecord> =
            (0..6).map(|n| Payments::after_all(n).at_partition(n % 3)).collect();
        fleet.produce(&last);
        let second = fleet.start("one", &[RARELY]);
        fleet.wait_committed(4_006, &[&second]);
        let said = second.stop_in_order();
        let (placed, ended, most) = outcomes(&fleet);
        assert!(placed.len() > 100, "{}", placed.len());
        let open: Vec<&String> = placed.difference(&ended).collect();
        let unknown: Vec<&String> = ended.difference(&placed).collect();
        assert!(open.is_empty() && unknown.is_empty(), "{mode}: {open:?} {unknown:?} {said}");
        assert_eq!(most, 1, "{mode}: a record with two decisions: {said}");
    }
}

/// Each of four partitions is read in large pieces, and what an account pays goes through all of them: so a count hangs on how
/// far the others were. Whoever goes on after a kill comes to the same, or readers see two answers to one payment.
#[test]
fn an_answer_that_hangs_on_several_partitions_is_the_same_after_each_kill() {
    for seed in [16, 17] {
        let fleet = Fleet::new(Broker::shared(), "joined", ("idempotent", 4));
        let mut payments = Payments::new(seed, 4, 5);
        let records = payments.take(12_000).into_iter().enumerate();
        let spread = records.map(|(at, it)| it.at_partition(i32::try_from(at % 4).unwrap()));
        fleet.produce(&spread.collect::<Vec<_>>());
        let n_decided = || fleet.broker.read(&fleet.topic("decisions"), Isolation::Committed).len();
        for until in [2_700, 5_300, 8_900] {
            let one = fleet.start("one", &[]);
            wait::until(|| n_decided() > until, || one.describe());
            one.kill();
        }
        let last = fleet.start("one", &[]);
        fleet.wait_committed(12_000, &[&last]);
        let said = last.stop_in_order();
        let mut answers: BTreeMap<(String, String), BTreeSet<Vec<u8>>> = BTreeMap::new();
        for topic in ["decisions", "holds"] {
            for body in fleet.bodies(topic) {
                let answer: Value = serde_json::from_slice(&body).unwrap();
                let place = format!("{}{}{}", answer["source"], answer["hold_id"], answer["state"]);
                answers.entry((topic.to_owned(), place)).or_default().insert(body);
            }
        }
        let twice: Vec<_> = answers.values().filter(|bodies| bodies.len() > 1).collect();
        assert!(twice.is_empty(), "{} answers twice, as {:?}\n{said}", twice.len(), twice[0]);
        assert!(answers.len() > 10_000, "{}", answers.len());
    }
}

#[test]
fn a_partition_that_moves_takes_its_snapshots_along() {
    for mode in MODES {
        let fleet = Fleet::new(Broker::shared(), "shared", (mode, 2));
        let mut payments = Payments::new(12, 2, 20);
        fleet.produce(&payments.take(1_000));
        let one = fleet.start_sharing("one");
        fleet.wait_committed(1_000, &[&one]);
        let saved = |shard: &str| !fleet.shard_files("all", shard).is_empty();
        wait::until(|| saved("p0") && saved("p1"), || one.describe());
        // The second gets one of the two partitions, the first gives it up with a snapshot.
        let two = fleet.start_sharing("two");
        support::binary::wait_for(&two, "/readyz", 200);
        fleet.produce(&payments.take(200));
        fleet.wait_committed(1_200, &[&one, &two]);
        assert_eq!(lines(&two.said(), LOADED).len(), 1, "{}", two.said());
        // Then it gets the other one without a word.
        one.kill();
        fleet.produce(&payments.take(200));
        fleet.wait_committed(1_400, &[&two]);
        let said = two.stop_in_order();
        assert!(lines(&said, LOADED).len() >= 2, "{said}");
        fleet.check_golden();
    }
}

#[test]
fn a_rule_set_that_needs_all_partitions_is_refused_where_there_are_others() {
    let fleet = Fleet::new(Broker::shared(), "whole", ("transactional", 2));
    let mut payments = Payments::new(13, 2, 20);
    fleet.produce(&payments.take(100));
    let one = fleet.start("one", &[]);
    fleet.wait_committed(100, &[&one]);
    // The newcomer ends and says why; the first waits, and goes on when it has all partitions again.
    let (code, said) = fleet.start("two", &[]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[K0013]") && said.contains("kafka.partitioned_by"), "{said}");
    fleet.produce(&payments.take(100));
    fleet.wait_committed(200, &[&one]);
    one.stop_in_order();
    fleet.check_golden();
}

/// Ends a limit on the length of files.
#[track_caller]
fn make_room(service: &Binary) {
    let pid = service.pid().to_string();
    let raised =
        std::process::Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status();
    assert!(raised.unwrap().success());
}

/// No record may be decided by a rule set that a recovery would not find.
#[test]
fn a_first_start_without_room_is_not_ready_decides_nothing_and_goes_on_when_there_is_room() {
    let (fleet, mut payments) = (fleet("first", "transactional"), Payments::new(15, 1, 20));
    fleet.produce(&payments.take(100));
    let starved = fleet.start_limited("one", 0, &[]);
    wait::until(
        || {
            let (status, body) = starved.get("/readyz");
            assert_ne!(status, 200, "{body}");
            errors(&starved) >= 2.0 && body.contains("\"check\":\"rule_set\"")
        },
        || starved.describe(),
    );
    assert!(starved.said().contains("Nothing is decided until the rule set can be kept"));
    assert_eq!(fleet.n_committed(), 0);
    let arguments = fleet.arguments("other", &[]);
    let validated = std::process::Command::new("bash")
        .args(["-c", "ulimit -S -f 0; exec \"$0\" validate \"$@\""])
        .arg(env!("CARGO_BIN_EXE_riskweir"))
        .args(&arguments[1..])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&validated.stderr).into_owned();
    assert_eq!(validated.status.code(), Some(1), "{said}");
    assert!(said.contains("error[S0004]") && said.contains("make room"), "{said}");
    make_room(&starved);
    fleet.wait_committed(100, &[&starved]);
    support::binary::wait_for(&starved, "/readyz", 200);
    starved.stop_in_order();
    fleet.check_golden();
}

#[test]
fn a_second_instance_with_the_same_snapshots_is_told_which_rule_needs_all_partitions() {
    let fleet = Fleet::new(Broker::shared(), "same", ("transactional", 2));
    let place = format!("snapshot.dir={}", fleet.snapshots("all").display());
    let one = fleet.start("one", &[&place]);
    support::binary::wait_for(&one, "/readyz", 200);
    let (code, said) = fleet.start("two", &[&place]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[K0013]: rule `") && !said.contains("S0006"), "{said}");
    assert!(said.contains("kafka.partitioned_by"), "{said}");
    one.stop_in_order();
}

/// `riskweir snapshot verify`: its code, and what it says.
fn verify(place: &Path) -> (Option<i32>, String) {
    let done = support::binary::command()
        .args(["snapshot", "verify", place.to_str().unwrap()])
        .output()
        .unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn an_active_rule_set_whose_file_is_damaged_or_gone_is_named_and_kept_again() {
    let (fleet, mut payments) = (fleet("kept", "transactional"), Payments::new(16, 1, 20));
    fleet.produce(&payments.take(200));
    let first = fleet.start("one", &[RARELY]);
    fleet.wait_committed(200, &[&first]);
    first.stop_in_order();
    let folder = fleet.snapshots("one");
    let entries = fs::read_dir(folder.join("all")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "rwr")).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(file).unwrap();
    assert_eq!(verify(&folder).0, Some(0));
    let damage: [fn(&Path); 2] = [flip, |file| fs::remove_file(file).unwrap()];
    for spoil in damage {
        spoil(file);
        let (code, said) = verify(&folder);
        let is_named = code == Some(1) && said.contains("error[S0001]") && said.contains(name);
        assert!(is_named || !file.exists(), "{code:?} {said}");
        let again = fleet.start("one", &[RARELY]);
        wait::until(
            || fs::read(file).is_ok_and(|bytes| bytes == whole),
            || format!("the rule set again: {}", again.describe()),
        );
        wait::until(|| again.said().contains("it is kept again"), || again.describe());
        again.stop_in_order();
        assert_eq!(verify(&folder).0, Some(0));
    }
}

#[test]
fn entries_among_snapshots_that_are_no_files_and_files_of_another_shard_are_named() {
    let (fleet, mut payments) = (fleet("strange", "transactional"), Payments::new(17, 1, 20));
    fleet.produce(&payments.take(200));
    let first = fleet.start("one", &[RARELY]);
    fleet.wait_committed(200, &[&first]);
    first.stop_in_order();
    let (folder, good) = (fleet.snapshots("one"), fleet.snapshot_files("one").pop().unwrap());
    std::os::unix::fs::symlink(&good, folder.join("all/000000000090-e1.rws")).unwrap();
    fs::create_dir(folder.join("all/000000000091-e1.rws")).unwrap();
    fs::create_dir(folder.join("p0")).unwrap();
    fs::copy(&good, folder.join("p0/000000000001-e1.rws")).unwrap();
    let (code, said) = verify(&folder);
    assert_eq!(code, Some(1), "{said}");
    for name in ["000000000090-e1", "000000000091-e1"] {
        assert!(said.contains(&format!("`all/{name}.rws`: it is no plain file")), "{said}");
    }
    assert!(said.contains("`p0/000000000001-e1.rws`: it belongs to shard `all`"), "{said}");
    let again = fleet.start("one", &[RARELY]);
    support::binary::wait_for(&again, "/readyz", 200);
    let told = lines(&again.stop_in_order(), "An entry among the snapshots is no plain file");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn an_input_topic_that_is_compacted_is_told_at_the_start_and_by_validate() {
    let fleet = fleet("compacted", "transactional");
    let topic = fleet.topic("latest");
    fleet.broker.create_topic_with(&topic, 1, &[("cleanup.policy", "compact")]);
    let inputs = format!("topics.inputs={topic}");
    let service = fleet.start("one", &[&inputs]);
    support::binary::wait_for(&service, "/readyz", 200);
    let told = lines(&service.stop_in_order(), "An input topic is compacted.");
    assert!(told.len() == 1 && told[0].to_string().contains(&topic), "{told:?}");
    for (settings, is_told) in [(vec![inputs.as_str()], true), (vec![], false)] {
        let arguments = fleet.arguments("one", &settings);
        let mut command = support::binary::command();
        let done = command.args(["validate", "--connect"]).args(&arguments[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("is compacted"), is_told, "{said}");
    }
}

#[test]
fn an_input_topic_that_producers_stamp_is_told_and_refused_where_that_is_asked_for() {
    const REFUSE: &str = "time.producer_stamps=refuse";
    const SAYS: &str = "takes the producers' clocks for the arrival of records";
    let fleet = fleet("stamps", "transactional");
    let (free, bounded, own) = (fleet.topic("free"), fleet.topic("bounded"), fleet.topic("own"));
    // Kafka's own default, a bound as large as `time.future_guard` by default, and the broker's clock.
    let stamps = ("message.timestamp.type", "CreateTime");
    let unbounded = ("message.timestamp.after.max.ms", "9223372036854775807");
    fleet.broker.create_topic_with(&free, 1, &[stamps, unbounded]);
    let bound = ("message.timestamp.after.max.ms", "300000");
    fleet.broker.create_topic_with(&bounded, 1, &[stamps, bound]);
    let stamps = ("message.timestamp.type", "LogAppendTime");
    fleet.broker.create_topic_with(&own, 1, &[stamps]);
    let mend = format!("--entity-name {free} --add-config message.timestamp.type=LogAppendTime");
    let validated = |inputs: &str, more: &[&str]| {
        let inputs = format!("topics.inputs={inputs}");
        let arguments = fleet.arguments("one", &[&[inputs.as_str()], more].concat());
        let mut command = support::binary::command();
        let done = command.args(["validate", "--connect"]).args(&arguments[1..]).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, said) = validated(&free, &[]);
    assert!(code == Some(0) && said.contains(SAYS) && said.contains(&mend), "{said}");
    let (code, said) = validated(&free, &[REFUSE]);
    assert!(code != Some(0) && said.contains("error[K0016]") && said.contains(&mend), "{said}");
    for topic in [&bounded, &own] {
        let (code, said) = validated(topic, &[REFUSE]);
        assert!(code == Some(0) && !said.contains(SAYS), "{said}");
    }
    let inputs = format!("topics.inputs={free}");
    let service = fleet.start("one", &[&inputs]);
    support::binary::wait_for(&service, "/readyz", 200);
    let told = lines(&service.stop_in_order(), "An input topic takes the producers' clocks");
    assert!(told.len() == 1 && told[0].to_string().contains(&mend), "{told:?}");
    let (code, said) = fleet.start("two", &[&inputs, REFUSE]).ended();
    assert!(code != Some(0) && said.contains("error[K0016]"), "{said}");
}

#[test]
fn a_start_that_is_asked_to_stop_before_a_broker_answers_says_so() {
    let fleet = fleet("early", "transactional");
    // A port that nobody listens on.
    let service = fleet.start("one", &["kafka.brokers=127.0.0.1:1"]);
    service.signal("-TERM");
    let (code, said) = service.ended();
    assert_eq!(code, Some(1), "{said}");
    let says = "error[K0009]: asked to stop before the brokers had answered";
    assert!(said.contains(says) && !said.contains("within 30s"), "{said}");
}

#[test]
fn an_output_topic_that_goes_away_is_named() {
    let (fleet, mut payments) = (fleet("gone", "idempotent"), Payments::new(18, 1, 20));
    fleet.produce(&payments.take(100));
    let service = fleet.start("one", &[RARELY]);
    fleet.wait_committed(100, &[&service]);
    let topic = fleet.topic("decisions");
    fleet.broker.delete_topics(&[&topic]);
    fleet.produce(&payments.take(100));
    let (code, said) = service.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("error[K0001]: topic `{topic}` does not exist")), "{said}");
}

const NOT_KEPT: &str = "The rule set of an epoch was not kept";

#[test]
fn a_rule_set_that_is_gone_is_told_only_where_records_are_replayed_by_another_one() {
    let (fleet, mut payments) = (fleet("epochs", "transactional"), Payments::new(19, 1, 20));
    let rules = fleet.rules().join("rules.risk");
    let text = fs::read_to_string(&rules).unwrap();
    let folder = fleet.snapshots("one").join("all");
    let kept = || {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let is_one = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "rwr");
        entries.filter(is_one).collect::<Vec<_>>()
    };
    fleet.produce(&payments.take(200));
    let one = fleet.start("one", &[RARELY]);
    fleet.wait_committed(200, &[&one]);
    let first = kept();
    one.stop_in_order();
    fs::write(&rules, format!("{text}\n# another rule set\n")).unwrap();
    let other = fleet.start("one", &[RARELY]);
    fleet.produce(&payments.take(200));
    fleet.wait_committed(400, &[&other]);
    other.stop_in_order();
    // Nothing is replayed of the first epoch: the newest snapshot is of the second.
    fs::remove_file(&first[0]).unwrap();
    let again = fleet.start("one", &[RARELY]);
    support::binary::wait_for(&again, "/readyz", 200);
    assert!(!again.stop_in_order().contains(NOT_KEPT));
    // Without snapshots all of it is.
    for snapshot in fleet.snapshot_files("one") {
        fs::remove_file(snapshot).unwrap();
    }
    let anew = fleet.start("one", &[RARELY]);
    support::binary::wait_for(&anew, "/readyz", 200);
    anew.signal("-TERM");
    let (_, said) = anew.ended();
    assert_eq!(lines(&said, NOT_KEPT).len(), 1, "{said}");
}
