package postgres_test

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
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
// and 940 / 3,100 / 5,300 traced messages a second. At 64 callers on the same machine with nothing else
// to do: 29,000 and 9,000; a message costs PostgreSQL 23 and 67 us and 2.0 and 6.3 KB of log.
func BenchmarkCommit(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	template := srv.Template(b, "migrated", migrate)
	flush := srv.SyncTime(b)
	for _, kind := range []struct {
		name string
		send func(tb testing.TB, s store.Store, control string)
	}{{"untraced", sendUntraced}, {"traced", sendTraced}} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind.name, callers), func(b *testing.B) {
				dsn := srv.NewDatabase(b, template)
				s, db := start(b, dsn, store.Options{}), query(b, dsn)
				busy, logged := serverTime(b, db), number(b, db, logAhead)
				together(b, callers, func(n int64) { kind.send(b, s, fmt.Sprint("PAS", n)) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(serverTime(b, db)-busy)/1e3/float64(b.N), "server-us/msg")
				b.ReportMetric(float64(number(b, db, logAhead)-logged)/float64(b.N), "wal-B/msg")
				b.ReportMetric(flush, "us/sync")
			})
		}
	}
}

// BenchmarkCommitPatient measures what an entry of the index adds to an untraced message: the
// index holds 200,000 patients with documents of 400 bytes, about 150 MB, and each message tells
// anew of one of them, whose number is what it was, or, one in fifty, of a new one. The commits
// without share the database with those. Beside the rate it reports how busy the writing
// server process was, and how much it logged ahead, with whole pages after a checkpoint.
//
// On 2 cores that had other work to do, at 64 callers: 22 us and 1.7 KB without an entry, 45 to
// 55 us and 2.5 KB with one; 37 us as long as the index fits the server's memory. All updates
// leave the indexes alone. One caller, at 0.2 ms a flush: 0.40 and 0.52 ms.
func BenchmarkCommitPatient(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	dsn := srv.NewDatabase(b, srv.Template(b, "migrated", migrate))
	s, db := start(b, dsn, store.Options{}), query(b, dsn)
	const patients = 200_000
	fillPatients(b, db, patients)
	round := 0
	for _, with := range []bool{false, true} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("patient=%t/callers=%d", with, callers), func(b *testing.B) {
				round++
				busy, logged := serverTime(b, db), number(b, db, logAhead)
				together(b, callers, func(n int64) {
					c := message(fmt.Sprint("PAS", round, "-", n))
					if with {
						c.Patients = []store.Patient{newVersion(c.Exchange, n, patients)}
					}
					commit(b, s, c, store.Kept)
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(serverTime(b, db)-busy)/1e3/float64(b.N), "server-us/msg")
				b.ReportMetric(float64(number(b, db, logAhead)-logged)/float64(b.N), "wal-B/msg")
			})
		}
	}
	updates := number(b, db, "select n_tup_upd from pg_stat_user_tables where relname = 'patient'")
	if hot := number(b, db, "select n_tup_hot_upd from pg_stat_user_tables where relname = 'patient'"); updates > 0 {
		b.Logf("%d updates, %d %% of them without the indexes", updates, 100*hot/updates)
	}
}

// logAhead is the position of the write-ahead log.
const logAhead = "select pg_current_wal_insert_lsn() - '0/0'"

// fillPatients makes entries of the index, numbered from 0.
func fillPatients(b testing.TB, db *sql.DB, n int) {
	b.Helper()
	exec(b, db, fmt.Sprintf(`insert into patient select to_char(n, 'FM000000'), 'RXX01',
		'2026-01-01', gen_random_uuid(), '999' || to_char(n, 'FM0000000'), '01', gen_random_uuid(), repeat(md5(n::text), 12),
		'2026-01-01', gen_random_uuid(), gen_random_uuid(), 2, '999' || to_char(n, 'FM0000000'), '01',
		'0001-01-01', '00000000-0000-0000-0000-000000000000', '', '', '2026-01-01' from generate_series(0, %d - 1) n`, n))
	exec(b, db, "vacuum analyze patient")
	exec(b, db, "checkpoint")
}

// newVersion tells anew of one of the entries that fillPatients made, or of another.
func newVersion(exchange store.ID, n, patients int64) store.Patient {
	i := n * 61_803 % patients
	p := store.Patient{
		Key: store.PatientKey{Authority: "RXX01", LocalID: fmt.Sprintf("%06d", i)},
		Told: store.Told{
			At: time.Now(), Exchange: exchange, NHSNumber: fmt.Sprintf("999%07d", i), Status: "01",
			Print: store.Print(exchange), Doc: strings.Repeat("0123456789abcdef", 25),
		},
	}
	if n%50 == 0 {
		p.Key.LocalID = exchange.String()
	}
	return p
}

