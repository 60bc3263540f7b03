#!/usr/bin/env bash
# Checks the pages (*.md): turns of phrase that docs/style.md replaces, the length of the first pages; then
# links, anchors, names of files and flags of commands. Takes a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A turn, and what to write instead.
turns=(
  'tell|tells|telling|told' 'say, report, print, list, document'
  'what there (is|are)|where there (is|are)' 'available, if any'
  '(go|goes|going|went|gone) on with' 'continue, resume'
  'so many' 'N, at most, several'
  'in place of' 'instead of'
  '(come|comes|came) out' 'results, is confirmed'
  'of which' 'a sentence of its own'
  'for itself' 'separately'
  'at the most|at the least' 'at most, at least'
  'is to be had|are to be had|to be had' 'is available'
)
# Pages in which these turns stand on purpose, and lines (by a part of them) that may have one.
pages=$(git ls-files --cached --others --exclude-standard '*.md' | grep -v -x 'docs/style.md')
allowed='$^'

found=0
for ((i = 0; i < ${#turns[@]}; i += 2)); do
  # shellcheck disable=SC2086
  if hits=$(grep -n -i -w -E "${turns[i]}" $pages | grep -v -E "$allowed"); then
    printf '%s\n' "$hits" | cut -c1-160
    printf 'words: write instead of "%s": %s (docs/style.md)\n' "${turns[i]}" "${turns[i + 1]}"
    found=1
  fi
done
for limit in README.md:700 ARCHITECTURE.md:1200; do
  page=${limit%:*} words=$(wc -w < "${limit%:*}")
  if [ "$words" -gt "${limit#*:}" ]; then
    printf '%s: %s words, at most %s: move details to a page in docs/\n' "$page" "$words" "${limit#*:}"
    found=1
  fi
done
[ "$found" = 0 ] || exit 1
node scripts/links.js
