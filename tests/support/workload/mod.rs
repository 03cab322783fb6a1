//! The performance workload: payments made from a seed, and by brute force the alerts that they must raise.
//!
//! `docs/PERFORMANCE.md` describes it. [`payments`] makes the events; the first n lines of a file are the file of n
//! lines. [`reference`] computes the expected alerts in the plainest way there is; it shares no code with the product.
#![allow(dead_code, reason = "the test and the benchmark use different parts of this folder")]
#![expect(clippy::unwrap_used, reason = "helpers of tests and benchmarks fail with their caller")]
#![allow(
    clippy::similar_names,
    clippy::needless_pass_by_value,
    clippy::struct_field_names,
    clippy::format_collect,
    clippy::doc_markdown,
    reason = "the words of the published workload, and a digest per run"
)]

pub(crate) mod payments;
pub(crate) mod product;
pub(crate) mod random;
pub(crate) mod reference;

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::workload::payments::{Payments, Profile};

/// A published file with its digests, which came from another implementation of the same description.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Lines of the file.
    pub(crate) lines: usize,
    /// Seed of the random numbers.
    pub(crate) seed: u64,
    /// How accounts are drawn.
    pub(crate) profile: Profile,
    /// SHA-256 of the file.
    pub(crate) sha256: &'static str,
    /// Events that raise at least one alert.
    pub(crate) alerts: usize,
    /// SHA-256 of the expected alerts, in input order.
    pub(crate) alerts_sha256: &'static str,
}

/// The file that figures are measured on: about ten days of payments.
pub(crate) const MAIN: Published = Published {
    lines: 1_000_000,
    seed: 42,
    profile: Profile::Main,
    sha256: "69bbb6ae9a812f16fac65e52406dfbd9bdd1fb70862f0c0c00374887a74a09b3",
    alerts: 32_894,
    alerts_sha256: "cafaea72f5911da6a443e42f6aaf661ffd3334af692fba7521410600753861fb",
};

/// A file with a few accounts that pay all the time.
pub(crate) const HOT: Published = Published {
    lines: 200_000,
    seed: 43,
    profile: Profile::Hot,
    sha256: "7d4a95666249e919ea526003116966157909321e7c2aef27f84c39798dd2f09a",
    alerts: 58_601,
    alerts_sha256: "5cc119d766b00d406d3fad530e5c96e355fa7290f0cbefc0b9c4fe19b7ad8b80",
};

impl Published {
    /// The first `lines` lines of the file.
    pub(crate) fn head(&self, lines: usize) -> String {
        ndjson(self.seed, self.profile, lines)
    }

    /// The whole file.
    pub(crate) fn text(&self) -> String {
        self.head(self.lines)
    }
}

/// The first `lines` events of a seed, one JSON object a line.
pub(crate) fn ndjson(seed: u64, profile: Profile, lines: usize) -> String {
    let mut text = String::with_capacity(lines * 280);
    for payment in Payments::new(seed, profile).take(lines) {
        payment.write_line(&mut text);
    }
    text
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the file unless it is there already, whole and unaltered.
pub(crate) fn ensure(path: &Path, published: &Published) {
    let there = std::fs::read(path).is_ok_and(|bytes| sha256(&bytes) == published.sha256);
    if !there {
        let text = published.text();
        assert_eq!(
            sha256(text.as_bytes()),
            published.sha256,
            "the generator differs on this machine"
        );
        std::fs::write(path, text).unwrap();
    }
}
