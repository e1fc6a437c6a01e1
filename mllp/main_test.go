package mllp_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spinetrace/mllp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. Nothing is asserted about how long it took.
const patience = 2 * time.Minute

// startServer serves s on loopback until the test ends, and returns its address.
func startServer(tb testing.TB, s *mllp.Server) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	serve(tb, s, ln)
	return ln.Addr().String()
}

// serve serves s on ln until the test ends.
func serve(tb testing.TB, s *mllp.Server, ln net.Listener) {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Errorf("Shutdown() = %v", err)
		}
		if err := <-done; !errors.Is(err, mllp.ErrServerClosed) {
			tb.Errorf("Serve() = %v, want %v", err, mllp.ErrServerClosed)
		}
	})
}
