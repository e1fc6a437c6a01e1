package simulator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseFault(t *testing.T) {
	for in, want := range map[string]Fault{
		"op=getNHSNumber,rate=0.1,delay=200ms,skip=2,times=3,do=fault:2100": {
			Operation: "getNHSNumber", Rate: 0.1, Delay: 200 * time.Millisecond, Skip: 2, Times: 3, Do: "fault:2100",
		},
		"do=503":                {Do: "503"},
		" delay=1s , do=hang":   {Delay: time.Second, Do: "hang"},
		"do=code:DEMOG-0042":    {Do: "code:DEMOG-0042"},
		"rate=1,do=garbage":     {Rate: 1, Do: "garbage"},
		"times=0,skip=0":        {},
		"op=verifyNHSNumber":    {Operation: "verifyNHSNumber"},
		"do=429:5":              {Do: "429:5"},
		"op=search,do=bomb":     {Operation: "search", Do: "bomb"},
		"do=reset,delay=1500us": {Do: "reset", Delay: 1500 * time.Microsecond},
	} {
		got, err := ParseFault(in)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("ParseFault(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestParseFaultRejects(t *testing.T) {
	for _, in := range []string{
		"", "do", "do=", "do=explode", "do=99", "do=600", "do=fault:", "do=code", "do=hang:1", "do=429:", "do=429:soon", "do=429:-1", "do=bomb:", "op=", "op=getTimetable",
		"rate=0", "rate=2", "rate=x", "rate=NaN", "delay=5", "delay=-1s", "skip=-1", "times=many", "do=503;times=1", "shoe=9",
	} {
		if got, err := ParseFault(in); !errors.Is(err, ErrFault) {
			t.Errorf("ParseFault(%q) = %+v, %v; want %v", in, got, err, ErrFault)
		}
	}
}

func TestParseFaults(t *testing.T) {
	got, err := ParseFaults("# what the network did on Tuesday\n\nop=read,times=3,do=429:5\r\n  delay=1s\n")
	want := []Fault{{Operation: "read", Times: 3, Do: "429:5"}, {Delay: time.Second}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("ParseFaults() = %+v, %v; want %+v", got, err, want)
	}
	_, err = ParseFaults("do=503\n\nop=write\n")
	if want := "line 3: not a fault row: op is one of verifyNHSNumber, "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("ParseFaults() error = %v, want %s…", err, want)
	}
}

// FuzzParseFault: what is read as a row can be written and read again.
func FuzzParseFault(f *testing.F) {
	for _, row := range []string{
		"op=getNHSNumber,rate=0.1,delay=200ms,skip=2,times=3,do=fault:2100", "do=429:5", "times=0", "op=token,do=html", "rate=1e-9",
	} {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, in string) {
		row, err := ParseFault(in)
		if err != nil {
			return
		}
		again, err := ParseFault(row.String())
		if err != nil || again != row {
			t.Errorf("%+v is written as %q, and read as %+v, %v", row, row, again, err)
		}
	})
}

func TestChoose(t *testing.T) {
	dice := []float64{0.05, 0.5}
	random := func() float64 {
		next := dice[0]
		dice = append(dice[1:], next)
		return next
	}
	for name, tt := range map[string]struct {
		faults []Fault
		want   []string // of six requests, every second one a verify
	}{
		"always":             {[]Fault{{Do: "503"}}, []string{"503", "503", "503", "503", "503", "503"}},
		"one operation":      {[]Fault{{Operation: "getNHSNumber", Do: "503"}}, []string{"", "503", "", "503", "", "503"}},
		"skip and times":     {[]Fault{{Skip: 2, Times: 3, Do: "503"}}, []string{"", "", "503", "503", "503", ""}},
		"skip of operation":  {[]Fault{{Operation: "getNHSNumber", Skip: 1, Times: 1, Do: "503"}}, []string{"", "", "", "503", "", ""}},
		"first row wins":     {[]Fault{{Times: 2, Do: "hang"}, {Do: "503"}}, []string{"hang", "hang", "503", "503", "503", "503"}},
		"delay leaves a row": {[]Fault{{Delay: time.Second}, {Do: "503", Times: 1}}, []string{"503", "", "", "", "", ""}},
		"rate":               {[]Fault{{Rate: 0.1, Do: "503"}}, []string{"503", "", "503", "", "503", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			rows := rowsOf(tt.faults)
			var got []string
			for i := range tt.want {
				do, _ := choose(rows, []string{"verifyNHSNumber", "getNHSNumber"}[i%2], random)
				got = append(got, do)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDelaysAddUp(t *testing.T) {
	rows := rowsOf([]Fault{{Delay: time.Second}, {Delay: time.Minute, Do: "hang"}, {Delay: time.Hour}})
	if do, delay := choose(rows, "getNHSNumber", nil); do != "hang" || delay != time.Minute+time.Second {
		t.Errorf("choose() = %s, %v; want hang, 1m1s", do, delay)
	}
}
