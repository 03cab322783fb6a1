//! Snapshot files: what is written is read back, every damage is found and named, and whatever call to the storage
//! fails, the snapshot before it still stands.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support {
    pub(crate) mod storage;
}

use std::fs;
use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use riskweir::durable::container::{ContainerReader, ContainerWriter, MAX_PART_BYTES, Next};
use riskweir::durable::error::Damage;
use riskweir::durable::snapshots::examine;
use riskweir::durable::writer::{MAX_QUEUED_JOBS, Outcome, Scribe};
use riskweir::durable::{
    ContainerError, Header, Job, LoadError, LocalDir, Position, Reason, Report, Search,
    SnapshotError, SnapshotWriter, Snapshots, Storage, Trouble, Written,
};
use tempfile::TempDir;

use crate::support::storage::{Disk, FailAt};

fn header(next_offset: i64) -> Header {
    Header {
        product_version: "9.9.9".to_owned(),
        shard: "to be set".to_owned(),
        sequence: 0,
        epoch: 3,
        ruleset: "ab".repeat(16),
        engine_digest: "cd".repeat(16),
        positions: vec![Position {
            topic: "pay".to_owned(),
            partition: 0,
            next_offset,
            record: None,
        }],
        event_time_ms: Some(1_769_860_800_000),
        created_at_ms: 1_769_860_800_500,
    }
}

fn committed(next_offset: i64) -> Vec<Position> {
    header(next_offset).positions
}

fn local(folder: &Path) -> Snapshots {
    Snapshots::new(Box::new(LocalDir::new(folder)), "pay-0", 2).unwrap()
}

/// Parts that compress well, parts that do not, and an empty one.
fn parts(seed: u64, n: usize) -> Vec<Vec<u8>> {
    let mut state = seed | 1;
    let mut byte = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    let part = |index: usize| -> Vec<u8> {
        match index % 3 {
            0 => vec![7; 90],
            1 => (0..40).map(|_| byte()).collect(),
            _ => Vec::new(),
        }
    };
    (0..n).map(part).collect()
}

fn write(snapshots: &mut Snapshots, next_offset: i64) -> Result<Written, SnapshotError> {
    snapshots.begin(&header(next_offset))?;
    for part in parts(next_offset.cast_unsigned(), 4) {
        snapshots.part(&part)?;
    }
    let written = snapshots.finish()?;
    snapshots.prune()?;
    Ok(written)
}

/// Loads as an engine would, and gives the parts.
fn load(snapshots: &Snapshots, limit: i64) -> Search<Vec<Vec<u8>>> {
    let loaded = snapshots.load_newest(&committed(limit), |_, parts| {
        let (mut all, mut part) = (Vec::new(), Vec::new());
        while parts.next_part(&mut part)? == Next::Part {
            all.push(part.clone());
        }
        Ok(all)
    });
    loaded.unwrap()
}

/// The snapshot that counts must be the one of this offset, with all of its parts.
#[track_caller]
fn assert_loads(snapshots: &Snapshots, next_offset: i64) -> Vec<String> {
    let search = load(snapshots, i64::MAX);
    let (_, header, loaded) = search.loaded.unwrap();
    assert_eq!(header.positions[0].next_offset, next_offset);
    assert_eq!(loaded, parts(next_offset.cast_unsigned(), 4));
    let named = search.skipped.iter();
    named.map(|skipped| format!("{}: {}", skipped.name, skipped.reason)).collect()
}

fn container(next_offset: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ContainerWriter::begin(&header(next_offset), &mut bytes).unwrap();
    for part in parts(next_offset.cast_unsigned(), 4) {
        writer.part(&part, &mut bytes).unwrap();
    }
    let totals = writer.finish(&mut bytes);
    assert_eq!(totals.file_bytes, u64::try_from(bytes.len()).unwrap());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_come_back_as_they_were_given(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..12),
        zeros in 0_usize..400_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut snapshots = local(folder.path());
        snapshots.begin(&header(5)).unwrap();
        let given: Vec<Vec<u8>> = parts.into_iter().chain([vec![0; zeros]]).collect();
        for part in &given {
            snapshots.part(part).unwrap();
        }
        let written = snapshots.finish().unwrap();
        let search = load(&snapshots, 5);
        let (found, header, loaded) = search.loaded.unwrap();
        prop_assert_eq!(&loaded, &given);
        prop_assert_eq!(&found.name, &written.name);
        prop_assert_eq!(found.size_bytes, written.totals.file_bytes);
        prop_assert_eq!(header.shard.as_str(), "pay-0");
        let raw: usize = given.iter().map(Vec::len).sum();
        prop_assert_eq!(written.totals.raw_bytes, u64::try_from(raw).unwrap());
        prop_assert_eq!(written.totals.frames, u64::try_from(given.len()).unwrap());
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        prop_assert!(examine(Cursor::new(bytes)).1.is_err());
    }
}

