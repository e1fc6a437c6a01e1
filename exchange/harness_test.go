package exchange

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

var peer = netip.MustParseAddrPort("127.0.0.1:40000")

// noon is the clock of these tests: 22 November 2026, 12:00 in London.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// memory is a Journal in memory with the semantics of store.Journal.
type memory struct {
	mu      sync.Mutex
	events  []kept
	claims  map[store.ClaimKey]store.ID
	replies map[store.ID][]byte
	closed  map[store.ID]store.Outcome
	fail    error           // what Commit answers, if not nil
	before  func()          // called at the start of every Commit
	opened  []store.Opening // of every Commit that opened an exchange
	late    []store.Closing // of every Commit that told how a late trace ended
	work    []store.Work
	now     func() time.Time
}

type kept struct {
	exchange store.ID
	store.Entry
}

func newMemory() *memory {
	return &memory{
		claims:  make(map[store.ClaimKey]store.ID),
		replies: make(map[store.ID][]byte),
		closed:  make(map[store.ID]store.Outcome),
		now:     noon,
	}
}

func (j *memory) Commit(_ context.Context, c store.Commit) (store.Receipt, error) {
	if j.before != nil {
		j.before()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return store.Receipt{}, j.fail
	}
	if c.Open != nil {
		j.opened = append(j.opened, *c.Open)
	}
	if c.Open != nil && c.Open.Claim != nil {
		key := c.Open.Claim.Key()
		if first, ok := j.claims[key]; ok {
			j.events = append(j.events, kept{first, store.Entry{Kind: store.Resent}})
			return store.Receipt{Status: store.Duplicate, First: first}, nil
		}
		j.claims[key] = c.Exchange
	}
	if c.Close != nil && c.Close.Forget {
		maps.DeleteFunc(j.claims, func(_ store.ClaimKey, id store.ID) bool { return id == c.Exchange })
	}
	receipt := store.Receipt{}
	entries := c.Entries
	if c.Close != nil {
		last := entries[len(entries)-1]
		if _, twice := j.closed[c.Exchange]; twice {
			receipt = store.Receipt{Status: store.AlreadyClosed, First: c.Exchange}
			entries = append(entries[:len(entries)-1:len(entries)-1], store.Entry{Kind: store.Resent})
		} else {
			j.closed[c.Exchange] = c.Close.Outcome
			j.replies[c.Exchange], _ = store.FindPart(last.Parts, store.Reply)
		}
	}
	for _, e := range entries {
		j.events = append(j.events, kept{c.Exchange, e})
	}
	if c.Late != nil {
		j.late = append(j.late, *c.Late)
	}
	j.enqueue(c)
	return receipt, nil
}

func (j *memory) Answer(_ context.Context, id store.ID) ([]byte, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, ok := j.replies[id]
	return b, ok && b != nil, nil
}

// story returns the kinds of all events, in order.
func (j *memory) story() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var s []string
	for _, e := range j.events {
		s = append(s, e.Kind.String())
	}
	return strings.Join(s, " ")
}

// service is a back end that answers what a test says and keeps the contract of
// pds.Recorder.
type service struct {
	mu    sync.Mutex
	asked []pds.Request
	say   func(ctx context.Context, req pds.Request) (pds.Result, error)
}

func (s *service) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	if err := req.Recorder.Asking(ctx, pds.Call{Backend: "smsp", Operation: req.Want.String(), NHSNumber: req.NHSNumber, Body: []byte("question")}); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
	}
	s.mu.Lock()
	s.asked = append(s.asked, req)
	s.mu.Unlock()
	res, err := s.say(ctx, req)
	req.Recorder.Answered(pds.Answer{Code: res.Code, NHSNumber: res.NHSNumber, Body: []byte("answer")})
	return res, err
}

func (s *service) calls() []pds.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]pds.Request(nil), s.asked...)
}

// says makes a back end that always says the same.
func says(res pds.Result, err error) *service {
	return &service{say: func(context.Context, pds.Request) (pds.Result, error) { return res, err }}
}

var errBackEnd = &pds.Error{Class: pds.ProviderError, Status: 500, Retry: true}

// rig is a handler over a journal in memory.
type rig struct {
	*Handler
	journal *memory
	service *service
	log     *bytes.Buffer
	done    []Summary
}

func newRig(t *testing.T, s *service) *rig {
	t.Helper()
	r := &rig{journal: newMemory(), service: s, log: new(bytes.Buffer)}
	var mu sync.Mutex
	q := queue{j: r.journal}
	r.Handler = &Handler{
		Queue: q, Audit: q,
		Tracer: s, Journal: r.journal, Application: "NHSTRACE", ODS: "RXX",
		Now:          noon,
		NewControlID: func() string { return "NT0000000123" },
		Log:          slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Done: func(s Summary) {
			mu.Lock()
			defer mu.Unlock()
			r.done = append(r.done, s)
		},
	}
	t.Cleanup(func() {
		if err := r.Drain(context.Background()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		for _, secret := range []string{"HALVORSEN", "PRIMROSE", "9990000018", "19620417", "LS99"} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log holds patient data:\n%s", r.log)
			}
		}
	})
	return r
}

// send hands a message over, its segments given line by line, and returns the answer in
// the same form.
func (r *rig) send(t *testing.T, message string) string {
	t.Helper()
	reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(message))
	if err != nil {
		t.Fatalf("HandleMLLP: %v", err)
	}
	return lines(reply)
}

func wire(message string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimSpace(message), "\n", "\r") + "\r")
}

func lines(reply []byte) string {
	return strings.TrimSuffix(strings.ReplaceAll(string(reply), "\r", "\n"), "\n")
}

const (
	evn = "\nEVN||20261122115958\n"
	// primrose is a PID with a valid number that nobody verified yet.
	primrose = `PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||ED~NSTS02`
	// unnumbered is the same person without a number.
	unnumbered = `PID|1||RXX1234567^^^RXX^MR||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^^LEEDS^^ls991aa^^H|||||||||||||||||||||NSTS03`
)

func adt(event, pid string) string {
	return `MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122115959||ADT^` + event + `|PAS0000451|P|2.4` + evn + pid
}

var (
	primroseNumber = pds.MustNHSNumber("9990000018")
	survivor       = pds.MustNHSNumber("9990000026")
	errDown        = errors.Join(store.ErrUnavailable)
)
