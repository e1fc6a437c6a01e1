package main

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"
	"time"
)

// TestEscapedIsEqual: what is escaped is the same JSON, and ASCII where a terminal would obey it.
func TestEscapedIsEqual(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                 `"plain"`,
		"é & <ü> 漢字":            `"é & <ü> 漢字"`,
		"\u009b2J":              `"\u009b2J"`,
		"a\x7fb":                `"a\u007fb"`,
		"\u202eabc":             `"\u202eabc"`,
		"\U000e0041":            `"\udb40\udc41"`,
		"\x1b[2J\u00a0\u2028\\": `"\u001b[2J\u00a0\u2028\\"`,
		"\U0001f600":            `"😀"`,
	} {
		var out strings.Builder
		if err := encodeJSON(&out, text); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != text || out.String() != want+"\n" {
			t.Errorf("encodeJSON(%q) = %s, which is %q, %v; want %s", text, out.String(), back, err, want)
		}
	}
	if got := string(escaped([]byte("\"a\x9bb\""))); got != `"a\ufffdb"` {
		t.Errorf("a byte that is no UTF-8 becomes %q", got)
	}
}

// TestPeriodFlags: every command reads times in the same way, a date in the zone of the machine.
func TestPeriodFlags(t *testing.T) {
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 20, 12, 0, 0, 0, london)
	for args, want := range map[string]string{
		"":                                     "from 2026-06-13T11:00:00Z to 2026-06-20T11:00:00Z",
		"--from 2026-06-01 --until 2026-06-02": "from 2026-05-31T23:00:00Z to 2026-06-02T23:00:00Z",
		"--from 24h --until 2026-06-20":        "from 2026-06-19T11:00:00Z to 2026-06-20T11:00:00Z",
		"--from 2026-06-01T00:00:00Z":          "from 2026-06-01T00:00:00Z to 2026-06-20T11:00:00Z",
		"--from 1h --until 2h":                 "--from is not before --until",
		"--from 2026-06-21":                    "--from is not before now",
		"--from yesterday":                     "--from " + errWhen.Error(),
		"--until 2026-02-30":                   "--until " + errWhen.Error(),
	} {
		var given periodFlags
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		given.flags(fs, now, "168h", "what happened")
		got := ""
		if err := parse(fs, console{}, strings.Fields(args), 0); err != nil {
			got = err.Error()
		} else if p, err := given.untilNow(); err != nil {
			got = err.Error()
		} else {
			got = p.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// TestTimesAreOneKind: whatever shows a time of the journal takes --from and --until, and nothing takes
// --since.
func TestTimesAreOneKind(t *testing.T) {
	for _, command := range []string{
		"find", "export", "report volume", "report latency", "report untraced", "report unfinished", "report quality",
	} {
		_, out, _ := runCommand(strings.Fields("audit " + command + " -h")...)
		for _, want := range []string{"\n  --from time\n", "\n  --until time\n", "in the time zone of this machine", "a date includes its day. Default now"} {
			if !strings.Contains(out, want) {
				t.Errorf("audit %s -h has no %q:\n%s", command, want, out)
			}
		}
		if strings.Contains(out, "since") {
			t.Errorf("audit %s -h tells of --since:\n%s", command, out)
		}
	}
}
