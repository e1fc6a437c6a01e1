package mllp_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/mllp"
)

// The commit blocks of release 2, in bytes: this is what is on the wire.
const (
	committed = "\x0b\x06\x1c\x0d"
	refused   = "\x0b\x15\x1c\x0d"
)

// expectBytes reads want, and no further.
func (p *peer) expectBytes(want string) {
	p.tb.Helper()
	got := make([]byte, len(want))
	p.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.tb.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

func TestServerRelease2(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Release = 2
	p := dial(t, startServer(t, srv))
	p.send("\vhello\x1c\r")
	p.expectBytes(committed + answers("hello"))
	p.send(committed)
	p.send("\vsilence\x1c\r") // taken, and no answer
	p.expectBytes(committed)
	p.send("\vagain\x1c\r")
	p.expectBytes(committed + answers("again"))
	p.send(committed)
	p.Close()
	if got := b.waitClosed(t, 1); got.msgs != 3 || len(got.log) != 0 || len(got.counts) != 0 {
		t.Errorf("%d messages, logged %v, counted %v, want three and nothing else", got.msgs, got.log, got.counts)
	}
}

func TestServerRelease2AndLessGoodPeers(t *testing.T) {
	both := func(msg string) string { return committed + answers(msg) }
	for name, tt := range map[string]struct {
		in     string // sent whole, then the peer closes its half
		want   string
		counts map[mllp.Event]int
		log    []error
	}{
		"never commits": {
			"\va\x1c\r\vb\x1c\r", both("a") + both("b"),
			map[mllp.Event]int{mllp.EventNoCommit: 2}, []error{mllp.ErrNoCommit},
		},
		"refuses the answer": {
			"\va\x1c\r" + refused + "\vb\x1c\r" + committed, both("a") + both("b"),
			map[mllp.Event]int{mllp.EventNoCommit: 1}, []error{mllp.ErrRefused},
		},
		"commits twice": {
			"\va\x1c\r" + committed + committed, both("a"),
			map[mllp.Event]int{mllp.EventRelease2: 1}, nil,
		},
		"handler error": {
			"\va\x1c\r" + committed + "\vrefuse\x1c\r\vnever read\x1c\r", both("a") + refused, nil, []error{nil},
		},
		"handler error, and an answer": {
			"\va\x1c\r" + committed + "\venough\x1c\r\vnever read\x1c\r", both("a") + refused + answers("enough"), nil, []error{nil},
		},
		"empty frame": {"\v\x1c\r", "", map[mllp.Event]int{mllp.EventEmpty: 1}, nil},
		"cut off":     {"\va", "", nil, []error{io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &book{}
			srv := b.server()
			srv.Release = 2
			p := dial(t, startServer(t, srv))
			p.send(tt.in)
			closeWrite(t, p)
			if got := p.rest(); got != tt.want {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
			got := b.waitClosed(t, 1)
			for event, n := range tt.counts {
				if got.counts[event] != n {
					t.Errorf("%v counted %d times, want %d", event, got.counts[event], n)
				}
			}
			if !slices.EqualFunc(got.log, tt.log, func(got, want error) bool { return want == nil || errors.Is(got, want) }) {
				t.Errorf("logged %v, want %v", got.log, tt.log)
			}
		})
	}
}

// closeWrite ends what p sends; p still reads.
func closeWrite(t *testing.T, p *peer) {
	t.Helper()
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func TestServerRelease2DoesWithoutCommit(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Release = 2
	srv.WriteTimeout = 20 * time.Millisecond
	p := dial(t, startServer(t, srv))
	p.send("\va\x1c\r")
	p.expectBytes(committed + answers("a"))
	b.wait(t, "the line about it", func() bool { return b.logged(mllp.ErrNoCommit) })
	p.send(committed) // too late, and no harm
	p.send("\vb\x1c\r")
	p.expectBytes(committed + answers("b"))
}

// An oversize frame is not taken, whoever deals with it: nothing behind the answer can be taken for the commit of what
// comes next.
func TestServerRelease2Oversize(t *testing.T) {
	big := "\vMSH|too long|\x1c\r"
	for name, tt := range map[string]struct {
		hide bool
		in   string
		want string
	}{
		"answered":          {false, big, refused + "\vAR 207\x1c\r"},
		"nobody asks":       {true, big, refused},
		"no end":            {false, "\v" + strings.Repeat("x", 8*mllp.HardFactor+1), refused + "\vAR 207\x1c\r"},
		"behind a good one": {false, "\va\x1c\r" + committed + big + "\vlost\x1c\r", committed + answers("a") + refused + "\vAR 207\x1c\r"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &book{}
			srv := b.server()
			srv.Release, srv.MaxFrame = 2, 8
			if tt.hide {
				srv.Handler = struct{ mllp.Handler }{b}
			}
			p := dial(t, startServer(t, srv))
			p.send(tt.in)
			if got := p.rest(); got != tt.want { // up to the end, which the server makes
				t.Errorf("answered %q, want %q", got, tt.want)
			}
		})
	}
}

// A drain leaves the peer a moment to commit the answer in hand.
func TestServerRelease2Shutdown(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Release = 2
	p := dial(t, startServer(t, srv))
	p.send("\va\x1c\r")
	p.expectBytes(committed + answers("a"))
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(context.Background()) }()
	p.send(committed)
	if rest := p.rest(); rest != "" {
		t.Errorf("then read %q, want the end", rest)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if got := b.waitClosed(t, 1); len(got.log) != 0 {
		t.Errorf("logged %v, want nothing", got.log)
	}
}

func TestClientRelease2(t *testing.T) {
	got := make(chan string, 3)
	note := func(r *mllp.Reader) {
		msg, err := r.Next()
		if err != nil {
			msg = []byte(err.Error())
		}
		got <- string(msg)
	}
	c := &mllp.Client{Release: 2, Addr: script(t, func(p *peer, r *mllp.Reader) {
		note(r)
		p.send(committed + "\vre a\x1c\r")
		note(r) // the answer's commit block
		note(r)
		p.send(refused)
		untilClosed(p)
	})}
	defer c.Close()
	wantAnswer(t, c, "a")
	_, err := c.Send(t.Context(), []byte("b"))
	if !errors.Is(err, mllp.ErrRefused) || errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("Send() error = %v, want %v alone: nothing was taken", err, mllp.ErrRefused)
	}
	for _, want := range []string{"a", "\x06", "b"} {
		if g := <-got; g != want {
			t.Errorf("the peer got %q, want %q", g, want)
		}
	}
}

func TestRelease2BothWays(t *testing.T) {
	b := &book{}
	srv := b.server()
	srv.Release = 2
	c := &mllp.Client{Release: 2, Addr: startServer(t, srv)}
	defer c.Close()
	for range 3 {
		if got, err := c.Send(t.Context(), []byte("hello")); err != nil || string(got) != "ACK hello" {
			t.Fatalf("Send() = %q, %v", got, err)
		}
	}
	if _, err := c.Send(t.Context(), []byte("refuse")); !errors.Is(err, mllp.ErrRefused) {
		t.Errorf("Send() error = %v, want %v", err, mllp.ErrRefused)
	}
	if got := b.waitClosed(t, 1); got.states[mllp.StateOpen] != 1 || len(got.counts) != 0 {
		t.Errorf("%d connections, counted %v, want one and nothing", got.states[mllp.StateOpen], got.counts)
	}
}

func TestClientRelease2WithoutCommitBlock(t *testing.T) {
	c := &mllp.Client{Release: 2, Addr: script(t, reply)}
	defer c.Close()
	wantAnswer(t, c, "a")
}
