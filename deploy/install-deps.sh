#!/usr/bin/env bash
# Installs what Tacit is built, tested and run with: Debian 12 packages only.
# Usage: deploy/install-deps.sh [--build-only] [--arm64]
#   --build-only   leave out what only the tests and checks need
#   --arm64        also what builds agents for arm64, and runs them: an emulator, and libraries beside this checkout,
#                  in build/arm64-root, which deploy/arm64-root.sh unpacks
# Runs as root, or as a user with sudo. Safe to run again: it asks apt only for what is missing. On a bare Debian 12
# that is 2.6 GiB installed, 520 MiB of it to download; with --build-only 860 MiB and 155 MiB.
# The tests use the programs of the package 'prometheus', which also brings a service. Where the package is new, the
# service is masked before it comes, so that systemd does not start it, now or later: 'systemctl unmask prometheus'
# undoes that.
set -euo pipefail

build_packages=(
  ca-certificates ccache clang-19 cmake git libboost1.81-dev libclang-rt-19-dev libcli11-dev
  libcurl4-openssl-dev libeigen3-dev libp11-kit-dev libprotobuf-dev libsqlite3-dev libssl-dev libtomlplusplus-dev
  libtss2-dev libxxhash-dev libzstd-dev lld-19 llvm-19 ninja-build nlohmann-json3-dev pkg-config prometheus-cpp-dev
  protobuf-compiler zlib1g-dev
)
run_packages=(curl jq openssl procps)
test_packages=(
  chromium-headless-shell clang-format-19 clang-tidy-19 esbuild faketime fish fonts-dejavu-core libgmock-dev
  libgtest-dev node-typescript prometheus python3 python3-cryptography python3-jsonschema python3-numpy python3-onnx
  python3-protobuf python3-torch python3-xxhash softhsm2 sqlite3 swtpm tpm2-tools zsh
)
arm64_packages=(qemu-user-static)

build_only=no
arm64=no
for argument in "$@"; do
  case "$argument" in
    --build-only) build_only=yes ;;
    --arm64) arm64=yes ;;
    -h|--help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install-deps: unknown option '$argument'; try --help" >&2; exit 2 ;;
  esac
done

wanted=("${build_packages[@]}" "${run_packages[@]}")
[ "$build_only" = yes ] || wanted+=("${test_packages[@]}")
[ "$arm64" = no ] || wanted+=("${arm64_packages[@]}")

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  case "$state" in ii*) ;; *) missing+=("$package") ;; esac
done
lay_out_arm64() {
  [ "$arm64" = no ] || "$(dirname "$0")/arm64-root.sh"
}
if [ "${#missing[@]}" -eq 0 ]; then
  lay_out_arm64
  echo "install-deps: everything is there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install-deps: not root and no sudo; run this script as root, or install: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

echo "install-deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
# What 'systemctl mask' writes, also where systemd does not run yet. Installing respects it, and what an administrator
# has put there for a service of his own is left alone.
unit=/etc/systemd/system/prometheus.service
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ ! -e "$unit" ] && [ ! -L "$unit" ]; then
  "${as_root[@]}" mkdir -p /etc/systemd/system
  "${as_root[@]}" ln -s /dev/null "$unit"
fi
# A machine of continuous integration is thrown away: nothing on it has to outlive a power cut.
dpkg_options=()
[ "${CI:-}" != true ] || dpkg_options=(-o Dpkg::Options::=--force-unsafe-io)
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${dpkg_options[@]}" \
  "${missing[@]}"
lay_out_arm64
