package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// eventually polls a condition until it holds, or the test has waited for too long.
func eventually(tb testing.TB, holds func() bool) {
	tb.Helper()
	ctx := deadline(tb)
	for !holds() {
		select {
		case <-ctx.Done():
			tb.Fatal("what was waited for did not happen")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// keep commits n exchanges, one after the other.
func keep(tb testing.TB, s *Store, n int) {
	tb.Helper()
	for range n {
		if r, err := s.Commit(deadline(tb), message(store.NewID())); err != nil || r.Status != store.Kept {
			tb.Fatalf("Commit() = %v, error %v; want Kept", r, err)
		}
	}
}

// message is an exchange, opened and closed; its control id is its own.
func message(id store.ID) store.Commit {
	claim := &store.Claim{ControlID: id.String(), Window: 168 * time.Hour}
	return store.Commit{
		Exchange: id, Open: &store.Opening{Claim: claim, ControlID: id.String()},
		Entries: []store.Entry{{Kind: store.Exchanged, Parts: []store.Part{{Kind: store.Reply, Data: []byte("MSA|AA\r")}}}},
		Close:   &store.Closing{Outcome: store.NotTraced},
	}
}

func verify(tb testing.TB, s *Store) store.Walk {
	tb.Helper()
	w, err := store.Verify(deadline(tb), s, "main", true, nil)
	if err != nil {
		tb.Fatalf("Verify() error = %v", err)
	}
	return w
}

func wantUnavailable(tb testing.TB, s *Store, says string) {
	tb.Helper()
	_, err := s.Commit(deadline(tb), message(store.NewID()))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), says) {
		tb.Errorf("Commit() error = %v, want ErrUnavailable that says %q", err, says)
	}
}

// move moves the database and what SQLite keeps beside it.
func move(tb testing.TB, from, to string) {
	tb.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			tb.Fatal(err)
		}
	}
}

func TestFileMovedAway(t *testing.T) {
	path := newPath(t)
	s := start(t, path, store.Options{})
	keep(t, s, 3)
	move(t, path, path+".away")
	wantUnavailable(t, s, "was moved, deleted or replaced; put it back")
	eventually(t, func() bool { return s.Ready() != nil && strings.Contains(s.Ready().Error(), "is gone; put it back") })
	wantUnavailable(t, s, "is gone; put it back")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("an empty file was made in the place of the journal")
	}

	move(t, path+".away", path)
	eventually(t, func() bool { return s.Ready() == nil })
	keep(t, s, 3)
	if w := verify(t, s); w.Events != 6 {
		t.Errorf("verified %d events, want 6", w.Events)
	}
}

func TestCloseLeavesOneFile(t *testing.T) {
	path := newPath(t)
	s := start(t, path, store.Options{})
	keep(t, s, 2)
	verify(t, s)
	must(t, s.Close())
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: somebody has the file open", suffix)
		}
	}
}

func TestOlderCopyPutInPlace(t *testing.T) {
	path := newPath(t)
	s := start(t, path, store.Options{})
	keep(t, s, 2)
	must(t, s.Close())
	copyFile(t, path, path+".copy")

	s = start(t, path, store.Options{})
	keep(t, s, 3)
	move(t, path, path+".away")
	move(t, path+".copy", path)
	wantUnavailable(t, s, "was moved, deleted or replaced")
	eventually(t, func() bool { return s.usable() == nil })
	keep(t, s, 1)

	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "lost the events 3 to 5 of the chain main") {
		t.Errorf("Ready() error = %v, want one that names what was lost", err)
	}
	verify(t, s)
	for e, err := range s.Events(deadline(t), store.Query{Chain: "main", From: 3}) {
		must(t, err)
		facts, err := e.Facts()
		if err != nil || e.Kind != store.Rewound || facts.From != 3 || facts.To != 5 {
			t.Errorf("event 3 is %v of %d to %d, error %v; want rewound of 3 to 5", e.Kind, facts.From, facts.To, err)
		}
		break
	}
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	must(tb, err)
	write(tb, to, string(b))
}

func TestDiskFull(t *testing.T) {
	s := open(t, newPath(t), store.Options{})
	ctx, err := s.begin(deadline(t))
	must(t, err)
	chain, err := s.takeChain(ctx)
	must(t, err)
	w, r, err := s.connect(ctx)
	must(t, err)
	// A limit of this connection alone stands for the disk; the next one finds room again.
	if _, err := w.conn.ExecContext(ctx, "pragma max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	s.serve(chain, w, r)
	s.running.Done()

	kept := int64(0)
	for {
		_, err := s.Commit(ctx, message(store.NewID()))
		if err != nil {
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "the disk is full; make room") {
				t.Fatalf("Commit() error = %v, want ErrUnavailable: the disk is full", err)
			}
			break
		}
		kept++
	}
	eventually(t, func() bool { return s.Ready() == nil })
	keep(t, s, 1)
	if w := verify(t, s); w.Events != kept+1 {
		t.Errorf("verified %d events, want the %d kept before and the one after", w.Events, kept)
	}
}

