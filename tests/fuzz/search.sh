#!/usr/bin/env bash
# Searches for inputs that break one fuzz target. It copies the kept corpus: a test changes no sources.
# Usage: search.sh PROGRAM CORPUS SCRATCH MAX_BYTES SECONDS
# Environment: TACIT_FUZZ_SECONDS, when set, wins over SECONDS.
set -euo pipefail
program=$1 corpus=$2 scratch=$3 max_bytes=$4 seconds=${TACIT_FUZZ_SECONDS:-$5}

rm -rf "$scratch"
mkdir -p "$scratch/corpus" "$scratch/broken"
cp -r "$corpus/." "$scratch/corpus/"
dictionary=$(dirname "$0")/dictionaries/$(basename "$corpus").dict
options=(-max_total_time="$seconds" -max_len="$max_bytes" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256
  -artifact_prefix="$scratch/broken/" -print_final_stats=1 -verbosity=0)
[ ! -f "$dictionary" ] || options+=(-dict="$dictionary")

if ! "$program" "${options[@]}" "$scratch/corpus" >"$scratch/log" 2>&1; then
  tail -60 "$scratch/log"
  for broken in "$scratch"/broken/*; do
    [ -f "$broken" ] || continue
    echo "input that broke it, in base64 (keep it in ${corpus##*/tests/} once it is repaired): $broken"
    base64 "$broken"
  done
  exit 1
fi
executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/log")
echo "$executed inputs in $seconds s, corpus of $(find "$scratch/corpus" -type f | wc -l) files"
# Fewer than this is a target that searches nothing.
[ "${executed:-0}" -ge 1000 ] || { tail -60 "$scratch/log"; exit 1; }
