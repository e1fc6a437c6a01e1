package auditevent

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"spinetrace/store"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

// journal is one chain in memory, made as the stores make it.
type journal struct {
	store.Audit
	head   store.Head
	events []store.Event
	parts  map[int64][]store.Part
	lost   error // of every body
}

func newJournal() *journal {
	return &journal{head: store.Head{Chain: "main"}, parts: make(map[int64][]store.Part)}
}

// start is when the first event happened; each further one is 1.5 ms later.
var start = time.Date(2026, 11, 22, 9, 30, 0, 123_456_000, time.UTC)

func (j *journal) add(exchange store.ID, entries ...store.Entry) *journal {
	for _, entry := range entries {
		at := start.Add(time.Duration(len(j.events)) * 1500 * time.Microsecond)
		e := j.head.Append(at, exchange, entry)
		j.events = append(j.events, e)
		j.parts[e.Seq] = entry.Parts
	}
	return j
}

func (j *journal) Events(_ context.Context, q store.Query) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for _, e := range j.events {
			if e.Exchange == q.Exchange && !yield(e, nil) {
				return
			}
		}
	}
}

func (j *journal) Parts(_ context.Context, e store.Event) ([]store.Part, bool, error) {
	return j.parts[e.Seq], len(j.parts[e.Seq]) > 0, j.lost
}

func body(kind store.PartKind, text string) []store.Part {
	return []store.Part{{Kind: kind, Data: []byte(text)}}
}

var (
	one = uuid.MustParse("0199a5c2-0001-7000-8000-000000000001")
	two = uuid.MustParse("0199a5c2-0002-7000-8000-000000000002")

	a28 = store.Facts{
		Peer: "192.0.2.10:41022", Subject: "CN=pas.trust.example", Application: "PAS", Facility: "RXX",
		ControlID: "PAS0000451", Type: "ADT^A28^ADT_A05", User: "SMITHJ", LocalID: "LA100001", NHSSent: "9990000018",
	}
	q22 = store.Facts{
		Peer: "[2001:db8::7]:41022", Application: "ED", ControlID: "Q1", Type: "QBP^Q22^QBP_Q21",
		Ack: "AA", Outcome: "traced", NHSFound: "9990000018", Decision: "NSTS01",
	}
)

// traced is the story of an A28 that one call was made for, whose result goes home by a letter.
func traced() *journal {
	return newJournal().add(one,
		store.Entry{Kind: store.Received, Facts: a28, Parts: body(store.Frame, "MSH|^~\\&|PAS|RXX\r")},
		store.Entry{Kind: store.Asked, Facts: store.Facts{
			Attempt: 1, Backend: "smsp", Operation: "verifyNHSNumber", Endpoint: "https://spine.example/smsp",
			MessageID: "A1B2", TrackingID: "C3D4", PayloadID: "E5F6", NHSSent: "9990000018",
		}, Parts: body(store.Request, "<soap:Envelope/>")},
		store.Entry{Kind: store.Answered, Facts: store.Facts{
			Attempt: 1, AnswerID: "F7A8", Status: 200, Code: "DEMOG-0017", NHSFound: "9990000026", TookMicros: 1400,
		}, Parts: body(store.Response, "<soap:Envelope/>")},
		store.Entry{Kind: store.Queued, Facts: store.Facts{Destination: "pas", ControlID: "ST0001", Type: "update"}},
		store.Entry{Kind: store.Replied, Facts: store.Facts{
			Ack: "AA", Outcome: "superseded", NHSFound: "9990000026", Decision: "NSTS01", Items: "replaced number",
		}},
		store.Entry{Kind: store.Resent, Facts: store.Facts{Peer: "192.0.2.11:50000", Application: "PAS", Facility: "RXX", ControlID: "PAS0000451"}},
		store.Entry{Kind: store.Tried, Facts: store.Facts{
			Destination: "pas", Letter: 7, ControlID: "ST0001", Attempt: 2, Ack: "AE", Outcome: "parked", Reason: "refused", TookMicros: 900,
		}},
	)
}

