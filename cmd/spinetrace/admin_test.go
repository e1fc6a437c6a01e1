package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/store"
)

// get asks a handler and returns status and body.
func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestReadySaysWhyNot(t *testing.T) {
	var why error
	var soon string
	h := adminHandler(func() error { return why }, func() string { return soon }, newMetrics(thisBuild()).registry)
	if status, body := get(t, h, "/-/ready"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("ready: got %d %q", status, body)
	}
	soon = "the journal has partitions until 2030-03-17: run `spinetrace migrate up`"
	if status, body := get(t, h, "/-/ready"); status != http.StatusOK || body != "ready; "+soon+"\n" {
		t.Errorf("ready with a notice: got %d %q", status, body)
	}
	why = errors.New("postgres: the database is starting up")
	if status, body := get(t, h, "/-/ready"); status != http.StatusServiceUnavailable || body != "not ready: postgres: the database is starting up\n" {
		t.Errorf("not ready: got %d %q", status, body)
	}
	if status, body := get(t, h, "/-/healthy"); status != http.StatusOK || body != "healthy\n" {
		t.Errorf("healthy: got %d %q", status, body)
	}
	if status, _ := get(t, h, "/"); status != http.StatusNotFound {
		t.Errorf("another path: got %d", status)
	}
}

// TestMetricsInReadme: what is not in the README is not watched.
func TestMetricsInReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(thisBuild())
	m.watch(closedStore{}, func() error { return nil })
	m.watchCertificates(new(certificates))
	m.watchBacklog(nil, nil)
	found := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(found)
	close(found)
	name := regexp.MustCompile(`fqName: "(spinetrace_[a-z_]+)"`)
	if len(found) < 10 {
		t.Errorf("only %d metrics were looked at", len(found))
	}
	for d := range found {
		if match := name.FindStringSubmatch(d.String()); match != nil && !strings.Contains(string(readme), "`"+match[1]+"`") {
			t.Errorf("%s is not in the README", match[1])
		}
	}
}

// TestAdminLogsAsTheServiceDoes: net/http would write plain lines between those of the log.
func TestAdminLogsAsTheServiceDoes(t *testing.T) {
	log := new(logBuffer)
	s := newHTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") }), newLogger(log, slog.LevelInfo))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveHTTP(s, ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Get("http://" + ln.Addr().String()); err == nil {
		_ = resp.Body.Close() // there is none
		t.Error("a page was served")
	}
	closeHTTP(s)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.HasPrefix(got, `{"time":`) || !strings.Contains(got, `"level":"WARN","msg":"http: panic serving`) {
		t.Errorf("logged %s", got)
	}
}

func TestNoticeOfPartitionsThatEnd(t *testing.T) {
	for days, want := range map[int]bool{30: true, 60: true, 90: false} {
		s := &service{store: endingStore{until: time.Now().AddDate(0, 0, days)}}
		if got := s.notice(); (got != "") != want {
			t.Errorf("partitions for %d days: notice %q", days, got)
		}
	}
	if got := (&service{store: endingStore{}}).notice(); got != "" {
		t.Errorf("not looked yet: notice %q", got)
	}
}

type endingStore struct {
	store.Store
	until time.Time
}

func (s endingStore) PartitionsUntil() time.Time { return s.until }

// closedStore is a store that has partitions and is closed.
type closedStore struct{ store.Store }

func (closedStore) PartitionsUntil() time.Time { return time.Unix(1_900_000_000, 0) }

func TestMetrics(t *testing.T) {
	m := newMetrics(build{Version: "1.2.3", Commit: "abc"})
	m.watch(closedStore{}, func() error { return store.ErrUnavailable })
	for _, s := range []mllp.ConnState{mllp.StateOpen, mllp.StateActive, mllp.StateIdle, mllp.StateActive, mllp.StateRefused} {
		m.connState(s)
	}
	m.quirk(mllp.EventNoCR)
	m.done(exchange.Summary{Type: "ADT^A28", Outcome: store.Verified, Ack: "AA", Took: 3 * time.Millisecond})
	m.done(exchange.Summary{Type: "ADT^A28", Ack: "AA", Duplicate: true})
	m.asked(pds.Verify, time.Millisecond, pds.Result{Outcome: pds.Superseded}, nil)
	m.asked(pds.Number, time.Millisecond, pds.Result{}, &pds.Error{Class: pds.Busy})
	m.asked(pds.Number, time.Millisecond, pds.Result{}, &pds.Error{Class: pds.Unrecorded})
	m.breaker(true)

	_, body := get(t, adminHandler(func() error { return nil }, func() string { return "" }, m.registry), "/metrics")
	for _, line := range []string{
		`spinetrace_connections 1`,
		`spinetrace_connections_busy 1`,
		`spinetrace_connections_total{state="open"} 1`,
		`spinetrace_connections_total{state="refused"} 1`,
		`spinetrace_mllp_quirks_total{quirk="no cr"} 1`,
		`spinetrace_messages_total{ack="AA",outcome="verified",resent="false",type="ADT^A28"} 1`,
		`spinetrace_messages_total{ack="AA",outcome="resent",resent="true",type="ADT^A28"} 1`,
		`spinetrace_reply_seconds_count{type="ADT^A28"} 2`,
		`spinetrace_backend_seconds_count{operation="verifyNHSNumber",result="superseded"} 1`,
		`spinetrace_backend_seconds_count{operation="getNHSNumber",result="busy"} 1`,
		`spinetrace_backend_breaker_open 1`,
		`spinetrace_ready 0`,
		`spinetrace_store_partitions_until_seconds 1.9e+09`,
		`spinetrace_build_info{commit="abc",`,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, "unrecorded") {
		t.Error("a question that did not leave is among the calls")
	}
}
