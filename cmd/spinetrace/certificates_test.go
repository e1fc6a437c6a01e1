package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"spinetrace/mllp"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// logged waits for a line of the log that has all of these in it.
func (r *running) logged(t *testing.T, parts ...string) {
	t.Helper()
	waitUntil(t, "a line with "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(r.log.String()) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return true
			}
		}
		return false
	})
}

// hasMetric reports a sample that is not on /metrics.
func (r *running) hasMetric(t *testing.T, sample string) {
	t.Helper()
	if _, body := r.ask(t, "/metrics"); !strings.Contains(body, "\n"+sample+"\n") {
		t.Errorf("%s is not in the metrics", sample)
	}
}

// sendBy sends one message over a connection of its own.
func (r *running) sendBy(t *testing.T, config *tls.Config, msg string) (string, error) {
	t.Helper()
	client := &mllp.Client{Addr: r.mllpPort.Addr().String(), TLSConfig: config}
	defer func() { _ = client.Close() }() // the answer is in
	answer, err := client.Send(t.Context(), []byte(msg))
	return string(answer), err
}

// TestListenerByMutualTLSRefusesWithReason is row 21 of the test table.
func TestListenerByMutualTLSRefusesWithReason(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	own := newPairFiles(t, ca.issue(t, "adapter.test", later))
	r := startService(t, map[string]string{
		"MLLP_TLS": "mutual", "MLLP_CERT": own.cert, "MLLP_KEY": own.key, "MLLP_CLIENT_CA": ca.file,
		"MLLP_CLIENT_NAMES": "lab.test, PAS.test",
	})
	r.waitReady(t)
	with := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.pool, Certificates: certs}
	}
	old := with(ca.issue(t, "pas.test", later))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, tt := range []struct {
		name   string
		config *tls.Config
		reason string
	}{
		{"no certificate", with(), mllp.HandshakeNoCertificate},
		{"expired", with(ca.issue(t, "pas.test", before)), mllp.HandshakeExpired},
		{"wrong CA", with(other.issue(t, "pas.test", later)), mllp.HandshakeAuthority},
		{"wrong name", with(ca.issue(t, "cleaner.test", later)), mllp.HandshakeName},
		{"TLS 1.1", old, mllp.HandshakeVersion},
		{"no TLS", nil, mllp.HandshakePlainHL7},
	} {
		if answer, err := r.sendBy(t, tt.config, sampleA28("C1")); err == nil {
			t.Errorf("%s: answered %q", tt.name, answer)
		}
		r.logged(t, `"peer":"127.0.0.1:`, `"reason":"`+tt.reason+`"`)
		r.hasMetric(t, `spinetrace_tls_handshakes_failed_total{reason="`+tt.reason+`"} 1`)
	}
	answer, err := r.sendBy(t, with(ca.issue(t, "pas.test", later)), sampleA28("C1"))
	if err != nil || !strings.Contains(answer, "MSA|AA|C1|Verified") {
		t.Errorf("good: answered %q, %v; want AA", answer, err)
	}
	if log := r.log.String(); strings.Contains(log, "cleaner.test") {
		t.Errorf("the log names a stranger:\n%s", log)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, e := range r.events(t) {
		if facts, err := e.Facts(); err != nil || e.Kind == store.Received && facts.Subject != "CN=pas.test" {
			t.Errorf("received from %q, %v; want CN=pas.test", facts.Subject, err)
		}
	}
}

// TestListenerCertificateIsReadAgain replaces each of the listener's files under it.
func TestListenerCertificateIsReadAgain(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	own := newPairFiles(t, ca.issue(t, "adapter.test", later))
	r := startService(t, map[string]string{
		"MLLP_TLS": "mutual", "MLLP_CERT": own.cert, "MLLP_KEY": own.key, "MLLP_CLIENT_CA": ca.file,
	})
	r.waitReady(t)
	sender := &tls.Config{
		RootCAs: ca.pool, Certificates: []tls.Certificate{ca.issue(t, "pas.test", later)},
		ClientSessionCache: tls.NewLRUClientSessionCache(0), // a session must not outlive what allowed it
	}
	if _, err := r.sendBy(t, sender, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}

	putInPlace(t, own.cert, []byte("half a certif"))
	if _, err := r.sendBy(t, sender, sampleA28("C2")); err != nil {
		t.Errorf("with a broken new file: %v, want the old certificate", err)
	}
	r.logged(t, "new certificate refused", `"certificate":"listener"`, "SPINETRACE_MLLP_CERT: cannot be used")
	if _, err := r.sendBy(t, sender, sampleA28("C3")); err != nil {
		t.Error(err)
	}
	r.hasMetric(t, `spinetrace_certificate_reloads_total{certificate="listener",result="refused"} 1`)

	renewed := next.issue(t, "adapter.test", later.Add(time.Hour))
	own.replace(t, renewed)
	sender.RootCAs = next.pool
	if _, err := r.sendBy(t, sender, sampleA28("C4")); err != nil {
		t.Errorf("with a new certificate: %v", err)
	}
	r.logged(t, "certificate reloaded", `"certificate":"listener"`)
	r.hasMetric(t, `spinetrace_certificate_expiry_seconds{certificate="listener"} `+
		strconv.FormatFloat(float64(renewed.Leaf.NotAfter.Unix()), 'g', -1, 64))

	putInPlace(t, ca.file, pemBlock("CERTIFICATE", next.cert.Raw))
	if _, err := r.sendBy(t, sender, sampleA28("C5")); err == nil {
		t.Error("a client of the former authority is still let in")
	}
	r.logged(t, `"reason":"`+mllp.HandshakeAuthority+`"`)
	sender.Certificates = []tls.Certificate{next.issue(t, "pas.test", later)}
	if _, err := r.sendBy(t, sender, sampleA28("C6")); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
}