#[test]
fn each_flipped_bit_is_found() {
    let sound = container(1);
    assert!(examine(Cursor::new(&sound)).1.is_ok());
    for byte in 0..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[byte] ^= 1 << bit;
            let found = examine(Cursor::new(&damaged)).1;
            let error = found.expect_err(&format!("bit {bit} of byte {byte}"));
            if byte < 8 {
                assert!(matches!(error, ContainerError::Foreign), "{error}");
            } else {
                let ContainerError::Damaged { at_byte, ref damage } = error else {
                    panic!("{error}")
                };
                // It is told where the broken piece begins, or that the end is missing after a broken length.
                let place = usize::try_from(at_byte).unwrap();
                assert!(place <= byte || *damage == Damage::CutOff, "byte {byte}: {error}");
            }
        }
    }
}

#[test]
fn each_cut_is_found_and_so_is_anything_behind_the_end() {
    let sound = container(1);
    for length in 0..sound.len() {
        let error = examine(Cursor::new(&sound[..length])).1.expect_err("a cut");
        let ContainerError::Damaged { at_byte, .. } = error else { panic!("{error}") };
        assert_eq!(at_byte, u64::try_from(length).unwrap(), "{error}");
        assert!(error.to_string().contains("ends here"), "{error}");
    }
    let longer = [&sound[..], b"\0"].concat();
    let error = examine(Cursor::new(longer)).1.expect_err("a byte too many");
    assert!(error.to_string().contains("something follows the trailer"), "{error}");
}

/// Where the frames of a container begin, read by the format's description and not by the code under test.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut at = 24 + usize::try_from(number(12)).unwrap() + 8;
    let mut starts = Vec::new();
    while bytes[at] == 1 {
        starts.push(at);
        at += 17 + usize::try_from(number(at + 5)).unwrap();
    }
    starts.push(at);
    starts
}

#[test]
fn frames_that_are_swapped_repeated_left_out_or_of_another_file_are_found() {
    let (sound, other) = (container(1), container(2));
    let (at, of_other) = (frame_starts(&sound), frame_starts(&other));
    assert_eq!(at.len(), 5);
    let frame = |n: usize| &sound[at[n]..at[n + 1]];
    let (head, tail) = (&sound[..at[0]], &sound[at[4]..]);
    let whole = [head, frame(0), frame(1), frame(2), frame(3), tail].concat();
    assert_eq!(whole, sound);
    let foreign = &other[of_other[1]..of_other[2]];
    for (what, bytes) in [
        ("swapped", [head, frame(1), frame(0), frame(2), frame(3), tail].concat()),
        ("repeated", [head, frame(0), frame(0), frame(1), frame(2), frame(3), tail].concat()),
        ("left out", [head, frame(0), frame(2), frame(3), tail].concat()),
        ("last left out", [head, frame(0), frame(1), frame(2), tail].concat()),
        ("of another file", [head, frame(0), foreign, frame(2), frame(3), tail].concat()),
        ("another header", [&other[..of_other[0]], &sound[at[0]..]].concat()),
    ] {
        let error = examine(Cursor::new(bytes)).1.expect_err(what);
        assert!(matches!(error, ContainerError::Damaged { .. }), "{what}: {error}");
    }
}