// alone is an event that belongs to no exchange.
func alone(kind store.Kind, f store.Facts) *journal {
	return newJournal().add(store.ID{}, store.Entry{Kind: kind, Facts: f})
}

// goldens are AuditEvents by the names of their files: the n-th event of a journal.
var goldens = map[string]struct {
	journal *journal
	n       int
	bodies  bool
}{
	"message":        {traced(), 0, true}, // an ADT is not a question: its body stays where it is
	"call":           {traced(), 1, true},
	"resent":         {traced(), 5, false},
	"letter":         {traced(), 6, false},
	"query":          {newJournal().add(two, store.Entry{Kind: store.Exchanged, Facts: q22, Parts: body(store.Frame, "MSH|^~\\&|ED\rQPD|IHE PDQ Query\r")}), 0, true},
	"query-bodiless": {newJournal().add(two, store.Entry{Kind: store.Exchanged, Facts: q22}), 0, true},
	"unanswered":     {newJournal().add(one, store.Entry{Kind: store.Received, Facts: a28}), 0, false},
	"broken": {newJournal().add(two, store.Entry{Kind: store.Broken, Facts: store.Facts{
		Peer: "192.0.2.99:1024", Reason: "no start block, 17 bytes"}}), 0, false},
	"call-unanswered": {newJournal().add(two,
		store.Entry{Kind: store.Received, Facts: store.Facts{User: "admin", Type: "trace", NHSSent: "9990000018"}},
		store.Entry{Kind: store.Asked, Facts: store.Facts{Attempt: 1, Backend: "pds", Operation: "getNHSNumber", Endpoint: "https://pds.example/Patient", MessageID: "r1"}},
		store.Entry{Kind: store.Asked, Facts: store.Facts{Attempt: 2, Backend: "pds", Operation: "token", Endpoint: "https://pds.example/oauth2/token"}},
		store.Entry{Kind: store.Answered, Facts: store.Facts{Attempt: 2, Status: 401, Code: "invalid_client"}},
	), 1, false},
	"command-line": {newJournal().add(two,
		store.Entry{Kind: store.Received, Facts: store.Facts{User: "admin", Type: "trace", NHSSent: "9990000018"}},
		store.Entry{Kind: store.Replied, Facts: store.Facts{Outcome: "no match"}},
	), 0, false},
	"token": {newJournal().add(two,
		store.Entry{Kind: store.Received, Facts: a28},
		store.Entry{Kind: store.Asked, Facts: store.Facts{Attempt: 1, Backend: "pds", Operation: "token", Endpoint: "https://pds.example/oauth2/token"}},
		store.Entry{Kind: store.Answered, Facts: store.Facts{Attempt: 1, Status: 401, Code: "invalid_client"}},
	), 1, false},
	"looked": {alone(store.Looked, store.Facts{
		User: "governance", Filters: map[string]string{"command": "audit find", "nhs_number": "9990000018"}, Rows: 3}), 0, false},
	"item-closed": {newJournal().add(one, store.Entry{Kind: store.Received, Facts: a28},
		store.Entry{Kind: store.ItemClosed, Facts: store.Facts{User: "clerk", Item: 17, Reason: "patient told"}}), 1, false},
	"requeued": {newJournal().add(one, store.Entry{Kind: store.Received, Facts: a28},
		store.Entry{Kind: store.Requeued, Facts: store.Facts{User: "operator", Destination: "pas", Letter: 7, ControlID: "ST0001", Reason: "mended"}}), 1, false},
	"finished": {newJournal().add(one, store.Entry{Kind: store.Received, Facts: a28},
		store.Entry{Kind: store.Finished, Facts: store.Facts{Outcome: "traced", NHSFound: "9990000026", Decision: "NSTS01", Differences: "family name"}}), 1, false},
	"interrupted": {newJournal().add(one, store.Entry{Kind: store.Received, Facts: a28},
		store.Entry{Kind: store.Interrupted, Facts: store.Facts{Reason: "the service ended before it answered"}}), 1, false},
	"started":  {alone(store.Started, store.Facts{Version: "1.0.0 abc", Config: "9f86d081", Host: "adapter1"}), 0, false},
	"warned":   {alone(store.Warned, store.Facts{Reason: "the listener has no TLS"}), 0, false},
	"rewound":  {alone(store.Rewound, store.Facts{From: 40, To: 42}), 0, false},
	"anchored": {alone(store.Anchored, store.Facts{Heads: map[string]string{"main.cli": "9 00ff"}}), 0, false},
	"reconfigured": {alone(store.Reconfigured, store.Facts{
		Config: "9f86d081", Details: map[string]string{"SPINETRACE_MLLP_TLS": "on, was off"}}), 0, false},
}

