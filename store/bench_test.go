package store_test

import (
	"testing"
	"time"

	"spinetrace/store"
)

// BenchmarkAppend makes the next event of an untraced message: facts, two bodies of 560
// and 150 bytes, document, hash.
func BenchmarkAppend(b *testing.B) {
	entry := store.Entry{
		Kind: store.Exchanged,
		Facts: store.Facts{
			Peer: "192.0.2.7:40001", Application: "PAS", Facility: "RXX01", ControlID: "PAS000000001",
			Type: "ADT^A28^ADT_A05", LocalID: "100001", NHSSent: "9990000018", Ack: "AA", Outcome: "not traced",
		},
		Parts: []store.Part{{Kind: store.Frame, Data: make([]byte, 560)}, {Kind: store.Reply, Data: make([]byte, 150)}},
	}
	head, id, now := store.Head{Chain: "main"}, store.NewID(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		head.Append(now, id, entry)
	}
}