#[test]
fn a_newer_format_is_refused_by_name_and_not_taken_for_damage() {
    let mut newer = container(1);
    newer[8..10].copy_from_slice(&7_u16.to_le_bytes());
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&newer[..16], 0);
    newer[16..24].copy_from_slice(&checksum.to_le_bytes());
    let error = examine(Cursor::new(&newer)).1.expect_err("another format");
    assert!(matches!(error, ContainerError::OtherFormat { found: 7 }));
    assert_eq!(
        error.to_string(),
        "it has version 7 of the snapshot format, this program reads version 1"
    );
    // Pruning does not judge it: a program that was put back must not delete what its successor wrote.
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 1).unwrap();
    drop(snapshots);
    fs::write(folder.path().join("pay-0/000000000002-e3.rws"), newer).unwrap();
    let mut snapshots = local(folder.path());
    let named = assert_loads(&snapshots, 1);
    assert!(named[0].contains("000000000002-e3.rws: it has version 7"), "{named:?}");
    assert_eq!(write(&mut snapshots, 3).unwrap().sequence, 3);
    assert_eq!(snapshots.list().unwrap().len(), 3);
}

#[test]
fn a_length_is_checked_before_memory_is_taken_for_it() {
    let sound = container(1);
    let at = frame_starts(&sound)[0];
    for field in [at + 1, at + 5] {
        let mut greedy = sound.clone();
        greedy[field..field + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = examine(Cursor::new(greedy)).1.expect_err("too long");
        assert!(error.to_string().contains("beyond its limit"), "{error}");
    }
    let mut out = Vec::new();
    let mut writer = ContainerWriter::begin(&header(1), &mut out).unwrap();
    let error = writer.part(&vec![0; MAX_PART_BYTES + 1], &mut out).expect_err("too large");
    assert!(matches!(error, ContainerError::PartTooLarge { .. }), "{error}");
}

#[test]
fn a_frame_that_unfolds_to_more_than_it_says_is_refused() {
    // A frame whose checksum is right and whose payload is a bomb: 32 MiB of zeros, said to be 10 bytes.
    let mut bytes = Vec::new();
    let writer = ContainerWriter::begin(&header(1), &mut bytes).unwrap();
    let chain = u64::from_le_bytes(bytes[bytes.len() - 8..].try_into().unwrap());
    drop(writer);
    let bomb = zstd::bulk::compress(&vec![0; 32 << 20], 1).unwrap();
    let length = u32::try_from(bomb.len()).unwrap();
    let lengths = [10_u32.to_le_bytes(), length.to_le_bytes()].concat();
    let mut hasher = xxhash_rust::xxh3::Xxh3::with_seed(chain);
    hasher.update(&lengths);
    hasher.update(&bomb);
    bytes.push(1);
    bytes.extend_from_slice(&lengths);
    bytes.extend_from_slice(&hasher.digest().to_le_bytes());
    bytes.extend_from_slice(&bomb);
    let mut reader = ContainerReader::open(Cursor::new(bytes)).unwrap();
    let mut part = Vec::new();
    let error = reader.next_part(&mut part).expect_err("a bomb");
    assert!(error.to_string().contains("does not decompress to what it says"), "{error}");
    assert!(part.is_empty() && part.capacity() < 1024, "{}", part.capacity());
}

#[test]
fn a_damaged_snapshot_is_named_and_the_one_before_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    let name = write(&mut snapshots, 20).unwrap().name;
    assert_eq!(assert_loads(&snapshots, 20), Vec::<String>::new());
    let path = folder.path().join(&name);
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(7) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let named = assert_loads(&snapshots, 10);
        assert!(named.len() == 1 && named[0].starts_with(&format!("{name}: it is")), "{named:?}");
        fs::write(&path, &sound[..at]).unwrap();
        let named = assert_loads(&snapshots, 10);
        assert!(named[0].contains(&format!("damaged at byte {at}: ")), "{named:?}");
    }
    fs::write(&path, sound).unwrap();
    assert_loads(&snapshots, 20);
}

#[test]
fn a_value_made_of_a_damaged_snapshot_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    let name = write(&mut snapshots, 20).unwrap().name;
    let path = folder.path().join(&name);
    let mut damaged = fs::read(&path).unwrap();
    let last_frame = frame_starts(&damaged)[3];
    damaged[last_frame + 9] ^= 1;
    fs::write(&path, damaged).unwrap();
    // A careless reader: takes one part and is content, or passes over what went wrong.
    let first_only = snapshots.load_newest(&committed(99), |header, parts| {
        parts.next_part(&mut Vec::new())?;
        Ok(header.positions[0].next_offset)
    });
    assert_eq!(first_only.unwrap().loaded.unwrap().2, 10);
    let passes_over = snapshots.load_newest(&committed(99), |header, parts| {
        while matches!(parts.next_part(&mut Vec::new()), Ok(Next::Part)) {}
        Ok(header.positions[0].next_offset)
    });
    assert_eq!(passes_over.unwrap().loaded.unwrap().2, 10);
}

