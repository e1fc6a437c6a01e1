package postgres_test

import (
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and its server and breaks connections on purpose.
type proxy struct {
	ln     net.Listener
	socket string
	wg     sync.WaitGroup

	mu    sync.Mutex
	rand  *rand.Rand
	cuts  int // still to make
	conns map[net.Conn]bool
	mute  bool // nothing that the server says arrives
}

// Where a connection is cut: a statement that never arrives, an answer that never arrives,
// an answer that arrives in part.
const (
	beforeStatement = iota
	beforeAnswer
	inAnswer
	ways
)

func newProxy(tb testing.TB, socket string) *proxy {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{ln: ln, socket: socket, conns: make(map[net.Conn]bool), rand: rand.New(rand.NewPCG(1, 2))}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		ln.Close()
		p.cutAll()
		p.wg.Wait()
	})
	return p
}

// dsn returns the way to a database through the proxy.
func (p *proxy) dsn(tb testing.TB, dsn string) string {
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

// cut breaks so many connections, each at a random point of its life.
func (p *proxy) cut(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = n
}

func (p *proxy) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// silence keeps all answers back, or lets them through again.
func (p *proxy) silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = on
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) accept() {
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
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		fate, way, part := 1+p.rand.IntN(60), p.rand.IntN(ways), p.rand.IntN(40)
		p.mu.Unlock()
		l := &link{proxy: p, client: client, server: server, left: fate, way: way, part: part}
		p.wg.Go(l.forward)
		p.wg.Go(l.back)
	}
}

// link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	way, part      int

	mu   sync.Mutex
	left int // client writes until the cut
	torn bool
}

func (l *link) end() {
	l.client.Close()
	l.server.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.conns, l.client)
	delete(l.proxy.conns, l.server)
}

// due says whether the cut belongs to this write, and counts it.
func (l *link) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.cuts == 0 {
		return false
	}
	if l.left--; l.left > 0 {
		return false
	}
	l.proxy.cuts--
	l.torn = true
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
		if l.due() && l.way == beforeStatement {
			return
		}
		if _, err := l.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *link) back() {
	defer l.end()
	buf := make([]byte, 1<<16)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		torn := l.torn
		l.mu.Unlock()
		l.proxy.mu.Lock()
		mute := l.proxy.mute
		l.proxy.mu.Unlock()
		switch {
		case mute:
			continue
		case torn && l.way == inAnswer:
			_, _ = l.client.Write(buf[:min(n, l.part)]) // the connection ends either way
			return
		case torn:
			return
		}
		if _, err := l.client.Write(buf[:n]); err != nil {
			return
		}
	}
}
