package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// script writes a chain whose clock the test sets.
type script struct {
	store.Store
	t   *testing.T
	now atomic.Int64 // in microseconds
}

func (j journal) script(t *testing.T, chain string, at time.Time) *script {
	t.Helper()
	s := &script{t: t}
	s.at(at)
	var err error
	s.Store, err = sqlite.Open(j.path, store.Options{Chain: chain, Now: func() time.Time { return time.UnixMicro(s.now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *script) at(at time.Time)       { s.now.Store(at.UnixMicro()) }
func (s *script) pass(d time.Duration)  { s.now.Add(d.Microseconds()) }
func (s *script) commit(c store.Commit) { s.t.Helper(); keep(s.t, s, c) }
func (s *script) close()                { s.t.Helper(); closeStore(s.t, s) }
func (s *script) open(f store.Facts) store.ID {
	s.t.Helper()
	id := store.NewID()
	s.commit(store.Commit{
		Exchange: id, Open: &store.Opening{Application: f.Application, Facility: f.Facility, Type: f.Type},
		Entries: []store.Entry{{Kind: store.Received, Facts: f}},
	})
	return id
}

// ask asks and, if took is not 0, answers.
func (s *script) ask(id store.ID, attempt int, operation string, took time.Duration) {
	s.t.Helper()
	s.commit(store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Asked, Facts: store.Facts{Attempt: attempt, Operation: operation}}}})
	if s.pass(took); took > 0 {
		s.commit(store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Answered, Facts: store.Facts{Attempt: attempt, TookMicros: took.Microseconds()}}}})
	}
}

func (s *script) reply(id store.ID, o store.Outcome, reason string) {
	s.t.Helper()
	s.commit(store.Commit{
		Exchange: id, Close: &store.Closing{Outcome: o},
		Entries: []store.Entry{{Kind: store.Replied, Facts: store.Facts{Outcome: o.String(), Reason: reason}}},
	})
}

func (s *script) finish(id store.ID, o store.Outcome) {
	s.t.Helper()
	s.commit(store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Finished, Facts: store.Facts{Outcome: o.String()}}}})
}

var pas, lab = store.Facts{Application: "PAS", Facility: "RXX", Type: "ADT^A28", ControlID: "P1"},
	store.Facts{Application: "LAB & <CO>", Type: "QBP^Q22", ControlID: "L1"}

// firstDay is the first of the days that the reports of the tests are about.
var firstDay = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)

// reportStore is a journal with something for every report, closed again: two days of one chain,
// and of another an exchange without any end.
func reportStore(t *testing.T) journal {
	t.Helper()
	j := newJournal(t)
	s := j.script(t, "days", firstDay)
	for n := range 10 {
		id := s.open(pas)
		s.ask(id, 1, "verifyNHSNumber", time.Duration(n+1)*10*time.Millisecond)
		s.reply(id, store.Verified, "")
	}
	id := s.open(lab)
	s.ask(id, 1, "getNHSNumber", 150*time.Millisecond)
	s.ask(id, 2, "getNHSNumberAndDetails", 250*time.Millisecond)
	s.reply(id, store.NoMatch, "")
	s.commit(store.Commit{Exchange: store.NewID(), Open: &store.Opening{}, Entries: []store.Entry{{Kind: store.Broken}}, Close: &store.Closing{Outcome: store.Unanswered}})
	pending := s.open(pas) // a question that nobody answered, and a trace that ended the next day
	s.ask(pending, 1, "verifyNHSNumber", 0)
	s.reply(pending, store.Pending, "")

	s.at(firstDay.AddDate(0, 0, 1))
	s.ask(pending, 2, "verifyNHSNumber", 40*time.Millisecond)
	s.finish(pending, store.Verified)
	for _, reason := range []string{"status", "status", "birth date"} {
		s.reply(s.open(pas), store.NotTraced, reason)
	}
	exchanged(t, s, "X1", store.Facts{Application: "OLD", Type: "ADT^A31", Outcome: store.NotTraced.String(), Reason: "status"})
	deferred := s.open(pas)
	s.reply(deferred, store.Deferred, "")
	s.close()

	other := j.script(t, "other", firstDay)
	cut := other.open(pas)
	other.ask(cut, 1, "getNHSNumber", 0)
	other.commit(store.Commit{Exchange: cut, Entries: []store.Entry{{Kind: store.Interrupted, Facts: store.Facts{Reason: "the service ended before it answered"}}}})
	taken := other.open(pas) // another instance answered it
	other.close()
	s = j.script(t, "days", firstDay.AddDate(0, 0, 2))
	s.reply(taken, store.NoMatch, "")
	s.close()
	return j
}

const twoDays = "--from 2026-06-01T00:00:00Z --until 2026-06-03T00:00:00Z"

