package mllp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"spinetrace/mllp"
)

// script accepts one connection after the other and runs the next step on each, then closes it.
func script(t *testing.T, steps ...func(p *peer, r *mllp.Reader)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, step := range steps {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			step(&peer{nc, t}, mllp.NewReader(nc, 0))
			nc.Close()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// reply answers the next message with "re " and itself.
func reply(p *peer, r *mllp.Reader) {
	if msg, err := r.Next(); err == nil {
		mllp.WriteFrame(p, append([]byte("re "), msg...))
	}
}

// untilClosed waits until the client closes the connection.
func untilClosed(p *peer) { io.Copy(io.Discard, p) }

// matching accepts the answers of reply.
func matching(msg, ack []byte) error {
	if string(ack) != "re "+string(msg) {
		return errMismatch
	}
	return nil
}

var errMismatch = errors.New("another message's answer")

func wantAnswer(t *testing.T, c *mllp.Client, msg string) {
	t.Helper()
	if got, err := c.Send(t.Context(), []byte(msg)); err != nil || string(got) != "re "+msg {
		t.Errorf("Send(%s) = %q, %v, want its answer", msg, got, err)
	}
}

func TestClientKeepsItsConnection(t *testing.T) {
	c := &mllp.Client{Addr: script(t, func(p *peer, r *mllp.Reader) {
		for range 3 {
			reply(p, r)
		}
	})}
	defer c.Close()
	for _, msg := range []string{"a", "b", "c"} {
		wantAnswer(t, c, msg)
	}
}

func TestClientNoticesAClosedConnection(t *testing.T) {
	left := make(chan struct{}, 3)
	once := func(p *peer, r *mllp.Reader) {
		reply(p, r)
		p.Close()
		left <- struct{}{}
	}
	c := &mllp.Client{Addr: script(t, once, once, once)}
	defer c.Close()
	for _, msg := range []string{"a", "b", "c"} {
		wantAnswer(t, c, msg)
		<-left
	}
}

func TestClientNoticesWhatItDidNotAskFor(t *testing.T) {
	for name, tt := range map[string]struct {
		extra string
		redo  bool
	}{
		"a second answer":    {"\vre z\x1c\r", true},
		"half of one":        {"\vre", true},
		"text":               {"hello", true},
		"the late CR":        {"\r", false},
		"an empty line, NUL": {"\r\n\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{})
			first := func(p *peer, r *mllp.Reader) {
				reply(p, r)
				io.WriteString(p, tt.extra)
				close(sent)
				if !tt.redo {
					reply(p, r)
				}
				untilClosed(p)
			}
			c := &mllp.Client{Addr: script(t, first, reply), Match: matching}
			defer c.Close()
			wantAnswer(t, c, "a")
			<-sent
			wantAnswer(t, c, "b")
		})
	}
}

func TestClientDoesNotWaitForEver(t *testing.T) {
	c := &mllp.Client{AnswerTimeout: 20 * time.Millisecond, Addr: script(t, func(p *peer, r *mllp.Reader) {
		r.Next()
		untilClosed(p)
	})}
	_, err := c.Send(t.Context(), []byte("a"))
	if !errors.Is(err, mllp.ErrNoAnswer) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Send() = %v, want %v by the deadline", err, mllp.ErrNoAnswer)
	}
}

func TestClientDoesNotTakeALateAnswer(t *testing.T) {
	got, late := make(chan struct{}), make(chan struct{})
	c := &mllp.Client{Addr: script(t, func(p *peer, r *mllp.Reader) {
		r.Next()
		close(got)
		<-late
		io.WriteString(p, "\vre a\x1c\r") // to nobody
	}, reply)}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-got
		cancel()
	}()
	if _, err := c.Send(ctx, []byte("a")); !errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("Send() = %v, want %v", err, mllp.ErrNoAnswer)
	}
	close(late)
	wantAnswer(t, c, "b")
}

func TestClientSendErrors(t *testing.T) {
	answer := func(s string) func(*peer, *mllp.Reader) {
		return func(p *peer, r *mllp.Reader) {
			r.Next()
			io.WriteString(p, s)
		}
	}
	for name, tt := range map[string]struct {
		step func(*peer, *mllp.Reader)
		want error
	}{
		"closed without an answer": {answer(""), io.EOF},
		"cut off":                  {answer("\vre"), io.ErrUnexpectedEOF},
		"too large":                {answer("\v" + strings.Repeat("x", 100) + "\x1c\r"), mllp.ErrFrameTooLarge},
		"plain text":               {answer("internal error"), mllp.ErrJunk},
		"another answer":           {answer("\vre b\x1c\r"), errMismatch},
		"a negative commit block":  {answer("\v\x15\x1c\r"), mllp.ErrRelease2},
	} {
		t.Run(name, func(t *testing.T) {
			c := &mllp.Client{Addr: script(t, tt.step, reply), MaxFrame: 50, Match: matching}
			defer c.Close()
			_, err := c.Send(t.Context(), []byte("a"))
			if !errors.Is(err, mllp.ErrNoAnswer) || !errors.Is(err, tt.want) {
				t.Errorf("Send() = %v, want %v, %v", err, mllp.ErrNoAnswer, tt.want)
			}
			wantAnswer(t, c, "a") // on a new connection
		})
	}
}

