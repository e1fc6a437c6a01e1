package main

import (
	"bytes"
	"flag"
	"fmt"
	"runtime/debug"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/pds/pdstest/simulator"
)

// matrixFull runs the matrix with the settings that a service has by default.
var matrixFull = flag.Bool("matrix-full", false, "run the fault matrix with the default time limits and attempts")

// A trial is a row of the matrix: a back end with one fault, and what senders must see of it.
type trial struct {
	backend string
	fault   string // in words
	do      string // of the simulators; "" is none
	op      string // the operation that it happens to; "" is all but the token's
	tokens  bool   // the simulator of PDS wants them
	tls     string // "", good, expired, other name, other authority
	set     func(*config)
	want    expected
	alone   bool // run by itself, and the memory it takes is measured
	another bool // the contract lets another patient's number through
}

// seen is what a sender is told, and how many calls were made for it.
type seen struct {
	answer string
	calls  int
}

// expected is what both senders of a trial see.
type expected struct {
	adt   seen // an A31 with a number, NSTS02: verifyNHSNumber
	query seen // a Q22 by name: getPatientDetailsBySearch
}

const (
	pending = "AA trace pending" // stored; the sender goes on with what it has
	later   = "AR 207"           // ask again later
)

// The ways in which a technical failure ends (product.md 4.5, smsp.md 8, 9 and 12,
// pds-fhir.md 7 and 8).
var (
	// Asked again while that may help.
	again = expected{seen{pending, attempts}, seen{later, attempts}}
	// Asked once: the same question would fail again.
	once = expected{seen{pending, 1}, seen{later, 1}}
	// Not let in: the breaker opens, and nobody is asked for the next message.
	denied = expected{seen{pending, 1}, seen{later, 0}}
	// Answered behind the sender's back.
	afterwards = expected{seen{pending, 1}, seen{later, 1}}
	// The service is well.
	fine = expected{seen{"AA Verified", 1}, seen{"AA OK", 1}}
)

// What stands for a number of calls.
const (
	attempts    = -1 // as many as the settings allow, and the breaker
	allAttempts = -2 // the same; they are so far apart that an open breaker lets one through to try
)

// twoCalls is what a search takes at PDS when it is answered: the search and the record.
func (e expected) twoCalls() expected {
	e.query.calls = 2
	return e
}

// outcome is an answer, not a failure.
func outcome(adt, query string) expected { return expected{seen{adt, 1}, seen{query, 1}} }

// both are the rows that the back ends share: the wire, HTTP, and bodies that are no answer.
var both = []struct {
	fault     string
	do        string
	tls       string
	smsp, pds expected
	set       func(*config)
	alone     bool
}{
	{fault: "none", smsp: fine, pds: fine.twoCalls()},
	{fault: "none, over TLS", tls: "good", smsp: fine, pds: fine.twoCalls()},
	{fault: "HTTP 500", do: "500", smsp: again, pds: again},
	{fault: "HTTP 502", do: "502", smsp: again, pds: again},
	{fault: "HTTP 503 with Retry-After", do: "503:1", smsp: again, pds: again},
	{fault: "HTTP 429", do: "429", smsp: again, pds: again},
	{fault: "HTTP 429 with Retry-After", do: "429:1", smsp: again, pds: again},
	{fault: "HTTP 401", do: "401", smsp: denied, pds: denied},
	{fault: "HTTP 403", do: "403", smsp: denied, pds: denied},
	{fault: "HTTP 404 without a code", do: "404", smsp: once, pds: denied},
	{fault: "slow: longer than a sender waits", do: "slow", set: slowly, smsp: afterwards, pds: afterwards.twoCalls()},
	{fault: "hang", do: "hang", set: impatient, smsp: again, pds: again},
	{fault: "reset before the headers", do: "reset", smsp: again, pds: again},
	{fault: "end of connection after the headers", do: "cut", smsp: again, pds: again},
	{fault: "nobody listens", do: "gone", smsp: again, pds: again},
	{fault: "TLS: certificate expired", tls: "expired", smsp: once, pds: once},
	{fault: "TLS: certificate of another host", tls: "other name", smsp: once, pds: once},
	{fault: "TLS: certificate of another authority", tls: "other authority", smsp: once, pds: once},
	{fault: "TLS expected, plain HTTP spoken", tls: "none", smsp: once, pds: once},
	{fault: "body cut in half, as if it were whole", do: "truncated", smsp: once, pds: once},
	{fault: "body of 50 MB", do: "flood", smsp: once, pds: once, alone: true},
	{fault: "bomb: DOCTYPE, JSON 100,000 deep", do: "bomb", smsp: once, pds: once, alone: true},
	{fault: "wrong content type: a web page", do: "html", smsp: once, pds: once},
	{fault: "garbage", do: "garbage", smsp: once, pds: once},
	{fault: "found, and no patient", do: "hollow", smsp: once, pds: once},
}

