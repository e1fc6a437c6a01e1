package smsp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/pds"
)

func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} // to be refused
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// An authority issues certificates for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-48 * time.Hour),
		NotAfter:              time.Now().Add(48 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	a.file, _ = a.write(name, template, template, a.key, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns the files of a certificate that was valid until a time.
func (a *authority) issue(name string, until time.Time) (certFile, keyFile string) {
	a.t.Helper()
	return a.write(name, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     until,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, newKey(a.t), a.key)
}

func (a *authority) write(name string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (certFile, keyFile string) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writeFile(a.t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(a.t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return certFile, keyFile
}

// serveTLS asks every client for a certificate of the authority clients.
func serveTLS(t *testing.T, server, clients *authority, until time.Time) string {
	t.Helper()
	cert, key := server.issue("smsp.example.nhs.uk", until)
	conf, err := TLSConfig(cert, key, clients.file, "")
	if err != nil {
		t.Fatal(err)
	}
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, conf.RootCAs
	// In TLS 1.3 a client learns of its refusal only after it has sent the request, when
	// a reset may overtake the alert; in 1.2 always from the handshake.
	conf.MaxVersion = tls.VersionTLS12
	srv := httptest.NewUnstartedServer(says(200, example(t, success11)))
	srv.TLS = conf
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusals are the point
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestMutualTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	good, goodKey := ours.issue("client", tomorrow)
	expired, expiredKey := ours.issue("late", yesterday)
	foreign, foreignKey := others.issue("foreign", tomorrow)

	endpoint := serveTLS(t, ours, ours, tomorrow)
	stale := serveTLS(t, ours, ours, yesterday)
	stranger := serveTLS(t, others, ours, tomorrow)

	denied := &pds.Error{Class: pds.AccessDenied}
	distrusted := &pds.Error{Class: pds.InputInvalid}
	for name, tt := range map[string]struct {
		endpoint, cert, key, ca, serverName string
		want                                *pds.Error
	}{
		"good":                      {endpoint, good, goodKey, ours.file, "", nil},
		"server name":               {endpoint, good, goodKey, ours.file, "smsp.example.nhs.uk", nil},
		"no client certificate":     {endpoint, "", "", ours.file, "", denied},
		"expired":                   {endpoint, expired, expiredKey, ours.file, "", denied},
		"of another authority":      {endpoint, foreign, foreignKey, ours.file, "", denied},
		"wrong server name":         {endpoint, good, goodKey, ours.file, "other.example.nhs.uk", distrusted},
		"server expired":            {stale, good, goodKey, ours.file, "", distrusted},
		"server of another":         {stranger, good, goodKey, ours.file, "", distrusted},
		"only the system's trusted": {endpoint, good, goodKey, "", "", distrusted},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := TLSConfig(tt.cert, tt.key, tt.ca, tt.serverName)
			if err != nil {
				t.Fatal(err)
			}
			c, req, rec := testClient(tt.endpoint), marigoldVerify(), &memo{}
			c.TLS = conf
			defer c.CloseIdleConnections()
			req.Recorder = rec
			_, err = c.Trace(t.Context(), req)
			if tt.want != nil {
				wantError(t, err, *tt.want)
			} else if err != nil {
				t.Fatal(err)
			}
			if a := rec.only(t); a.Status == 0 != (tt.want != nil) {
				t.Errorf("recorded status %d", a.Status)
			}
		})
	}
}

func TestServerWithoutTLS(t *testing.T) {
	srv := httptest.NewServer(says(200, ""))
	defer srv.Close()
	c := testClient(strings.Replace(srv.URL, "http:", "https:", 1))
	defer c.CloseIdleConnections()
	_, err := c.Trace(t.Context(), marigoldVerify())
	wantError(t, err, pds.Error{Class: pds.InputInvalid})
}

// handshakes is a server that says what each connection showed it.
type handshakes struct {
	mu    sync.Mutex
	shown []string // the name in the client's certificate, one for each connection
}

func (h *handshakes) verify(cs tls.ConnectionState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown = append(h.shown, cs.PeerCertificates[0].Subject.CommonName)
	return nil
}

func (h *handshakes) names() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.shown, " ")
}

