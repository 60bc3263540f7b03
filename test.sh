#!/usr/bin/env bash
# Installs what is missing, then checks everything: format, lints, documentation, kernels, tests, the browser's page.
#   ./test.sh             of the slow numeric cases a sample, in which every kernel meets every variant
#   ./test.sh --complete  all of them, as before a release
# Further arguments go to the test runner:  ./test.sh golden   runs the tests whose name has "golden" in it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
. scripts/setup.sh
need_rust
need_nextest
need_node
need_software_adapter
unset SPLITMIX_DATA
if [ "${1:-}" = --complete ]; then
  export SPLITMIX_TESTS=complete
  shift
fi

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

step "pages: words, links, names of files and flags"
scripts/words.sh

step "kernels: every WGSL file through Dawn, the compiler of Chromium"
npm ci --prefix scripts/dawn --ignore-scripts --no-audit --no-fund --loglevel=error
node scripts/dawn/check.js

# Each step asks for the whole workspace: another choice of packages has other features, and everything is compiled once more for it.
step "lints, with the examples; then of the browser's package, and with it of the library without files and threads"
cargo clippy --locked --workspace --all-targets -- -D warnings
cargo clippy --locked --package splitmix-web --lib -- -D warnings

step "documentation and its examples"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
cargo test --locked --workspace --doc

step "tests"
profile=${CI:+ci}
cargo nextest run --locked --workspace --profile "${profile:-default}" "$@"
# A part of the tests was asked for: of the page's, web/test.sh runs a part.
[ $# = 0 ] || exit 0

step "pages: arguments of the commands in them"
node scripts/links.js target/debug/splitmix

step "the browser: package and page"
web/build.sh

step "the browser: tests in Chromium on its software adapter"
web/test.sh

step "how long each step took"
printf '%s' "$table"