func TestManyMoreCallersThanABatch(t *testing.T) {
	s := start(t, newPath(t), store.Options{})
	done := make(chan error)
	const callers = 3 * batchCalls
	for range callers {
		go func() {
			_, err := s.Commit(deadline(t), message(store.NewID()))
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Errorf("Commit() error = %v", err)
		}
	}
	if w := verify(t, s); w.Events != callers {
		t.Errorf("verified %d events, want %d", w.Events, callers)
	}
}

func TestOldClaimsArePurged(t *testing.T) {
	path := newPath(t)
	longAgo := time.Now().Add(-169 * time.Hour)
	s := start(t, path, store.Options{Now: func() time.Time { return longAgo }})
	const old = 2*purgeBatch + 1
	for i := range old {
		id := store.NewID()
		ms := longAgo.UnixMilli()
		for b := range 6 {
			id[b] = byte(ms >> (40 - 8*b))
		}
		c := message(id)
		c.Open.Claim.ControlID = fmt.Sprint(i)
		if _, err := s.Commit(deadline(t), c); err != nil {
			t.Fatal(err)
		}
	}
	must(t, s.Close())

	s = start(t, path, store.Options{})
	keep(t, s, 3)
	eventually(t, func() bool {
		r, err := s.reader()
		must(t, err)
		var claims int
		must(t, r.db.QueryRow("select count(*) from seen").Scan(&claims))
		return claims == 3
	})
	keep(t, s, 1)
	if w := verify(t, s); w.Events != old+4 {
		t.Errorf("verified %d events, want %d: only claims are purged", w.Events, old+4)
	}
}

// childPath makes this test binary a process that commits until it is killed.
const childPath = "SPINETRACE_TEST_SQLITE_CHILD"

func TestKilledProcessLosesNothing(t *testing.T) {
	if path := os.Getenv(childPath); path != "" {
		commitForEver(t, path)
	}
	path := newPath(t)
	kept := make(map[store.ID]bool)
	for range 3 {
		ids := killAfter(t, path, 200)
		for _, id := range ids {
			kept[id] = true
		}
	}
	s := start(t, path, store.Options{ChainWait: time.Second})
	w := verify(t, s)
	for e, err := range s.Events(deadline(t), store.Query{Chain: "main"}) {
		must(t, err)
		delete(kept, e.Exchange)
	}
	if len(kept) != 0 {
		t.Errorf("%d of the commits that had returned are not among the %d events", len(kept), w.Events)
	}
}

// killAfter starts a process that commits, kills it in the middle, and returns the
// exchanges that it had told us of.
func killAfter(t *testing.T, path string, commits int) []store.ID {
	child := exec.CommandContext(deadline(t), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childPath+"="+path)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	var ids []store.ID
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var id store.ID
		if id.UnmarshalText(lines.Bytes()) != nil {
			t.Errorf("the process says %q", lines.Text())
			break
		}
		if ids = append(ids, id); len(ids) == commits {
			must(t, child.Process.Kill())
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	return ids
}

func commitForEver(t *testing.T, path string) {
	s := start(t, path, store.Options{ChainWait: 10 * time.Second})
	said := make(chan store.ID)
	for range 8 {
		go func() {
			for {
				id := store.NewID()
				if _, err := s.Commit(context.Background(), message(id)); err != nil {
					fmt.Println(err)
				}
				said <- id
			}
		}()
	}
	for id := range said {
		if _, err := io.WriteString(os.Stdout, id.String()+"\n"); err != nil {
			os.Exit(1)
		}
	}
}

// Somebody who ignores the lock has written the chain: what he wrote is taken as it is.
func TestChainWrittenBySomebodyElse(t *testing.T) {
	path := newPath(t)
	s := start(t, path, store.Options{})
	keep(t, s, 2)
	change(t, path, `insert into event (chain, seq, at, kind, exchange, doc, hash)
		select chain, 3, at, kind, exchange, doc, hash from event where seq = 2`)
	wantUnavailable(t, s, "an event with the next number is already there")
	eventually(t, func() bool { return s.Ready() == nil })
	keep(t, s, 1)
	var found *store.Break
	if _, err := store.Verify(deadline(t), s, "main", true, nil); !errors.As(err, &found) || found.Seq != 3 {
		t.Errorf("Verify() error = %v, want a break at 3, which was not ours", err)
	}
}

func TestReadersOfAClosedStore(t *testing.T) {
	s := start(t, newPath(t), store.Options{})
	keep(t, s, 1)
	must(t, s.Close())
	_, _, answer := s.Answer(deadline(t), store.NewID())
	_, _, parts := s.Parts(deadline(t), store.Event{})
	_, heads := s.Heads(deadline(t))
	_, search := s.Search(deadline(t), store.Search{ControlID: "PAS1", Limit: 1})
	_, verify := store.Verify(deadline(t), s, "main", true, nil)
	for name, err := range map[string]error{"Answer": answer, "Parts": parts, "Heads": heads, "Search": search, "Verify": verify} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s() error = %v, want ErrUnavailable", name, err)
		}
	}
}
