package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"spinetrace/store"
)

var chains = map[string]func(*testing.T, Database){
	"continues where it ended when opened again": testReopened,
	"runs beside another in the same database":   testSideBySide,
	"is refused to a second writer":              testInUse,
	"is waited for until its writer is gone":     testTakeOver,
	"is not waited for beyond the context":       testWaitEnds,
}

func testReopened(t *testing.T, db Database) {
	for i := range 3 {
		s := start(t, db, store.Options{})
		commit(t, s, exchanged(fmt.Sprint("PAS", i)))
		commit(t, s, warned("restart"))
		if w := verify(t, s, "main"); w.Events != int64(2*i+2) {
			t.Errorf("run %d: verified %d events, want %d", i, w.Events, 2*i+2)
		}
		stop(t, s)
	}
}

func testSideBySide(t *testing.T, db Database) {
	one := start(t, db, store.Options{Chain: "main"})
	two := start(t, db, store.Options{Chain: "main.cli"})
	together(16, func(i int) {
		by := []store.Store{one, two}[i%2]
		commit(t, by, exchanged(fmt.Sprint("PAS", i)))
	})
	for _, chain := range []string{"main", "main.cli"} {
		if w := verify(t, one, chain); w.Events != 8 {
			t.Errorf("%s: verified %d events, want 8", chain, w.Events)
		}
	}
}

func testInUse(t *testing.T, db Database) {
	one := start(t, db, store.Options{})
	two := open(t, db, store.Options{ChainWait: 50 * time.Millisecond})
	if err := two.Start(deadline(t)); !errors.Is(err, store.ErrChainInUse) {
		t.Errorf("Start() error = %v, want ErrChainInUse", err)
	}
	if two.Ready() == nil {
		t.Error("Ready() = nil, want a reason")
	}
	commit(t, one, exchanged("PAS1"))
	verify(t, one, "main")
}

func testTakeOver(t *testing.T, db Database) {
	one := start(t, db, store.Options{})
	commit(t, one, exchanged("PAS1"))
	two := open(t, db, store.Options{ChainWait: patience})
	started := make(chan error, 1)
	go func() { started <- two.Start(deadline(t)) }()
	stop(t, one)
	if err := <-started; err != nil {
		t.Fatalf("Start() error = %v", err)
	}
	commit(t, two, exchanged("PAS2"))
	verify(t, two, "main")
}

func testWaitEnds(t *testing.T, db Database) {
	start(t, db, store.Options{})
	two := open(t, db, store.Options{ChainWait: patience})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := two.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start() error = %v, want DeadlineExceeded", err)
	}
}
