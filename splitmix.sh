#!/usr/bin/env bash
# Installs what is missing, builds, and runs splitmix:  ./splitmix.sh train
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/scripts/setup.sh"
need_rust
need_adapter
exec cargo run --manifest-path "$root/Cargo.toml" --release --locked -- "$@"
