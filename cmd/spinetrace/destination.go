package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/mllp"
)

// destination is a system that messages of ours are sent to.
type destination struct {
	Addr           string        `envconfig:"SPINETRACE_%FAMILY%_ADDR" shown:"none" desc:"host:port of %PEER%"`
	TLS            string        `envconfig:"SPINETRACE_%FAMILY%_TLS" shown:"off" oneof:"off,server,mutual" desc:"TLS to it: server checks its certificate, mutual shows it ours as well; must be given, even as off, when %FAMILY%_ADDR is not loopback"`
	CA             string        `envconfig:"SPINETRACE_%FAMILY%_CA" shown:"the system's" desc:"PEM file: who signed its certificate"`
	Cert           string        `envconfig:"SPINETRACE_%FAMILY%_CERT" desc:"PEM file: our certificate, for mutual"`
	Key            string        `envconfig:"SPINETRACE_%FAMILY%_KEY" desc:"PEM file: the key of %FAMILY%_CERT"`
	ServerName     string        `envconfig:"SPINETRACE_%FAMILY%_SERVER_NAME" shown:"the host of %FAMILY%_ADDR" desc:"name in its certificate"`
	Release        int           `envconfig:"SPINETRACE_%FAMILY%_RELEASE" default:"1" min:"1" max:"2" desc:"release of MLLP that it speaks"`
	AcceptCA       bool          `envconfig:"SPINETRACE_%FAMILY%_ACCEPT_CA" default:"false" desc:"an answer CA is as good as AA; otherwise the letter is parked"`
	ConnectTimeout time.Duration `envconfig:"SPINETRACE_%FAMILY%_CONNECT_TIMEOUT" default:"10s" min:"100ms" max:"1m" desc:"longest time to connect, TLS included"`
	AnswerTimeout  time.Duration `envconfig:"SPINETRACE_%FAMILY%_ANSWER_TIMEOUT" default:"30s" min:"100ms" max:"90s" desc:"longest time to its answer; then the connection is closed and the letter sent again"`
	Connection     string        `envconfig:"SPINETRACE_%FAMILY%_CONNECTION" default:"keep" oneof:"keep,message" desc:"keep the connection, or make one per message, for receivers that close after each answer"`
}

// peers are the destinations that speak HL7, by the names of their letters.
func (c *config) peers() []peer {
	return []peer{{exchange.ToPAS, "PAS", &c.PAS}, {exchange.ToForward, "FORWARD", &c.Forward}}
}

// peer is a destination and what it is called.
type peer struct {
	name   string // of its letters
	family string // of its settings
	*destination
}

func (p peer) setting(name string) string { return p.family + "_" + name }

// byTLS tells whether messages go to p by TLS.
func (p peer) byTLS() bool { return p.TLS != "" && p.TLS != "off" }

// check reports what no tag can. listener is where we listen ourselves.
func (p peer) check(f *faults, listener string) {
	if p.Addr != "" {
		p.checkAddr(f, listener)
	}
	f.checkText(p.setting("SERVER_NAME"), p.ServerName, dnsName, "is not a host name; write the name in its certificate")
	for _, s := range []struct{ name, value string }{{p.setting("CERT"), p.Cert}, {p.setting("KEY"), p.Key}} {
		switch {
		case p.TLS == "mutual":
			f.checkGiven(s.name, s.value, p.setting("TLS")+" is mutual")
		case s.value != "":
			f.add(s.name, "is given, but "+p.setting("TLS")+" is not mutual, so it would not be shown; write mutual there")
		}
	}
}

func (p peer) checkAddr(f *faults, listener string) {
	addr := p.setting("ADDR")
	f.checkHost(addr, p.Addr, "192.0.2.10:2575")
	if !f.has("MLLP_ADDR") && !f.has(addr) && sameListener(p.Addr, listener) {
		f.add(addr, "is MLLP_ADDR, our own listener; write where the other system listens, or move ours")
	}
	if p.TLS == "" && !loopback(p.Addr) && !f.has(addr) {
		f.add(p.setting("TLS"), "is missing, and "+addr+" is not loopback; write server or mutual, or off to accept patients' data in the clear")
	}
}

