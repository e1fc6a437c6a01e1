#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh TIME PACKAGE...
# go test fuzzes one target at a time, so this lists them.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
found=0
for package in $(go list "$@"); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		found=1
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
[ $found = 1 ] || { echo "no fuzz target in $*" >&2; exit 1; }