func TestGoldens(t *testing.T) {
	for name, g := range goldens {
		t.Run(name, func(t *testing.T) {
			x := Exporter{Journal: g.journal, ODS: "RXX", Bodies: g.bodies}
			line, err := x.Line(t.Context(), g.journal.events[g.n])
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, append(line, '\n'), "", "  "); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *rewrite {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEveryKindIsTold: no event is forgotten. What makes no AuditEvent of its own is told with another.
func TestEveryKindIsTold(t *testing.T) {
	with := []store.Kind{store.Answered, store.Replied, store.Queued}
	for kind := store.Kind(1); !strings.HasPrefix(kind.String(), "kind "); kind++ {
		for _, exchange := range []store.ID{{}, one} {
			j := newJournal().add(exchange, store.Entry{Kind: kind})
			x := Exporter{Journal: j, ODS: "RXX", Bodies: true}
			line, err := x.Line(t.Context(), j.events[0])
			if err != nil || (line == nil) != slices.Contains(with, kind) {
				t.Errorf("%s: got %d bytes, %v", kind, len(line), err)
			}
		}
	}
}

// TestOneRequestor: an auditor asks who began it, and gets one answer.
func TestOneRequestor(t *testing.T) {
	for name, g := range goldens {
		x := Exporter{Journal: g.journal, ODS: "RXX"}
		line, err := x.Line(t.Context(), g.journal.events[g.n])
		if n := bytes.Count(line, []byte(`"requestor":true`)); err != nil || n != 1 {
			t.Errorf("%s: %d requestors, %v", name, n, err)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for name, tt := range map[string]struct {
		kind  store.Kind
		facts store.Facts
		want  string
	}{
		"no match is an answer":      {store.Exchanged, store.Facts{Type: "QBP^Q22", Outcome: "no match"}, "0"},
		"the message was at fault":   {store.Exchanged, store.Facts{Type: "ADT^A28", Outcome: "rejected"}, "4"},
		"we were at fault":           {store.Exchanged, store.Facts{Type: "ADT^A28", Outcome: "failed"}, "8"},
		"delivered":                  {store.Tried, store.Facts{Outcome: "delivered"}, "0"},
		"to be tried again":          {store.Tried, store.Facts{Outcome: "to be tried again"}, "4"},
		"a clock that nobody tells":  {store.Clocked, store.Facts{Reason: "the host does not say"}, "4"},
		"a clock that is right":      {store.Clocked, store.Facts{}, "0"},
		"events were lost":           {store.Rewound, store.Facts{}, "8"},
		"a trace that never ended":   {store.Finished, store.Facts{Outcome: "unfinished"}, "8"},
		"answered from a local copy": {store.Finished, store.Facts{Outcome: "stale"}, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			j := alone(tt.kind, tt.facts)
			line, err := (&Exporter{Journal: j, ODS: "RXX"}).Line(t.Context(), j.events[0])
			var got struct{ Outcome string }
			if err == nil {
				err = json.Unmarshal(line, &got)
			}
			if err != nil || got.Outcome != tt.want {
				t.Errorf("outcome %q, %v; want %q", got.Outcome, err, tt.want)
			}
		})
	}
}

func TestOutcomeOfCall(t *testing.T) {
	for status, want := range map[int]string{0: "SERIOUS_FAILURE", 200: "SUCCESS", 404: "SUCCESS", 429: "MINOR_FAILURE", 503: "SERIOUS_FAILURE"} {
		if got := outcomeOfCall(status).String(); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

func TestTransactions(t *testing.T) {
	for messageType, want := range map[string][2]string{
		"QRY^A19": {"110112", "ITI-21"}, "QBP^Q22^QBP_Q21": {"110112", "ITI-21"}, "QBP^Q23": {"110112", "ITI-9"},
		"QBP^Q99": {"110112", ""}, "QCN^J01": {"110112", ""}, "trace": {"110112", ""},
		"ADT^A01": {"110110", "ITI-8"}, "ADT^A31": {"110110", "ITI-30"}, "ADT^A03": {"110110", ""},
		"ORU^R01": {"110107", ""}, "": {"110107", ""},
	} {
		if got := transactionOf(messageType); got.what.code != want[0] || got.more.code != want[1] {
			t.Errorf("%q: %s %s, want %v", messageType, got.what.code, got.more.code, want)
		}
	}
}

// TestHostileTexts: senders write what they like. It becomes valid FHIR, or nothing.
func TestHostileTexts(t *testing.T) {
	for _, rubbish := range []string{"\x00\x1b[31m", "  ", "\xff\xfe", "\u2028<script>", strings.Repeat("é", 3000), "\U0001F600\u202e"} {
		f := store.Facts{
			Peer: rubbish, Subject: rubbish, Application: rubbish, Facility: rubbish, ControlID: rubbish, Type: rubbish,
			User: rubbish, LocalID: rubbish, NHSSent: rubbish, NHSFound: rubbish, Ack: rubbish, Outcome: rubbish, Reason: rubbish,
			Backend: rubbish, Operation: rubbish, Endpoint: rubbish, MessageID: rubbish, Code: rubbish, Host: rubbish,
			Filters: map[string]string{rubbish: rubbish}, Heads: map[string]string{rubbish: rubbish}, Details: map[string]string{rubbish: rubbish},
			Letter: -1, Item: -1, Rows: -1, Destination: rubbish,
		}
		for kind := range kinds {
			j := newJournal().add(one, store.Entry{Kind: kind, Facts: f})
			if _, err := (&Exporter{Journal: j, ODS: "RXX"}).Line(t.Context(), j.events[0]); err != nil {
				t.Errorf("%s of %q: %v", kind, rubbish[:min(len(rubbish), 9)], err)
			}
		}
	}
}

func TestErrorsSayWhereNotWhat(t *testing.T) {
	damaged := store.Event{Chain: "main", Seq: 42, Kind: store.Looked, Doc: `{"user":"SECRET"`}
	_, err := (&Exporter{}).Line(t.Context(), damaged)
	if want := "auditevent: main:42: the event's document cannot be read"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	j := goldens["query"].journal
	for name, tt := range map[string]struct {
		lost error
		want string
	}{
		"damaged": {store.ErrParts, `{"type":"question","valueString":"damaged"}`},
		"no key":  {store.ErrNoBodyKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j.lost = tt.lost
			line, err := (&Exporter{Journal: j, ODS: "RXX", Bodies: true}).Line(t.Context(), j.events[0])
			if (err != nil) != (tt.want == "") || !strings.Contains(string(line), tt.want) {
				t.Errorf("got %s, %v", line, err)
			}
		})
	}
	j.lost = nil
}

func TestInvalidIsNotWritten(t *testing.T) {
	r := record{act: &act{Event: store.Event{Chain: "main", Kind: store.Looked}}}
	r.begin(kinds[store.Looked])
	r.made.Source = nil // required
	if line, err := marshal(r.made); err == nil {
		t.Errorf("no source: got %s", line)
	}
	if line, err := marshal(nil); err == nil {
		t.Errorf("nothing: got %s", line)
	}
}

func BenchmarkLine(b *testing.B) {
	j := traced()
	x := Exporter{Journal: j, ODS: "RXX"}
	for b.Loop() {
		if _, err := x.Line(b.Context(), j.events[0]); err != nil {
			b.Fatal(err)
		}
	}
}
