package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// measuring is what measure was asked for.
type measuring struct {
	dsn, program string
	runs         int
	verify       bool
	bodies       bool
	seed         uint64
	out          io.Writer
}

// measure runs the program as a user would, one process for each question, and prints how long that took.
func measure(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	m := measuring{out: stdout}
	fs := flag.NewFlagSet("journal measure", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&m.dsn, "store", "", "`postgres://…` that fill has filled")
	fs.StringVar(&m.program, "program", "bin/spinetrace", "`file` of the program")
	fs.IntVar(&m.runs, "runs", 100, "`number` of questions of each kind")
	fs.BoolVar(&m.verify, "verify", true, "verify the journal, too")
	fs.BoolVar(&m.bodies, "bodies", true, "verify it with its bodies as well, which were kept")
	fs.Uint64Var(&m.seed, "seed", 1, "another `number` asks about others")
	if err := parse(fs, args, func() bool { return m.dsn != "" && m.runs > 0 }); err != nil {
		return err
	}
	if err := m.machine(ctx); err != nil {
		return err
	}
	drawn, err := m.sample(ctx)
	if err != nil {
		return err
	}
	if err := m.find(ctx, drawn); err != nil || !m.verify {
		return err
	}
	if err := m.walk(ctx); err != nil || !m.bodies {
		return err
	}
	return m.walk(ctx, "--bodies")
}

// machine prints what the figures depend on, and how busy it is.
func (m *measuring) machine(ctx context.Context) error {
	return database(m.dsn, func(db *sql.DB) error {
		const q = `select current_setting('server_version'), current_setting('fsync'), current_setting('shared_buffers'),
			(select count(*) from pg_inherits where inhparent = 'event'::regclass)`
		var version, fsync, buffers string
		var months int
		if err := db.QueryRowContext(ctx, q).Scan(&version, &fsync, &buffers, &months); err != nil {
			return err
		}
		load, err := os.ReadFile("/proc/loadavg")
		if err != nil {
			load = []byte("unknown") // it is not Linux
		}
		fmt.Fprintf(m.out, "%d cores, PostgreSQL %s, fsync %s, shared_buffers %s, %d partitions; load %s\n",
			runtime.NumCPU(), version, fsync, buffers, months, strings.TrimSpace(string(load)))
		return nil
	})
}

// question is a kind of find: what is asked about an exchange, nil if it cannot be asked so.
type question struct {
	name string
	args func(sample) []string
}

// sample is an exchange of the journal, and an id of one of its calls, "" if it has none.
type sample struct {
	store.Exchange
	message string
}

var questions = []question{
	{"NHS number", func(s sample) []string { return with(s.NHSNumber, "--nhs-number") }},
	{"NHS number, exact", func(s sample) []string { return with(s.NHSNumber, "--exact", "--nhs-number") }},
	{"local id", func(s sample) []string { return with(s.LocalID, "--local-id") }},
	{"control id", func(s sample) []string { return with(s.ControlID, "--control-id") }},
	{"message id", func(s sample) []string { return with(s.message, "--message-id") }},
	{"user", func(s sample) []string { return with(s.User, "--user") }},
	{"sender and day", func(s sample) []string { return append(s.day(), "--sender", s.Application+"^"+s.Facility) }},
	{"outcome and day", func(s sample) []string { return append(s.day(), "--outcome", s.Outcome.String()) }},
	{"day", func(s sample) []string { return s.day() }},
	{"place", func(s sample) []string { return []string{"--chain", s.Chain, "--seq", fmt.Sprint(s.Seq)} }},
}

// with asks for a value, if there is one.
func with(value string, flags ...string) []string {
	if value == "" {
		return nil
	}
	return append(flags, value)
}

func (s sample) day() []string {
	day := s.At.Format(time.DateOnly)
	return []string{"--from", day, "--until", day}
}

// samples is how many exchanges are drawn for each run of a question, of which only some can be
// asked about by it.
const samples = 8

