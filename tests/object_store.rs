//! Snapshots of the real binary in an S3 server, with a real Apache Kafka: kills, takeovers, and a store that does not
//! answer. Needs Python with `pip` beside what the other tests need:
//!
//! ```console
//! $ cargo test --features s3 --test object_store
//! ```
#![cfg(feature = "s3")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::binary::{Binary, command};
use support::broker::Broker;
use support::fleet::{Fleet, Payments};
use support::s3::{BUCKET, Store};
use support::wait;

const LOADED: &str = "Windows come from a snapshot.";
const RARELY: &str = "snapshot.interval=1h";

/// A fleet whose instances share a folder of a store.
struct Cloud<'a> {
    fleet: Fleet<'a>,
    store: Store,
}

impl Cloud<'_> {
    fn new(test: &str, mode: &'static str, n_partitions: i32) -> Self {
        let fleet = Fleet::new(Broker::shared(), test, (mode, n_partitions));
        Self { fleet, store: Store::start() }
    }

    #[track_caller]
    fn start(&self, instance: &str, more: &[&str]) -> Binary {
        Binary::start_command(self.command(instance, more))
    }

    fn command(&self, instance: &str, more: &[&str]) -> std::process::Command {
        let place = format!("snapshot.dir=s3://{BUCKET}/state");
        let mut settings = vec![place.as_str(), "kafka.partitioned_by=account"];
        settings.extend(more);
        let mut command = command();
        command.args(self.fleet.arguments(instance, &settings));
        self.store.tell(&mut command);
        command
    }

    /// The snapshots of a shard, oldest first.
    fn snapshots(&self, shard: &str) -> Vec<String> {
        let mut found = self.store.objects(&format!("state/{shard}/"));
        let is_snapshot = |name: &String| Path::new(name).extension().is_some_and(|it| it == "rws");
        found.retain(is_snapshot);
        found.sort();
        found
    }

    #[track_caller]
    fn wait_snapshot(&self, shard: &str, newer_than: Option<&String>, service: &Binary) {
        wait::until(
            || self.snapshots(shard).last() > newer_than,
            || format!("a snapshot of {shard}: {}", service.describe()),
        );
    }
}

#[test]
fn after_a_kill_the_next_start_loads_its_snapshot_from_the_store() {
    for mode in ["transactional", "idempotent"] {
        let cloud = Cloud::new("s3", mode, 1);
        let mut payments = Payments::new(21, 1, 20);
        cloud.fleet.produce(&payments.take(2_000));
        let service = cloud.start("one", &[]);
        cloud.fleet.wait_committed(2_000, &[&service]);
        cloud.wait_snapshot("p0", None, &service);
        cloud.fleet.produce(&payments.take(500));
        cloud.fleet.wait_committed(2_500, &[&service]);
        service.kill();

        cloud.fleet.produce(&payments.take(500));
        let service = cloud.start("one", &[RARELY]);
        cloud.fleet.wait_committed(3_000, &[&service]);
        let before = cloud.snapshots("p0").last().cloned();
        let said = service.stop_in_order();
        assert!(said.contains(LOADED), "{said}");
        // The orderly stop left one more, and the command line reads all of them.
        assert!(cloud.snapshots("p0").last() > before.as_ref());
        let mut verify = command();
        verify.args(["snapshot", "verify", &format!("s3://{BUCKET}/state")]);
        cloud.store.tell(&mut verify);
        let verified = verify.output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        cloud.fleet.check_golden();
    }
}

#[test]
fn an_instance_takes_a_partition_over_with_the_snapshot_that_another_one_wrote() {
    let cloud = Cloud::new("s3over", "transactional", 2);
    let mut payments = Payments::new(22, 2, 20);
    cloud.fleet.produce(&payments.take(1_000));
    let (one, two) = (cloud.start("one", &[]), cloud.start("two", &[]));
    cloud.fleet.wait_committed(1_000, &[&one, &two]);
    for shard in ["p0", "p1"] {
        cloud.wait_snapshot(shard, None, &one);
    }
    cloud.fleet.produce(&payments.take(1_000));
    cloud.fleet.wait_committed(2_000, &[&one, &two]);
    one.kill();
    cloud.fleet.produce(&payments.take(1_000));
    cloud.fleet.wait_committed(3_000, &[&two]);
    let said = two.stop_in_order();
    assert!(said.contains(LOADED), "{said}");
    cloud.fleet.check_golden();
}

#[test]
fn a_store_that_goes_away_stops_no_decision_and_is_used_again_when_it_is_back() {
    let cloud = Cloud::new("s3gone", "idempotent", 1);
    let mut payments = Payments::new(23, 1, 20);
    cloud.fleet.produce(&payments.take(500));
    let service = cloud.start("one", &[]);
    cloud.fleet.wait_committed(500, &[&service]);
    cloud.wait_snapshot("p0", None, &service);
    cloud.store.shut();
    cloud.fleet.produce(&payments.take(500));
    cloud.fleet.wait_committed(1_000, &[&service]);
    let failed = || service.metric("riskweir_snapshot_errors_total").unwrap_or(0.0) > 0.0;
    wait::until(failed, || service.describe());
    assert_eq!(service.get("/readyz").0, 200, "{}", service.describe());
    cloud.fleet.produce(&payments.take(500));
    cloud.fleet.wait_committed(1_500, &[&service]);
    cloud.store.open();
    let before = cloud.snapshots("p0").last().cloned();
    cloud.fleet.produce(&payments.take(500));
    cloud.fleet.wait_committed(2_000, &[&service]);
    cloud.wait_snapshot("p0", before.as_ref(), &service);
    service.stop_in_order();
    cloud.fleet.check_golden();
}

#[test]
fn a_start_without_its_store_ends_and_says_why() {
    let cloud = Cloud::new("s3start", "transactional", 1);
    let mut payments = Payments::new(24, 1, 20);
    cloud.fleet.produce(&payments.take(200));
    let service = cloud.start("one", &[]);
    cloud.fleet.wait_committed(200, &[&service]);
    cloud.wait_snapshot("p0", None, &service);
    service.kill();
    cloud.store.shut();
    let began_at = Instant::now();
    let (code, said) = cloud.start("one", &[]).ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[S0004]") && said.contains(BUCKET), "{said}");
    assert!(began_at.elapsed() < Duration::from_secs(60), "{:?}", began_at.elapsed());
    cloud.store.open();
    let service = cloud.start("one", &[]);
    cloud.fleet.produce(&payments.take(100));
    cloud.fleet.wait_committed(300, &[&service]);
    service.stop_in_order();
    cloud.fleet.check_golden();
}
