#!/usr/bin/env bash
# The one command that passes the tests: format, lints, tests (real Apache Kafka included), documentation.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings"

cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
cargo test --locked
cargo doc --no-deps --locked