// only are the rows of one back end.
var only = []trial{
	{backend: "smsp", fault: "fault 1000, invalid message", do: "fault:1000", want: once},
	{backend: "smsp", fault: "fault 2100, may work later", do: "fault:2100", want: again},
	{backend: "smsp", fault: "fault 2200, will not work", do: "fault:2200", want: once},
	{backend: "smsp", fault: "fault 3000, access denied", do: "fault:3000", want: denied},
	{backend: "smsp", fault: "fault of no list", do: "fault:4711", want: again},
	{backend: "smsp", fault: "SMSP-0001, input refused", do: "code:SMSP-0001", want: outcome("AA Not traced: refused", "AE 102")},
	{backend: "smsp", fault: "SMSP-0002, Spine's reply not valid", do: "code:SMSP-0002", want: expected{seen{pending, 2}, seen{later, 2}}},
	{backend: "smsp", fault: "SMSP-0003, local copy", do: "code:SMSP-0003", want: outcome(pending, "AA OK")},
	{backend: "smsp", fault: "SMSP-0004, Spine not reached", do: "code:SMSP-0004", want: again},
	{backend: "smsp", fault: "SMSP-0005, credentials refused", do: "code:SMSP-0005", want: denied},
	{backend: "smsp", fault: "SMSP-9999, provider's failure", do: "code:SMSP-9999", want: again},
	{backend: "smsp", fault: "DEMOG-9999, Spine's error", do: "code:DEMOG-9999", want: again},
	{backend: "smsp", fault: "a code of no list", do: "code:QUUX-0001", want: once},
	{backend: "smsp", fault: "another person's number in a verify", do: "stranger", another: true, want: outcome("AA NHS number superseded; tell the patient", later)},
	{backend: "smsp", fault: "another person's record", do: "stranger", set: detailed, want: once},

	{backend: "pds", fault: "400 INVALID_VALUE", do: "code:INVALID_VALUE", want: outcome("AA Not traced: refused", "AE 102")},
	{backend: "pds", fault: "400 INVALID_RESOURCE_ID", do: "code:INVALID_RESOURCE_ID", want: outcome("AA Old style number", "AE 102")},
	{backend: "pds", fault: "400 MISSING_VALUE, no ASID", do: "code:NO_ASID", want: denied},
	{backend: "pds", fault: "400 with a code of no list", do: "code:UNHEARD_OF", want: once},
	{backend: "pds", fault: "401 ACCESS_DENIED, no tokens in use", do: "code:ACCESS_DENIED", want: denied},
	{backend: "pds", fault: "401 ACCESS_DENIED, tokens in use", do: "code:ACCESS_DENIED", tokens: true, want: expected{seen{pending, 4}, seen{later, 0}}},
	{backend: "pds", fault: "403 INVALID_METHOD", do: "code:INVALID_METHOD", want: denied},
	{backend: "pds", fault: "404 RESOURCE_NOT_FOUND", do: "code:RESOURCE_NOT_FOUND", want: outcome("AA No match", "AA NF")},
	{backend: "pds", fault: "404 INVALIDATED_RESOURCE", do: "code:INVALIDATED_RESOURCE", want: outcome("AA NHS number invalidated", "AA NF")},
	{backend: "pds", fault: "408 UNABLE_TO_CALL_SERVICE", do: "code:UNABLE_TO_CALL_SERVICE", want: again},
	{backend: "pds", fault: "429 TOO_MANY_REQUESTS", do: "code:TOO_MANY_REQUESTS", want: again},
	{backend: "pds", fault: "500 UNKNOWN_ERROR", do: "code:UNKNOWN_ERROR", want: again},
	{backend: "pds", fault: "503 SERVICE_UNAVAILABLE, Retry-After 5", do: "code:SERVICE_UNAVAILABLE", want: expected{seen{pending, attempts}, seen{later, allAttempts}}},
	{backend: "pds", fault: "another person's record", do: "stranger", want: outcome("AA Not verified", "AA NF")},
	{backend: "pds", fault: "none, with tokens", tokens: true, want: expected{seen{"AA Verified", 2}, seen{"AA OK", 2}}},
	{backend: "pds", fault: "token: HTTP 500", do: "500", op: simulator.Token, tokens: true, want: again},
	{backend: "pds", fault: "token: HTTP 429", do: "429", op: simulator.Token, tokens: true, want: again},
	{backend: "pds", fault: "token: invalid_client", do: "code:invalid_client", op: simulator.Token, tokens: true, want: denied},
	{backend: "pds", fault: "token: hang", do: "hang", op: simulator.Token, tokens: true, set: impatient, want: again},
	{backend: "pds", fault: "token: reset", do: "reset", op: simulator.Token, tokens: true, want: again},
	{backend: "pds", fault: "token: garbage", do: "garbage", op: simulator.Token, tokens: true, want: once},
	{backend: "pds", fault: "token: none in the answer", do: "hollow", op: simulator.Token, tokens: true, want: once},
}

