package main

import (
	"cmp"
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
)

// reportLatency tells how long calls and answers took.
func reportLatency(ctx context.Context, c console, args []string) error {
	r := reporting{name: "latency"}
	fs := newFlags("audit report latency", "audit report latency [flags]\n\nTells how long things took, by day, in milliseconds: calls to the back end by operation,\nhowever they ended; and replies by type of message, from the record of the message to that\nof its answer, for messages that somebody was asked about. Half of them took no longer than\np50, 90 in 100 no longer than p90, and so on; percentiles are right to 1 in 100, max is exact.\n\n"+aboutPeriods)
	if err := r.parse(fs, c, args, "168h"); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		l := latency{spans: make(map[span]*durations)}
		if err := (&stories{db: db}).each(ctx, r.period, l.count); err != nil {
			return err
		}
		return showReport(ctx, c, db, r, list[latencyRow]{latencyColumns, l.rows(), "Nobody was asked in this time."}, l.chart())
	})
}

// What takes time.
const (
	spanCall  = "call"
	spanReply = "reply"
)

// latency is the count so far.
type latency struct{ spans map[span]*durations }

// span is what took time, of which kind, on which day.
type span struct{ what, kind, day string }

// count adds what an event tells.
func (l *latency) count(e store.Event, f store.Facts, m gist) {
	switch {
	case e.Kind == store.Answered && f.TookMicros > 0:
		l.add(span{spanCall, cmp.Or(m.operation, "unknown"), dayOf(e.At)}, time.Duration(f.TookMicros)*time.Microsecond)
	case e.Kind == store.Replied && m.operation != "" && !m.at.IsZero():
		l.add(span{spanReply, cmp.Or(m.kind, "unknown"), dayOf(e.At)}, e.At.Sub(m.at))
	}
}

// add counts a duration. The type of a message is its sender's to write: too many are one.
func (l *latency) add(s span, took time.Duration) {
	if l.spans[s] == nil && len(l.spans) >= mostGroups {
		s.kind = othersGroup
	}
	if l.spans[s] == nil {
		l.spans[s] = new(durations)
	}
	l.spans[s].add(took)
}

// latencyRow is one span.
type latencyRow struct {
	What  string  `json:"what"`
	Kind  string  `json:"kind"`
	Day   string  `json:"day"`
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

var latencyColumns = []string{"what", "kind", "day", "count", "p50_ms", "p90_ms", "p99_ms", "max_ms"}

func (r latencyRow) values(bool) []string {
	values := []string{r.What, r.Kind, r.Day, strconv.Itoa(r.Count)}
	for _, ms := range []float64{r.P50, r.P90, r.P99, r.Max} {
		values = append(values, strconv.FormatFloat(ms, 'f', -1, 64))
	}
	return values
}

func (l *latency) rows() []latencyRow {
	var rows []latencyRow
	for _, s := range sorted(l.spans, func(a, b span) int {
		return cmp.Or(strings.Compare(a.what, b.what), strings.Compare(a.kind, b.kind), strings.Compare(a.day, b.day))
	}) {
		d := l.spans[s]
		rows = append(rows, latencyRow{
			s.what, s.kind, s.day, d.count, milliseconds(d.percentile(50)), milliseconds(d.percentile(90)), milliseconds(d.percentile(99)), milliseconds(d.max),
		})
	}
	return rows
}

// chart draws the percentiles of all calls together.
func (l *latency) chart() chart {
	c := newChart("Calls to the back end: time to the answer", "milliseconds")
	c.gaps = true
	days := make(map[string]*durations)
	for s, d := range l.spans {
		if s.what != spanCall {
			continue
		}
		if days[s.day] == nil {
			days[s.day] = new(durations)
		}
		days[s.day].merge(d)
	}
	for day, d := range days {
		for _, p := range []int{50, 90, 99} {
			c.add("p"+strconv.Itoa(p), day, milliseconds(d.percentile(p)))
		}
	}
	return c
}

// milliseconds writes a duration in milliseconds, to a hundredth of one.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(10*time.Microsecond)) / 100
}

// durations counts durations in steps of two in a hundred, so that a day of them takes no more
// room than an hour.
type durations struct {
	steps map[int]int
	count int
	max   time.Duration
}

const stepWidth = 1.02

func (d *durations) add(took time.Duration) {
	took = max(took, time.Microsecond)
	if d.steps == nil {
		d.steps = make(map[int]int)
	}
	d.steps[int(math.Round(math.Log(float64(took/time.Microsecond))/math.Log(stepWidth)))]++
	d.count++
	d.max = max(d.max, took)
}

// merge adds what another one counted.
func (d *durations) merge(other *durations) {
	if d.steps == nil {
		d.steps = make(map[int]int)
	}
	for step, n := range other.steps {
		d.steps[step] += n
	}
	d.count += other.count
	d.max = max(d.max, other.max)
}

// percentile returns what p in a hundred do not exceed.
func (d *durations) percentile(p int) time.Duration {
	rank := (d.count*p + 99) / 100
	for _, step := range sorted(d.steps, func(a, b int) int { return a - b }) {
		if rank -= d.steps[step]; rank <= 0 {
			return min(d.max, time.Duration(math.Pow(stepWidth, float64(step))*float64(time.Microsecond)))
		}
	}
	return d.max
}