// sameListener tells whether who connects to addr reaches a listener on this machine, as far as the
// addresses themselves say.
func sameListener(addr, listener string) bool {
	host, port, _ := net.SplitHostPort(addr)
	own, ownPort, _ := net.SplitHostPort(listener)
	a, errA := net.LookupPort("tcp", port)
	b, errB := net.LookupPort("tcp", ownPort)
	if errA != nil || errB != nil || a != b {
		return false
	}
	ip, _ := netip.ParseAddr(own)
	everywhere := own == "" || ip.IsUnspecified()
	return strings.EqualFold(host, own) || loopback(addr) && (everywhere || loopback(listener))
}

// exposed says that patients' data go to p in the clear, "" when they do not.
func (p peer) exposed() string {
	if p.Addr == "" || p.byTLS() || loopback(p.Addr) {
		return ""
	}
	return p.setting("ADDR") + " is another machine, and messages go there without TLS"
}

// clientTLS returns the TLS to p, nil when it is off.
func (p peer) clientTLS() (*tls.Config, error) {
	if !p.byTLS() {
		return nil, nil
	}
	host, _, _ := net.SplitHostPort(p.Addr) // check has seen it
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(p.ServerName, host)}
	if p.CA != "" {
		pool, err := readPool(p.CA)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", prefix, p.setting("CA"), err)
		}
		c.RootCAs = pool
	}
	if p.TLS == "mutual" {
		if err := (namedFile{p.setting("KEY"), p.Key}).private(); err != nil {
			return nil, err
		}
		pair, err := readPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", prefix, p.setting("CERT"), err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// open returns what delivers to p. Its certificates, if it has any, join certs.
func (p peer) open(certs *certificates) (*wire, error) {
	l := &wire{to: p, tls: func() *tls.Config { return nil }}
	if !p.byTLS() {
		return l, nil
	}
	setting := p.setting("CA")
	if p.TLS == "mutual" {
		setting = p.setting("CERT")
	}
	live, err := certs.keep(p.name+"_client", setting, given(p.Cert, p.Key, p.CA), p.clientTLS)
	if err != nil {
		return nil, err
	}
	l.tls = live.get
	return l, nil
}

// wire is an [exchange.Sender] for one peer, for one caller at a time. A connection ends with the
// certificates that it was made with.
type wire struct {
	to     peer
	tls    func() *tls.Config // as its files are now; nil: none
	client *mllp.Client       // nil: there is none yet
}

// Send implements [exchange.Sender].
func (l *wire) Send(ctx context.Context, msg []byte) ([]byte, error) {
	if config := l.tls(); l.client == nil || l.client.TLSConfig != config {
		l.hangUp()
		l.client = l.to.client(config)
	}
	if l.to.Connection == "message" {
		defer l.hangUp()
	}
	return l.client.Send(ctx, msg)
}

// hangUp closes the connection, if there is one.
func (l *wire) hangUp() {
	if l.client != nil {
		_ = l.client.Close() // there is nothing in hand
		l.client = nil
	}
}

func (p peer) client(config *tls.Config) *mllp.Client {
	return &mllp.Client{
		Addr: p.Addr, TLSConfig: config, Release: p.Release,
		DialTimeout: p.ConnectTimeout, AnswerTimeout: p.AnswerTimeout,
		Match: exchange.Answers,
	}
}

// reach connects to p and shakes hands; it sends nothing.
func (p peer) reach(ctx context.Context) (string, error) {
	if p.Addr == "" {
		return "none, " + p.setting("ADDR") + " is not set", nil
	}
	config, err := p.clientTLS()
	if err != nil {
		return "", err
	}
	return reach(ctx, road{"receiver", hostURL(p.Addr, config != nil), nil, config, p.ConnectTimeout})
}

// hostURL is the end of a road that has no URL of its own.
func hostURL(addr string, byTLS bool) *url.URL {
	if byTLS {
		return &url.URL{Scheme: "https", Host: addr}
	}
	return &url.URL{Scheme: "http", Host: addr}
}
