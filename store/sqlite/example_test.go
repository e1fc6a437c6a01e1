package sqlite_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// A message is kept before it is answered; when it comes again, it gets the first answer.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary files
	s, err := sqlite.Open(filepath.Join(dir, "spinetrace.db"), store.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			fmt.Println(err)
		}
	}()
	ctx := context.Background()
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}

	frame, reply := []byte("MSH|^~\\&|PAS|RXX01|…"), []byte("MSH|^~\\&|SPINETRACE|…")
	for range 2 {
		r, err := s.Commit(ctx, store.Commit{
			Exchange: store.NewID(),
			Open: &store.Opening{
				Application: "PAS", Facility: "RXX01", ControlID: "PAS0000451",
				Claim: &store.Claim{
					Application: "PAS", Facility: "RXX01", ControlID: "PAS0000451",
					Digest: sha256.Sum256(frame), Window: 168 * time.Hour,
				},
			},
			Entries: []store.Entry{{
				Kind:  store.Exchanged,
				Parts: []store.Part{{Kind: store.Frame, Data: frame}, {Kind: store.Reply, Data: reply}},
			}},
			Close: &store.Closing{Outcome: store.NotTraced},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		if r.Status == store.Duplicate {
			first, _, err := s.Answer(ctx, r.First)
			fmt.Printf("sent before, answered: %s %v\n", first, err)
		}
	}
	w, err := store.Verify(ctx, s, "main", true, nil)
	fmt.Println(w.Events, "events,", w.Bodies, "bodies", err)
	// Output:
	// sent before, answered: MSH|^~\&|SPINETRACE|… <nil>
	// 2 events, 2 bodies <nil>
}
