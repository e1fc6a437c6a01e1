#!/usr/bin/env bash
# Finds the programs that the tests need beside Go, and installs the missing:
#   a C compiler         for the race detector
#   xmllint              to validate the SOAP we send against the published schemas
#   PostgreSQL's server  13 or later; the tests start their own, see internal/pgtest
# Installs with apt-get when root, or by sudo when that asks nothing. Elsewhere
# it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

# cc: the compiler go would use, and the headers cgo needs.
have_cc() {
	local cc
	read -ra cc <<<"$(go env CC)"
	echo '#include <stdlib.h>' | "${cc[@]}" -x c -c -o /dev/null - 2>/dev/null
}

have_xmllint() { command -v xmllint >/dev/null; }

# postgres: asked of the code that will look for it, so that there is one
# list of places.
have_postgres() {
	local said
	said=$(CGO_ENABLED=0 go test -count=1 -run '^TestPrograms$' ./internal/pgtest 2>&1) && return
	case $said in
	*'no server programs'*) ;;
	*) echo "$said" >&2 ;;
	esac
	return 1
}

missing() {
	local tool
	for tool in cc xmllint postgres; do
		"have_$tool" || echo "$tool"
	done
}

packages() { # packages MANAGER TOOL...
	local manager=$1 tool
	shift
	for tool; do
		case "$manager $tool" in
		'apt cc') echo gcc libc6-dev ;;
		'apt xmllint') echo libxml2-utils ;;
		'apt postgres') echo postgresql ;;
		'dnf cc') echo gcc glibc-devel ;;
		'dnf postgres') echo postgresql-server ;;
		'brew cc') echo gcc ;;
		'brew postgres') echo postgresql ;;
		*) echo libxml2 ;;
		esac
	done | tr '\n' ' '
}

give_up() { # give_up TOOL...
	echo "The tests need what this machine lacks: $*. Install it and try again:"
	echo "  Debian, Ubuntu:  apt-get install $(packages apt "$@")"
	echo "  Fedora, RHEL:    dnf install $(packages dnf "$@")"
	echo "  macOS:           brew install $(packages brew "$@")"
	exit 1
} >&2

root() { # root COMMAND...: as root, or not at all
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_install() { command -v apt-get >/dev/null && root true 2>/dev/null; }

apt() {
	root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Tools and packages are plain words: these are split on purpose.
lacking=$(missing)
[ -n "$lacking" ] || exit 0
can_install || give_up $lacking

echo "Installing for the tests: $(packages apt $lacking)"
apt update
apt install --no-install-recommends $(packages apt $lacking)

lacking=$(missing)
[ -z "$lacking" ] || give_up $lacking