// sample draws exchanges from all of the journal.
func (m *measuring) sample(ctx context.Context) (drawn []sample, err error) {
	db, err := postgres.Open(m.dsn, store.Options{Chain: "measure"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Start(ctx); err != nil {
		return nil, err
	}
	from, until, err := extent(ctx, db)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(m.seed, 0))
	for range samples * m.runs {
		at := from.Add(time.Duration(random.Int64N(int64(until.Sub(from)))))
		found, err := db.Search(ctx, store.Search{From: at.AddDate(0, 0, -50), Until: at, Limit: 20})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		s := sample{Exchange: found[random.IntN(len(found))]}
		if s.message, err = callOf(ctx, db, s.Exchange); err != nil {
			return nil, err
		}
		drawn = append(drawn, s)
	}
	return drawn, nil
}

// extent is the time of the main chain.
func extent(ctx context.Context, db store.Audit) (from, until time.Time, err error) {
	heads, err := db.Heads(ctx)
	if err != nil {
		return from, until, err
	}
	for _, h := range heads {
		if h.Chain != "main" {
			continue
		}
		for e, err := range db.Events(ctx, store.Query{Chain: h.Chain}) {
			return e.At, h.At, err
		}
	}
	return from, until, errors.New("the store holds nothing that fill has made")
}

// callOf returns the id of a call of an exchange that was traced.
func callOf(ctx context.Context, db store.Audit, x store.Exchange) (id string, err error) {
	if x.Outcome == store.NotTraced {
		return "", nil
	}
	for e, err := range db.Events(ctx, store.Query{Exchange: x.ID}) {
		if err != nil {
			return "", err
		}
		facts, err := e.Facts()
		if err != nil || facts.MessageID != "" {
			return facts.MessageID, err
		}
	}
	return "", nil
}

// find runs the questions, and the program without one.
func (m *measuring) find(ctx context.Context, drawn []sample) error {
	fmt.Fprintf(m.out, "%-18s %6s %9s %9s %9s %9s\n", "", "runs", "rows", "p50 ms", "p95 ms", "max ms")
	var starts []time.Duration
	for range m.runs {
		_, took, err := m.run(ctx, "version")
		if err != nil {
			return err
		}
		starts = append(starts, took)
	}
	m.print("program alone", starts, 0)
	for _, q := range questions {
		var took []time.Duration
		rows := 0
		for _, s := range drawn {
			args := q.args(s)
			if len(args) == 0 || len(took) == m.runs {
				continue
			}
			out, t, err := m.run(ctx, append([]string{"audit", "find", "--json"}, args...)...)
			if err != nil {
				return fmt.Errorf("find by %s: %w", q.name, err)
			}
			found := strings.Count(out, "\n") - 2 // the label, and the line that says how many there are
			if found < 1 {
				return fmt.Errorf("find by %s: nothing was found", q.name)
			}
			took, rows = append(took, t), rows+found
		}
		m.print(q.name, took, float64(rows)/float64(len(took)))
	}
	return nil
}

func (m *measuring) print(name string, took []time.Duration, rows float64) {
	slices.Sort(took)
	fmt.Fprintf(m.out, "%-18s %6d %9.1f %9.1f %9.1f %9.1f\n", name, len(took), rows, quantile(took, 0.5), quantile(took, 0.95), quantile(took, 1))
}

// quantile returns the time that a share of sorted times does not exceed, in milliseconds.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(share*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}

// run runs the program to its end.
func (m *measuring) run(ctx context.Context, args ...string) (out string, took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, m.program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SPINETRACE_STORE=" + m.dsn}
	var printed, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &complaint
	began := time.Now()
	err = cmd.Run()
	took = time.Since(began)
	if err != nil {
		return "", took, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return printed.String(), took, nil
}

// walk verifies, and says how many rows that were in a second.
func (m *measuring) walk(ctx context.Context, flags ...string) error {
	out, took, err := m.run(ctx, append([]string{"audit", "verify", "--json"}, flags...)...)
	if err != nil {
		return err
	}
	var events, bodies int64
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var chain struct{ Events, Bodies int64 }
		if err := d.Decode(&chain); err != nil {
			return err
		}
		events, bodies = events+chain.Events, bodies+chain.Bodies
	}
	fmt.Fprintf(m.out, "verify %-11s %d events, %d bodies in %.1f s: %.0f events a second\n", strings.Join(flags, " "), events, bodies,
		took.Seconds(), float64(events)/took.Seconds())
	return nil
}
