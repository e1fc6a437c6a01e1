#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh TIME PACKAGE...
# go test fuzzes one target at a time, so this lists them.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
found=0
packages=$(go list "$@")
for package in $packages; do
	# Apart from the loop, so that a package that does not compile ends this.
	listed=$(go test -list '^Fuzz' "$package")
	for target in $(sed -n '/^Fuzz/p' <<<"$listed"); do
		found=1
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
[ $found = 1 ] || { echo "no fuzz target in $*" >&2; exit 1; }