// TestClientCertificateIsReadAgain replaces what the provider is shown.
func TestClientCertificateIsReadAgain(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(first.cert)
	pool.AddCert(second.cert)
	sim := smsptest.New(pdstest.People())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 10)
	if err := sim.Start(ln, &tls.Config{
		Certificates: []tls.Certificate{first.issue(t, "provider.test", later)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			shown <- s.PeerCertificates[0].Subject.CommonName
			return nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})

	own := newPairFiles(t, first.issue(t, "before", later))
	r := startService(t, map[string]string{
		"SMSP_URL": sim.URL, "SMSP_CA": first.file, "SMSP_CERT": own.cert, "SMSP_KEY": own.key,
	})
	r.waitReady(t)
	for _, want := range []string{"before", "after"} {
		if answer, err := r.sendBy(t, nil, sampleA28("C-"+want)); err != nil || !strings.Contains(answer, "Verified") {
			t.Fatalf("answered %q, %v", answer, err)
		}
		if got := <-shown; got != want {
			t.Errorf("the provider was shown %q, want %q", got, want)
		}
		own.replace(t, second.issue(t, "after", later))
		r.client.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	}
	r.logged(t, "certificate reloaded", `"certificate":"smsp_client"`)
}

func TestCertificateThatEndsSoonIsAnnounced(t *testing.T) {
	ca := newAuthority(t)
	end := time.Now().Add(29 * 24 * time.Hour)
	soon := newPairFiles(t, ca.issue(t, "adapter.test", end))
	client := ca.issue(t, "client.test", time.Now().Add(365*24*time.Hour))
	fine := newPairFiles(t, client)
	r := startService(t, map[string]string{
		"MLLP_TLS": "server", "MLLP_CERT": soon.cert, "MLLP_KEY": soon.key,
		"SMSP_CERT": fine.cert, "SMSP_KEY": fine.key,
	})
	r.waitReady(t)
	sentence := "the certificate of SPINETRACE_MLLP_CERT expires on " + end.UTC().Format(time.DateOnly)
	r.logged(t, `"level":"WARN"`, "recorded as a warning", sentence)
	if _, body := r.ask(t, "/-/ready"); !strings.HasPrefix(body, "ready; "+sentence) {
		t.Errorf("/-/ready says %q", body)
	}
	var out strings.Builder
	if err := checkConfig(t.Context(), console{Out: &out, Err: io.Discard}, []string{"--connect"}); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"listener certificate: ok, valid until " + end.UTC().Format(time.DateOnly) + ", 28 days from now: get a new one\n",
		"client certificate: ok, valid until " + client.Leaf.NotAfter.Format(time.DateOnly) + "\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("check-config --connect says\n%swant %s", &out, want)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := r.events(t)
	i := slices.IndexFunc(events, func(e store.Event) bool { return e.Kind == store.Warned })
	if i < 0 {
		t.Fatalf("journal has no warning: %v", kindsOf(events))
	}
	if facts, err := events[i].Facts(); err != nil || !strings.HasPrefix(facts.Reason, sentence) {
		t.Errorf("warned of %q, %v", facts.Reason, err)
	}
}

// A copy of the same age and size is another file all the same.
func TestFileOfSameAgeIsReadAgain(t *testing.T) {
	name := file(t, "cert.pem", "one")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	var certs certificates
	l, err := certs.keep("x", "X", []string{name}, func() (*tls.Config, error) { reads++; return &tls.Config{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	l.get()
	if reads != 1 {
		t.Errorf("read %d times without a change, want once", reads)
	}
	putInPlace(t, name, []byte("two"))
	if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	l.get()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	l.get()
	l.get()
	if reads != 3 {
		t.Errorf("read %d times, want once more for the new file and once for none", reads)
	}
}

// A certificate that was put in place before its time is taken when its time has come.
func TestFileThatWasRefusedIsTriedAgain(t *testing.T) {
	name := file(t, "cert.pem", "one")
	good := &tls.Config{Certificates: []tls.Certificate{newAuthority(t).issue(t, "x.test", time.Now().Add(time.Hour))}}
	var fault error
	var told []error
	certs := certificates{changed: func(_ string, _ time.Time, err error) { told = append(told, err) }}
	l, err := certs.keep("x", "X", []string{name}, func() (*tls.Config, error) { return good, fault })
	if err != nil {
		t.Fatal(err)
	}
	fault = errors.New("is not valid before tomorrow")
	putInPlace(t, name, []byte("two"))
	for range 3 {
		l.get()
	}
	early := fault
	fault = nil
	for range 3 {
		l.get()
	}
	if !slices.Equal(told, []error{early, nil}) {
		t.Errorf("told %v, want one refusal and then that it is in use", told)
	}
}
