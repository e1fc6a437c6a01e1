package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"spinetrace/mllp"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// TestMutualTLS runs the service between a sender and a provider that both show and demand
// certificates. The journal names the sender's; who shows none gets nowhere.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	people := pdstest.People()
	sim, certs := smsptest.NewTLSServer(t, people)
	ca, cert, key := pemFile(t, certs.CA), pemFile(t, certs.Cert), pemFile(t, certs.Key)
	dsn := program.migrated(t, pg.Server(t))
	i := launchReady(t, serveSettings(dsn, sim.URL, map[string]string{
		"SMSP_CA": ca, "SMSP_CERT": cert, "SMSP_KEY": key,
		"MLLP_TLS": "mutual", "MLLP_CLIENT_CA": ca,
		"MLLP_CERT": pemFile(t, certs.ServerCert), "MLLP_KEY": pemFile(t, certs.ServerPriv),
	}))
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	nameless := &tls.Config{RootCAs: config.RootCAs}

	sender := &mllp.Client{Addr: i.mllp, TLSConfig: config, AnswerTimeout: patience}
	defer sender.Close()
	m := traced[1].write("PAS-000001", "PAS", people.At(0))
	reply, err := sender.Send(t.Context(), m.bytes)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := read(m, reply); err != nil || a.text != "Verified" {
		t.Errorf("answered %s %q, %v; want AA Verified", a.code, a.text, err)
	}
	for name, config := range map[string]*tls.Config{"no certificate": nameless, "no TLS": nil} {
		stranger := &mllp.Client{Addr: i.mllp, TLSConfig: config, AnswerTimeout: patience}
		if reply, err := stranger.Send(t.Context(), m.bytes); err == nil {
			t.Errorf("%s: answered with %d bytes", name, len(reply))
		}
		if err := stranger.Close(); err != nil {
			t.Error(err)
		}
	}
	i.stop(t)
	for _, s := range readStories(t, openJournal(t, dsn)) {
		if s.count(store.Received) > 0 && s.facts[0].Subject == "" {
			t.Error("the journal does not name the sender's certificate")
		}
	}
}

// pemFile writes a PEM file and returns its path.
func pemFile(t *testing.T, pem []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
