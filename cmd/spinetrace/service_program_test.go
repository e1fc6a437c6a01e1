package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"spinetrace/internal/pgtest"
)

// The tests in service_*_test.go see the service as its neighbours do: they run the program
// as a process of its own, over a real PostgreSQL, beside a simulated provider, and judge it
// by what it sends, logs and stores.

// patience is how long a test waits for what should come soon. It is no measure of speed:
// the machine may be busy with other tests.
const patience = 60 * time.Second

// pg is the database server of the tests that leave it alone.
var pg pgtest.Shared

// program is the program with the race detector, swift is the program as it is shipped.
var program, swift = binary{race: "-race=true"}, binary{race: "-race=false"}

// binary is built by the first test that runs it.
type binary struct {
	race string // flag of go build
	once sync.Once
	dir  string
	err  error
}

// Main returns a Runner that runs m and then removes what was built.
func (b *binary) Main(m pgtest.Runner) pgtest.Runner { return removing{m, b} }

type removing struct {
	pgtest.Runner
	built *binary
}

func (r removing) Run() int {
	code := r.Runner.Run()
	if r.built.dir == "" {
		return code
	}
	if err := os.RemoveAll(r.built.dir); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func (b *binary) path(tb testing.TB) string {
	tb.Helper()
	b.once.Do(func() { b.err = b.build() })
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return b.file()
}

func (b *binary) file() string { return filepath.Join(b.dir, "spinetrace.exe") } // a name that every system runs

func (b *binary) build() (err error) {
	if b.dir, err = os.MkdirTemp("", "spinetrace"); err != nil {
		return err
	}
	// git's own stamp fails in a clone owned by another user.
	out, err := exec.Command("go", "build", b.race, "-buildvcs=false", "-o", b.file(), ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// command returns a run of the program with these settings, named without their prefix, and
// no others.
func (b *binary) command(tb testing.TB, set map[string]string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command(b.path(tb), args...)
	cmd.Dir = tb.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + cmd.Dir}
	for name, value := range set {
		cmd.Env = append(cmd.Env, prefix+name+"="+value)
	}
	return cmd
}

// ran is how a run of the program ended.
type ran struct {
	code           int
	stdout, stderr string
}

// run runs the program to its end.
func (b *binary) run(tb testing.TB, set map[string]string, args ...string) ran {
	tb.Helper()
	cmd := b.command(tb, set, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stop := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Run()
	if !stop.Stop() {
		tb.Fatalf("spinetrace %s did not end:\n%s", strings.Join(args, " "), &stderr)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// migrated returns the DSN of a new database that the program itself has migrated.
func (b *binary) migrated(tb testing.TB, srv *pgtest.Server) string {
	tb.Helper()
	return srv.NewDatabase(tb, srv.Template(tb, "migrated", func(dsn string) error {
		if r := b.run(tb, map[string]string{"STORE": dsn}, "migrate", "up"); r.code != 0 {
			return fmt.Errorf("migrate up: exit code %d\n%s", r.code, r.stderr)
		}
		return nil
	}))
}

// instance is a running `spinetrace serve`.
type instance struct {
	cmd         *exec.Cmd
	output      *transcript // standard output and error
	ended       chan struct{}
	mllp, admin string // where it listens
}

// serveSettings are what every instance gets unless set says otherwise: ports that the
// kernel chooses, and time limits for a machine that is busy with other tests.
func serveSettings(dsn, smspURL string, set map[string]string) map[string]string {
	all := map[string]string{
		"ODS": "RXX", "BACKEND": "smsp", "STORE": dsn,
		"RETRACE_AFTER": "0s", // the tests send the same few patients again and again
		"MLLP_ADDR":     "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0",
		"REPLY_BUDGET": "30s", "COMMIT_TIMEOUT": "20s",
	}
	if smspURL != "" {
		all["SMSP_URL"] = smspURL
	}
	for name, value := range set {
		all[name] = value
	}
	return all
}

// launch starts the service and returns when it listens. It is killed with the test.
func launch(tb testing.TB, set map[string]string) *instance {
	tb.Helper()
	return program.launch(tb, set)
}

func (b *binary) launch(tb testing.TB, set map[string]string) *instance {
	tb.Helper()
	i := &instance{cmd: b.command(tb, set, "serve"), output: newTranscript(), ended: make(chan struct{})}
	i.cmd.Stdout, i.cmd.Stderr = i.output, i.output
	if err := i.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(i.ended)
		_ = i.cmd.Wait() // the state tells more
	}()
	tb.Cleanup(func() {
		i.kill()
		if text := i.output.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			tb.Errorf("the service complains:\n%s", text)
		} else if tb.Failed() {
			tb.Logf("the end of the service's log:\n%s", text[max(0, len(text)-10_000):])
		}
	})
	line := i.await(tb, "listening")
	i.mllp, _ = line["mllp"].(string)
	i.admin, _ = line["admin"].(string)
	return i
}

// launchReady is launch, and waits until messages are dealt with.
func launchReady(tb testing.TB, set map[string]string) *instance {
	tb.Helper()
	i := launch(tb, set)
	i.awaitReady(tb)
	return i
}

// await returns the first line of the log with a message, once it is there.
func (i *instance) await(tb testing.TB, msg string) map[string]any {
	tb.Helper()
	late := time.After(patience)
	for {
		text, more := i.output.read()
		for line := range strings.Lines(text) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg {
				return fields
			}
		}
		select {
		case <-more:
		case <-i.ended:
			tb.Fatalf("the service ended before it said %q:\n%s", msg, i.output)
		case <-late:
			tb.Fatalf("the service never said %q:\n%s", msg, i.output)
		}
	}
}

// get asks the admin port.
func (i *instance) get(tb testing.TB, path string) (status int, body string) {
	tb.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + i.admin + path)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// ready returns what /-/ready says, and whether it is yes.
func (i *instance) ready(tb testing.TB) (sentence string, yes bool) {
	tb.Helper()
	status, body := i.get(tb, "/-/ready")
	return body, status == http.StatusOK
}

func (i *instance) awaitReady(tb testing.TB) {
	tb.Helper()
	var sentence string
	eventually(tb, func() (yes bool) {
		sentence, yes = i.ready(tb)
		return yes
	}, func() string { return "never ready: " + sentence + "\n" + i.output.String() })
}

// stop ends the service as an operator does, and expects it to end well.
func (i *instance) stop(tb testing.TB) {
	tb.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	select {
	case <-i.ended:
	case <-time.After(patience):
		tb.Fatalf("the service does not stop:\n%s", i.output)
	}
	if code := i.cmd.ProcessState.ExitCode(); code != 0 {
		tb.Errorf("exit code %d after SIGTERM, want 0:\n%s", code, i.output)
	}
}

// kill ends the process by a signal that it cannot handle.
func (i *instance) kill() {
	_ = i.cmd.Process.Kill() // it may have ended
	<-i.ended
}

// transcript collects what a process writes, and tells who waits that there is more.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.more)
	s.more = make(chan struct{})
	return s.text.Write(p)
}

// read returns all there is and a channel that closes when there is more.
func (s *transcript) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.more
}

func (s *transcript) String() string {
	text, _ := s.read()
	return text
}

// eventually waits until a condition holds.
func eventually(tb testing.TB, holds func() bool, otherwise func() string) {
	tb.Helper()
	within(tb, patience, holds, otherwise)
}

// within is eventually for what may take longer. It looks less often then.
func within(tb testing.TB, d time.Duration, holds func() bool, otherwise func() string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	defer cancel()
	again := time.NewTicker(d / 3000)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-ctx.Done():
			tb.Fatal(otherwise())
		}
	}
}
