#!/usr/bin/env bash
# Measures, side by side with references in the same run.
# Usage: benchmarks/run.sh NAME [--json FILE]
#   NAME          dp: noise and accountants
#                 ingest: from the wire to durable acknowledgement; about a quarter of an hour
#                 encodings: bytes on the wire and accuracy in each encoding, on real data; about five minutes
#                 reads: what it costs to tell what has been spent; about a minute
#                 detect: detectors of the edge agent on real data in TACIT_SHARED_DIR; some five minutes
#                 ownership: what a mark outlives and whom a copy names, on real data; about ten minutes
#                 edge: inference, training and serving on a device, beside ONNX Runtime (TACIT_ORT_LIBRARY) and
#                 PyTorch; about three minutes
#   --json FILE   also write {"machine", "rows": [{name, value, unit, baseline, ratio, goal, holds}, ...]} to FILE
# Exit codes: 0 measured, whether or not the goals hold; 1 a measurement failed; 2 wrong arguments.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }
name="" json=""
while [ $# -gt 0 ]; do
  case "$1" in
    --json) [ $# -ge 2 ] || { echo "run.sh: --json needs a file" >&2; exit 2; }; json=$2; shift ;;
    -h|--help) usage; exit 0 ;;
    dp|ingest|encodings|reads|detect|ownership|edge) name=$1 ;;
    *) echo "run.sh: unknown argument '$1'; try --help" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$name" ] || { usage >&2; exit 2; }

cmake --preset release > /dev/null
case "$name" in
  ownership) targets=(benchmark_ownership) measure=(build/release/bin/benchmark_ownership) ;;
  dp) targets=(benchmark_dp) measure=(build/release/bin/benchmark_dp) ;;
  ingest) targets=(load_generator tacit tacitd) measure=(python3 benchmarks/ingest.py) ;;
  reads) targets=(load_generator tacit tacitd) measure=(python3 benchmarks/reads.py) ;;
  detect) targets=(edge_detect) measure=(build/release/bin/edge_detect) ;;
  edge)
    targets=(benchmark_edge benchmark_edge_train serving_probe tacit tacitd tacit-agent)
    measure=(python3 benchmarks/edge.py) ;;
  encodings) targets=(tacit tacitd tacit-agent) measure=(python3 benchmarks/encodings.py) ;;
esac
cmake --build --preset release --target "${targets[@]}" > /dev/null
machine="$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//'), $(nproc) cores, $(uname -sr)"
rows=$("${measure[@]}")
printf '%s\n' "$machine"
jq -rs '.[] | [.name, (.value * 10000 | round / 10000), .unit,
  (if .ratio then "\(.ratio * 100 | round / 100)x of \(.baseline * 1000 | round / 1000)" else "" end),
  (if .goal then "goal \(.goal) \(if .holds then "holds" else "MISSED" end)" else "" end)] | @tsv' <<< "$rows" |
  awk -F'\t' '{ printf "%-72s %12s %-8s %-24s %s\n", $1, $2, $3, $4, $5 }'
if [ -n "$json" ]; then
  jq -s --arg machine "$machine" '{machine: $machine, rows: .}' <<< "$rows" > "$json"
fi
