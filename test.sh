#!/usr/bin/env bash
# Installs what is missing, then checks everything there is: format, lints, documentation, kernels, tests, the browser's page.
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

# step NAME: begins a step, and says how long the one before it took; at the end, a table of all.
begun=0 name=preparation table=
step() {
  local took=$((SECONDS - begun))
  table+=$(printf '%5d s  %s' $took "$name")$'\n'
  begun=$SECONDS name=$*
  printf '\n== %s\n' "$*"
}

step "format"
cargo fmt --all --check

step "kernels: every WGSL file through Dawn, the compiler of Chromium"
npm ci --prefix scripts/dawn --ignore-scripts --no-audit --no-fund --loglevel=error
node scripts/dawn/check.js

step "lints, with the examples; then of the library alone, as the browser has it"
cargo clippy --locked --workspace --all-targets -- -D warnings
cargo clippy --locked --no-default-features --lib -- -D warnings
cargo clippy --locked --package splitmix-web --all-targets -- -D warnings

step "documentation and its examples"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
cargo test --locked --workspace --doc

step "tests"
profile=${CI:+ci}
cargo nextest run --locked --workspace --profile "${profile:-default}" "$@"
# A part of the tests was asked for: of the page's, web/test.sh runs a part.
[ $# = 0 ] || exit 0

step "the browser: package and page"
web/build.sh

step "the browser: tests in Chromium on its software adapter"
web/test.sh

step "how long each step took"
printf '%s' "$table"
