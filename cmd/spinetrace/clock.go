package main

import (
	"context"
	"errors"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spinetrace/store"
)

// A hostClock says how far the clock of this machine is off. It does not measure: it asks who
// keeps the clock.
type hostClock interface {
	// Read returns what the host offers; ok is false if it offers nothing.
	Read(ctx context.Context) (r clockReading, ok bool)
}

// clockReading is what is known of the clock.
type clockReading struct {
	Source  string        // who says so
	Offset  time.Duration // from the true time, as far as the source knows
	Stratum int           // of this machine, one more than that of its source; 0: not offered
	Synced  bool          // the source keeps the clock at present
}

// clockReadLimit is the longest that anybody is asked for the clock.
const clockReadLimit = time.Second

// anyClock asks several in turn.
type anyClock []hostClock

// Read implements [hostClock].
func (all anyClock) Read(ctx context.Context) (clockReading, bool) {
	ctx, cancel := context.WithTimeout(ctx, clockReadLimit)
	defer cancel()
	for _, c := range all {
		if r, ok := c.Read(ctx); ok {
			return r, true
		}
	}
	return clockReading{}, false
}

// theHostClock asks the daemons that know a stratum before the kernel, which knows none.
var theHostClock = anyClock{
	toldClock{"chrony", []string{"chronyc", "-n", "-c", "tracking"}, parseChrony},
	toldClock{"ntpd", []string{"ntpq", "-n", "-c", "rv 0 stratum,offset,leap"}, parseNTP},
	kernelClock{},
}

// toldClock is a daemon whose own program says how it is.
type toldClock struct {
	name    string
	command []string
	parse   func(text string) (clockReading, error)
}

// Read implements [hostClock].
func (t toldClock) Read(ctx context.Context) (clockReading, bool) {
	text, err := exec.CommandContext(ctx, t.command[0], t.command[1:]...).Output()
	if err != nil {
		return clockReading{}, false
	}
	r, err := t.parse(string(text))
	r.Source = t.name
	return r, err == nil
}

var errClockText = errors.New("not what the program should say")

// parseChrony reads a line of `chronyc -c tracking`: the third value is the stratum, the fifth the
// offset in seconds, the last the leap status.
func parseChrony(text string) (clockReading, error) {
	values := strings.Split(strings.TrimSpace(text), ",")
	if len(values) < 14 {
		return clockReading{}, errClockText
	}
	stratum, err := strconv.Atoi(values[2])
	if err != nil {
		return clockReading{}, errClockText
	}
	offset, err := parseOffset(values[4], time.Second)
	return clockReading{Offset: offset, Stratum: stratum, Synced: values[len(values)-1] != "Not synchronised"}, err
}

// parseNTP reads the variables of `ntpq -c rv`: the offset is in milliseconds, a leap of 11 says that
// the clock is not kept.
func parseNTP(text string) (clockReading, error) {
	values := make(map[string]string)
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \r\n", r) }) {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	stratum, err := strconv.Atoi(values["stratum"])
	if err != nil {
		return clockReading{}, errClockText
	}
	offset, err := parseOffset(values["offset"], time.Millisecond)
	leap := values["leap"]
	return clockReading{Offset: offset, Stratum: stratum, Synced: stratum < 16 && leap != "11" && leap != "3"}, err
}

func parseOffset(text string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > 1e9 {
		return 0, errClockText
	}
	return time.Duration(n * float64(unit)), nil
}

// worstStratum is the highest stratum of a machine whose source is of stratum 3 (MSCA-AUD-06).
const worstStratum = 4

// fault says why an auditor may doubt the times of the journal, "" if there is no reason.
func (r clockReading) fault(limit time.Duration) string {
	switch {
	case !r.Synced:
		return "the clock is not synchronised"
	case r.Offset.Abs() > limit:
		return "the clock is off by more than " + limit.String()
	case r.Stratum > worstStratum:
		return "the source of the clock is above stratum 3"
	}
	return ""
}

const noClock = "the host does not say how far its clock is off"

// clockEntry is a row about the clock as it is now. One with a reason is an alarm, or a warning
// that nobody knows; the log tells of it when it changes.
func (s *service) clockEntry(ctx context.Context) store.Entry {
	r, ok := s.clock.Read(ctx)
	details, reason := s.account.mark(), noClock
	if ok {
		reason = r.fault(s.cfg.ClockLimit)
		details["source"], details["offset"] = r.Source, r.Offset.String()
		details["synchronised"] = strconv.FormatBool(r.Synced)
		if r.Stratum > 0 {
			details["stratum"] = strconv.Itoa(r.Stratum)
		}
	}
	seen := &clockState{r, ok, reason}
	if before := s.clockSeen.Swap(seen); before == nil || before.reason != reason {
		s.logClock(seen)
	}
	return store.Entry{Kind: store.Clocked, Facts: store.Facts{Reason: reason, Details: details}}
}

// clockState is what was last known of the clock.
type clockState struct {
	clockReading
	known  bool
	reason string
}

func (s *service) logClock(c *clockState) {
	if c.reason != "" {
		s.log.Warn("clock", "reason", c.reason, "source", c.Source, "offset", c.Offset)
		return
	}
	s.log.Info("clock", "source", c.Source, "offset", c.Offset, "stratum", c.Stratum)
}

// watchClock adds how far the clock is off, and whether that is an alarm.
func (m *metrics) watchClock(last func() *clockState) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "spinetrace_clock_offset_seconds", Help: "How far the host says that its clock is off; NaN while it does not say. Looked at every hour."},
			func() float64 {
				if c := last(); c != nil && c.known {
					return c.Offset.Seconds()
				}
				return math.NaN()
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "spinetrace_clock_alarm", Help: "1 while the clock is not synchronised, is off by more than CLOCK_LIMIT or has a source above stratum 3. Alert on 1."},
			func() float64 {
				if c := last(); c != nil && c.known && c.reason != "" {
					return 1
				}
				return 0
			}))
}