// slowly has a sender wait for less than the answer takes. The default limits do too.
func slowly(c *config) {
	if !*matrixFull {
		c.ReplyBudget, c.CommitTimeout = 2*time.Second, 1900*time.Millisecond
	}
}

// impatient does not wait long for what never comes.
func impatient(c *config) {
	if !*matrixFull {
		c.BackendTimeout = 500 * time.Millisecond
	}
}

func detailed(c *config) { c.ADTDetails = true }

// trials is the whole matrix.
func trials() []trial {
	var all []trial
	for _, r := range both {
		for _, t := range []trial{
			{backend: "smsp", want: r.smsp},
			{backend: "pds", want: r.pds},
		} {
			t.fault, t.do, t.tls, t.set, t.alone = r.fault, r.do, r.tls, r.set, r.alone
			all = append(all, t)
		}
	}
	return append(all, only...)
}

// TestFaultMatrix plays every fault to the whole service, by an ADT and by a query over a
// socket: what senders are told, how often the back end was asked, whether the journal holds
// every call and its end, and whether anything leaked into answers or log. It prints a table.
func TestFaultMatrix(t *testing.T) {
	m := newMatrix(t)
	all := trials()
	results := make([]result, len(all))
	lazy := debug.SetGCPercent(20) // so that what is measured is not garbage of before
	for i, trial := range all {
		if trial.alone {
			results[i] = m.run(t.Context(), trial)
		}
	}
	debug.SetGCPercent(lazy)
	var g errgroup.Group
	g.SetLimit(24) // they mostly wait
	for i, trial := range all {
		if !trial.alone {
			g.Go(func() error {
				results[i] = m.run(t.Context(), trial)
				return nil
			})
		}
	}
	_ = g.Wait() // each result has its own error
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tFAULT\tADT IS TOLD\tCALLS, TIME\tQUERY\tCALLS, TIME\tLAST CALL FOR THE ADT\tMEMORY\tAS EXPECTED")
	for i, trial := range all {
		r := &results[i]
		r.compare()
		fmt.Fprintln(w, r.row(trial))
		for _, fault := range r.faults {
			t.Errorf("%s, %s: %s", trial.backend, trial.fault, fault)
		}
	}
	_ = w.Flush() // to a buffer
	if n := m.plants.Load(); n < 50 {
		t.Errorf("only %d answers had a planted word in them: too few to prove anything", n)
	}
	t.Logf("%d faults:\n%s", len(all), &table)
}