// TestReports compares every report of a period with what a person has read, and looks at what is
// recorded of it.
func TestReports(t *testing.T) {
	for _, name := range []string{"volume", "latency", "untraced", "unfinished"} {
		for _, form := range []string{"", "csv", "json"} {
			t.Run(strings.TrimSpace(name+" "+form), func(t *testing.T) {
				j := reportStore(t)
				args := strings.Fields("audit report " + name + " --as governor " + twoDays)
				file := "report-" + name
				if form != "" {
					args, file = append(args, "--"+form), file+"-"+form
				}
				code, out, errs := runCommand(args...)
				if code != exitOK || errs != "" {
					t.Fatalf("exit code %d, stderr %q", code, errs)
				}
				golden(t, file+".golden", mask(out))
				looks := j.looks(t)
				if len(looks) != 1 || looks[0].User != "governor" || pairs(looks[0].Filters) != "from 2026-06-01T00:00:00Z, report "+name+", until 2026-06-03T00:00:00Z" {
					t.Errorf("recorded is %+v", looks)
				}
			})
		}
	}
}

// TestReportsOfNothing: a journal without messages in the time says so.
func TestReportsOfNothing(t *testing.T) {
	for name, says := range map[string]string{
		"volume": "No message came in this time.", "latency": "Nobody was asked in this time.",
		"untraced": "Every patient was traced.", "unfinished": "Everything has an end.",
	} {
		reportStore(t)
		chart := filepath.Join(t.TempDir(), "none.svg")
		code, out, errs := runCommand("audit", "report", name, "--from", "2026-05-01T00:00:00Z", "--until", "2026-05-02T00:00:00Z", "--chart", chart)
		if code != exitOK || !strings.HasPrefix(out, confidential) || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
		if picture, err := os.ReadFile(chart); err != nil || !strings.Contains(string(picture), "2026-05-01") {
			t.Errorf("%s: chart: %v", name, err)
		}
	}
}

// TestTAUD02f: a question without an answer that is older than the deadline is in the report, and
// a younger one is not.
func TestTAUD02f(t *testing.T) {
	j := newJournal(t)
	asked := time.Now().Add(-10 * time.Minute)
	s := j.script(t, "live", asked)
	id := s.open(pas)
	s.ask(id, 1, "verifyNHSNumber", 0)
	s.close()
	rows := func(deadline string) string {
		t.Helper()
		_, out, errs := runCommand("audit", "report", "unfinished", "--json", "--deadline", deadline)
		var what []string
		for _, line := range jsonLines(t, out) {
			if line["what"] != nil {
				what = append(what, fmt.Sprint(line["what"], " ", line["seq"], " ", line["exchange"]))
			}
		}
		return strings.Join(what, "\n") + errs
	}
	want := fmt.Sprintf("question without an answer live:2 %s\nmessage without an answer live:1 %s", id, id)
	if got := rows("5m"); got != want {
		t.Errorf("older than the deadline:\n%s\nwant\n%s", got, want)
	}
	if got := rows("15m"); got != "" {
		t.Errorf("younger than the deadline:\n%s", got)
	}
	s = j.script(t, "live", time.Now().Add(-time.Minute))
	s.commit(store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Answered, Facts: store.Facts{Attempt: 1}}}})
	s.reply(id, store.Verified, "")
	s.close()
	if got := rows("5m"); got != "" {
		t.Errorf("answered since:\n%s", got)
	}
}

func TestReportsUsage(t *testing.T) {
	newJournal(t)
	there := filepath.Join(t.TempDir(), "there.svg")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"volume --from tomorrow":                      "--from is not a time",
		"volume --until soon":                         "--until is not a time",
		"volume --from 2026-06-02 --until 2026-06-01": "--from is not before --until",
		"volume --from 2999-01-01":                    "--from is not before now",
		"quality --from 2999-01-01":                   "--from is not before now",
		"latency --since 24h":                         "flag provided but not defined: -since",
		"latency --chart picture.gif":                 "is no name of a chart; write FILE.svg or FILE.png",
		"latency --chart " + there:                    "--chart " + there + " is there already",
		"unfinished --deadline -1s":                   "--deadline must not be negative",
		"untraced --json --csv":                       "exclude each other",
	} {
		code, out, errs := runCommand(append([]string{"audit", "report"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, says) || out != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", args, code, out, errs, says)
		}
	}
}

// TestReportsSayWhatIsLeftOut: --most cuts, and says so.
func TestReportsSayWhatIsLeftOut(t *testing.T) {
	reportStore(t)
	_, out, _ := runCommand(strings.Fields("audit report volume --most 1 --json " + twoDays)...)
	lines := jsonLines(t, out)
	if end := lines[len(lines)-1]; len(lines) != 3 || end["complete"] != false {
		t.Errorf("reported:\n%s", out)
	}
}

