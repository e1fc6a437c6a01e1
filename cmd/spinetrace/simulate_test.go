package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/smsp"
)

// startSimulate runs the command with free ports. The settings that it printed come back by
// name, and stop ends it.
func startSimulate(t *testing.T, args ...string) (settings map[string]string, out *logBuffer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out = new(logBuffer)
	done := make(chan int, 1)
	args = append([]string{"simulate", "--itk", "127.0.0.1:0", "--pds", "127.0.0.1:0", "--jitter", "0"}, args...)
	go func() { done <- run(ctx, args, console{Out: out, Err: out}) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
	t.Cleanup(stop)
	waitUntil(t, "the banner", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	settings = make(map[string]string)
	for _, m := range regexp.MustCompile(`SPINETRACE_(\w+)\s*=\s*'([^']*)'`).FindAllStringSubmatch(out.String(), -1) {
		settings[m[1]] = m[2]
	}
	return settings, out, stop
}

func TestSimulateSaysThatItIsNotSpine(t *testing.T) {
	settings, out, _ := startSimulate(t, "--fault", "op=getNHSNumber,do=503")
	if !strings.Contains(out.String(), "THIS IS NOT SPINE") {
		t.Errorf("printed %s", out)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for url, want := range map[string]string{
		settings["SMSP_URL"]: "NOT SPINE",
		strings.TrimSuffix(settings["PDS_URL"], "/personal-demographics/FHIR/R4") + "/":        "NOT SPINE",
		strings.TrimSuffix(settings["PDS_URL"], "/personal-demographics/FHIR/R4") + "/control": "op=getNHSNumber,do=503",
		strings.TrimSuffix(settings["SMSP_URL"], "/smsp/pds") + "/control":                     "op=getNHSNumber,do=503",
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("%s says %q, %v; want %q", url, page, err, want)
		}
	}
}

// settled is a client made of the settings that simulate printed, and the one certificate
// authority that they name.
func settled(t *testing.T, settings map[string]string) *pdsfhir.Client {
	t.Helper()
	c := &pdsfhir.Client{
		BaseURL: settings["PDS_URL"], TokenURL: settings["PDS_TOKEN_URL"], ODS: "X99",
		APIKey: settings["PDS_API_KEY"], KeyID: settings["PDS_KEY_ID"], TLS: trusting(t, settings["PDS_CA"]),
	}
	if file := settings["PDS_API_KEY_FILE"]; file != "" {
		c.APIKey = strings.TrimSpace(readFile(t, file))
	}
	if file := settings["PDS_KEY_FILE"]; file != "" {
		key, err := pdsfhir.ParseKey([]byte(readFile(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		c.Key = key
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// trusting is nil if there is no file, and no TLS then.
func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	if file == "" {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(readFile(t, file))) {
		t.Fatal("no certificate in the file of the authority")
	}
	return &tls.Config{RootCAs: pool}
}

func checkFinds(t *testing.T, tracer pds.Tracer) {
	t.Helper()
	res, err := tracer.Trace(t.Context(), pds.Request{
		ID: "simulate", Want: pds.Verify, NHSNumber: pds.MustNHSNumber("9990000018"),
		Who: pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
	})
	if err != nil || res.Outcome != pds.Matched {
		t.Errorf("%v, %v; want %v", res.Outcome, err, pds.Matched)
	}
}

// What simulate prints is all that a service needs.
func TestSimulatedPDSCanBeAsked(t *testing.T) {
	settings, _, stop := startSimulate(t)
	if settings["PDS_TOKEN_URL"] != "" || settings["PDS_KEY_FILE"] == "" {
		t.Errorf("settings %v; want a key", settings)
	}
	checkFinds(t, settled(t, settings))
	stop()
	if _, err := os.Stat(settings["PDS_KEY_FILE"]); !os.IsNotExist(err) {
		t.Errorf("the temporary key is still there: %v", err)
	}
}

func TestSimulateWithoutTokens(t *testing.T) {
	settings, out, _ := startSimulate(t, "--pds-key", "off")
	if settings["PDS_TOKEN_URL"] != "off" || !strings.Contains(out.String(), "no tokens") {
		t.Errorf("printed %s", out)
	}
	checkFinds(t, settled(t, settings))
}

func TestSimulateAcceptsAKey(t *testing.T) {
	key := pdsfhirtest.NewKey(t)
	for kind, der := range map[string]func(*rsa.PublicKey) []byte{
		"PUBLIC KEY": func(k *rsa.PublicKey) []byte {
			der, err := x509.MarshalPKIXPublicKey(k)
			if err != nil {
				t.Fatal(err)
			}
			return der
		},
		"RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey,
	} {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "public.pem")
			text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der(&key.PublicKey)})
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			settings, _, _ := startSimulate(t, "--pds-key", "mine="+file)
			delete(settings, "PDS_KEY_FILE")
			c := settled(t, settings)
			c.Key = key
			if c.KeyID != "mine" {
				t.Errorf("key id %q, want mine", c.KeyID)
			}
			checkFinds(t, c)
		})
	}
}

// Certificates and keys of one run are those of the next, so that a service need not be
// told anything new.
func TestSimulateWithTLS(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--tls-self-signed", filepath.Join(dir, "tls"), "--credentials", filepath.Join(dir, "app")}
	first, _, stop := startSimulate(t, args...)
	checkFinds(t, settled(t, first))
	mini := &smsp.Client{Endpoint: first["SMSP_URL"], ODS: "X99", TLS: trusting(t, first["SMSP_CA"])}
	defer mini.CloseIdleConnections()
	checkFinds(t, mini)
	ca, key := readFile(t, first["PDS_CA"]), readFile(t, first["PDS_KEY_FILE"])
	stop()
	second, _, _ := startSimulate(t, args...)
	if readFile(t, second["PDS_CA"]) != ca || readFile(t, second["PDS_KEY_FILE"]) != key {
		t.Error("another run has made new certificates or keys")
	}
	checkFinds(t, settled(t, second))
	third, _, _ := startSimulate(t, "--pds-key", "off",
		"--tls-cert", filepath.Join(dir, "tls", "server.pem"), "--tls-key", filepath.Join(dir, "tls", "server-key.pem"))
	third["PDS_CA"] = second["PDS_CA"]
	checkFinds(t, settled(t, third))
}

func TestSimulateOneOfTwo(t *testing.T) {
	for _, other := range []string{"--itk", "--pds"} {
		settings, _, _ := startSimulate(t, other, "off")
		if smsp, pds := settings["SMSP_URL"], settings["PDS_URL"]; (smsp == "") != (other == "--itk") || (pds == "") != (other == "--pds") {
			t.Errorf("%s off: %q and %q", other, smsp, pds)
		}
	}
}

func TestSimulateNamesTheTakenPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for flag, other := range map[string]string{"--itk": "--pds", "--pds": "--itk"} {
		out := new(logBuffer)
		code := run(t.Context(), []string{"simulate", flag, ln.Addr().String(), other, "127.0.0.1:0", "--pds-key", "off"}, console{Out: out, Err: out})
		if code != exitFailed || !strings.Contains(out.String(), "spinetrace simulate: "+flag+": ") {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
}
