package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker in release builds: -ldflags "-X main.version=... -X main.commit=...".
var version, commit string

// build is what is known of this binary.
type build struct {
	Version string // "devel" outside releases
	Commit  string // "unknown" when nobody told; "+dirty" is appended for uncommitted changes
}

// thisBuild asks the linker's values first, then what the go command recorded.
func thisBuild() build {
	b := build{Version: version, Commit: commit}
	if info, ok := debug.ReadBuildInfo(); ok && b.Commit == "" {
		b.Commit = revision(info)
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

// String is how the journal names a build.
func (b build) String() string { return b.Version + " " + b.Commit }

func revision(info *debug.BuildInfo) string {
	var rev, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if rev == "" {
		return ""
	}
	return rev[:min(12, len(rev))] + dirty
}

func printVersion(_ context.Context, c console, args []string) error {
	if err := parse(newFlags("version", "version"), c, args, 0); err != nil {
		return err
	}
	b := thisBuild()
	_, err := fmt.Fprintf(c.Out, "spinetrace %s, commit %s, %s %s/%s\n",
		b.Version, b.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
