package sqlite

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/store"
)

// BenchmarkCommit makes messages of 0.56 KB durable, for 1, 8 and 64 callers at once.
// untraced is one commit: one event, frame and answer, claim, opening and closing. traced
// is two: received and asked, then answered and replied, with SOAP bodies of 2.9 KB each
// way. told is untraced, and tells of one of 10,000 patients. ended is untraced, and a second
// commit of one event; worked is ended, and the first adds an item of work that the second
// settles.
func BenchmarkCommit(b *testing.B) {
	for _, bm := range []struct {
		name string
		work func(testing.TB, *Store, int64)
	}{{"untraced", untraced}, {"traced", traced}, {"told", told}, {"ended", ended}, {"worked", worked}} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", bm.name, callers), func(b *testing.B) {
				s := start(b, newPath(b), store.Options{})
				b.ReportAllocs()
				b.ResetTimer()
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							bm.work(b, s, i)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

var (
	benchFrame = padded("MSH|^~\\&|PAS|RXX01|SPINETRACE|RXX|20261122101500||ADT^A28^ADT_A05|1|P|2.4\r", 560)
	benchReply = padded("MSH|^~\\&|SPINETRACE|RXX\rMSA|AA|1\r", 150)
	benchSOAP  = padded("<soap:Envelope>", 2900)
)

// padded brings text to a size with characters that compress about as SOAP does.
func padded(text string, size int) []byte {
	b := []byte(text)
	for i := 0; len(b) < size; i++ {
		sum := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
		b = fmt.Appendf(b, "<element root='%x'/><element/>", sum[:8])
	}
	return b[:size]
}

func benchOpening(i int64) *store.Opening {
	id := fmt.Sprintf("PAS%09d", i)
	claim := &store.Claim{Application: "PAS", Facility: "RXX01", ControlID: id, Window: 168 * time.Hour}
	claim.Digest = sha256.Sum256(append(benchFrame[:len(benchFrame):len(benchFrame)], id...))
	return &store.Opening{
		Claim: claim, Application: "PAS", Facility: "RXX01", ControlID: id,
		Type: "ADT^A28^ADT_A05", LocalID: "100001", NHSNumber: "9990000018",
	}
}

func benchFacts(o *store.Opening) store.Facts {
	return store.Facts{
		Peer: "192.0.2.7:40001", Application: "PAS", Facility: "RXX01", ControlID: o.ControlID,
		Type: o.Type, LocalID: o.LocalID, NHSSent: o.NHSNumber, Ack: "AA", Outcome: "not traced",
	}
}

func benchCommit(tb testing.TB, s *Store, c store.Commit) {
	if r, err := s.Commit(tb.Context(), c); err != nil || r.Status != store.Kept {
		tb.Errorf("Commit() = %v, error %v; want Kept", r, err)
	}
}

func untraced(tb testing.TB, s *Store, i int64) { benchCommit(tb, s, benchExchange(i)) }

func told(tb testing.TB, s *Store, i int64) {
	c := benchExchange(i)
	c.Patients = []store.Patient{{
		Key: store.PatientKey{Authority: "RXX01", LocalID: fmt.Sprintf("%06d", i*7919%10_000)},
		Told: store.Told{At: time.Now(), Exchange: c.Exchange, NHSNumber: "9990000018", Status: "01",
			Doc: strings.Repeat("0123456789abcdef", 25)},
	}}
	benchCommit(tb, s, c)
}

func ended(tb testing.TB, s *Store, i int64) {
	c := benchExchange(i)
	benchCommit(tb, s, c)
	benchCommit(tb, s, store.Commit{Exchange: c.Exchange, Entries: []store.Entry{{Kind: store.Finished}}})
}

func worked(tb testing.TB, s *Store, i int64) {
	c := benchExchange(i)
	w := benchWork(i, c.Exchange)
	c.Work = []store.Work{w}
	benchCommit(tb, s, c)
	benchSettle(tb, s, w)
}

func benchWork(i int64, exchange store.ID) store.Work {
	now := time.Now()
	return store.Work{
		Exchange: exchange, Patient: store.PatientKey{Authority: "RXX01", LocalID: fmt.Sprintf("%06d", i*7919%200_000)},
		Kind: store.Unfinished, Due: now.Add(-time.Minute), Reason: "no answer yet",
	}
}

func benchSettle(tb testing.TB, s *Store, w store.Work) {
	benchCommit(tb, s, store.Commit{
		Exchange: w.Exchange, Entries: []store.Entry{{Kind: store.Finished}},
		Settled: []store.Settlement{{Exchange: w.Exchange, Attempt: w.Attempt}},
	})
}

// BenchmarkQueue empties a queue by 16 workers, who each claim some items at a time, and settle
// each by a commit of its own with one event.
//
// On 2 cores that had other work to do: 2,600, 4,600 and 6,700 items a second that are claimed 1,
// 4 and 16 at a time.
func BenchmarkQueue(b *testing.B) {
	for _, claim := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("claim=%d", claim), func(b *testing.B) {
			s := start(b, newPath(b), store.Options{})
			for from := 0; from < b.N; from += 1000 {
				c := store.Commit{Entries: []store.Entry{{Kind: store.Finished}}}
				for i := from; i < min(from+1000, b.N); i++ {
					c.Work = append(c.Work, benchWork(int64(i), store.NewID()))
				}
				benchCommit(b, s, c)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 16 {
				wg.Go(func() {
					for left.Load() > 0 {
						items, err := s.Claim(b.Context(), claim, time.Hour)
						if err != nil {
							b.Error(err)
							return
						}
						for _, w := range items {
							benchSettle(b, s, w)
						}
						left.Add(-int64(len(items)))
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}

func benchExchange(i int64) store.Commit {
	o := benchOpening(i)
	return store.Commit{
		Exchange: store.NewID(), Open: o,
		Entries: []store.Entry{{
			Kind: store.Exchanged, Facts: benchFacts(o),
			Parts: []store.Part{{Kind: store.Frame, Data: benchFrame}, {Kind: store.Reply, Data: benchReply}},
		}},
		Close: &store.Closing{Outcome: store.NotTraced},
	}
}

func traced(tb testing.TB, s *Store, i int64) {
	o := benchOpening(i)
	exchange, facts := store.NewID(), benchFacts(o)
	benchCommit(tb, s, store.Commit{
		Exchange: exchange, Open: o,
		Entries: []store.Entry{
			{Kind: store.Received, Facts: facts, Parts: []store.Part{{Kind: store.Frame, Data: benchFrame}}},
			{Kind: store.Asked, Facts: facts, Parts: []store.Part{{Kind: store.Request, Data: benchSOAP}}},
		},
	})
	benchCommit(tb, s, store.Commit{
		Exchange: exchange,
		Entries: []store.Entry{
			{Kind: store.Answered, Facts: facts, Parts: []store.Part{{Kind: store.Response, Data: benchSOAP}}},
			{Kind: store.Replied, Facts: facts, Parts: []store.Part{{Kind: store.Reply, Data: benchReply}}},
		},
		Close: &store.Closing{Outcome: store.Verified, NHSNumber: "9990000018"},
	})
}

// BenchmarkVerify walks a chain of 20,000 events, each with two bodies.
func BenchmarkVerify(b *testing.B) {
	s := start(b, newPath(b), store.Options{})
	var wg sync.WaitGroup
	for caller := range int64(64) {
		wg.Go(func() {
			for i := range int64(20_000 / 64) {
				untraced(b, s, caller*1000+i)
			}
		})
	}
	wg.Wait()
	for _, bodies := range []bool{false, true} {
		b.Run(fmt.Sprintf("bodies=%t", bodies), func(b *testing.B) {
			var events int64
			for b.Loop() {
				w, err := store.Verify(b.Context(), s, "main", bodies, nil)
				if err != nil {
					b.Fatal(err)
				}
				events += w.Events
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
