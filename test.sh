#!/usr/bin/env bash
# Installs what is missing, then checks everything there is: format, lints, documentation, kernels, tests.
# Further arguments go to the test runner:  ./test.sh golden   runs the tests whose name has "golden" in it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
. scripts/setup.sh
need_rust
need_nextest "$root"
need_node
need_software_adapter
unset SPLITMIX_DATA

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all --check

step "kernels: every WGSL file through Dawn, the compiler of Chromium"
npm ci --prefix scripts/dawn --ignore-scripts --no-audit --no-fund --loglevel=error
node scripts/dawn/check.js

step "lints, with the examples; then of the library alone, as the browser has it"
cargo clippy --locked --workspace --all-targets -- -D warnings
cargo clippy --locked --no-default-features --lib -- -D warnings

step "documentation and its examples"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
cargo test --locked --workspace --doc

step "tests"
profile=${CI:+ci}
cargo nextest run --locked --workspace --profile "${profile:-default}" "$@"
