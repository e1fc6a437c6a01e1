package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"spinetrace/store"
)

// onTerminal runs a command whose standard output is a terminal, and returns what that gets.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		_, _ = all.ReadFrom(master) // EIO says that the other side is closed
		shown <- all.String()
	}()
	var errs bytes.Buffer
	code := run(t.Context(), args, console{Out: terminal, Err: &errs})
	if err := terminal.Close(); err != nil {
		t.Error(err)
	}
	out := <-shown
	if code != exitOK {
		t.Errorf("%q: exit code %d, %s", args, code, errs.String())
	}
	return out
}

// obeyed returns what a terminal would obey, or not show, in an output.
func obeyed(out string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, out)
}

// nasty is a name by which a sender tries to write to the auditor's terminal: ESC, CSI as one
// character, DEL, a mark of direction, one beyond the first plane.
const nasty = "PAS\x1b[2J\u009b2J\x7f\u202e\U000e0041"

// TestTerminalsAreSpared: of what a sender wrote nothing reaches a terminal that it would obey, in any
// form; a file keeps every value.
func TestTerminalsAreSpared(t *testing.T) {
	j := emptyJournal(t)
	db := j.open(t, "main")
	exchangedFrame(t, db, "MSH|^~\\&|"+nasty+"\r", store.Facts{ControlID: "C1", Application: nasty, LocalID: nasty, Type: "ADT^A28", Outcome: "not traced", Reason: nasty})
	into, away := store.PatientKey{LocalID: "MNEW"}, store.PatientKey{LocalID: nasty}
	keep(t, db, store.Commit{Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Finished}}, Patients: []store.Patient{
		{Key: away, Moved: store.Moved{At: time.Now(), Exchange: store.NewID(), Into: into}},
	}})
	closeStore(t, db)
	if _, out, _ := runCommand("audit", "find", "--local-id", "MNEW"); !strings.Contains(out, "was merged into the other") {
		t.Fatalf("nothing is said of a merge: %q", out)
	}
	for _, command := range []string{
		"find --local-id MNEW", "find --local-id MNEW --csv", "find --local-id MNEW --json", "report looks --local-id MNEW",
		"find", "find --csv", "find --json", "show C1", "show C1 --csv", "show C1 --json", "show C1 --bodies", "export --format csv", "export --format fhir",
		"report volume", "report volume --csv", "report volume --json", "report quality", "report quality --csv", "report quality --json",
		"verify", "verify --json", "head", "head --json",
	} {
		out := onTerminal(t, strings.Fields("audit "+command)...)
		if got := obeyed(out); got != "" {
			t.Errorf("%s: the terminal gets %q", command, got)
		}
	}
	if out := export(t, "--format", "csv"); columnOf(t, out, "application")[0] != nasty {
		t.Errorf("a file has another value: %q", out)
	}
	_, out, _ := runCommand("audit", "show", "C1", "--csv")
	if !strings.Contains(out, nasty) {
		t.Errorf("a file has another value: %q", out)
	}
}

// TestForgedChainName: the name of a chain is data of the database like any other.
func TestForgedChainName(t *testing.T) {
	j := newJournal(t)
	j.tamper(t, "drop trigger chain_update", `update chain set name = 'm' || char(155) || '2J' where name = 'main'`)
	if out := onTerminal(t, "audit", "head"); obeyed(out) != "" || !strings.Contains(out, "m?2J:7:") {
		t.Errorf("audit head prints %q", out)
	}
	for _, args := range []string{"verify", "verify --json"} {
		_, out, _ := runCommand(strings.Fields("audit " + args)...)
		if obeyed(out) != "" || !strings.Contains(out, "chain differs from the document") {
			t.Errorf("audit %s prints %q", args, out)
		}
	}
	_, out, _ := runCommand("audit", "show", soleID)
	if obeyed(out) != "" || !strings.Contains(out, "m?2J:2  ") {
		t.Errorf("audit show prints %q", out)
	}
}