#[test]
fn a_snapshot_that_the_engine_refuses_is_skipped_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    write(&mut snapshots, 20).unwrap();
    let search = snapshots.load_newest(&committed(99), |header, _| {
        if header.sequence == 2 {
            Err(LoadError::Refused("of another world".to_owned()))
        } else {
            Ok(())
        }
    });
    let search = search.unwrap();
    assert_eq!(search.loaded.as_ref().unwrap().0.sequence, 1);
    assert!(matches!(&search.skipped[0].reason, Reason::Refused(why) if why == "of another world"));
    assert!(!search.storage_in_the_way());
}

#[test]
fn a_snapshot_beyond_the_committed_offset_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    write(&mut snapshots, 20).unwrap();
    let search = snapshots.newest_valid(&committed(19)).unwrap();
    assert_eq!(search.loaded.unwrap().1.positions, committed(10));
    let reason = search.skipped[0].reason.to_string();
    assert_eq!(reason, "it has seen `pay`-0 up to 20, which is beyond the committed offset");
    assert!(snapshots.newest_valid(&committed(9)).unwrap().loaded.is_none());
    assert_eq!(
        snapshots.newest_valid(&committed(20)).unwrap().loaded.unwrap().1.positions,
        committed(20)
    );
}

#[test]
fn a_snapshot_of_another_shard_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Snapshots::new(Box::new(LocalDir::new(folder.path())), "pay-1", 2).unwrap();
    let name = write(&mut other, 10).unwrap().name;
    fs::create_dir(folder.path().join("pay-0")).unwrap();
    fs::copy(folder.path().join(name), folder.path().join("pay-0/000000000009-e3.rws")).unwrap();
    let search = local(folder.path()).newest_valid(&committed(99)).unwrap();
    assert!(search.loaded.is_none());
    assert_eq!(search.skipped[0].reason.to_string(), "it belongs to shard `pay-1`");
}

#[test]
fn pruning_keeps_two_and_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    fs::create_dir(folder.path().join("pay-0")).unwrap();
    fs::write(folder.path().join("pay-0/notes.txt"), "mine").unwrap();
    for next_offset in 1..=5 {
        write(&mut snapshots, next_offset).unwrap();
    }
    let left: Vec<u64> = snapshots.list().unwrap().iter().map(|found| found.sequence).collect();
    assert_eq!(left, [5, 4]);
    assert!(folder.path().join("pay-0/notes.txt").exists());
}

#[test]
fn pruning_after_a_restart_counts_valid_snapshots_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    for next_offset in 1..=2 {
        write(&mut snapshots, next_offset).unwrap();
    }
    drop(snapshots);
    let second = folder.path().join("pay-0/000000000002-e3.rws");
    let mut damaged = fs::read(&second).unwrap();
    damaged[100] ^= 1;
    fs::write(&second, damaged).unwrap();
    // The only good one stays, and the damaged one too, while nothing newer is valid.
    let mut snapshots = local(folder.path());
    assert!(snapshots.prune().unwrap().is_empty());
    // The third is valid: the damaged one may go, the first must stay, since two valid ones are kept.
    write(&mut snapshots, 3).unwrap();
    let left: Vec<u64> = snapshots.list().unwrap().iter().map(|found| found.sequence).collect();
    assert_eq!(left, [3, 1]);
    assert_loads(&snapshots, 3);
}

