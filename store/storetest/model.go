package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/store"
)

// journal is what a store should be, in plain memory: no chain, no disk, no windows.
type journal struct {
	claims  map[store.ClaimKey]store.ID
	keys    map[store.ID]store.ClaimKey
	answers map[store.ID]string
	events  []string // kind and exchange, in order
	opened  []store.ID
}

func (j *journal) commit(c store.Commit) (store.Receipt, bool) {
	if c.Open != nil {
		if c.Open.Claim != nil {
			if first, ok := j.claims[c.Open.Claim.Key()]; ok {
				j.append(first, store.Resent)
				return store.Receipt{Status: store.Duplicate, First: first}, true
			}
		}
		if slices.Contains(j.opened, c.Exchange) {
			return store.Receipt{}, false
		}
		j.open(c)
	}
	_, closed := j.answers[c.Exchange]
	for i, e := range c.Entries {
		if i == len(c.Entries)-1 && c.Close != nil && closed {
			j.append(c.Exchange, store.Resent)
			return store.Receipt{Status: store.AlreadyClosed, First: c.Exchange}, true
		}
		j.append(c.Exchange, e.Kind)
	}
	if c.Close != nil {
		j.close(c)
	}
	return store.Receipt{}, true
}

func (j *journal) open(c store.Commit) {
	j.opened = append(j.opened, c.Exchange)
	if c.Open.Claim != nil {
		j.claims[c.Open.Claim.Key()] = c.Exchange
		j.keys[c.Exchange] = c.Open.Claim.Key()
	}
}

func (j *journal) close(c store.Commit) {
	reply, _ := store.FindPart(c.Entries[len(c.Entries)-1].Parts, store.Reply)
	j.answers[c.Exchange] = string(reply)
	if key, ok := j.keys[c.Exchange]; ok && c.Close.Forget {
		delete(j.claims, key)
		delete(j.keys, c.Exchange)
	}
}

func (j *journal) append(exchange store.ID, k store.Kind) {
	j.events = append(j.events, fmt.Sprint(k, " ", exchange))
}

// model compares the store with a journal in memory over random histories, one after the
// other on the same chain.
func model(t *testing.T, b Backend) {
	db := b.NewDatabase(t)
	s := db.Open(t, store.Options{})
	start := func(fatalf func(string, ...any)) {
		if err := s.Start(deadline(t)); err != nil {
			fatalf("Start() error = %v", err)
		}
	}
	start(t.Fatalf)
	defer func() { stop(t, s) }()
	restart := func(rt *rapid.T) {
		if err := s.Close(); err != nil {
			rt.Fatalf("Close() error = %v", err)
		}
		s = db.Open(t, store.Options{})
		start(rt.Fatalf)
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		from := end(t, s) + 1
		m := history(t, rt, fmt.Sprint("run", run), func() store.Store { return s }, restart)
		m.check(t, rt, s, from)
	})
	verify(t, s, "main")
}

// end is the number of the newest event of the only chain.
func end(t *testing.T, s store.Store) int64 {
	heads, err := s.Heads(deadline(t))
	if err != nil || len(heads) > 1 {
		t.Fatalf("Heads() = %d heads, error %v; want one at most", len(heads), err)
	}
	if len(heads) == 0 {
		return 0
	}
	return heads[0].Seq
}

// history makes random commits to the store and to a journal, which it returns. Control ids
// begin with the name: no two histories share messages.
func history(t *testing.T, rt *rapid.T, name string, s func() store.Store, restart func(*rapid.T)) *journal {
	m := &journal{
		claims: map[store.ClaimKey]store.ID{}, keys: map[store.ID]store.ClaimKey{}, answers: map[store.ID]string{},
	}
	step := func(c store.Commit) {
		want, ok := m.commit(c)
		got, err := s().Commit(deadline(t), c)
		if (err == nil) != ok || got != want {
			rt.Fatalf("Commit() = %v, error %v; want %v, kept %t", got, err, want, ok)
		}
	}
	controlID := rapid.Custom(func(rt *rapid.T) string {
		return fmt.Sprint(name, "-", rapid.IntRange(1, 4).Draw(rt, "number"))
	})
	opened := func(rt *rapid.T) store.ID {
		if len(m.opened) == 0 {
			rt.Skip("no exchange yet")
		}
		return rapid.SampledFrom(m.opened).Draw(rt, "exchange")
	}
	rt.Repeat(map[string]func(*rapid.T){
		"receive": func(rt *rapid.T) { step(received(controlID.Draw(rt, "control id"))) },
		"exchange": func(rt *rapid.T) {
			c := exchanged(controlID.Draw(rt, "control id"))
			c.Close.Forget = rapid.Bool().Draw(rt, "forget")
			step(c)
		},
		"open again": func(rt *rapid.T) {
			c := exchanged(controlID.Draw(rt, "control id"))
			c.Exchange = opened(rt)
			step(c)
		},
		"reply": func(rt *rapid.T) {
			c := replied(opened(rt), rapid.String().Draw(rt, "reply"))
			c.Close.Forget = rapid.Bool().Draw(rt, "forget")
			step(c)
		},
		"warn": func(*rapid.T) { step(warned("test")) },
		"restart": func(rt *rapid.T) {
			if rapid.IntRange(0, 49).Draw(rt, "seldom") == 0 {
				restart(rt)
			}
		},
	})
	return m
}

// check compares with the model what can be read of the chain from a number on.
func (j *journal) check(t *testing.T, rt *rapid.T, s store.Store, from int64) {
	var events []string
	for _, e := range collect(t, s, store.Query{Chain: "main", From: from}) {
		events = append(events, fmt.Sprint(e.Kind, " ", e.Exchange))
	}
	if diff := cmp.Diff(j.events, events); diff != "" {
		rt.Errorf("events (-want +got):\n%s", diff)
	}
	for _, id := range j.opened {
		want, closed := j.answers[id]
		got, ok, err := s.Answer(deadline(t), id)
		if err != nil || ok != closed || string(got) != want {
			rt.Errorf("Answer() = %d bytes, ok %t, error %v; want %d bytes, ok %t", len(got), ok, err, len(want), closed)
		}
	}
}
