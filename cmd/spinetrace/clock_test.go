package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
	"spinetrace/store/sqlite"
)

// fakeClock offers what a test says; nil: nothing.
type fakeClock struct{ atomic.Pointer[clockReading] }

func (f *fakeClock) Read(context.Context) (clockReading, bool) {
	if r := f.Load(); r != nil {
		return *r, true
	}
	return clockReading{}, false
}

// goodClock is one that nobody has to hear of, whatever machine the test runs on.
func goodClock() *fakeClock {
	f := new(fakeClock)
	f.Store(&clockReading{Source: "test", Stratum: 3, Synced: true})
	return f
}

// TestTAUD06: the clock is looked at when the service starts and every hour; what is amiss, or not
// known, is a row with a reason, and a metric.
func TestTAUD06(t *testing.T) {
	r := prepareService(t, nil)
	clock, hour := new(fakeClock), make(chan time.Time)
	r.clock, r.ticks = clock, hour
	looks := []struct {
		reading *clockReading
		reason  string
		metrics string
		details string
	}{
		{&clockReading{"chrony", -3 * time.Millisecond, 3, true}, "", "-0.003 0", "offset -3ms, source chrony, stratum 3, synchronised true"},
		{&clockReading{"chrony", 251 * time.Millisecond, 3, true}, "the clock is off by more than 250ms", "0.251 1", "offset 251ms, source chrony, stratum 3, synchronised true"},
		{&clockReading{"chrony", -time.Second, 3, true}, "the clock is off by more than 250ms", "-1 1", "offset -1s, source chrony, stratum 3, synchronised true"},
		{&clockReading{"kernel", 0, 0, false}, "the clock is not synchronised", "0 1", "offset 0s, source kernel, synchronised false"},
		{&clockReading{"ntpd", 0, 5, true}, "the source of the clock is above stratum 3", "0 1", "offset 0s, source ntpd, stratum 5, synchronised true"},
		{nil, "the host does not say how far its clock is off", "NaN 0", ""},
		{&clockReading{"kernel", 250 * time.Millisecond, 0, true}, "", "0.25 0", "offset 250ms, source kernel, synchronised true"},
	}
	for i, look := range looks {
		clock.Store(look.reading)
		if i == 0 {
			r.launch(t)
			r.waitReady(t)
		} else {
			hour <- time.Time{}
		}
		waitUntil(t, "a row of the clock", func() bool { return countKind(t, r.store, store.Clocked) == i+1 })
		offset, alarm, _ := strings.Cut(look.metrics, " ")
		r.hasMetric(t, "spinetrace_clock_offset_seconds "+offset)
		r.hasMetric(t, "spinetrace_clock_alarm "+alarm)
		if look.reason != "" {
			r.logged(t, `"level":"WARN","msg":"clock","reason":"`+look.reason+`"`)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for i, f := range factsOfKind(t, r.events(t), store.Clocked) {
		var told []string
		for _, pair := range strings.Split(pairs(f.Details), ", ") {
			if !strings.HasPrefix(pair, "started ") && !strings.HasPrefix(pair, keyUses) && !strings.HasPrefix(pair, "version ") {
				told = append(told, pair)
			}
		}
		if got := strings.Join(told, ", "); got != looks[i].details || f.Reason != looks[i].reason {
			t.Errorf("look %d: %q, %q; want %q, %q", i, got, f.Reason, looks[i].details, looks[i].reason)
		}
	}
}

func TestDaemonsTellOfTheClock(t *testing.T) {
	const tracking = "A29FC87B,162.159.200.123,3,1795370400.123456789,%s,-0.000012,0.000034,1.2,0.001,0.05,0.01,0.002,64.2,%s\n"
	for name, tt := range map[string]struct {
		parse func(string) (clockReading, error)
		text  string
		want  clockReading
		fails bool
	}{
		"chrony":               {parseChrony, fmt.Sprintf(tracking, "-0.000123", "Normal"), clockReading{"", -123 * time.Microsecond, 3, true}, false},
		"chrony, no source":    {parseChrony, fmt.Sprintf(tracking, "0.0", "Not synchronised"), clockReading{"", 0, 3, false}, false},
		"chrony, other text":   {parseChrony, "506 Cannot talk to daemon\n", clockReading{}, true},
		"chrony, no number":    {parseChrony, fmt.Sprintf(tracking, "nan", "Normal"), clockReading{}, true},
		"ntpd":                 {parseNTP, "stratum=2, offset=+12.5,\r\nleap=00\n", clockReading{"", 12500 * time.Microsecond, 2, true}, false},
		"ntpd, not kept":       {parseNTP, "stratum=16, offset=0.000, leap=11\n", clockReading{"", 0, 16, false}, false},
		"ntpd, without offset": {parseNTP, "stratum=2\n", clockReading{}, true},
	} {
		got, err := tt.parse(tt.text)
		if (err != nil) != tt.fails || err == nil && got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}

// TestAnyClock: the first that offers something is asked, and a program that is not there offers
// nothing.
func TestAnyClock(t *testing.T) {
	none, some := new(fakeClock), new(fakeClock)
	some.Store(&clockReading{Source: "some"})
	missing := toldClock{"missing", []string{filepath.Join(t.TempDir(), "none")}, parseNTP}
	if r, ok := (anyClock{missing, none, some}).Read(t.Context()); !ok || r.Source != "some" {
		t.Errorf("read %+v, %v", r, ok)
	}
	if _, ok := (anyClock{missing, none}).Read(t.Context()); ok {
		t.Error("nothing was taken for something")
	}
	if r, ok := (kernelClock{}).Read(t.Context()); ok && (r.Source != "kernel" || math.Abs(r.Offset.Seconds()) > 3600) {
		t.Errorf("the kernel says %+v", r)
	}
}

// TestTAUD07: whatever the time zone of the machine, and across both changes of its clock, the
// rows are in UTC, in the order of their numbers, and the same.
func TestTAUD07(t *testing.T) {
	if zone := os.Getenv(prefix + "TEST_ZONE"); zone != "" {
		checkZone(t, zone)
		return
	}
	server := migrated(t)
	written := make(map[string]string)
	for _, zone := range []string{"UTC", "Europe/London", "Asia/Tokyo"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTAUD07$", "-test.v")
		cmd.Env = append(os.Environ(), "TZ="+zone, prefix+"TEST_ZONE="+zone, prefix+"TEST_ZONE_STORE="+server)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", zone, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if _, row, ok := strings.Cut(line, "ROW "); ok {
				written[zone] += strings.ReplaceAll(row, chainOf(zone), "CHAIN")
			}
		}
	}
	if written["UTC"] == "" || written["Europe/London"] != written["UTC"] || written["Asia/Tokyo"] != written["UTC"] {
		t.Errorf("written are:\n%v", written)
	}
}

func chainOf(zone string) string { return strings.ToLower(strings.ReplaceAll(zone, "/", "-")) }

// checkZone writes rows and reads them again in the time zone of this process.
func checkZone(t *testing.T, zone string) {
	if name, _ := moments()[1].In(time.Local).Zone(); zone == "Europe/London" && name != "BST" || zone == "Asia/Tokyo" && name != "JST" {
		t.Fatalf("TZ=%s does not take: %s", zone, name)
	}
	var now atomic.Pointer[time.Time]
	o := store.Options{Chain: chainOf(zone), Now: func() time.Time { return *now.Load() }}
	first := time.Now() // of this zone
	now.Store(&first)
	lite, err := sqlite.Open(filepath.Join(t.TempDir(), "journal.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	full, err := postgres.Open(os.Getenv(prefix+"TEST_ZONE_STORE"), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range []store.Store{lite, full} {
		if err := db.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, at := range moments() {
			local := at.In(time.Local)
			now.Store(&local)
			keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Warned, Facts: store.Facts{Reason: stamp(at)}}}})
		}
		checkMoments(t, db, o.Chain)
		closeStore(t, db)
	}
}