func TestClientReadsQuirkyAnswers(t *testing.T) {
	for _, wire := range []string{
		"\vre a\x1c", // and the connection stays
		"\n\vre a\x1c\r",
		"\v\x06\x1c\r\vre a\x1c\r",
		"\v\x1c\r\vre a\x1c\r",
		"\x00\vre a\x1c\n",
	} {
		c := &mllp.Client{Match: matching, Addr: script(t, func(p *peer, r *mllp.Reader) {
			r.Next()
			io.WriteString(p, wire)
			untilClosed(p)
		})}
		wantAnswer(t, c, "a")
		c.Close()
	}
}

func TestClientObeysItsContext(t *testing.T) {
	got := make(chan struct{})
	c := &mllp.Client{Addr: script(t, func(p *peer, r *mllp.Reader) {
		r.Next()
		close(got)
		untilClosed(p)
	}, reply)}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-got
		cancel()
	}()
	if _, err := c.Send(ctx, []byte("a")); !errors.Is(err, context.Canceled) || !errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("Send() = %v, want %v, %v", err, context.Canceled, mllp.ErrNoAnswer)
	}
	if _, err := c.Send(ctx, []byte("b")); !errors.Is(err, context.Canceled) || errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("Send() of a cancelled context = %v, want only %v", err, context.Canceled)
	}
	wantAnswer(t, c, "c")
}

func TestClientTakesShortAnswers(t *testing.T) {
	c := &mllp.Client{Addr: startServer(t, &mllp.Server{Handler: fixed("y")})}
	defer c.Close()
	if got, err := c.Send(t.Context(), []byte("a")); string(got) != "y" || err != nil {
		t.Errorf("Send() = %q, %v, want y", got, err)
	}
}

func TestClientTakesTurns(t *testing.T) {
	b := &book{}
	c := &mllp.Client{Addr: startServer(t, b.server()), Match: func(msg, ack []byte) error {
		if string(ack) != string(ackTo(msg)) {
			return errMismatch
		}
		return nil
	}}
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if _, err := c.Send(t.Context(), fmt.Appendf(nil, "%d %d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	b.waitClosed(t, 1)
	if b.states[mllp.StateOpen] != 1 {
		t.Errorf("%d connections, want 1", b.states[mllp.StateOpen])
	}
}

func TestClientWithNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := &mllp.Client{Addr: ln.Addr().String()}
	if _, err := c.Send(t.Context(), []byte("a")); err == nil || errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("Send() = %v, want an error that is not %v", err, mllp.ErrNoAnswer)
	}
}

func TestClientClose(t *testing.T) {
	got := make(chan struct{})
	c := &mllp.Client{Addr: script(t, func(p *peer, r *mllp.Reader) {
		r.Next()
		close(got)
		untilClosed(p)
	})}
	go func() {
		<-got
		c.Close()
	}()
	if _, err := c.Send(t.Context(), []byte("a")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send() under Close = %v, want %v", err, net.ErrClosed)
	}
	if _, err := c.Send(t.Context(), []byte("b")); !errors.Is(err, mllp.ErrClientClosed) {
		t.Errorf("Send() after Close = %v, want %v", err, mllp.ErrClientClosed)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close() = %v", err)
	}
}

// witness records what the handler is told of the connection.
type witness struct {
	book
	peer  netip.AddrPort
	state *tls.ConnectionState
}

func (w *witness) HandleMLLP(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, msg []byte) ([]byte, error) {
	w.peer, w.state = peer, state
	return w.book.HandleMLLP(ctx, peer, state, msg)
}

func TestHandlerIsToldOfThePeer(t *testing.T) {
	w := &witness{}
	srv := w.server()
	srv.Handler = w
	p := dial(t, startServer(t, srv))
	p.send("\va\x1c\r")
	p.expect("a")
	p.Close()
	w.waitClosed(t, 1)
	if got := w.peer.String(); got != p.LocalAddr().String() || w.state != nil {
		t.Errorf("told of %s, TLS %v, want %s, none", got, w.state, p.LocalAddr())
	}
}
