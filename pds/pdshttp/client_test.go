package pdshttp

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMinimumTLS(t *testing.T) {
	s := Settings{TLS: &tls.Config{MinVersion: tls.VersionTLS10}}
	if got := s.transport(s.config()).TLSClientConfig.MinVersion; got != tls.VersionTLS12 {
		t.Errorf("minimum version %#x, want TLS 1.2", got)
	}
}

func TestInsecureSettingsAreSeen(t *testing.T) {
	skip := &tls.Config{InsecureSkipVerify: true}
	for name, s := range map[string]Settings{
		"TLS":      {TLS: skip},
		"live TLS": {LiveTLS: func() *tls.Config { return skip }},
		"client":   {HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: skip}}},
	} {
		if !s.Insecure() {
			t.Errorf("%s: not seen", name)
		}
	}
	if (Settings{TLS: new(tls.Config)}).Insecure() || (Settings{}).Insecure() {
		t.Error("ordinary settings are called insecure")
	}
}

// TestVerificationCannotBeSkippedLater: what LiveTLS returns when a call is made is not what was
// looked at when the client was.
func TestVerificationCannotBeSkippedLater(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	c := Settings{LiveTLS: func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }}.Client()
	defer c.CloseIdleConnections()
	resp, err := c.Get(srv.URL)
	if err == nil {
		_ = resp.Body.Close()
		t.Error("a certificate of nobody was accepted")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	srv := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect))
	defer srv.Close()
	for name, s := range map[string]Settings{"own client": {}, "given client": {HTTP: srv.Client()}} {
		c := s.Client()
		resp, err := c.Get(srv.URL)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
		_ = resp.Body.Close()
		c.CloseIdleConnections()
	}
}
