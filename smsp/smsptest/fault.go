package smsptest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

// ErrFault says that a text is not a fault row.
var ErrFault = errors.New("smsptest: not a fault row")

// Fault is one row of misbehaviour. For each well-formed request the rows are tried in
// order: every row that applies adds its delay, and the first with something to do ends
// the search.
type Fault struct {
	Operation string        // which, for example getNHSNumber; "" means all
	Rate      float64       // share of requests, 0 to 1; 0 means 1
	Delay     time.Duration // before the answer
	Skip      int           // let so many requests of the operation pass first
	Times     int           // then apply so many times; 0 means without end

	// Do is what happens instead of the answer:
	//
	//	""            nothing but the delay
	//	503           that HTTP status, and no SOAP
	//	fault:2100    a SOAP fault with that ITK error code
	//	code:SMSP-0004 that response code; demographics only where the code has some
	//	garbage       status 200 and no XML
	//	reset         the connection is reset
	//	hang          no answer until the client leaves or the server is closed
	//	hollow        SMSP-0000 and no patient
	//	stranger      another patient, born on another day
	Do string
}

// ParseFault reads a row in the form that the command line has:
// "op=getNHSNumber,rate=0.1,delay=200ms,skip=2,times=3,do=fault:2100", any part left out.
// The error is [ErrFault], with the name of the part.
func ParseFault(s string) (Fault, error) {
	var f Fault
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		set, ok := faultParts[name]
		if !ok {
			return Fault{}, fmt.Errorf("%w: a part is none of op, rate, delay, skip, times, do", ErrFault)
		}
		if !set(&f, value) {
			return Fault{}, fmt.Errorf("%w: %s", ErrFault, name)
		}
	}
	return f, nil
}

var faultParts = map[string]func(*Fault, string) bool{
	"op": func(f *Fault, s string) bool {
		_, known := operations[s]
		f.Operation = s
		return known
	},
	"rate": func(f *Fault, s string) (ok bool) {
		f.Rate, ok = parsed(strconv.ParseFloat(s, 64))
		return ok && f.Rate > 0 && f.Rate <= 1
	},
	"delay": func(f *Fault, s string) (ok bool) {
		f.Delay, ok = parsed(time.ParseDuration(s))
		return ok && f.Delay >= 0
	},
	"skip": func(f *Fault, s string) (ok bool) {
		f.Skip, ok = parsed(strconv.Atoi(s))
		return ok && f.Skip >= 0
	},
	"times": func(f *Fault, s string) (ok bool) {
		f.Times, ok = parsed(strconv.Atoi(s))
		return ok && f.Times >= 0
	},
	"do": func(f *Fault, s string) bool {
		f.Do = s
		return doable(s)
	},
}

func parsed[V any](v V, err error) (V, bool) { return v, err == nil }

func doable(do string) bool {
	kind, code, _ := strings.Cut(do, ":")
	switch kind {
	case "garbage", "reset", "hang", "hollow", "stranger":
		return code == ""
	case "fault", "code":
		return code != ""
	}
	status, err := strconv.Atoi(do)
	return err == nil && status >= 200 && status <= 599 // net/http sends no others as final
}

// Acting returns the rows that act out a trouble of the conformance suite; none for a
// trouble that a mini service cannot have.
func Acting(trouble pdstest.Trouble) []Fault {
	do := map[pdstest.Trouble]string{
		pdstest.Silence:   "hang",
		pdstest.Drop:      "reset",
		pdstest.Garbage:   "garbage",
		pdstest.Hollow:    "hollow",
		pdstest.Stranger:  "stranger",
		pdstest.BusyTone:  strconv.Itoa(http.StatusServiceUnavailable),
		pdstest.Denial:    "fault:3000",
		pdstest.Hiccup:    "fault:2100",
		pdstest.Breakdown: "fault:2200",
		pdstest.Rejection: "code:SMSP-0001",
		pdstest.LocalCopy: "code:SMSP-0003",
		pdstest.Gibberish: "code:QUUX-0001",
	}[trouble]
	if do == "" {
		return nil
	}
	return []Fault{{Do: do}}
}

// row is a Fault with its counts.
type row struct {
	Fault
	seen, done int
}

// choose counts a request of one operation against the rows. It returns what to do, and
// after how long. random gives numbers from 0 up to 1.
func choose(rows []row, op string, random func() float64) (do string, delay time.Duration) {
	for i := range rows {
		r := &rows[i]
		if r.Operation != "" && r.Operation != op {
			continue
		}
		r.seen++
		if r.seen <= r.Skip || r.Times > 0 && r.done >= r.Times ||
			r.Rate > 0 && r.Rate < 1 && random() >= r.Rate {
			continue
		}
		r.done++
		delay += r.Delay
		if r.Do != "" {
			return r.Do, delay
		}
	}
	return "", delay
}

// stranger finds somebody of the population born on another day than who was asked about.
func stranger(p *pdstest.Population, asked pds.Date) *pdstest.Person {
	for i := range p.Len() {
		someone := p.At(i)
		if someone.SupersededBy.IsZero() && !someone.Invalidated && !someone.Record.BirthDate.Agrees(asked) {
			return someone
		}
	}
	return nil
}
