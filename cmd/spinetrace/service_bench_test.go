package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"spinetrace/internal/pgtest"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// BenchmarkServe measures the service as it is shipped, a process of its own, on a PostgreSQL with
// the default durability (fsync and synchronous_commit on) and an empty store, beside what asks it
// and a provider that answers at once: all of them share the machine. The ADTs are those of `load`,
// 0.6 KB each, about 20,000 people in turn. untraced is an A03 that is written down and answered; traced
// is an A28 by which somebody is searched for, whatever was found before.
//
// What one write and flush to the same disk takes is reported beside each figure: flushes is how many
// of them fit into the median answer. Everything that was answered is counted in the journal.
//
//	go test -run '^$' -bench Serve -benchtime 50000x ./cmd/spinetrace
func BenchmarkServe(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	made := new(strings.Builder)
	if err := writePeople(made, 20_000); err != nil {
		b.Fatal(err)
	}
	people, err := pdstest.ReadPeople(strings.NewReader(made.String()))
	if err != nil {
		b.Fatal(err)
	}
	known, err := pdstest.NewPopulation(people)
	if err != nil {
		b.Fatal(err)
	}
	csv, sim := file(b, "people.csv", made.String()), smsptest.NewServer(b, known)
	for _, kind := range []struct{ name, event string }{{"untraced", "A03"}, {"traced", "A28"}} {
		for _, connections := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/connections=%d", kind.name, connections), func(b *testing.B) {
				flush, dsn := srv.SyncTime(b), swift.migrated(b, srv)
				i := swift.launch(b, serveSettings(dsn, sim.URL, map[string]string{"TRACE_EVENTS": "A28"}))
				i.awaitReady(b)
				l := loading{addr: i.mllp, event: kind.event, people: csv, connections: connections, count: int64(b.N), lasts: time.Hour, timeout: patience}
				b.ResetTimer()
				r, err := l.measure(b.Context())
				b.StopTimer()
				if err != nil || r.Acks["AA"] != b.N {
					b.Fatalf("%d messages were answered %v, %v", b.N, r.Acks, err)
				}
				i.stop(b)
				if n := querySQL(b, dsn, "select count(*) from exchange"); n != strconv.Itoa(b.N) {
					b.Errorf("%s exchanges in the journal after %d answers", n, b.N)
				}
				b.ReportMetric(r.PerSecond, "msg/s")
				b.ReportMetric(r.P50, "p50-ms")
				b.ReportMetric(r.P99, "p99-ms")
				b.ReportMetric(flush, "us/sync")
				b.ReportMetric(r.P50*1e3/flush, "flushes/p50")
			})
		}
	}
}
