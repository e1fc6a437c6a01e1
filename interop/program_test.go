//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"spinetrace/smsp/smsptest"
)

// certificates are PEM files for both sides of TLS.
type certificates struct{ ca, cert, key string }

func newCertificates(t *testing.T) certificates {
	t.Helper()
	made, err := smsptest.NewCertificates()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := certificates{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	for name, content := range map[string][]byte{c.ca: made.CA, c.cert: made.ServerCert, c.key: made.ServerPriv} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// clientConfig believes the certificates' authority; without certificates it is nil, for plain TCP.
func clientConfig(t *testing.T, c certificates) *tls.Config {
	t.Helper()
	if c.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// build builds the program as it is shipped.
func build(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "spinetrace.exe") // a name that every system runs
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "../cmd/spinetrace")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// daemon runs a command of the program until the test ends, and returns the first line that
// holds what it is waited for.
func daemon(t *testing.T, program string, await string, set map[string]string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	for name, value := range set {
		cmd.Env = append(cmd.Env, "SPINETRACE_"+name+"="+value)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	said := new(bytes.Buffer) // read once the process has ended
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(said, lines.Text())
			if strings.Contains(lines.Text(), await) {
				select {
				case found <- lines.Text():
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		<-ended
		err := cmd.Wait()
		late.Stop()
		if err != nil {
			t.Errorf("spinetrace %s: %v", args[0], err)
		}
		if t.Failed() {
			t.Logf("spinetrace %s said:\n%s", args[0], said)
		}
	})
	select {
	case line := <-found:
		return line
	case <-ended:
		t.Fatalf("spinetrace %s ended too early", args[0])
	case <-time.After(patience):
		t.Fatalf("spinetrace %s never said %q", args[0], await)
	}
	return ""
}

// service is a running `spinetrace serve`.
type service struct {
	host  string
	port  int
	admin string
}

// serve runs the service over SQLite and the simulated provider at url.
func serve(t *testing.T, program, url string, set map[string]string) service {
	t.Helper()
	all := map[string]string{
		"ODS": "RXX", "BACKEND": "smsp", "SMSP_URL": url, "MLLP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0",
		"REPLY_BUDGET": "30s", "COMMIT_TIMEOUT": "20s", // the machine may be busy
	}
	for name, value := range set {
		all[name] = value
	}
	var line struct{ MLLP, Admin string }
	if err := json.Unmarshal([]byte(daemon(t, program, `"listening"`, all, "serve")), &line); err != nil {
		t.Fatal(err)
	}
	addr, err := netip.ParseAddrPort(line.MLLP)
	if err != nil {
		t.Fatal(err)
	}
	return service{addr.Addr().String(), int(addr.Port()), line.Admin}
}

// counters returns the metrics that count connections and what peers did outside the protocol.
func (s service) counters(t *testing.T) map[string]int {
	t.Helper()
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all := make(map[string]int)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.Atoi(text); err == nil && (name == opened || strings.HasPrefix(name, "spinetrace_mllp_quirks_total")) {
			all[name] = n
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// opened counts the connections that were made.
const opened = `spinetrace_connections_total{state="open"}`

// simulate runs the simulated provider and returns its URL.
func simulate(t *testing.T, program string) (url string) {
	t.Helper()
	line := daemon(t, program, "http://", nil, "simulate", "--itk", "127.0.0.1:0", "--jitter", "0s")
	return line[strings.Index(line, "http://"):]
}

// sent is what `spinetrace send --json` prints about a message.
type sent struct {
	ControlID string `json:"control_id"`
	Ack       string `json:"ack"`
	Err       string `json:"error"`
}

// send sends the messages of a file and returns what it prints and its exit code.
func send(t *testing.T, program string, args ...string) (all []sent, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"send", "--json"}, args...)...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var s sent
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all, cmd.ProcessState.ExitCode()
}