// BenchmarkCommitWork measures what an item adds to a message that is two commits, the untraced
// one and one that says it has ended: the first adds the item, the second settles it. So there
// are few items at a time, each of another patient, and no claim. Reported is as for
// BenchmarkCommitPatient.
//
// On 2 cores that had other work to do, at 64 callers: 30 to 35 us and 2.2 KB without an item, 60
// to 80 us and 2.6 KB with one.
func BenchmarkCommitWork(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	dsn := srv.NewDatabase(b, srv.Template(b, "migrated", migrate))
	s, db := start(b, dsn, store.Options{}), query(b, dsn)
	round := 0
	for _, with := range []bool{false, true} {
		for _, callers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("work=%t/callers=%d", with, callers), func(b *testing.B) {
				round++
				busy, logged := serverTime(b, db), number(b, db, logAhead)
				together(b, callers, func(n int64) {
					c := message(fmt.Sprint("PAS", round, "-", n))
					end := store.Commit{Exchange: c.Exchange, Entries: []store.Entry{{Kind: store.Finished}}}
					if with {
						w := due(fmt.Sprintf("%06d", n*61_803%200_000), c.Exchange)
						c.Work, end.Settled = []store.Work{w}, settled([]store.Work{w}).Settled
					}
					commit(b, s, c, store.Kept)
					commit(b, s, end, store.Kept)
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(serverTime(b, db)-busy)/1e3/float64(b.N), "server-us/msg")
				b.ReportMetric(float64(number(b, db, logAhead)-logged)/float64(b.N), "wal-B/msg")
			})
		}
	}
}

// BenchmarkQueue measures how fast two instances empty a queue together: each worker claims some
// items at a time, and settles each by a commit of its own with one event.
//
// On 2 cores that had other work to do, at 0.2 ms a flush: 700, 970 and 910 items a second by 2
// workers that claim 1, 4 and 16, and 1,100, 2,800 and 2,400 by 16 workers.
func BenchmarkQueue(b *testing.B) {
	srv := pgtest.Start(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "128MB", "max_wal_size": "1GB"}})
	template := srv.Template(b, "migrated", migrate)
	flush := srv.SyncTime(b)
	for _, workers := range []int{2, 16} {
		for _, claim := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("workers=%d/claim=%d", workers, claim), func(b *testing.B) {
				dsn := srv.NewDatabase(b, template)
				stores := []store.Store{start(b, dsn, store.Options{Chain: "one"}), start(b, dsn, store.Options{Chain: "two"})}
				fillWork(b, query(b, dsn), b.N)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ResetTimer()
				for i := range workers {
					wg.Go(func() {
						for s := stores[i%2]; left.Load() > 0; {
							items, err := s.Claim(b.Context(), claim, time.Hour)
							if err != nil {
								b.Error(err)
								return
							}
							for _, w := range items {
								commit(b, s, settled([]store.Work{w}), store.Kept)
							}
							left.Add(-int64(len(items)))
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
				b.ReportMetric(flush, "us/sync")
			})
		}
	}
}

// fillWork makes items that have been due since before anything else, of patients numbered from 0.
func fillWork(tb testing.TB, db *sql.DB, n int) {
	tb.Helper()
	exec(tb, db, fmt.Sprintf(`insert into work select gen_random_uuid(), 'W' || to_char(n, 'FM000000'), 'RXX01', 1,
		'2026-01-01'::timestamptz + n * interval '1 ms', null, 0, 'no answer yet', false from generate_series(0, %d - 1) n`, n))
}

func sendUntraced(tb testing.TB, s store.Store, control string) {
	commit(tb, s, message(control), store.Kept)
}

func sendTraced(tb testing.TB, s store.Store, control string) {
	c := first(control)
	c.Entries[1].Parts[0].Data = soap
	facts := &c.Entries[1].Facts
	facts.MessageID, facts.TrackingID, facts.PayloadID = store.NewID().String(), store.NewID().String(), store.NewID().String()
	end := second(c.Exchange)
	end.Entries[0].Parts[0].Data = soap
	end.Entries[0].Facts.AnswerID = store.NewID().String()
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

// serverTime returns how long the server process that writes has been busy, in nanoseconds, or
// zero where the system does not tell.
func serverTime(b *testing.B, db *sql.DB) (nanos int) {
	pid := number(b, db, `select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 2
		and database = (select oid from pg_database where datname = current_database())`)
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid)); err == nil {
		_, err = fmt.Sscan(string(text), &nanos)
		if err != nil {
			b.Fatal(err)
		}
	}
	return nanos
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