#[test]
fn what_a_start_passed_over_does_not_count_among_those_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    for next_offset in [10, 20] {
        write(&mut snapshots, next_offset).unwrap();
    }
    // A start at 15 loads the first and passes the second over.
    let search = load(&snapshots, 15);
    let ahead: Vec<String> = search.skipped.into_iter().map(|skipped| skipped.name).collect();
    assert_eq!(ahead, ["pay-0/000000000002-e3.rws"]);
    snapshots.pass_over(ahead);
    // The third is not committed yet, so the first has to stay; after the fourth nobody needs those before the third.
    let mut left_after = |next_offset: i64| -> Vec<u64> {
        write(&mut snapshots, next_offset).unwrap();
        snapshots.list().unwrap().iter().map(|found| found.sequence).collect()
    };
    assert_eq!(left_after(25), [3, 2, 1]);
    assert_eq!(left_after(30), [4, 3]);
}

#[test]
fn what_a_crashed_writer_left_is_cleared_away_and_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    drop(snapshots);
    let leftover = folder.path().join("pay-0/.000000000002-e3.rws.partial");
    fs::write(&leftover, b"half of it").unwrap();
    let mut snapshots = local(folder.path());
    assert_loads(&snapshots, 10);
    assert!(leftover.exists(), "reading changes nothing");
    snapshots.claim().unwrap();
    assert!(!leftover.exists());
    write(&mut snapshots, 20).unwrap();
    assert_loads(&snapshots, 20);
}

#[test]
fn a_shard_has_one_writer_at_a_time_and_any_readers() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = local(folder.path());
    write(&mut first, 10).unwrap();
    let mut second = local(folder.path());
    let error = second.begin(&header(20)).expect_err("a second writer");
    let SnapshotError::Storage(error) = error else { panic!("{error}") };
    assert_eq!(error.trouble, Trouble::Busy);
    assert_loads(&second, 10);
    drop(first);
    write(&mut second, 20).unwrap();
}

#[test]
fn a_file_with_the_last_number_is_named_and_leaves_no_snapshot_silently_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut snapshots = local(folder.path());
    write(&mut snapshots, 10).unwrap();
    let last = format!("pay-0/{}-e1.rws", u64::MAX);
    std::fs::write(folder.path().join(&last), b"x").unwrap();
    let error = snapshots.begin(&header(20)).expect_err("no number is left");
    assert!(error.to_string().contains(&last), "{error}");
    assert_eq!(error.code().0, "S0002");
    std::fs::remove_file(folder.path().join(&last)).unwrap();
    write(&mut snapshots, 20).unwrap();
    assert_loads(&snapshots, 20);
}

#[test]
fn a_kept_rule_set_that_cannot_be_opened_is_written_again() {
    let disk = Disk::default();
    let on = |fail| Snapshots::new(Box::new(FailAt::new(&disk, fail)), "pay-0", 2).unwrap();
    on(None).keep_rules("id", b"rules", &[]).unwrap();
    let mut passed = 0;
    for n in 1..=3 {
        match on(Some((n, Trouble::Denied, 0))).keep_rules("id", b"rules", &[]) {
            Ok(()) => passed += 1,
            Err(SnapshotError::Storage(error)) => assert_ne!(error.attempted, "open"),
            Err(error) => panic!("{error}"),
        }
    }
    // The call that opens it is one of these three, and the only one that need not succeed.
    assert_eq!(passed, 1);
    assert_eq!(on(None).load_rules("id").unwrap(), b"rules");
}

#[test]
fn names_that_cannot_be_folders_are_refused() {
    for shard in ["", "..", ".hidden", "a/b", "a\\b", "ä", &"x".repeat(101)] {
        let made = Snapshots::new(Box::new(LocalDir::new("unused")), shard, 2);
        assert!(matches!(made, Err(SnapshotError::ShardName { .. })), "{shard}");
    }
    let error = LocalDir::new("unused").open("../secret").map(drop).expect_err("a step up");
    assert!(error.to_string().contains("not a name `folder/file`"), "{error}");
}

