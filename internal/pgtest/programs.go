package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// MinVersion is the oldest major version of PostgreSQL that a server is
// started from.
const MinVersion = 13

// programsEnv names the folder to use in place of what [Programs] would find.
const programsEnv = "SPINETRACE_TEST_PG_BIN"

// ErrNoPrograms reports that the machine has no server programs of
// [MinVersion] or later.
var ErrNoPrograms = errors.New("no server programs (initdb, postgres) of PostgreSQL " +
	strconv.Itoa(MinVersion) + " or later: `make test` installs them, " +
	programsEnv + " names their folder if they are in an unusual one")

// folders are where packages put the programs, outside PATH: Debian and
// Ubuntu, the PostgreSQL project's own RPMs, Homebrew on ARM and on Intel,
// Postgres.app, the EDB installer on Windows.
var folders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	`C:\Program Files\PostgreSQL\*\bin`,
}

// Programs returns the folder that holds initdb and postgres: the one named
// by SPINETRACE_TEST_PG_BIN if that is set, else the one in PATH, else the
// newest of those where packages put them. The error wraps [ErrNoPrograms].
func Programs() (dir string, err error) {
	if dir := os.Getenv(programsEnv); dir != "" {
		return firstUsable([]string{dir})
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if dir, err := firstUsable([]string{filepath.Dir(initdb)}); err == nil {
			return dir, nil
		}
	}
	return firstUsable(newestFirst(installed()))
}

func installed() []string {
	var dirs []string
	for _, pattern := range folders {
		found, _ := filepath.Glob(pattern) // fails only on a bad pattern
		dirs = append(dirs, found...)
	}
	return dirs
}

func newestFirst(dirs []string) []string {
	slices.SortStableFunc(dirs, func(a, b string) int {
		va, _ := version(a)
		vb, _ := version(b)
		return cmp.Compare(vb, va)
	})
	return dirs
}

func firstUsable(dirs []string) (string, error) {
	for _, dir := range dirs {
		if v, err := version(dir); err == nil && v >= MinVersion {
			return dir, nil
		}
	}
	return "", fmt.Errorf("pgtest: %w", ErrNoPrograms)
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version asks both programs, as an installation of the client alone may hold
// neither, and a broken one only the first.
func version(dir string) (int, error) {
	v := 0
	for _, name := range []string{"initdb", "postgres"} {
		out, err := exec.Command(filepath.Join(dir, name), "--version").Output()
		if err != nil {
			return 0, fmt.Errorf("pgtest: %s --version: %w", name, err)
		}
		m := versionLine.FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("pgtest: %s --version: %w", name, errors.ErrUnsupported)
		}
		if v, err = strconv.Atoi(string(m[1])); err != nil {
			return 0, fmt.Errorf("pgtest: %s --version: %w", name, err)
		}
	}
	return v, nil
}
