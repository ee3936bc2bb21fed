#!/usr/bin/env bash
# Bundles the dashboard of src/ into files that are committed, embedded in tacitd and served as they are.
# Usage: server/dashboard/build.sh [OUTPUT_DIRECTORY]     (default: built/ beside this script)
# The same sources give the same bytes: esbuild 0.17 of Debian 12, names by content, gzip without name and time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/built}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$here"

bundle() { esbuild "src/$1" --bundle --minify --charset=utf8 --log-level=warning "--outfile=$scratch/$2" "${@:3}"; }
bundle main.ts dashboard.js --format=esm --target=es2022
bundle dashboard.css dashboard.css --target=chrome123

rm -rf "$out"
mkdir -p "$out"
pack() { gzip -n -9 <"$1" >"$out/$2.gz"; printf '%s %s %s\n' "$3" "$2.gz" "$4" >>"$out/files.txt"; }

# A name stands for its bytes for ever, so that browsers need not ask again.
declare -A path
for kind in js css; do
  hash=$(sha256sum "$scratch/dashboard.$kind" | cut -c1-12)
  path[$kind]=/assets/dashboard.$hash.$kind
done
sed -e "s|@STYLE@|${path[css]}|" -e "s|@SCRIPT@|${path[js]}|" src/index.html >"$scratch/index.html"
pack "$scratch/index.html" index.html / 'text/html; charset=utf-8'
pack "$scratch/dashboard.js" dashboard.js "${path[js]}" 'text/javascript; charset=utf-8'
pack "$scratch/dashboard.css" dashboard.css "${path[css]}" 'text/css; charset=utf-8'
