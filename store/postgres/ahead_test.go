package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"spinetrace/store"
)

// TestBodiesAlongAChain: whoever walks along a chain gets every body, whether it is read with those of
// its neighbours, belongs to an exchange that began long before, or has no room beside others.
func TestBodiesAlongAChain(t *testing.T) {
	s := start(t, newDatabase(t), store.Options{})
	const events = 700 // several chunks of growing size
	want := make(map[int64]string)
	for n := int64(1); n <= events; n++ {
		id, data := store.NewID(), fmt.Appendf(nil, "body %d", n)
		switch {
		case n%7 == 0:
			id = began(2 * time.Hour)
		case n > 200 && n < 205:
			data = noise(6 << 20)
		}
		c := store.Commit{Exchange: id, Entries: []store.Entry{{Kind: store.Finished}}}
		if n%5 > 0 {
			c.Entries[0].Parts = []store.Part{{Kind: store.Response, Data: data}}
			want[n] = string(data)
		}
		commit(t, s, c, store.Kept)
	}
	for range 2 {
		w, err := store.Verify(t.Context(), s, "main", true, nil)
		if err != nil || w.Events != events || w.Bodies != int64(len(want)) {
			t.Errorf("Verify() = %d events, %d bodies, error %v; want %d and %d", w.Events, w.Bodies, err, events, len(want))
		}
	}
	for e, err := range s.Events(t.Context(), store.Query{Chain: "main", From: 150}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq%3 > 0 && e.Seq < 400 { // most are not asked for
			continue
		}
		parts, ok, err := s.Parts(t.Context(), e)
		if data, _ := store.FindPart(parts, store.Response); err != nil || ok != (want[e.Seq] != "") || string(data) != want[e.Seq] {
			t.Errorf("Parts(%d) = %d bodies, %t, error %v; not what was committed", e.Seq, len(parts), ok, err)
		}
	}
}

// began makes the id of an exchange that began some time ago.
func began(ago time.Duration) store.ID {
	id, first := uuid.New(), store.FirstID(time.Now().Add(-ago))
	copy(id[:6], first[:6])
	id[6] = 0x70 | id[6]&0x0F
	return id
}

// noise cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it never fails
	return b
}

// TestIdleChainGoesOn: a chain that was written long ago goes on where it ended.
func TestIdleChainGoesOn(t *testing.T) {
	dsn := newDatabase(t)
	for days := range 3 {
		later := func() time.Time { return time.Now().AddDate(0, 0, 90*days) }
		s := start(t, dsn, store.Options{Now: later})
		commit(t, s, store.Commit{Entries: []store.Entry{{Kind: store.Started}}}, store.Kept)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w, err := store.Verify(t.Context(), start(t, dsn, store.Options{Chain: "other"}), "main", false, nil)
	if err != nil || w.Head.Seq != 3 {
		t.Errorf("Verify() = a head at %d, error %v; want 3", w.Head.Seq, err)
	}
}
