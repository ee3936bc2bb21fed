#!/usr/bin/env bash
# Lays out what an agent for arm64 is linked with: Debian's packages of that architecture, unpacked into a directory.
# Usage: deploy/arm64-root.sh [DIRECTORY]     DIRECTORY: build/arm64-root in this checkout, where preset 'arm64' looks
# Nothing is installed and it need not be root: apt keeps lists of its own for this, and the machine's dpkg hears of no
# second architecture. 51 MB to download, 370 MB unpacked. Safe to run again: it does nothing where the
# directory is whole; remove it for newer packages.
set -euo pipefail

packages=(
  libboost1.81-dev libc6-dev libcli11-dev libeigen3-dev libgmock-dev libgtest-dev libp11-kit-dev libprotobuf-dev
  libssl-dev libstdc++-12-dev libtomlplusplus-dev libtss2-dev libxxhash-dev libzstd-dev nlohmann-json3-dev zlib1g-dev
)

case "${1:-}" in
  -h|--help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "arm64-root: unknown option '$1'; try --help" >&2; exit 2 ;;
esac
root=${1:-$(dirname "$(realpath "$0")")/../build/arm64-root}
mkdir -p "$(dirname "$root")"
root=$(realpath "$root")
if [ -e "$root/.whole" ]; then
  echo "arm64-root: everything is in $root"
  exit 0
fi

rm -rf "$root" "$root.apt"
apt="$root.apt"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$root/usr/lib"
: > "$apt/status"
# For this apt the machine is an arm64 one, on which nothing is installed.
options=(
  -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=
  -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status"
  -o Dir::Cache="$apt/cache" -q
)
apt-get "${options[@]}" update
apt-get "${options[@]}" install -y --download-only --no-install-recommends "${packages[@]}"

# As a merged /usr is: packages still have files in /lib.
ln -s usr/lib "$root/lib"
for package in "$apt"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar -x -C "$root" --keep-directory-symlink --exclude='./usr/share/doc*' --exclude='./usr/share/man*' \
      --exclude='./usr/share/locale*' --exclude='./usr/src/*' --exclude='./etc/*'
done
# What is meant to be looked up from / would be found, or not, on this machine.
find "$root" -type l -lname '/*' | while read -r link; do
  ln -snfr "$root$(readlink "$link")" "$link"
done
rm -rf "$apt"
touch "$root/.whole"
echo "arm64-root: unpacked into $root"
