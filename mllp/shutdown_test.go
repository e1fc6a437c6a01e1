package mllp_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"spinetrace/mllp"
)

func TestShutdownEndsIdleConnections(t *testing.T) {
	b := &book{}
	srv := b.server()
	addr := startServer(t, srv)
	silent, used := dial(t, addr), dial(t, addr)
	used.send("\va\x1c\r")
	used.expect("a")
	b.wait(t, "both connections", func() bool { return b.states[mllp.StateOpen] == 2 })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	for _, p := range []*peer{silent, used} {
		if got := p.rest(); got != "" {
			t.Errorf("read %q after Shutdown", got)
		}
	}
	if len(b.faults) != 0 || len(b.log) != 0 {
		t.Errorf("faults %v, log %v, want none", b.faults, b.log)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("still listening after Shutdown")
	}
}

func TestShutdownWaitsForFramesInHand(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	b := &book{before: func(ctx context.Context, _ []byte) {
		in <- struct{}{}
		<-out
		if ctx.Err() != nil {
			t.Errorf("the context ended before the grace did: %v", ctx.Err())
		}
	}}
	srv := b.server()
	addr := startServer(t, srv)
	p := dial(t, addr)
	p.send("\va\x1c\r")
	<-in
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(context.Background()) }()
	waitRefused(t, addr)
	select {
	case err := <-done:
		t.Fatalf("Shutdown() = %v while a frame was in hand", err)
	default:
	}
	close(out)
	p.expect("a")
	if got := p.rest(); got != "" {
		t.Errorf("read %q after the answer", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
}

// waitRefused waits until addr is not listened on.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		nc.Close()
	}
	t.Fatal("the listener stays open")
}

func TestShutdownCancelsWhenTheGraceEnds(t *testing.T) {
	in, cancelled := make(chan struct{}), make(chan struct{})
	b := &book{before: func(ctx context.Context, _ []byte) {
		close(in)
		<-ctx.Done()
		close(cancelled)
	}}
	srv := b.server()
	p := dial(t, startServer(t, srv))
	p.send("\va\x1c\r")
	<-in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown() = %v, want %v", err, context.Canceled)
	}
	select {
	case <-cancelled:
	default:
		t.Error("Shutdown returned before the handler did")
	}
	if got := p.rest(); got != "" {
		t.Errorf("answered %q", got)
	}
}

func TestShutdownUnderLoad(t *testing.T) {
	const peers = 8
	b := &book{}
	srv := b.server()
	addr := startServer(t, srv)
	var answered atomic.Int64
	var wg sync.WaitGroup
	for range peers {
		p := dial(t, addr)
		wg.Go(func() {
			r := mllp.NewReader(p, 0)
			for mllp.WriteFrame(p, []byte("MSH|load")) == nil {
				if _, err := r.Next(); err != nil {
					return
				}
				answered.Add(1)
			}
		})
	}
	b.wait(t, "some answers", func() bool { return b.msgs > 100*peers })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	wg.Wait()
	if got := answered.Load(); got != int64(b.msgs) {
		t.Errorf("%d messages handled, %d answers received", b.msgs, got)
	}
	if len(b.faults) != 0 {
		t.Errorf("faults %v, want none", b.faults)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	srv := (&book{}).server()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(ln); !errors.Is(err, mllp.ErrServerClosed) {
		t.Errorf("Serve() = %v, want %v", err, mllp.ErrServerClosed)
	}
}

func TestServeWhenTheListenerIsClosed(t *testing.T) {
	srv := (&book{}).server()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := srv.Serve(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve() = %v, want %v", err, net.ErrClosed)
	}
}
