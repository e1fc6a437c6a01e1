package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/pds"
)

// ErrFault says that a text is not a fault row.
var ErrFault = errors.New("not a fault row")

// Operations of the PDS FHIR API. Those of the mini services are [pds.Want]'s.
const (
	Read   = "read"   // GET Patient/{id}
	Search = "search" // GET Patient?…
	Token  = "token"  // the token endpoint
)

// Operations returns what a row can be about: the mini services and [Read], [Search] and
// [Token].
func Operations() []string {
	var names []string
	for want := pds.Verify; want <= pds.Details; want++ {
		names = append(names, want.String())
	}
	return append(names, Read, Search, Token)
}

// Fault is one row of misbehaviour. For each well-formed request the rows are tried in
// order: every row that applies adds its delay, and the first with something to do ends
// the search. A row about another service's operation never applies.
type Fault struct {
	Operation string        // one of [Operations]; "" means all
	Rate      float64       // share of requests, 0 to 1; 0 means 1
	Delay     time.Duration // before the answer
	Skip      int           // let so many requests of the operation pass first
	Times     int           // then apply so many times; 0 means without end

	// Do is what happens instead of the answer:
	//
	//	""             nothing but the delay
	//	503            that HTTP status, in plain text
	//	429:5          that HTTP status, and Retry-After: 5
	//	fault:2100     a SOAP fault with that ITK error code; from PDS as code
	//	code:SMSP-0004 that response code, demographics only where the code has some; from
	//	               PDS an OperationOutcome with the code and the HTTP status it goes with
	//	garbage        status 200 and nothing that can be read
	//	html           status 200 and a web page
	//	hollow         found, and no patient
	//	stranger       another patient, born on another day
	//	truncated      the answer's first half, as if it were the whole
	//	cut            headers, half of the answer, then the end of the connection
	//	flood          an answer of 50 MiB
	//	bomb           an answer that takes more to read than to send: XML entities that
	//	               expand, JSON nested 100,000 deep
	//	reset          the connection is reset
	//	hang           no answer until the client leaves or the server is closed
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
			return Fault{}, fmt.Errorf("%w: %s %s", ErrFault, name, partRules[name])
		}
	}
	return f, nil
}

// ParseFaults reads one row a line. Empty lines and those that begin with # are passed over.
// The error is [ErrFault], with the number of the line.
func ParseFaults(text string) ([]Fault, error) {
	var faults []Fault
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f, err := ParseFault(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// String returns the row in the form that [ParseFault] reads.
func (f Fault) String() string {
	var parts []string
	part := func(given bool, name string, value any) {
		if given {
			parts = append(parts, fmt.Sprintf("%s=%v", name, value))
		}
	}
	part(f.Operation != "", "op", f.Operation)
	part(f.Rate != 0, "rate", f.Rate)
	part(f.Delay != 0, "delay", f.Delay)
	part(f.Skip != 0, "skip", f.Skip)
	part(f.Times != 0, "times", f.Times)
	part(f.Do != "", "do", f.Do)
	if len(parts) == 0 {
		return "times=0" // a row that does nothing is a row
	}
	return strings.Join(parts, ",")
}

var faultParts = map[string]func(*Fault, string) bool{
	"op": func(f *Fault, s string) bool {
		f.Operation = s
		return slices.Contains(Operations(), s)
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

// partRules say what the value of a part has to be.
var partRules = map[string]string{
	"op":    "is one of " + strings.Join(Operations(), ", "),
	"rate":  "is a share above 0, at most 1",
	"delay": "is a time such as 200ms",
	"skip":  "is a count",
	"times": "is a count",
	"do": "is an HTTP status, STATUS:SECONDS, fault:CODE, code:CODE, garbage, html, hollow, stranger, " +
		"truncated, cut, flood, bomb, reset or hang",
}

func parsed[V any](v V, err error) (V, bool) { return v, err == nil }

func doable(do string) bool {
	kind, code, _ := strings.Cut(do, ":")
	switch kind {
	case "garbage", "html", "hollow", "stranger", "truncated", "cut", "flood", "bomb", "reset", "hang":
		return kind == do
	case "fault", "code":
		return code != ""
	}
	_, _, ok := status(do)
	return ok
}

// status reads STATUS or STATUS:SECONDS; after is "" when there are none.
func status(do string) (status int, after string, ok bool) {
	digits, after, waits := strings.Cut(do, ":")
	status, err := strconv.Atoi(digits)
	if waits {
		if seconds, err := strconv.Atoi(after); err != nil || seconds < 0 {
			return 0, "", false
		}
	}
	// net/http sends no others as final.
	return status, after, err == nil && status >= http.StatusOK && status <= 599
}

// row is a Fault with its counts.
type row struct {
	Fault
	seen, done int
}

func rowsOf(faults []Fault) []row {
	rows := make([]row, len(faults))
	for i, f := range faults {
		rows[i].Fault = f
	}
	return rows
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
