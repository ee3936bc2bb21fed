#!/usr/bin/env bash
# Installs what is needed, builds, and runs every test, on a bare Debian 12.
# Usage: tests/run.sh [--quick] [--no-install]
#   --quick        the release build and its tests only: no lint, no sanitizers, no fuzzing
#   --no-install   the packages of deploy/install-deps.sh are known to be there
# Environment: TACIT_JOBS (default 2), TACIT_FUZZ_SECONDS for each fuzz target (default 60), TACIT_SHARED_DIR (default
# ../shared when it exists: real data for the tests that use some), CI=true (a skipped test is a failure).
# The last line is the sum of all test runs: "N passed, N failed", and ", N skipped" when some were.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=no
install=yes
for argument in "$@"; do
  case "$argument" in
    --quick) quick=yes ;;
    --no-install) install=no ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "run.sh: unknown option '$argument'; try --help" >&2; exit 2 ;;
  esac
done

jobs=${TACIT_JOBS:-2}
export TACIT_FUZZ_SECONDS=${TACIT_FUZZ_SECONDS:-60}
export HOME=${HOME:-/root}
# Objects of one checkout serve another one, at whatever path it stands.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
if [ -z "${TACIT_SHARED_DIR:-}" ] && [ -d ../shared ]; then
  TACIT_SHARED_DIR=$(cd ../shared && pwd)
  export TACIT_SHARED_DIR
fi
symbolizer=/usr/bin/llvm-symbolizer-19
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:external_symbolizer_path=$symbolizer
export UBSAN_OPTIONS=print_stacktrace=1:external_symbolizer_path=$symbolizer
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:external_symbolizer_path=$symbolizer

passed=0
failed=0
skipped=0
stages=()

say() { printf '== %s\n' "$*"; }

# stage NAME COMMAND...: runs it, says how long it took, and counts a failure as one failed test.
stage() {
  local name=$1 began=$SECONDS result=ok
  shift
  say "$name"
  "$@" || result=FAILED
  say "$name: $result after $((SECONDS - began)) s"
  stages+=("$(printf '%5d s  %-6s  %s' $((SECONDS - began)) "$result" "$name")")
  [ "$result" = ok ]
}

# One line in N of what comes in: progress that does not fill a log.
every() { awk -v n="$1" 'NR % n == 0 { print; fflush() }'; }

build() {
  local preset=$1 log
  mkdir -p "build/$preset"
  log=build/$preset/build.log
  # A compiler touches much memory once: in large pages, that takes a third less of the kernel's time.
  if cmake --preset "$preset" >"$log" 2>&1 &&
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 cmake --build --preset "$preset" --parallel "$jobs" 2>&1 |
    tee -a "$log" | every 25; then
    return 0
  fi
  grep -E 'error|FAILED' "$log" | head -40 || true
  tail -20 "$log"
  return 1
}

# run_ctest PRESET ARGUMENTS...: prints what failed or was slow, and adds the counts.
run_ctest() {
  local preset=$1 result=0
  shift
  local junit=build/$preset/ctest.xml
  rm -rf "$junit" "build/$preset/gtest"
  # Tests wait half of their time: for other processes, for time-outs, for the disk.
  ctest --preset "$preset" --parallel "$((jobs * 2))" --output-junit "$PWD/$junit" "$@" 2>&1 |
    awk '/^ *Start +[0-9]+:/ { next } / Passed / { n++; if ($(NF - 1) < 2 && n % 50 != 0) next } { print; fflush() }' ||
    result=1
  add_counts "$junit" || result=1
  return "$result"
}

add_counts() {
  local counts
  counts=$(python3 - "$1" <<'PYTHON'
import pathlib, sys, xml.etree.ElementTree

junit = pathlib.Path(sys.argv[1])
suite = xml.etree.ElementTree.parse(junit).getroot()
total, failed, skipped, disabled = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped", "disabled"))
skipped += disabled
# A program with many cases is one test to ctest; which of them passed, it wrote down itself, unless it crashed.
for case in suite.iter("testcase"):
    cases = junit.parent / "gtest" / (case.get("name") + ".xml")
    if not cases.is_file():
        continue
    own = xml.etree.ElementTree.parse(cases).getroot()
    inside, failures, disabled = (int(own.get(key, 0)) for key in ("tests", "failures", "disabled"))
    unrun = disabled + len(own.findall(".//skipped"))
    crashed = case.get("status") == "fail" and failures == 0
    total += inside - 1 + crashed
    failed += failures + crashed - (case.get("status") == "fail")
    skipped += unrun
print(total - failed - skipped, failed, skipped)
PYTHON
  ) || return 1
  local now_passed now_failed now_skipped
  read -r now_passed now_failed now_skipped <<<"$counts"
  passed=$((passed + now_passed))
  failed=$((failed + now_failed))
  skipped=$((skipped + now_skipped))
}

# build_and_test PRESET CTEST-ARGUMENTS: a build that fails is one failed test.
build_and_test() {
  local preset=$1
  stage "$preset: build" build "$preset" || {
    failed=$((failed + 1))
    return 0
  }
  run_tests "$preset: test" "$@"
}

# run_tests NAME PRESET CTEST-ARGUMENTS: failures are counted one by one, a run that counts none as one.
run_tests() {
  local name=$1 before=$failed
  shift
  stage "$name" run_ctest "$@" || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
}

finish() {
  local summary="$passed passed, $failed failed"
  [ "$skipped" -eq 0 ] || summary+=", $skipped skipped"
  say "stages"
  printf '%s\n' "${stages[@]}"
  printf '%5d s  in all\n' "$SECONDS"
  if [ "$skipped" -gt 0 ] && [ "${CI:-}" = true ]; then
    say "CI=true: a skipped test is a failure"
    echo "$summary"
    exit 1
  fi
  echo "$summary"
  [ "$failed" -eq 0 ] || exit 1
}

if [ "$install" = yes ]; then
  stage "install" deploy/install-deps.sh || { failed=1; finish; }
fi
behaviour='unit|statistical|simulation|integration'
if [ "$quick" = yes ]; then
  build_and_test release --label-exclude '^lint$'
else
  build_and_test release
  # The fuzz preset is the asan preset with coverage feedback: one build serves the tests and the fuzzing.
  build_and_test fuzz --label-regex "$behaviour"
  # A search is given time and not work: two cores take eight of them in one turn.
  run_tests "fuzz: search" fuzz --label-regex '^fuzz$' --parallel "$((jobs * 4))"
  build_and_test tsan --label-regex "$behaviour"
fi
finish