/// Runs a write against a disk whose n-th call fails, for all n; afterwards the old snapshot or the new one stands, and
/// the next write works.
fn sweep(trouble: Trouble, torn: usize) {
    let mut n = 1;
    loop {
        let disk = Disk::default();
        let open = |fail| Snapshots::new(Box::new(FailAt::new(&disk, fail)), "pay-0", 2).unwrap();
        write(&mut open(None), 10).unwrap();
        let mut failing = open(Some((n, trouble, torn)));
        let outcome = write(&mut failing, 20);
        let met = disk.failed();
        // A full disk gets its room back at once, not at the next start.
        assert_eq!(disk.partials(), 0, "call {n}");
        drop(failing);
        disk.crash();
        let (stands, seen) = (if outcome.is_ok() { 20 } else { 10 }, load(&open(None), 99));
        let offset = seen.loaded.unwrap().1.positions[0].next_offset;
        // A failure to prune comes after the snapshot is published.
        assert!(offset == stands || (met && offset == 20), "call {n}: {offset}");
        assert!(seen.skipped.is_empty(), "call {n}: {:?}", seen.skipped);
        let mut again = open(None);
        write(&mut again, 30).unwrap();
        assert_loads(&again, 30);
        assert_eq!(disk.partials(), 0, "call {n}");
        if !met {
            assert!(n > 6, "{n}");
            return;
        }
        n += 1;
    }
}

#[test]
fn whichever_call_fails_the_snapshot_before_stands_and_the_next_write_works() {
    for trouble in [Trouble::Full, Trouble::ReadOnly, Trouble::Denied, Trouble::Other] {
        sweep(trouble, 0);
    }
}

#[test]
fn a_write_that_is_torn_by_a_full_disk_leaves_nothing_that_counts() {
    for torn in [1, 8, 20, 60] {
        sweep(Trouble::Full, torn);
    }
}

#[test]
fn a_crash_after_any_call_leaves_the_old_snapshot_or_the_new_one() {
    let mut n = 1;
    loop {
        let disk = Disk::default();
        let open = |fail| Snapshots::new(Box::new(FailAt::new(&disk, fail)), "pay-0", 2).unwrap();
        write(&mut open(None), 10).unwrap();
        disk.halt_after(n);
        let mut dying = open(None);
        let finished = write(&mut dying, 20).is_ok();
        disk.crash();
        std::mem::forget(dying);
        let seen = load(&open(None), 99);
        let offset = seen.loaded.unwrap().1.positions[0].next_offset;
        assert!(offset == 20 || (offset == 10 && !finished), "call {n}: {offset}");
        assert!(seen.skipped.is_empty(), "call {n}: {:?}", seen.skipped);
        write(&mut open(None), 30).unwrap();
        assert_loads(&open(None), 30);
        if finished {
            assert!(n > 6, "{n}");
            return;
        }
        n += 1;
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_told_with_place_and_mend() {
    // A file stands where the folder should: refused for everybody, root included.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state");
    fs::write(&place, "a file").unwrap();
    let error = local(&place).begin(&header(1)).expect_err("no folder");
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("could not write into `pay-0` in `{}`: ", place.display())),
        "{message}"
    );
    assert_eq!(error.code().0, "S0004");
    assert!(!error.help().is_empty());
}

fn begin(next_offset: i64) -> Job {
    Job::Begin { header: Box::new(header(next_offset)), passed_over: Vec::new() }
}

