#!/usr/bin/env bash
# Runs every fuzz target for a while: scripts/fuzz.sh TIME PACKAGE...
# go test fuzzes one target at a time, so this lists them.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() { # fuzz PACKAGE TARGET
	echo "== $1 $2"
	go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" 2>&1 | tee "$log" && return
	# Before Go 1.27 the end of -fuzztime can itself be reported as a failure
	# (go.dev/issue/75804). A finding always says where its input was written.
	grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"
}

found=0
packages=$(go list "$@")
for package in $packages; do
	# Apart from the loop, so that a package that does not compile ends this.
	listed=$(go test -list '^Fuzz' "$package")
	for target in $(sed -n '/^Fuzz/p' <<<"$listed"); do
		found=1
		fuzz "$package" "$target"
	done
done
[ $found = 1 ] || { echo "no fuzz target in $*" >&2; exit 1; }
