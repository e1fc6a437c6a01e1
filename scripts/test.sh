#!/usr/bin/env bash
# Runs all tests with the race detector. Arguments go to go test in place of
# the packages, as in: scripts/test.sh -run Frame ./mllp
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh

# The tests of conformance read the published schemas and sample messages,
# which are not ours to copy. Without them they say that they skip.
if [ -z "${SPINETRACE_SPEC_DIR:-}" ] && [ -d ../shared/spec ]; then
	SPINETRACE_SPEC_DIR=$(cd ../shared/spec && pwd)
	export SPINETRACE_SPEC_DIR
fi

packages=(./...)
# ./... passes over testdata, where the tests of the samples are.
if find testdata -name '*_test.go' 2>/dev/null | grep -q .; then
	packages+=(./testdata/...)
fi
[ $# = 0 ] || packages=("$@")

# The tests of the whole service take minutes on a slow machine.
exec go run ./scripts/gotest -race -timeout 30m "${packages[@]}"
