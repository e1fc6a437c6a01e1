package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json, as in "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string // empty for what concerns the package
	Output  string
}

// report turns events into text. A test's output is held back until its
// verdict: only that of failed tests is shown.
type report struct {
	w                       io.Writer
	held                    map[[2]string]*bytes.Buffer // by package and test
	skips, fails            []string
	passed, failed, skipped int
}

func newReport(w io.Writer) *report {
	return &report{w: w, held: make(map[[2]string]*bytes.Buffer)}
}

// read consumes events to their end. Lines that are no events are shown as
// they are.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		r.show(line)
		return
	}
	switch {
	case e.Action == "build-output":
		r.show([]byte(e.Output))
	case e.Action == "output":
		r.hold(e)
	case e.Test == "":
		r.endPackage(e)
	default:
		r.endTest(e)
	}
}

func (r *report) hold(e event) {
	// Which test speaks next is of use only beside all the others.
	if strings.HasPrefix(e.Output, "=== ") {
		return
	}
	key := [2]string{e.Package, e.Test}
	if r.held[key] == nil {
		r.held[key] = new(bytes.Buffer)
	}
	r.held[key].WriteString(e.Output)
}

// release forgets and returns what a test or package has said.
func (r *report) release(pkg, test string) []byte {
	key := [2]string{pkg, test}
	b := r.held[key]
	delete(r.held, key)
	if b == nil {
		return nil
	}
	return b.Bytes()
}

func (r *report) endTest(e event) {
	switch e.Action {
	case "pass":
		r.passed++
		r.release(e.Package, e.Test)
	case "skip":
		r.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, trimmed(r.release(e.Package, e.Test))))
	case "fail":
		r.failed++
		said := r.release(e.Package, e.Test)
		r.fails = append(r.fails, fmt.Sprintf("%s %s", e.Package, e.Test))
		r.fails = append(r.fails, complaints(said)...)
		r.show(said)
	}
}

// endPackage shows the package's own line, and all it said if it failed: also
// what tests said that a panic or a timeout kept from a verdict.
func (r *report) endPackage(e event) {
	switch e.Action {
	case "pass", "skip":
		r.show(lastLine(r.release(e.Package, "")))
	case "fail":
		for _, test := range r.undecided(e.Package) {
			r.show(r.release(e.Package, test))
		}
	}
}

// undecided returns the tests of pkg whose output is still held, in order of
// name, the package's own output ("") last.
func (r *report) undecided(pkg string) []string {
	var tests []string
	for key := range r.held {
		if key[0] == pkg && key[1] != "" {
			tests = append(tests, key[1])
		}
	}
	slices.Sort(tests)
	return append(tests, "")
}

func (r *report) summary() {
	if len(r.fails) > 0 {
		fmt.Fprintf(r.w, "\nFailed:\n  %s\n", strings.Join(r.fails, "\n  "))
	}
	if len(r.skips) > 0 {
		fmt.Fprintf(r.w, "\nSkipped:\n  %s\n", strings.Join(r.skips, "\n  "))
	}
	fmt.Fprintf(r.w, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

const (
	mostComplaints   = 20  // of one test, repeated in the summary
	longestComplaint = 400 // bytes
)

// fromTest is a line that a test itself said, with its place.
var fromTest = regexp.MustCompile(`^ +\w+_test\.go:\d+: `)

// complaints returns the first lines that a failed test said itself, without what servers logged
// beside it, which may be a thousand times as much.
func complaints(said []byte) (lines []string) {
	for line := range bytes.Lines(said) {
		if fromTest.Match(line) && len(lines) < mostComplaints {
			line = bytes.TrimSpace(line)
			lines = append(lines, "  "+string(line[:min(len(line), longestComplaint)]))
		}
	}
	return lines
}

// show writes to the terminal, whose errors nobody could be told of.
func (r *report) show(b []byte) { _, _ = r.w.Write(b) }

func lastLine(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	return append(b, '\n')
}
