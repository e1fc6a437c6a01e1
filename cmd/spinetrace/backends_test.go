package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
)

// pemFiles writes what a client of a simulator needs.
func pemFiles(t *testing.T, c *smsptest.Certificates) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	ca, cert, key = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, content := range map[string][]byte{ca: c.CA, cert: c.Cert, key: c.Key} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ca, cert, key
}

func TestReachSMSP(t *testing.T) {
	sim, certificates := smsptest.NewTLSServer(t, pdstest.People())
	ca, cert, key := pemFiles(t, certificates)
	stranger := newPKI(t)
	for name, tt := range map[string]struct {
		values map[string]string
		want   string
	}{
		"good": {map[string]string{"SMSP_CA": ca, "SMSP_CERT": cert, "SMSP_KEY": key},
			"provider reached by TLS, its certificate is valid until "},
		"unknown authority": {map[string]string{"SMSP_CERT": cert, "SMSP_KEY": key},
			"provider reached, but TLS: "},
		"other name": {map[string]string{"SMSP_CA": ca, "SMSP_CERT": cert, "SMSP_KEY": key, "SMSP_SERVER_NAME": "smsp.example.nhs.uk"},
			"provider reached, but TLS: "},
		"no certificate": {map[string]string{"SMSP_CA": ca},
			"refuses our certificate: "},
		"a stranger's certificate": {map[string]string{"SMSP_CA": ca, "SMSP_CERT": stranger.cert, "SMSP_KEY": stranger.key},
			"refuses our certificate: "},
		"unreadable": {map[string]string{"SMSP_CA": ca + "x"},
			"SPINETRACE_SMSP_CERT, _KEY, _CA: "},
		"nobody there": {map[string]string{"SMSP_URL": "https://" + closedPort(t) + "/"},
			"provider cannot be reached: "},
		"no proxy there": {map[string]string{"SMSP_PROXY": "http://u:sesame@" + closedPort(t)},
			"proxy cannot be reached: "},
	} {
		t.Run(name, func(t *testing.T) {
			values := enough(map[string]string{"SMSP_URL": sim.URL})
			for name, value := range tt.values {
				values[name] = value
			}
			setAll(t, values)
			cfg, err := serviceConfig()
			if err != nil {
				t.Fatal(err)
			}
			got, err := reachSMSP(context.Background(), &cfg)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) || strings.Contains(got, "sesame") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestProxyReached(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	setAll(t, enough(map[string]string{"SMSP_PROXY": "http://" + ln.Addr().String()}))
	cfg, err := serviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reachSMSP(context.Background(), &cfg); err != nil || got != "proxy reached" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"https://smsp.example.nhs.uk/x": "smsp.example.nhs.uk:443", "http://127.0.0.1": "127.0.0.1:80",
		"https://[::1]:8443/": "[::1]:8443",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