// TestChartsTellNoPatient: title, units and legend are there; what a sender called itself can do no
// harm; nothing of a patient is.
func TestChartsTellNoPatient(t *testing.T) {
	for name, wants := range map[string][]string{
		"volume":     {"Messages answered, by sender, 2026-06-01 to 2026-06-02", "messages a day", "day (UTC)", ">PAS^RXX<", "LAB &amp; &lt;CO&gt;"},
		"latency":    {"Calls to the back end: time to the answer", "milliseconds", ">p50<", ">p99<"},
		"untraced":   {"ADT messages that were not traced, by reason", ">status<", ">birth date<"},
		"unfinished": {"Begun and without an end", "begun on a day", ">Question without an answer<"},
	} {
		reportStore(t)
		dir := t.TempDir()
		for _, file := range []string{"c.svg", "c.PNG"} {
			args := strings.Fields("audit report " + name + " " + twoDays + " --chart " + filepath.Join(dir, file))
			if code, _, errs := runCommand(args...); code != exitOK {
				t.Fatalf("%s: exit code %d, %s", name, code, errs)
			}
		}
		svg, err := os.ReadFile(filepath.Join(dir, "c.svg"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(svg), want) {
				t.Errorf("%s: %q is not in the chart", name, want)
			}
		}
		if strings.Contains(string(svg), "<CO>") || strings.Contains(string(svg), "999") && strings.Contains(string(svg), "9990000018") {
			t.Errorf("%s: the chart holds what it must not", name)
		}
		if png, err := os.ReadFile(filepath.Join(dir, "c.PNG")); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
			t.Errorf("%s: no PNG: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "c.svg")); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may read the chart: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestChartCountsWhatIsNotListed: --most is about the rows.
func TestChartCountsWhatIsNotListed(t *testing.T) {
	j := newJournal(t)
	s := j.script(t, "days", firstDay)
	for n := range 7 {
		s.open(pas)
		s.at(firstDay.AddDate(0, 0, n/2))
	}
	s.close()
	db := j.open(t, "reading")
	defer closeStore(t, db)
	p := period{firstDay, firstDay.AddDate(0, 0, 9)}
	for chart, want := range map[chartFile]float64{"c.svg": 7, "": 3} {
		r := reporting{listing: listing{most: 2}, period: p, chart: chart}
		rows, drawn, err := r.unfinished(t.Context(), db, p.until)
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows, %v; want 3", len(rows), err)
		}
		sum := 0.0
		for _, n := range drawn.lines["Message without an answer"] {
			sum += n
		}
		if sum != want {
			t.Errorf("chart %q counts %v, want %v", chart, sum, want)
		}
	}
}

// TestChartReplacesNothing: neither a file that is there, nor one that comes into being meanwhile.
func TestChartReplacesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.svg")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newChart("t", "u")
	c.period = period{firstDay, firstDay.AddDate(0, 0, 1)}
	if err := chartFile(file).write(c); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write() = %v", err)
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "mine" {
		t.Errorf("the file holds %q, %v", kept, err)
	}
}

// TestChartFolds what would be too many lines to tell apart.
func TestChartFolds(t *testing.T) {
	c := newChart("t", "u")
	for n := range 12 {
		c.add(fmt.Sprint("sender ", n), "2026-06-01", float64(n))
	}
	lines := c.fold()
	if len(lines) != mostLines || lines[othersGroup]["2026-06-01"] != 0+1+2+3+4 || lines["sender 11"]["2026-06-01"] != 11 {
		t.Errorf("lines %v", lines)
	}
}

// TestDurations: percentiles are right to one in a hundred, however many there are.
func TestDurations(t *testing.T) {
	var d durations
	for n := 1; n <= 10_000; n++ {
		d.add(time.Duration(n) * time.Millisecond)
	}
	for p, want := range map[int]time.Duration{50: 5 * time.Second, 90: 9 * time.Second, 99: 9900 * time.Millisecond} {
		if got := d.percentile(p); (got - want).Abs() > want/100+time.Millisecond {
			t.Errorf("p%d is %s, want %s", p, got, want)
		}
	}
	if d.max != 10*time.Second || d.percentile(100) != 10*time.Second {
		t.Errorf("max is %s", d.max)
	}
	if len(d.steps) > 1000 {
		t.Errorf("%d steps are kept", len(d.steps))
	}
	var none durations
	if none.percentile(50) != 0 {
		t.Error("nothing took some time")
	}
}

// TestStoriesAreFoundAgain: whether a message's beginning is remembered, or has to be read again,
// makes no difference.
func TestStoriesAreFoundAgain(t *testing.T) {
	j := reportStore(t)
	db := j.open(t, "reading")
	defer closeStore(t, db)
	told := func(p period) string {
		var rows []string
		s := &stories{db: db}
		err := s.each(t.Context(), p, func(e store.Event, f store.Facts, m gist) {
			if e.Kind == store.Finished {
				text, err := json.Marshal([]string{m.sender, m.kind, m.operation, f.Outcome})
				if err != nil {
					t.Error(err)
				}
				rows = append(rows, string(text))
			}
		})
		if err != nil {
			t.Error(err)
		}
		return strings.Join(rows, "\n")
	}
	whole := told(period{firstDay, firstDay.AddDate(0, 0, 2)})
	second := told(period{firstDay.AddDate(0, 0, 1), firstDay.AddDate(0, 0, 2)})
	if whole != `["PAS^RXX","ADT^A28","verifyNHSNumber","verified"]` || second != whole {
		t.Errorf("told %s, and from its second day on %s", whole, second)
	}
}
