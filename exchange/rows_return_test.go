package exchange_test

import (
	"testing"
	"time"

	"spinetrace/mllp"
	"spinetrace/store"
)

// row61: a PAS that answers AA; AE; AR; nothing; to another message; CA.
func row61(t *testing.T, _ *disk) {
	for _, tt := range []struct {
		answers  string
		acceptCA bool
		attempts int
		state    store.LetterState
	}{
		{"AA", false, 1, store.Delivered},
		{"AE", false, 1, store.Parked},
		{"AR", false, 6, store.Parked},
		{"silence", false, 7, store.Waiting},
		{"another", false, 7, store.Waiting},
		{"CA", false, 1, store.Parked},
		{"CA", true, 1, store.Delivered},
	} {
		t.Run(tt.answers, func(t *testing.T) {
			f := newDepot(t)
			f.relay.AcceptCA = tt.acceptCA
			f.pas.says(tt.answers)
			switch tt.answers {
			case "silence":
				f.relay.Sender.(*mllp.Client).AnswerTimeout = time.Millisecond
				f.pas.answers(func(string) (string, error) { return "", nil })
			case "another":
				f.pas.answers(func(string) (string, error) { return ackOf("AA", "X"), nil })
			}
			l := f.letter(t, "N1")
			run(t, f.relay)
			f.next(t)
			for n := 1; n < tt.attempts; n++ {
				if got := f.read(t, l); got.State != store.Waiting {
					t.Fatalf("%v after %d attempts", got.State, n)
				}
				f.retry(t, l)
			}
			if got := f.read(t, l); got.State != tt.state || got.Attempt != tt.attempts || (tt.state == store.Parked) != (len(f.items(t)) == 1) {
				t.Errorf("%v after %d attempts, want %v", got.State, got.Attempt, tt.state)
			}
		})
	}
}
