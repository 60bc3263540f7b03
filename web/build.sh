#!/usr/bin/env bash
# Builds the browser's package and page into web/dist, from what is in this repository and the registries of Rust and JavaScript.
#   web/build.sh          as it is published
#   web/build.sh --quick  compiled in seconds, larger and slower
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. scripts/setup.sh
need_rust
need_node
need_wasm

profile=web
[ "${1:-}" != --quick ] || profile=release
say "compiling the engine to WebAssembly"
# A folder of its own: it may be compiled by another compiler than the rest.
CARGO_TARGET_DIR="$root/target/web" wasm_cargo build --quiet --locked --package splitmix-web --lib --target wasm32-unknown-unknown --profile "$profile"
npm ci --prefix web --ignore-scripts --no-audit --no-fund --loglevel=error
say "making web/dist"
cargo run --quiet --locked --package splitmix-web-build -- "target/web/wasm32-unknown-unknown/$profile/splitmix_web.wasm"
say "web/dist: $(du -sh web/dist | cut -f1); open it with: splitmix web"
