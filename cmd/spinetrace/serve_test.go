package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a service for a test.
type running struct {
	*service
	log  *logBuffer
	stop func() error // once
}

// startService runs a service on free ports, in front of a simulator and over a new file.
func startService(t *testing.T, more map[string]string) *running {
	t.Helper()
	r := prepareService(t, more)
	r.launch(t)
	return r
}

// prepareService is startService as far as a test may still change something.
func prepareService(t *testing.T, more map[string]string) *running {
	t.Helper()
	sim := smsptest.NewServer(t, pdstest.People())
	values := enough(map[string]string{
		"MLLP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "SMSP_URL": sim.URL,
		"STORE":         "sqlite:" + filepath.Join(t.TempDir(), "journal.db"),
		"RETRACE_AFTER": "0s", // the tests send the same few patients again and again
	})
	for name, value := range more {
		values[name] = value
	}
	setAll(t, values)
	cfg, err := serviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{log: new(logBuffer)}
	if r.service, err = newService(cfg, newLogger(r.log, slog.LevelDebug)); err != nil {
		t.Fatal(err)
	}
	r.clock = goodClock()
	return r
}

func (r *running) launch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run() = %v\n%s", err, r.log)
		}
	})
}

// waitUntil waits until a condition holds.
func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not in time", what)
		}
	}
}

// ask gets a page of the admin listener.
func (r *running) ask(t *testing.T, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.adminPort.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *running) waitReady(t *testing.T) {
	t.Helper()
	waitUntil(t, "ready", func() bool {
		status, _ := r.ask(t, "/-/ready")
		return status == http.StatusOK
	})
}

func (r *running) send(t *testing.T, msg string) ([]byte, error) {
	t.Helper()
	client := &mllp.Client{Addr: r.mllpPort.Addr().String()}
	defer func() { _ = client.Close() }() // the answer is in
	return client.Send(context.Background(), []byte(msg))
}

// events returns what a stopped service left in its journal.
func (r *running) events(t *testing.T) []store.Event {
	t.Helper()
	return r.eventsOf(t, r.cfg.Chain)
}

// checkFound compares what messages are found by with the journal.
func checkFound(t *testing.T, db store.Audit) {
	t.Helper()
	if _, err := store.VerifyRows(context.Background(), db, func(m store.Mismatch) { t.Errorf("%+v", m) }, nil); err != nil {
		t.Error(err)
	}
}

