#!/usr/bin/env bash
# Checks the built page in a real Chromium, on the software adapter that comes with it: types, the package's promises, the page as
# somebody uses it. Further arguments go to Playwright:  web/test.sh --grep attack
# Wants web/dist (web/build.sh) and the program (cargo build).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. scripts/setup.sh
need_node
need_software_adapter
need_chromium
[ -d web/dist ] || fail "web/dist is missing: run web/build.sh"
export SPLITMIX="$root/target/debug/splitmix"
[ -x "$SPLITMIX" ] || fail "the program is missing: run cargo build"
cd web
npx tsc --project .
npx playwright test "$@"
