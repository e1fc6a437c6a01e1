package pgtest

import (
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a program and its server, at a TCP port of its own, and is a bad network
// on demand.
type Proxy struct {
	ln     net.Listener
	socket string
	wg     sync.WaitGroup
	closed chan struct{}

	mu    sync.Mutex
	rand  *rand.Rand
	cuts  int // still to make
	conns map[net.Conn]bool
	mute  bool          // nothing that the server says arrives
	delay time.Duration // of everything that the server says
}

// Where a connection is cut.
const (
	inStatement = iota // it arrives in part, or the one before was the last
	afterIt            // it arrives, and is done; no byte of the answer arrives
	inAnswer           // which arrives in part
	ways
)

// The last byte of a connection that arrives is one of so many, in either direction. A session
// that writes says more than it is told.
const mostSaid, mostTold = 20_000, 3_000

// NewProxy starts a proxy for the server at a socket, see [Server.Socket]. It ends with tb.
func NewProxy(tb testing.TB, socket string) *Proxy {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		ln: ln, socket: socket, closed: make(chan struct{}),
		conns: make(map[net.Conn]bool), rand: rand.New(rand.NewPCG(1, 2)),
	}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		close(p.closed)
		p.Refuse()
		p.wg.Wait()
	})
	return p
}

// DSN returns the way to a database through the proxy.
func (p *Proxy) DSN(tb testing.TB, dsn string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	host, port, err := net.SplitHostPort(p.ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("host", host)
	q.Set("port", port)
	u.RawQuery = q.Encode()
	return u.String()
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Cut breaks so many connections, each at a random byte of what is said over it.
func (p *Proxy) Cut(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = n
}

// Left returns how many connections are still to be cut.
func (p *Proxy) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Silence keeps all answers back, or lets them through again.
func (p *Proxy) Silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = on
}

// Delay makes every answer come so much later.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Refuse cuts all connections, and takes no more.
func (p *Proxy) Refuse() {
	p.ln.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.socket)
		if err != nil {
			client.Close()
			continue
		}
		l := p.join(client, server)
		p.wg.Go(l.forward)
		p.wg.Go(l.back)
	}
}

// join makes a link of two connections, and decides where it would be cut.
func (p *Proxy) join(client, server net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client], p.conns[server] = true, true
	l := &link{proxy: p, client: client, server: server, way: p.rand.IntN(ways)}
	if l.left = 1 + p.rand.IntN(mostSaid); l.way == inAnswer {
		l.left = 1 + p.rand.IntN(mostTold)
	}
	return l
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	way            int

	mu   sync.Mutex
	left int  // bytes until the cut
	torn bool // nothing more arrives
}

func (l *link) end() {
	l.client.Close()
	l.server.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.conns, l.client)
	delete(l.proxy.conns, l.server)
}

// pass returns how many of n bytes arrive, and whether they are the last to do so in this direction.
func (l *link) pass(n int, answer bool) (arrive int, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answer && l.torn {
		return 0, true
	}
	if answer != (l.way == inAnswer) || !l.count(n) {
		return n, false
	}
	l.torn = true
	if l.way == afterIt {
		return n, false // the answer finds the cut
	}
	return n + l.left, true
}

// count takes n bytes off what is left, and says whether the cut is among them, and is to be made.
// The caller holds mu.
func (l *link) count(n int) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.cuts == 0 || l.torn {
		return false
	}
	if l.left -= n; l.left > 0 {
		return false
	}
	l.proxy.cuts--
	return true
}

func (l *link) forward() {
	defer l.end()
	buf := make([]byte, 1<<16)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		n, last := l.pass(n, false)
		if _, err := l.server.Write(buf[:n]); err != nil || last {
			return
		}
	}
}

func (l *link) back() {
	defer l.end()
	buf := make([]byte, 1<<16)
	for {
		n, err := l.server.Read(buf)
		if err != nil || !l.late() {
			return
		}
		if l.muted() {
			continue
		}
		n, last := l.pass(n, true)
		if _, err := l.client.Write(buf[:n]); err != nil || last {
			return
		}
	}
}

func (l *link) muted() bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	return l.proxy.mute
}

// late waits as long as an answer is delayed. It returns false when the proxy ends.
func (l *link) late() bool {
	l.proxy.mu.Lock()
	d := l.proxy.delay
	l.proxy.mu.Unlock()
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.proxy.closed:
		return false
	}
}
