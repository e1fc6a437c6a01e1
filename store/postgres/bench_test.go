package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
)

// BenchmarkCommit measures messages by 1, 8 and 64 callers that each wait for their commit,
// on a server of its own with the default durability (fsync and synchronous_commit on).
// untraced is one commit: one event, claim, exchange, both bodies of an ADT^A28 of 0.3 KB.
// traced is two: four events with a body each, the SOAP bodies of 1.5 KB, closed by a reply.
// What one write and flush to the same disk costs is reported beside each figure: on one
// connection it is most of the time.
//
// On 2 cores that had other work to do, at 0.2 ms a flush: 1,700 / 5,900 / 21,200 untraced
// and 940 / 3,100 / 5,300 traced messages a second. Without flushes, 64 callers: 23,900 and
// 7,900; a message costs PostgreSQL 29 and 63 us, this process 20 and 82 us.
func BenchmarkCommit(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	template := srv.Template(b, "migrated", migrate)
	flush := measureSync(b, filepath.Dir(srv.Socket()))
	for _, kind := range []struct {
		name string
		send func(tb testing.TB, s store.Store, control string)
	}{{"untraced", sendUntraced}, {"traced", sendTraced}} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind.name, callers), func(b *testing.B) {
				s := start(b, srv.NewDatabase(b, template), store.Options{})
				together(b, callers, func(n int64) { kind.send(b, s, fmt.Sprint("PAS", n)) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(flush, "us/sync")
			})
		}
	}
}

func sendUntraced(tb testing.TB, s store.Store, control string) {
	commit(tb, s, message(control), store.Kept)
}

func sendTraced(tb testing.TB, s store.Store, control string) {
	c := first(control)
	c.Entries[1].Parts[0].Data = soap
	end := second(c.Exchange)
	end.Entries[0].Parts[0].Data = soap
	commit(tb, s, c, store.Kept)
	commit(tb, s, end, store.Kept)
}

// soap is about as large as a question, and compresses about as well.
var soap = func() []byte {
	var b []byte
	for i := range 40 {
		b = fmt.Appendf(b, "<element%d>%x</element%d>", i, i*i*7919, i)
	}
	return b
}()

// together shares b.N calls among the callers.
func together(b *testing.B, callers int, call func(n int64)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				call(n)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// measureSync returns the time of one write of 8 KB and its flush to the disk, in
// microseconds, as pg_test_fsync measures it.
func measureSync(b *testing.B, dir string) (micros float64) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const times = 300
	block := make([]byte, 8192)
	start := time.Now()
	for range times {
		if _, err := f.WriteAt(block, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(start).Microseconds()) / times
}

// BenchmarkVerify walks a chain of untraced messages, with and without their bodies.
func BenchmarkVerify(b *testing.B) {
	s := start(b, newDatabase(b), store.Options{})
	const events = 20_000
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= events; n = next.Add(1) {
				sendUntraced(b, s, fmt.Sprint("PAS", n))
			}
		})
	}
	wg.Wait()
	for _, bodies := range []bool{false, true} {
		b.Run(fmt.Sprintf("bodies=%t", bodies), func(b *testing.B) {
			for b.Loop() {
				if w, err := store.Verify(b.Context(), s, "main", bodies, nil); err != nil || w.Events != events {
					b.Fatal(w.Events, err)
				}
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
		})
	}
}