// TestCertificatesAreReplacedWithoutARestart replaces the client's certificate and then the
// server's and its authority. One connection serves as long as nothing changes.
func TestCertificatesAreReplacedWithoutARestart(t *testing.T) {
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	tomorrow := time.Now().Add(24 * time.Hour)
	hs := &handshakes{}
	var served atomic.Pointer[tls.Config]
	serve := func(a *authority) {
		cert, key := a.issue("smsp.example.nhs.uk", tomorrow)
		conf, err := TLSConfig(cert, key, first.file, "")
		if err != nil {
			t.Fatal(err)
		}
		conf.ClientAuth, conf.ClientCAs, conf.VerifyConnection = tls.RequireAndVerifyClientCert, conf.RootCAs, hs.verify
		served.Store(conf)
	}
	serve(first)
	srv := httptest.NewUnstartedServer(says(200, example(t, success11)))
	srv.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return served.Load(), nil }}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusals are the point
	closed := make(chan struct{}, 10)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.StartTLS()
	defer srv.Close()

	var live atomic.Pointer[tls.Config]
	read := func(name string, trusted *authority) {
		cert, key := first.issue(name, tomorrow)
		conf, err := TLSConfig(cert, key, trusted.file, "")
		if err != nil {
			t.Fatal(err)
		}
		live.Store(conf)
	}
	read("old", first)
	c := testClient(srv.URL)
	c.LiveTLS = live.Load
	defer c.CloseIdleConnections()
	ask := func(wantShown string, want *pds.Error) {
		t.Helper()
		_, err := c.Trace(t.Context(), marigoldVerify())
		if want != nil {
			wantError(t, err, *want)
		} else if err != nil {
			t.Fatal(err)
		}
		if got := hs.names(); got != wantShown {
			t.Errorf("the server was shown %q, want %q", got, wantShown)
		}
	}
	ask("old", nil)
	ask("old", nil)
	read("new", first)
	ask("old new", nil)
	<-closed // the one that was shown the old certificate
	ask("old new", nil)

	serve(second)
	read("new", first)
	ask("old new", &pds.Error{Class: pds.InputInvalid}) // not trusted yet
	read("new", second)
	ask("old new new", nil)

	// Check saw settings that verify. What comes later cannot switch that off.
	live.Store(insecure())
	ask("old new new", &pds.Error{Class: pds.InputInvalid})
}

// tunnel is a proxy that connects to whatever it is asked for.
type tunnel struct {
	t       *testing.T
	tunnels atomic.Int32
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.t.Errorf("the proxy was asked to %s: it would read the question", r.Method)
		return
	}
	p.tunnels.Add(1)
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, buffered) // either side may close
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
	<-done
}

// TestReplacedCertificatesThroughAProxy makes the same mutual TLS connection inside a tunnel.
func TestReplacedCertificatesThroughAProxy(t *testing.T) {
	a := newAuthority(t, "ours")
	tomorrow := time.Now().Add(24 * time.Hour)
	p := &tunnel{t: t}
	proxy := httptest.NewServer(p)
	defer proxy.Close()
	c := testClient(serveTLS(t, a, a, tomorrow))
	defer c.CloseIdleConnections()
	c.Proxy = mustURL(t, proxy.URL)
	var live *tls.Config
	c.LiveTLS = func() *tls.Config { return live }
	for _, name := range []string{"old", "new"} {
		cert, key := a.issue(name, tomorrow)
		conf, err := TLSConfig(cert, key, a.file, "")
		if err != nil {
			t.Fatal(err)
		}
		live = conf
		for range 2 {
			if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := p.tunnels.Load(); n != 2 {
		t.Errorf("%d tunnels, want one for each certificate", n)
	}
}

// TestMinimumTLS: a provider that speaks nothing newer than TLS 1.1 is not asked.
func TestMinimumTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c := testClient(srv.URL)
	c.TLS = &tls.Config{MinVersion: tls.VersionTLS10, RootCAs: x509.NewCertPool()}
	c.TLS.RootCAs.AddCert(srv.Certificate())
	_, err := c.Trace(t.Context(), marigoldVerify())
	if pds.ClassOf(err) != pds.AccessDenied && pds.ClassOf(err) != pds.InputInvalid && pds.ClassOf(err) != pds.SpineUnavailable {
		t.Errorf("got %v, want a refused handshake", err)
	}
}

func TestTLSConfigErrors(t *testing.T) {
	a := newAuthority(t, "ours")
	cert, key := a.issue("one", time.Now().Add(time.Hour))
	_, otherKey := a.issue("two", time.Now().Add(time.Hour))
	missing, rubbish := filepath.Join(a.dir, "missing.pem"), filepath.Join(a.dir, "rubbish.pem")
	writeFile(t, rubbish, []byte("rubbish"))
	for name, tt := range map[string]struct {
		cert, key, ca string
		want          []string // one line each
	}{
		"no key":         {cert, "", "", []string{"client certificate given without its key"}},
		"no certificate": {"", key, "", []string{"client key given without a client certificate"}},
		"another's key":  {cert, otherKey, "", []string{"one.pem with key", "private key does not match public key"}},
		"rubbish":        {rubbish, key, "", []string{"rubbish.pem with key"}},
		"rubbish CA":     {"", "", rubbish, []string{"rubbish.pem holds no certificate in PEM form"}},
		"all missing":    {missing, missing, missing, []string{"client certificate: open", "client key: open", "certificate authorities: open"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := TLSConfig(tt.cert, tt.key, tt.ca, "")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}
