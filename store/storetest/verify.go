package storetest

import (
	"errors"
	"testing"
	"time"

	"spinetrace/store"
)

// A tampering is one statement that somebody runs behind the store's back, and the event
// at which the chain breaks for it. Event 1 is an exchange of its own; 2 (received),
// 3 (answered) and 4 (replied) are another one.
type tampering struct {
	statement string
	at        int64
}

var tamperings = map[string]tampering{
	"a changed document":                 {`update event set doc = replace(doc, 'PAS1', 'PAS7') where seq = 2`, 2},
	"the document of another event":      {`update event set doc = (select doc from event where seq = 1) where seq = 2`, 2},
	"a changed hash":                     {`update event set hash = (select hash from event where seq = 1) where seq = 3`, 3},
	"a changed kind":                     {`update event set kind = 9 where seq = 2`, 2},
	"a changed exchange":                 {`update event set exchange = (select exchange from event where seq = 1) where seq = 3`, 3},
	"a changed time":                     {`update event set at = (select at from event where seq = 1) where seq = 4`, 4},
	"a missing first event":              {`delete from event where seq = 1`, 1},
	"a missing event":                    {`delete from event where seq = 3`, 3},
	"a missing body":                     {`delete from body where seq = 2`, 2},
	"a body exchanged for another":       {`update body set data = (select data from body where seq = 1) where seq = 2`, 2},
	"a body that cannot be taken apart":  {`update body set codec = 1 where seq = 2`, 2},
	"a body that was moved to elsewhere": {`update body set seq = 7 where seq = 3`, 3},
}

var verifications = func() map[string]func(*testing.T, Database) {
	tests := make(map[string]func(*testing.T, Database))
	for name, what := range tamperings {
		tests["finds "+name] = func(t *testing.T, db Database) { testTampering(t, db, what) }
	}
	tests["finds what no chain leads to"] = testStrays
	return tests
}()

func testStrays(t *testing.T, db Database) {
	if db.Exec == nil {
		t.Skip("the data cannot be reached past the store")
	}
	s := start(t, db, store.Options{})
	commit(t, s, exchanged("PAS0"))
	c := received("PAS1")
	commit(t, s, c)
	commit(t, s, replied(c.Exchange, "reply"))
	if got, err := s.Strays(deadline(t), true); got != (store.Strays{}) || err != nil {
		t.Errorf("Strays() = %+v, error %v; want none", got, err)
	}
	db.Exec(t, `insert into event select 77, seq, at, kind, exchange, doc, hash from event where seq = 1;
		insert into body select (select exchange from event where seq = 2), chain, 99, codec, key_id, data from body where seq = 1;
		delete from exchange where control_id = 'PAS0'`)
	for bodies, want := range map[bool]store.Strays{false: {Events: 1}, true: {Events: 1, Bodies: 1, Exchanges: 1}} {
		if got, err := s.Strays(deadline(t), bodies); got != want || err != nil {
			t.Errorf("Strays(%t) = %+v, error %v; want %+v", bodies, got, err, want)
		}
	}
	if reply, ok, err := s.Answer(deadline(t), c.Exchange); string(reply) != "reply" || !ok || err != nil {
		t.Errorf("Answer() = %q, %t, error %v; want what was answered, not the body of no event", reply, ok, err)
	}
}

func testTampering(t *testing.T, db Database, what tampering) {
	if db.Exec == nil {
		t.Skip("the data cannot be reached past the store")
	}
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commit(t, s, exchanged("PAS0"))
	clock.Move(time.Second)
	c := received("PAS1")
	commit(t, s, c)
	clock.Move(time.Second)
	commit(t, s, replied(c.Exchange, "reply"))
	verify(t, s, "main")

	db.Exec(t, what.statement)
	_, err := store.Verify(deadline(t), s, "main", true, nil)
	var found *store.Break
	if !errors.As(err, &found) {
		t.Fatalf("Verify() error = %v, want a Break", err)
	}
	if found.Seq != what.at {
		t.Errorf("Verify() breaks at %d (%s), want %d", found.Seq, found.What, what.at)
	}
}
