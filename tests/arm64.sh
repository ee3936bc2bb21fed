#!/usr/bin/env bash
# Builds the agent for arm64 on another machine, and tests what it is made of under an emulator.
# Usage: tests/arm64.sh [--no-install]
#   --no-install   what deploy/install-deps.sh --arm64 brings is known to be there
# Where build/release has a server, the emulated agent also joins it, trains, and fetches a model.
# Environment: TACIT_JOBS (default 2). Not a part of tests/run.sh: it compiles the agent a second time.
set -euo pipefail
cd "$(dirname "$0")/.."

install=yes
for argument in "$@"; do
  case "$argument" in
    --no-install) install=no ;;
    -h|--help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "arm64.sh: unknown option '$argument'; try --help" >&2; exit 2 ;;
  esac
done

export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# Sandboxes and protected memory are not here: an emulator of processes has neither seccomp nor Landlock, nor a way for
# an agent to start itself again, as a worker.
tests=(inference_test differentiate_test graph_test detect_test detect_statistical_test model_test bundle_test
  crypto_test serving_test worker_test agent_training_test)
build=build/arm64

[ "$install" = no ] || deploy/install-deps.sh --arm64
cmake --preset arm64 > /dev/null
cmake --build --preset arm64 --parallel "${TACIT_JOBS:-2}" --target tacit-agent "${tests[@]}"
# A target that was not built is a test of its own, without a label.
ctest --preset arm64 --parallel "${TACIT_JOBS:-2}" --label-regex 'unit|statistical'

agent=$build/bin/tacit-agent
llvm-strip-19 -o "$build/stripped" "$agent"
printf '%s: %s, %s bytes stripped\n' "$agent" "$(qemu-aarch64-static -L build/arm64-root "$agent" --version)" \
  "$(stat -c %s "$build/stripped")"
if [ -x build/release/bin/tacitd ]; then
  TACIT_BIN=$PWD/build/release/bin TACIT_PROTO=$PWD/build/release/tests/integration/python \
    TACIT_ARM64_AGENT=$PWD/$agent TACIT_ARM64_ROOT=$PWD/build/arm64-root PYTHONDONTWRITEBYTECODE=1 \
    /usr/bin/python3 tests/integration/test_arm64.py -v
else
  echo "arm64.sh: no server in build/release, so the agent was not run beside one"
fi
