#!/usr/bin/env bash
# A training step of 8 bases in the browser: this engine beside TensorFlow.js.
#   web/bench.sh             serves the page, to be opened in a browser on a real GPU
#   web/bench.sh --headless  runs it in Chromium on its software adapter and prints the figures
# Wants web/dist (web/build.sh) and the program (cargo build).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. scripts/setup.sh
need_node
[ -d web/dist ] || fail "web/dist is missing: run web/build.sh"
[ -x target/debug/splitmix ] || fail "the program is missing: run cargo build"
npm ci --prefix web/bench --ignore-scripts --no-audit --no-fund --loglevel=error
site=target/web-bench
rm -rf $site && mkdir -p $site
cp -r web/dist/splitmix web/bench/index.html web/bench/bench.js $site/
# Builds without eval, which the server's headers forbid.
cp web/bench/node_modules/@tensorflow/tfjs/dist/tf.es2017.min.js web/bench/node_modules/@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.es2017.min.js $site/
if [ "${1:-}" = --headless ]; then
  need_chromium
  target/debug/splitmix web --dir $site --no-open --port 8119 &
  server=$!
  trap 'kill $server' EXIT
  node web/bench/run.js "http://localhost:8119/?${2:-}"
else
  target/debug/splitmix web --dir $site --port 8119
fi