fn offer(writer: &SnapshotWriter, job: Job) {
    let mut job = Some(job);
    while let Some(again) = job.take() {
        job = writer.offer(again).err();
        if job.is_some() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_writing_thread_reports_what_it_published() {
    let folder = tempfile::tempdir().unwrap();
    let writer = SnapshotWriter::start(local(folder.path())).unwrap();
    for next_offset in [10, 20, 30] {
        offer(&writer, begin(next_offset));
        for part in parts(next_offset.cast_unsigned(), 4) {
            offer(&writer, Job::Part(part));
        }
        offer(&writer, Job::End);
    }
    offer(&writer, begin(40));
    let reports = writer.stop();
    let mut sequences = Vec::new();
    for report in reports {
        let Report::Done { written, created_at_ms, not_pruned, .. } = report else {
            panic!("{report:?}")
        };
        assert_eq!((created_at_ms, not_pruned), (1_769_860_800_500, None));
        let size = fs::metadata(folder.path().join(&written.name)).map_or(0, |facts| facts.len());
        assert!(size == written.totals.file_bytes || written.sequence == 1, "{written:?}");
        sequences.push(written.sequence);
    }
    assert_eq!(sequences, [1, 2, 3]);
    assert_loads(&local(folder.path()), 30);
    let files = fs::read_dir(folder.path().join("pay-0")).unwrap().count();
    assert_eq!(files, 3, "two snapshots and the lock; the one without end is gone");
}

#[test]
fn a_full_queue_gives_the_part_back_at_once() {
    // The disk holds the writer until the end of the test, so nothing leaves the queue.
    let disk = Disk::default();
    let gate = disk.close_gate();
    let snapshots = Snapshots::new(Box::new(FailAt::new(&disk, None)), "pay-0", 2).unwrap();
    let writer = SnapshotWriter::start(snapshots).unwrap();
    offer(&writer, begin(1));
    // The thread has the beginning in hand and stands at the gate.
    while disk.arrived() == 0 {
        std::thread::yield_now();
    }
    for _ in 0..MAX_QUEUED_JOBS {
        assert_eq!(writer.offer(Job::Part(b"part".to_vec())), Ok(()));
    }
    assert_eq!(writer.offer(Job::Part(b"back".to_vec())), Err(Job::Part(b"back".to_vec())));
    drop(gate);
    assert!(writer.stop().is_empty());
}

#[test]
fn a_failure_is_reported_once_and_the_next_snapshot_starts_afresh() {
    let disk = Disk::default();
    let storage = FailAt::new(&disk, Some((4, Trouble::Full, 3)));
    let mut scribe = Scribe::new(Snapshots::new(Box::new(storage), "pay-0", 2).unwrap());
    let mut failed = Vec::new();
    let mut sequences = Vec::new();
    for next_offset in [10, 20] {
        let jobs = [begin(next_offset)]
            .into_iter()
            .chain(parts(next_offset.cast_unsigned(), 4).into_iter().map(Job::Part))
            .chain([Job::End]);
        for job in jobs {
            match scribe.take(job) {
                Outcome::Quiet | Outcome::Rules(..) => {}
                Outcome::Failed(error) => failed.push(error.to_string()),
                Outcome::Done { written, .. } => sequences.push(written.sequence),
            }
        }
    }
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].starts_with("could not write `pay-0/000000000001-e3.rws` in `test disk`: "),
        "{failed:?}"
    );
    assert_eq!(sequences, [2]);
}

#[test]
fn a_place_is_a_path_or_a_url() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    for place in [path.clone(), format!("file://{path}")] {
        let storage = riskweir::durable::open(&place).unwrap();
        assert_eq!(storage.place(), path);
    }
    for place in ["file://relative", "nonsense://x"] {
        let error = riskweir::durable::open(place).map(|_| ()).expect_err(place);
        assert_eq!(error.trouble, Trouble::Address, "{error}");
    }
}

#[cfg(feature = "object-store")]
#[test]
fn an_object_store_keeps_snapshots_as_a_folder_does() {
    let storage = riskweir::durable::open("memory:///riskweir/state").unwrap();
    let mut snapshots = Snapshots::new(storage, "pay-0", 2).unwrap();
    assert!(snapshots.newest_valid(&committed(99)).unwrap().loaded.is_none());
    for next_offset in [10, 20, 30] {
        write(&mut snapshots, next_offset).unwrap();
    }
    assert_loads(&snapshots, 30);
    let left: Vec<u64> = snapshots.list().unwrap().iter().map(|found| found.sequence).collect();
    assert_eq!(left, [3, 2]);
    // Larger than two chunks, of bytes that do not compress.
    snapshots.begin(&header(40)).unwrap();
    let mut dice = 1_u64;
    let part: Vec<u8> = std::iter::repeat_with(|| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        dice.to_be_bytes()[0]
    })
    .take(1 << 20)
    .collect();
    (0..20).for_each(|_| snapshots.part(&part).unwrap());
    let written = snapshots.finish().unwrap();
    assert!(written.totals.file_bytes > 16 << 20, "{written:?}");
    let search = load(&snapshots, 40);
    let (found, _, loaded) = search.loaded.unwrap();
    assert_eq!(found.size_bytes, written.totals.file_bytes);
    assert!(loaded.len() == 20 && loaded.iter().all(|loaded| *loaded == part));
    // One that was given up has no name.
    snapshots.begin(&header(50)).unwrap();
    (0..20).for_each(|_| snapshots.part(&part).unwrap());
    snapshots.abandon().unwrap();
    assert_eq!(snapshots.list().unwrap().len(), 3);
}
