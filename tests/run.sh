#!/usr/bin/env bash
# The one command that passes the tests: format, lints, documentation, tests (real Apache Kafka included).
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings"

cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
cargo doc --no-deps --locked
cargo test --locked
# What is off by default: TLS of the API and tokens of identity providers.
cargo test --locked --features api-tls,api-jwt --lib -- api::
