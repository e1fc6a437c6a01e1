package mllp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/mllp"
)

// pipes is a listener of connections in memory, whose deadlines keep the time of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	fail   chan error // returned by Accept before anything else
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{}), fail: make(chan error, 10)}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case err := <-l.fail:
		return nil, err
	default:
	}
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (l *pipes) dial(t *testing.T) *peer {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return newPeer(t, ours)
}

// ended reports whether the other side has closed the connection.
func (p *peer) ended() bool {
	p.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := p.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// inBubble runs story with a server on l, in time that passes when nobody works.
func inBubble(t *testing.T, setup func(*mllp.Server), story func(t *testing.T, b *book, srv *mllp.Server, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &book{}, newPipes()
		srv := b.server()
		if setup != nil {
			setup(srv)
		}
		serve(t, srv, l)
		story(t, b, srv, l)
	})
}

func wantFaults(t *testing.T, b *book, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, b.faults); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

func TestHalfAFrameThenSilence(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		stuck, healthy := l.dial(t), l.dial(t)
		stuck.send("\vMSH|half")
		healthy.send("\va\x1c\r")
		healthy.expect("a")
		if got := stuck.rest(); got != "" {
			t.Errorf("answered %q", got)
		}
		b.waitClosed(t, 1)
		wantFaults(t, b, `frame timeout "MSH|half"`)
		if !b.logged(mllp.ErrFrameTimeout) {
			t.Errorf("logged %v, want %v", b.log, mllp.ErrFrameTimeout)
		}
		healthy.send("\vb\x1c\r")
		healthy.expect("b")
	})
}

// A peer of a TLS port that says nothing, or half of a greeting, is not waited for without end.
func TestHandshakeThatNeverEnds(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "half a greeting": "\x16\x03\x01\x02\x00\x01"} {
		t.Run(name, func(t *testing.T) {
			cert := newAuthority(t).issue(t, "adapter.test", time.Now().Add(time.Hour))
			secure := func(srv *mllp.Server) { srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}} }
			inBubble(t, secure, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
				p, began := l.dial(t), time.Now()
				p.send(said)
				for !p.ended() {
					if time.Since(began) > time.Minute {
						t.Fatal("the connection is still open")
					}
				}
				b.waitClosed(t, 1)
				var refusal *mllp.HandshakeError
				if len(b.log) != 1 || !errors.As(b.log[0], &refusal) || refusal.Reason != mllp.HandshakeTimeout {
					t.Errorf("logged %v, want the reason %q", b.log, mllp.HandshakeTimeout)
				}
			})
		})
	}
}

func TestFrameThatNeverEnds(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		p := l.dial(t)
		p.send("\v")
		for sent := 0; !p.ended(); sent++ {
			if sent > 100 {
				t.Fatal("a byte every 20 seconds keeps a frame open for ever")
			}
			if _, err := p.Write([]byte("x")); err != nil {
				break
			}
			<-time.After(20 * time.Second)
		}
		b.waitClosed(t, 1)
		wantFaults(t, b, `frame timeout "xxxxxxxx"`)
	})
}

func TestFrameTimeIsPerFrame(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		p := l.dial(t)
		p.send("\vone")
		for range 30 { // each frame begins in the packet that ends the one before
			<-time.After(20 * time.Second)
			p.send("\x1c\r\vone")
			p.expect("one")
		}
		p.send("\x1c\r")
		p.expect("one")
		wantFaults(t, b)
	})
}

func TestJunkThenSilence(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		p := l.dial(t)
		p.send("HELLO")
		p.rest()
		b.waitClosed(t, 1)
		wantFaults(t, b, `junk "HELLO"`)
	})
}

func TestIdleForTwentyMinutes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *book, _ *mllp.Server, l *pipes) {
		p := l.dial(t)
		for range 2 {
			<-time.After(20 * time.Minute)
			p.send("\v")
			p.send("a\x1c\r") // half a frame sets a deadline, which must not outlive it
			p.expect("a")
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	inBubble(t, func(s *mllp.Server) { s.IdleTimeout = time.Minute }, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		p := l.dial(t)
		p.send("\va\x1c\r")
		p.expect("a")
		p.rest()
		b.waitClosed(t, 1)
		wantFaults(t, b)
		if len(b.log) != 0 || b.counts[mllp.EventProbe] != 0 {
			t.Errorf("log %v, counts %v, want nothing", b.log, b.counts)
		}
	})
}

func TestPeerThatNeverReads(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		deaf, healthy := l.dial(t), l.dial(t)
		deaf.send("\va\x1c\r")
		healthy.send("\vb\x1c\r")
		healthy.expect("b")
		b.waitClosed(t, 1)
		if !b.logged(mllp.ErrAnswerLost) || !b.logged(os.ErrDeadlineExceeded) {
			t.Errorf("logged %v, want %v by the deadline", b.log, mllp.ErrAnswerLost)
		}
	})
}

func TestShutdownLetsTheRestOfAFrameCome(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, srv *mllp.Server, l *pipes) {
		p, stuck := l.dial(t), l.dial(t)
		p.send("\vMSH|ha")
		stuck.send("\vMSH|never")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(context.Background()) }()
		synctest.Wait()
		p.send("lf\x1c\r")
		p.expect("MSH|half")
		if got := p.rest() + stuck.rest(); got != "" {
			t.Errorf("read %q after the answer", got)
		}
		if err := <-done; err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		wantFaults(t, b, `shutdown "MSH|neve"`)
	})
}

func TestShutdownAnswersWhatWasRead(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, srv *mllp.Server, l *pipes) {
		in, out := make(chan struct{}), make(chan struct{})
		b.before = func(_ context.Context, msg []byte) {
			if string(msg) == "a" {
				close(in)
				<-out
			}
		}
		p := l.dial(t)
		p.send("\va\x1c\r\vb\x1c\r\vpa")
		<-in
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(context.Background()) }()
		synctest.Wait()
		close(out)
		p.expect("a", "b")
		p.send("rt\x1c\r")
		p.expect("part")
		if got := p.rest(); got != "" {
			t.Errorf("read %q after the answers", got)
		}
		if err := <-done; err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
	})
}

func TestServeOutlivesFailuresToAccept(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *book, _ *mllp.Server, l *pipes) {
		boom := errors.New("too many open files")
		for range cap(l.fail) {
			l.fail <- boom
		}
		first := l.dial(t) // lets Accept see the failures
		second := l.dial(t)
		for _, p := range []*peer{first, second} {
			p.send("\va\x1c\r")
			p.expect("a")
		}
		if !b.logged(boom) {
			t.Errorf("logged %v, want %v", b.log, boom)
		}
	})
}
