package main

import (
	"fmt"
	"strings"
	"testing"

	"spinetrace/hl7v2"
	"spinetrace/store"
	"spinetrace/store/postgres"
)

// story is what the journal holds of one exchange, over all chains.
type story struct {
	events  []store.Event
	facts   []store.Facts // of each event
	frame   []byte        // see readBodies
	replies [][]byte      // see readBodies
}

// count returns how many events of a kind there are.
func (s *story) count(kind store.Kind) int {
	n := 0
	for _, e := range s.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// told returns the kinds of the events, in order.
func (s *story) told() string {
	var words []string
	for _, e := range s.events {
		words = append(words, e.Kind.String())
	}
	return strings.Join(words, " ")
}

// ended tells whether every call that was announced has ended, and the message is answered,
// if it was one.
func (s *story) ended() bool {
	answered := s.count(store.Replied) + s.count(store.Exchanged) + s.count(store.Broken)
	return answered > 0 && s.count(store.Asked) == s.count(store.Answered)
}

// openJournal opens a store for reading: it is never started, so it takes no chain.
func openJournal(t *testing.T, dsn string) store.Audit {
	t.Helper()
	db, err := postgres.Open(dsn, store.Options{Chain: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// readStories reads every exchange of the journal, without the bodies.
func readStories(t *testing.T, db store.Audit) map[store.ID]*story {
	t.Helper()
	all := make(map[store.ID]*story)
	heads, err := db.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range heads {
		for e, err := range db.Events(t.Context(), store.Query{Chain: head.Chain}) {
			if err != nil {
				t.Fatal(err)
			}
			facts, err := e.Facts()
			if err != nil {
				t.Fatal(err)
			}
			if e.Exchange == (store.ID{}) {
				continue
			}
			if all[e.Exchange] == nil {
				all[e.Exchange] = new(story)
			}
			s := all[e.Exchange]
			s.events, s.facts = append(s.events, e), append(s.facts, facts)
		}
	}
	return all
}

// readBodies adds the messages and their answers.
func readBodies(t *testing.T, db store.Audit, stories map[store.ID]*story) {
	t.Helper()
	for _, s := range stories {
		for _, e := range s.events {
			switch e.Kind {
			case store.Received, store.Exchanged, store.Replied:
			default:
				continue
			}
			parts, ok, err := db.Parts(t.Context(), e)
			if err != nil || !ok {
				t.Fatalf("bodies of %d: %v, %v", e.Seq, ok, err)
			}
			if frame, ok := store.FindPart(parts, store.Frame); ok {
				s.frame = frame
			}
			if reply, ok := store.FindPart(parts, store.Reply); ok {
				s.replies = append(s.replies, reply)
			}
		}
	}
}

// awaitTraces waits until everything in the journal has ended, what senders were told
// "trace pending" of included, and returns it.
func awaitTraces(t *testing.T, db store.Audit) map[store.ID]*story {
	t.Helper()
	var all map[store.ID]*story
	open := 0
	eventually(t, func() bool {
		all, open = readStories(t, db), 0
		for _, s := range all {
			if !s.ended() {
				open++
			}
		}
		return open == 0
	}, func() string { return fmt.Sprintf("%d exchanges never end", open) })
	return all
}

// find returns the one exchange in which a message was answered for good. Those that could
// not be dealt with at the time are beside it.
func find(stories map[store.ID]*story, m message) (*story, error) {
	var found []*story
	for _, s := range stories {
		if string(s.frame) == string(m.bytes) && s.final() {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s %s: %d answered exchanges in the journal, want 1", m.kind, m.controlID, len(found))
	}
	return found[0], nil
}

// final tells whether the exchange has an answer other than AR 207.
func (s *story) final() bool {
	if len(s.replies) == 0 {
		return false
	}
	m, err := hl7v2.Parse(s.replies[0])
	return err == nil && m.Get(msa1) != "AR"
}

// checkChains walks every chain: no gap, every hash, every body (I3). The program must come
// to the same result.
func checkChains(t *testing.T, db store.Audit, dsn string) {
	t.Helper()
	heads, err := db.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range heads {
		walk, err := store.Verify(t.Context(), db, head.Chain, true, nil)
		if err != nil {
			t.Error(err)
		} else if walk.Head != head || walk.Events != head.Seq {
			t.Errorf("chain %s: %d events up to %d, want %d", head.Chain, walk.Events, walk.Head.Seq, head.Seq)
		}
	}
	if r := program.run(t, map[string]string{"STORE": dsn}, "audit", "verify", "--bodies", "--search"); r.code != 0 {
		t.Errorf("audit verify: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
