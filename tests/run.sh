#!/usr/bin/env bash
# The one command that passes the tests: format, lints, documentation, tests (real Apache Kafka included).
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings"

for program in openssl perl; do
  command -v "$program" >/dev/null || { echo "tests/run.sh: \`$program\` is missing (Debian: apt install $program)" >&2; exit 1; }
done
# OpenSSL is compiled for the tests of TLS to Kafka; Debian's perl-base alone lacks what its build wants.
perl -MFindBin -MIPC::Cmd -e 1 || { echo 'tests/run.sh: perl lacks its modules (Debian: apt install perl)' >&2; exit 1; }

cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
cargo doc --no-deps --locked
cargo test --locked
# What is off by default: TLS of the API and tokens of identity providers.
cargo test --locked --features api-tls,api-jwt --lib -- api::
# TLS and logins of Kafka: compiles OpenSSL, for which perl is needed.
cargo test --locked --features secure --test kafka_tls