// eventsOf is events for any chain of the journal.
func (r *running) eventsOf(t *testing.T, chain string) []store.Event {
	t.Helper()
	db, err := openStore(&r.cfg, r.cfg.Chain+".cli", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := context.Background()
	if err := db.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Verify(ctx, db, chain, true, nil); err != nil {
		t.Error(err)
	}
	checkFound(t, db)
	var all []store.Event
	for e, err := range db.Events(ctx, store.Query{Chain: chain}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func kindsOf(events []store.Event) []string {
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind.String())
	}
	return kinds
}

func TestServeTracesAndRecords(t *testing.T) {
	r := startService(t, nil)
	r.waitReady(t)
	reply, err := r.send(t, sampleA28("C1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := hl7v2.Parse(reply)
	if err != nil {
		t.Fatal(err)
	}
	if m.Get(msa1) != "AA" || m.Get(msa3) != "Verified" {
		t.Errorf("answered %s %s; want AA Verified", m.Get(msa1), m.Get(msa3))
	}
	if _, body := r.ask(t, "/metrics"); !strings.Contains(body, `outcome="verified",resent="false",type="ADT^A28"} 1`) {
		t.Error("the message is not in the metrics")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := r.events(t)
	want := []string{"started", "clock", "received", "asked", "answered", "replied", "stopped"}
	if diff := cmp.Diff(want, kindsOf(events)); diff != "" {
		t.Fatalf("journal (-want +got):\n%s", diff)
	}
	facts, err := events[0].Facts()
	if err != nil || facts.Config != r.cfg.digest() || facts.Version == "" || facts.Host == "" {
		t.Errorf("the service started with %+v, %v", facts, err)
	}
	if log := r.log.String(); strings.Contains(log, "HALVORSEN") || strings.Contains(log, "9990000018") {
		t.Errorf("the log knows a patient:\n%s", log)
	}
}

func TestServeWarnsOfListenerWithoutTLS(t *testing.T) {
	r := startService(t, map[string]string{"MLLP_ADDR": ":0", "MLLP_TLS": "off"})
	r.waitReady(t)
	waitUntil(t, "start recorded", func() bool { return strings.Contains(r.log.String(), "store ready") })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"started", "warned", "clock", "stopped"}, kindsOf(r.events(t))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestServeWithoutDatabaseListensAndSaysNothing(t *testing.T) {
	r := startService(t, map[string]string{"STORE": "postgres://nobody@" + closedPort(t) + "/x?sslmode=disable"})
	var sentence string
	waitUntil(t, "a reason", func() bool {
		var status int
		status, sentence = r.ask(t, "/-/ready")
		return status == http.StatusServiceUnavailable && !strings.Contains(sentence, "not started")
	})
	if _, body := r.ask(t, "/-/healthy"); body != "healthy\n" {
		t.Errorf("healthy said %q", body)
	}
	if reply, err := r.send(t, sampleA28("C1")); !errors.Is(err, mllp.ErrNoAnswer) {
		t.Errorf("an ADT was answered %q, %v; want its connection closed", reply, err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("stopped with %v; not ready was: %s", err, sentence)
	}
}

// TestServeLogsWhyItWaits: the port is open and nothing comes in, so nobody would ask /-/ready.
func TestServeLogsWhyItWaits(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "journal.db")
	first := startService(t, map[string]string{"STORE": path})
	first.waitReady(t)
	second := startService(t, map[string]string{"STORE": path})
	waitUntil(t, "a line in the log", func() bool { return strings.Contains(second.log.String(), `"msg":"not ready"`) })
	if got := second.log.String(); !strings.Contains(got, `"level":"WARN","msg":"not ready","reason":"the store takes no commits: `) ||
		!strings.Contains(got, "waiting for the chain main: process ") {
		t.Errorf("logged\n%s", got)
	}
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	second.waitReady(t)
	if n := strings.Count(second.log.String(), `"msg":"not ready"`); n != 1 {
		t.Errorf("it was said %d times, want once:\n%s", n, second.log)
	}
}

// TestReadySaysWhyTheStartIsNotRecorded: the database may be there and refuse the first row.
func TestReadySaysWhyTheStartIsNotRecorded(t *testing.T) {
	s := &service{starting: make(chan struct{}), store: willingStore{}}
	why := errors.New("grant it the role")
	s.refusal.Store(&why)
	if err := s.ready(); !errors.Is(err, errNotRecorded) || !errors.Is(err, why) {
		t.Errorf("ready() = %v, want %v and %v", err, errNotRecorded, why)
	}
}

// willingStore is a store that would try a commit.
type willingStore struct{ store.Store }

func (willingStore) Ready() error { return nil }

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestServeSaysWhichPortIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, name := range []string{"MLLP_ADDR", "ADMIN_ADDR"} {
		values := enough(map[string]string{"MLLP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "STORE": "sqlite:" + filepath.Join(t.TempDir(), "x.db")})
		values[name] = ln.Addr().String()
		setAll(t, values)
		code, _, errs := runCommand("serve")
		if code != exitFailed || !strings.HasPrefix(errs, "spinetrace serve: SPINETRACE_"+name+": listen tcp") || !strings.Contains(errs, "stop what uses the port") {
			t.Errorf("%s taken: exit code %d, %s", name, code, errs)
		}
	}
}

func TestServeSaysWhichFileCannotBeUsed(t *testing.T) {
	good, old, early := newPKI(t), pkiUntil(t, time.Now().Add(-time.Hour)), pkiUntil(t, time.Now().Add(72*time.Hour))
	notPEM := file(t, "x.pem", "hello")
	for name, tt := range map[string]struct {
		values map[string]string
		want   string
	}{
		"missing":        {map[string]string{"MLLP_TLS": "server", "MLLP_CERT": good.cert + "x", "MLLP_KEY": good.key}, "SPINETRACE_MLLP_CERT: cannot be used: open "},
		"not PEM":        {map[string]string{"MLLP_TLS": "server", "MLLP_CERT": notPEM, "MLLP_KEY": good.key}, "SPINETRACE_MLLP_CERT: cannot be used: tls: failed"},
		"other key":      {map[string]string{"MLLP_TLS": "server", "MLLP_CERT": good.cert, "MLLP_KEY": old.key}, "private key does not match"},
		"expired":        {map[string]string{"MLLP_TLS": "server", "MLLP_CERT": old.cert, "MLLP_KEY": old.key}, "SPINETRACE_MLLP_CERT: expired on "},
		"client CA":      {map[string]string{"MLLP_TLS": "mutual", "MLLP_CERT": good.cert, "MLLP_KEY": good.key, "MLLP_CLIENT_CA": notPEM}, "SPINETRACE_MLLP_CLIENT_CA: holds no PEM certificate"},
		"client expired": {map[string]string{"SMSP_CERT": old.cert, "SMSP_KEY": old.key}, "SPINETRACE_SMSP_CERT: expired on "},
		"client early":   {map[string]string{"SMSP_CERT": early.cert, "SMSP_KEY": early.key}, "SPINETRACE_SMSP_CERT: is not valid before "},
		"provider's CA":  {map[string]string{"SMSP_CA": notPEM}, "holds no certificate in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(tt.values))
			if code, _, errs := runCommand("serve"); code != exitFailed || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, %s\nwant %s", code, errs, tt.want)
			}
		})
	}
}

func TestServeListensByTLS(t *testing.T) {
	files := newPKI(t)
	r := startService(t, map[string]string{"MLLP_TLS": "server", "MLLP_CERT": files.cert, "MLLP_KEY": files.key})
	r.waitReady(t)
	code, out, errs := runCommand("send", "--addr", r.mllpPort.Addr().String(), "--tls", "--ca", files.ca, file(t, "a.hl7", sampleA28("C1")))
	if code != exitOK || !strings.Contains(out, "MSA|AA|C1|Verified") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestNoExchangeBeforeTheStartIsRecorded(t *testing.T) {
	s := &service{starting: make(chan struct{})}
	j := afterStart{nil, s} // a commit that got through would panic
	if _, err := j.Commit(context.Background(), store.Commit{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("while starting: %v, want %v", err, store.ErrUnavailable)
	}
	close(s.starting)
	if _, err := j.Commit(context.Background(), store.Commit{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("after a start that failed: %v, want %v", err, store.ErrUnavailable)
	}
}
