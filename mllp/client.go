package mllp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Client sends messages to one address, one at a time over one connection. It connects when there is something to
// send and keeps the connection for the next message. It makes one attempt: a caller that tries again sends the
// same bytes. No field may be changed once Send was called.
type Client struct {
	Addr      string      // host:port
	TLSConfig *tls.Config // nil means plain TCP; without a ServerName the host of Addr is verified

	DialTimeout   time.Duration // to connect, TLS included; 0 means 10s
	WriteTimeout  time.Duration // 0 means 10s
	AnswerTimeout time.Duration // from the end of writing to the end of the answer; 0 means 30s
	MaxFrame      int           // longest answer in bytes; 0 means 1 MiB
	Release       int           // of MLLP that the peer speaks: 2, or 1, which 0 means as well

	// Match reports whether ack is the answer to msg. If it is not, Send closes the connection and returns the
	// error. Nil accepts every answer.
	Match func(msg, ack []byte) error

	once sync.Once
	turn chan struct{} // holds a token while a Send is under way; guards line and out
	line *line
	out  []byte

	mu     sync.Mutex
	raw    net.Conn // of line, for Close
	closed bool
}

// Send sends msg and returns the answer, which is the caller's to keep. Concurrent calls take turns.
//
// The connection outlives only a Send that succeeds. After an error it is closed, so that an answer that comes late
// is never taken for that of the next message. One that the peer closed meanwhile, or sent something unasked on, is
// noticed and replaced before msg is written.
//
// An error that is [ErrNoAnswer] means that msg was written and that the peer may have acted on it: the answer did
// not come in time, was cut off, over MaxFrame or refused by Match, whose error is then wrapped as well.
//
// In release 2 the peer first says by a commit block whether it took msg. An error that is [ErrRefused] means that it
// did not, and that the same bytes may be sent again; twice is usual. An answer without a commit block in front of it
// says as much as one. The answer is committed before Send returns it.
func (c *Client) Send(ctx context.Context, msg []byte) ([]byte, error) {
	if err := c.acquire(ctx); err != nil {
		return nil, fmt.Errorf("mllp: send: %w", err)
	}
	defer func() { <-c.turn }()
	answer, err := c.exchange(ctx, msg)
	if err != nil {
		c.hangUp()
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // the connection was closed because of it
		}
		return nil, fmt.Errorf("mllp: send: %w", err)
	}
	return answer, nil
}

// Close closes the connection, under a Send too. A later Send returns ErrClientClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.raw == nil {
		return nil
	}
	err := c.raw.Close()
	c.raw = nil
	return err
}

// acquire waits for the turn to send.
func (c *Client) acquire(ctx context.Context) error {
	c.once.Do(func() { c.turn = make(chan struct{}, 1) })
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.isClosed() {
		<-c.turn
		return ErrClientClosed
	}
	return nil
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Client) exchange(ctx context.Context, msg []byte) ([]byte, error) {
	l, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	// Whatever ends ctx, the connection is of no more use.
	stop := context.AfterFunc(ctx, func() { _ = l.raw.Close() })
	defer stop()
	if err := c.write(l, msg); err != nil {
		return nil, err
	}
	l.until = time.Now().Add(cmp.Or(c.AnswerTimeout, 30*time.Second))
	answer, err := c.answer(l)
	if err == nil && c.Match != nil {
		err = c.Match(msg, answer)
	}
	switch {
	case errors.Is(err, ErrRefused):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	if c.Release == 2 && c.write(l, []byte{ack}) != nil {
		c.hangUp() // the answer is here all the same
	}
	return answer, nil
}

// answer returns the next message. A commit block of MLLP release 2 is none, and a negative one says that there will
// be none.
func (c *Client) answer(l *line) ([]byte, error) {
	for {
		msg, err := l.in.Next()
		switch {
		case err != nil || !isCommitBlock(msg):
			return msg, err
		case msg[0] == nak && c.Release == 2:
			return nil, ErrRefused
		case msg[0] == nak:
			return nil, ErrRelease2
		}
	}
}

// connect returns the connection, a new one if there is none that can be used.
func (c *Client) connect(ctx context.Context) (*line, error) {
	if c.line != nil {
		if c.line.quiet() {
			return c.line, c.hold(c.line.raw)
		}
		c.hangUp()
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.DialTimeout, 10*time.Second))
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, err
	}
	l := &line{raw: raw, nc: raw}
	l.in = &Reader{src: l}
	l.in.sc.init(c.MaxFrame, nil)
	c.line = l
	if err := c.hold(raw); err != nil {
		return nil, err
	}
	keepAlive(raw)
	return l, c.secure(ctx, l)
}

// hold makes raw the connection that Close closes.
func (c *Client) hold(raw net.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClientClosed
	}
	c.raw = raw
	return nil
}

// secure does the TLS handshake, if there is to be one.
func (c *Client) secure(ctx context.Context, l *line) error {
	if c.TLSConfig == nil {
		return nil
	}
	cfg := c.TLSConfig
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(c.Addr)
		if err != nil {
			return err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	tc := tls.Client(l.raw, cfg)
	l.nc = tc
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	return nil
}

func (c *Client) write(l *line, msg []byte) error {
	if err := l.nc.SetWriteDeadline(time.Now().Add(cmp.Or(c.WriteTimeout, 10*time.Second))); err != nil {
		return err
	}
	out := Append(c.out[:0], msg)
	if cap(out) <= keepFrame {
		c.out = out
	}
	_, err := l.nc.Write(out)
	return err
}

// hangUp closes the connection, if there is one.
func (c *Client) hangUp() {
	if c.line == nil {
		return
	}
	_ = c.line.raw.Close() // it may be closed already
	c.line = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = nil
}

// peekTime is how long to read a connection on which something is known to have come. Over TLS it may be nothing but
// a record of the protocol's own, which leaves the connection as good as it was.
const peekTime = time.Millisecond

// line is one connection of a Client.
type line struct {
	raw   net.Conn
	nc    net.Conn // raw, or TLS over it
	in    *Reader
	until time.Time // the answer must have come
}

// Read reads from the peer for l.in.
func (l *line) Read(p []byte) (int, error) {
	t := l.until
	if l.in.sc.state == stFS {
		t = earlier(t, time.Now().Add(crWait))
	}
	if err := l.nc.SetReadDeadline(t); err != nil {
		return 0, err
	}
	return l.nc.Read(p)
}

// quiet reports whether the connection is open and nothing but stray bytes came since the last answer.
func (l *line) quiet() bool {
	if l.in.pos == l.in.end && !pending(l.raw) {
		return true
	}
	l.until = time.Now().Add(peekTime)
	_, err := l.in.step()
	return errors.Is(err, os.ErrDeadlineExceeded) && l.in.sc.state == stIdle
}
