package store

import (
	stdcmp "cmp"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func sum256(b []byte) [32]byte { return sha256.Sum256(b) }

var (
	someID   = uuid.MustParse("01932f5e-7c00-7abc-8def-0123456789ab")
	someTime = time.Date(2026, 11, 22, 10, 15, 0, 123456789, time.FixedZone("", 3600))
)

// The documents are what auditors read in ten years: they never change.
func TestAppendWrites(t *testing.T) {
	for name, tt := range map[string]struct {
		exchange ID
		entry    Entry
		want     string
	}{
		"an event of the service": {
			ID{}, Entry{Kind: Started, Facts: Facts{Version: "1.0.0", Host: "trust-01"}},
			`{"chain":"main","seq":42,"at":"2026-11-22T09:15:00.123456Z","kind":"started","user":"system","software":"1.0.0","host":"trust-01"}`,
		},
		"an exchange with its bodies": {
			someID, Entry{
				Kind: Exchanged,
				Facts: Facts{
					Peer: "192.0.2.7:40001", Application: "PAS", ControlID: "PAS0000451", Type: "ADT^A28^ADT_A05",
					NHSSent: "9990000018", Ack: "AA", Outcome: NotTraced.String(),
				},
				Parts: []Part{{Frame, []byte("MSH|^~\\&|PAS\r")}, {Reply, nil}},
			},
			`{"chain":"main","seq":42,"at":"2026-11-22T09:15:00.123456Z","kind":"exchanged","exchange":"01932f5e-7c00-7abc-8def-0123456789ab",` +
				`"peer":"192.0.2.7:40001","application":"PAS","control_id":"PAS0000451","type":"ADT^A28^ADT_A05",` +
				`"user":"system","nhs_number_sent":"9990000018","ack":"AA","outcome":"not traced","bodies":[` +
				`{"kind":"frame","size":13,"sha256":"56080864da60fb7a4038f945a5d9217968d8aa08cf93cc3b25f0599865102551"},` +
				`{"kind":"reply","size":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`,
		},
		"text beyond ASCII, marks and control characters": {
			someID, Entry{Kind: Warned, Facts: Facts{Reason: "caf\u00e9 \U0001F600 <&> \"\\\" \r\n\x00\u2028"}},
			`{"chain":"main","seq":42,"at":"2026-11-22T09:15:00.123456Z","kind":"warned","exchange":"01932f5e-7c00-7abc-8def-0123456789ab",` +
				`"user":"system","reason":"caf\u00e9 \ud83d\ude00 \u003c\u0026\u003e \"\\\" \r\n\u0000\u2028"}`,
		},
		"bytes that are not UTF-8": {
			someID, Entry{Kind: Warned, Facts: Facts{Reason: "caf\xe9 \xed\xa0\x80"}},
			`{"chain":"main","seq":42,"at":"2026-11-22T09:15:00.123456Z","kind":"warned","exchange":"01932f5e-7c00-7abc-8def-0123456789ab",` +
				`"user":"system","reason":"caf\ufffd \ufffd\ufffd\ufffd"}`,
		},
		"numbers and maps": {
			ID{}, Entry{Kind: Looked, Facts: Facts{
				User: "auditor", Attempt: 2, Status: 500, TookMicros: 1234567, Rows: 3, From: 7, To: 9,
				Filters: map[string]string{"to": "2026-12-01", "control_id": "PAS1"},
			}},
			`{"chain":"main","seq":42,"at":"2026-11-22T09:15:00.123456Z","kind":"looked","user":"auditor","attempt":2,` +
				`"http_status":500,"took_us":1234567,"filters":{"control_id":"PAS1","to":"2026-12-01"},"rows":3,"from":7,"to":9}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			head := Head{Chain: "main", Seq: 41, Hash: Hash{1, 2, 3}}
			before := head.Hash
			e := head.Append(someTime, tt.exchange, tt.entry)
			if diff := cmp.Diff(tt.want, e.Doc); diff != "" {
				t.Errorf("Doc (-want +got):\n%s", diff)
			}
			if want := Hash(sha256.Sum256([]byte(string(before[:]) + e.Doc))); e.Hash != want {
				t.Errorf("Hash = %v, want %v", e.Hash, want)
			}
			if want := (Head{"main", 42, e.At, e.Hash}); head != want {
				t.Errorf("head = %v, want %v", head, want)
			}
			want := tt.entry.Facts
			want.User = stdcmp.Or(want.User, System)
			if got, err := e.Facts(); err != nil {
				t.Errorf("Facts() error = %v", err)
			} else if name != "bytes that are not UTF-8" && !cmp.Equal(got, want) {
				t.Errorf("Facts() differ:\n%s", cmp.Diff(want, got))
			}
			if got, err := e.Digests(); err != nil || len(got) != len(tt.entry.Parts) {
				t.Errorf("Digests() = %v, error %v; want %d", got, err, len(tt.entry.Parts))
			}
		})
	}
}

// TestOlderEventsVerify: what was written before every event had a user is what it was, and a new event
// goes behind it.
func TestOlderEventsVerify(t *testing.T) {
	older := Event{
		Chain: "main", Seq: 1, At: someTime.UTC().Truncate(time.Microsecond), Kind: Started,
		Doc: `{"chain":"main","seq":1,"at":"2026-11-22T09:15:00.123456Z","kind":"started","software":"1.0.0"}`,
	}
	older.Hash = sum256(append(make([]byte, sha256.Size), older.Doc...))
	head := Head{Chain: "main", Seq: 1, At: older.At, Hash: older.Hash}
	m := &memory{events: []Event{older, head.Append(someTime, ID{}, Entry{Kind: Stopped})}}
	if r, err := Verify(t.Context(), m, "main", true, nil); err != nil || r.Events != 2 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
	for i, want := range []string{"", System} {
		if f, err := m.events[i].Facts(); err != nil || f.User != want {
			t.Errorf("event %d is of %q, %v; want %q", i+1, f.User, err, want)
		}
	}
}

func TestAppendNeverGoesBackInTime(t *testing.T) {
	head := Head{Chain: "main"}
	first := head.Append(someTime, ID{}, Entry{Kind: Started})
	for _, step := range []time.Duration{-time.Hour, -1, 0, time.Nanosecond} {
		if e := head.Append(someTime.Add(step), ID{}, Entry{Kind: Started}); !e.At.Equal(first.At) {
			t.Errorf("after a step of %v: At = %v, want %v", step, e.At, first.At)
		}
	}
	if e := head.Append(someTime.Add(time.Microsecond), ID{}, Entry{Kind: Started}); e.At.Sub(first.At) != time.Microsecond {
		t.Errorf("At = %v, want a microsecond after %v", e.At, first.At)
	}
}

func TestDocumentErrorsHoldNoContent(t *testing.T) {
	_, err := Event{Doc: `{"reason":"SPECIMEN`}.Facts()
	if got, want := fmt.Sprint(err), "store: event document: not JSON at byte 19"; got != want {
		t.Errorf("Facts() error = %q, want %q", got, want)
	}
}

func TestEveryConstantHasAName(t *testing.T) {
	for k := Started; k <= Clocked; k++ {
		if kinds[k] == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	for o := NotTraced; o <= Unanswered; o++ {
		if outcomes[o] == "" {
			t.Errorf("outcome %d has no name", o)
		}
	}
	for k := Unfinished; k <= Changed; k++ {
		if k.String() == "" {
			t.Errorf("kind of work %d has no name", k)
		}
	}
	for p := Frame; p <= Acknowledged; p++ {
		if partKinds[p] == "" {
			t.Errorf("kind of body %d has no name", p)
		}
	}
	for k := Update; k <= Notice; k++ {
		if k.String() == "" {
			t.Errorf("kind of letter %d has no name", k)
		}
	}
	for s := Waiting; s <= Dropped; s++ {
		if s.String() == "" {
			t.Errorf("state of letters %d has no name", s)
		}
	}
	for _, k := range ItemKinds() {
		if again, ok := ParseItemKind(k.String()); !ok || again != k {
			t.Errorf("ParseItemKind(%q) = %v, %t", k, again, ok)
		}
	}
	for got, want := range map[fmt.Stringer]string{
		Kind(200): "kind 200", Outcome(0): "unfinished", Outcome(99): "outcome 99", PartKind(9): "body 9", Rewound: "rewound",
		SixWeeks: "under six weeks", WorkKind(0): "",
	} {
		if got.String() != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