// moments are around the next two changes of the clocks in London, in order.
func moments() []time.Time {
	year := time.Now().Year() + 1
	var all []time.Time
	for _, month := range []time.Month{time.March, time.October} {
		change := time.Date(year, month, 31, 1, 0, 0, 0, time.UTC)
		change = change.AddDate(0, 0, -int(change.Weekday())) // the last Sunday
		for _, minutes := range []int{-31, 1, 30, 60} {       // in October the second is an hour back for a wall clock
			all = append(all, change.Add(time.Duration(minutes)*time.Minute+123456*time.Microsecond))
		}
	}
	return all
}

func checkMoments(t *testing.T, db store.Store, chain string) {
	t.Helper()
	events, err := collect(t.Context(), db, store.Query{Chain: chain}, -1)
	if err != nil || len(events) != len(moments()) {
		t.Fatalf("%d rows, %v; want %d", len(events), err, len(moments()))
	}
	for i, e := range events {
		at := moments()[i]
		if e.Seq != int64(i)+1 || !e.At.Equal(at) || e.At.Location() != time.UTC || !strings.Contains(e.Doc, at.Format(`"at":"2006-01-02T15:04:05.000000Z"`)) {
			t.Errorf("row %d is of %s (%s): %s; want %s", e.Seq, e.At, e.At.Location(), e.Doc, at)
		}
		fmt.Printf("ROW %d %s %s\n", e.Seq, stamp(e.At), e.Doc)
	}
	p := period{moments()[1], moments()[6]}
	n := 0
	for e, err := range p.events(t.Context(), db) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Chain == chain {
			n++
		}
	}
	if n != 5 {
		t.Errorf("a period across both changes has %d rows, want 5", n)
	}
}
