package smsp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// heard keeps the requests that a server had, and answers each with the next status, then
// with an answer.
type heard struct {
	t        *testing.T
	mu       sync.Mutex
	statuses []int
	bodies   []string
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, string(b))
	status := 200
	if len(h.statuses) > 0 {
		status, h.statuses = h.statuses[0], h.statuses[1:]
	}
	says(status, example(h.t, prefixes39)).ServeHTTP(w, r)
}

var (
	anyUUID = regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}`)
	anyTime = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z`)
)

// TestEveryAttemptIsNewAndAsksTheSame is section 12: every attempt has ids, times and an
// audit row of its own, and says the same about the patient.
func TestEveryAttemptIsNewAndAsksTheSame(t *testing.T) {
	h := &heard{t: t, statuses: []int{503, 500}}
	c := newClient(t, h)
	c.NewID = nil
	now := testNow
	c.Now = func() time.Time { now = now.Add(time.Second); return now }
	req, rec := full(pds.Details), &memo{}
	req.Recorder = rec
	// The answer relates to a fixed id, which none of these has.
	_, err := pds.Retry(c, pds.Backoff{Delay: time.Microsecond}).Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Status: 200})

	if len(h.bodies) != 3 || len(rec.calls) != 3 || len(rec.answers) != 3 {
		t.Fatalf("%d requests, recorded %d calls and %d answers; want 3 of each", len(h.bodies), len(rec.calls), len(rec.answers))
	}
	ids, times := make(map[string]bool), make(map[string]bool)
	for i, body := range h.bodies {
		found := anyUUID.FindAllString(body, -1)
		if len(found) != 6 { // five, one of which is written twice
			t.Errorf("attempt %d has %d ids, want 6", i+1, len(found))
		}
		for _, id := range found {
			ids[id] = true
		}
		times[anyTime.FindString(body)] = true
		if string(rec.calls[i].Body) != body || !strings.Contains(body, rec.calls[i].MessageID) {
			t.Errorf("attempt %d was not recorded as it was sent", i+1)
		}
	}
	if len(ids) != 15 || len(times) != 3 {
		t.Errorf("%d different ids and %d times in three attempts, want 15 and 3", len(ids), len(times))
	}
	masked := func(body string) string {
		return anyTime.ReplaceAllString(anyUUID.ReplaceAllString(body, "ID"), "TIME")
	}
	for _, body := range h.bodies[1:] {
		if diff := cmp.Diff(masked(body), masked(h.bodies[0])); diff != "" {
			t.Errorf("asked something else again (-again +first):\n%s", diff)
		}
	}
}

// TestNeverAsksWithLess is section 12 again: no match is not an invitation to leave fields out.
func TestNeverAsksWithLess(t *testing.T) {
	for _, file := range []string{"22-getNHSNumber-response-no-match.xml", "23-getNHSNumber-response-multiple.xml"} {
		var calls atomic.Int32
		c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			says(200, example(t, file)).ServeHTTP(w, r)
		}))
		res, err := pds.Retry(c, pds.Backoff{}).Trace(t.Context(), full(pds.Number))
		if err != nil || success(res.Outcome) || calls.Load() != 1 {
			t.Errorf("%s: %v, %v after %d calls; want a negative answer after one", file, res.Outcome, err, calls.Load())
		}
	}
}

// TestResetOfAReusedConnection is section 3: safe to ask again, and by new ids.
func TestResetOfAReusedConnection(t *testing.T) {
	var calls atomic.Int32
	connections := make(map[string]bool)
	var mu sync.Mutex
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may have gone
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		if calls.Add(1) != 2 {
			says(200, example(t, success11)).ServeHTTP(w, r)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // makes Close reset
		_ = conn.Close()
	}))
	req, rec := marigoldVerify(), &memo{}
	req.Recorder = rec
	for range 2 {
		if _, err := pds.Retry(c, pds.Backoff{Delay: time.Microsecond}).Trace(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 3 || len(connections) != 2 {
		t.Errorf("%d calls on %d connections, want 3 on 2", calls.Load(), len(connections))
	}
	if len(rec.calls) != 3 || len(rec.answers) != 3 {
		t.Fatalf("recorded %d calls and %d answers, want 3 of each", len(rec.calls), len(rec.answers))
	}
	if a := rec.answers[1]; a.Status != 0 || a.Reason != "connection reset" && a.Reason != "connection closed early" && a.Reason != "no HTTP response" {
		t.Errorf("recorded the reset as status %d, %q", a.Status, a.Reason)
	}
}

// TestOldServers is section 3: some answer in HTTP/1.0 or close every connection.
func TestOldServers(t *testing.T) {
	body := example(t, success11)
	for name, head := range map[string]string{
		"HTTP/1.0":              "HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n",
		"Connection: close":     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
		"without content type":  "HTTP/1.1 200\r\n\r\n",
		"after 100 Continue":    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"with a lower protocol": "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := raw(t, false, head+body)
			for range 2 {
				res, err := c.Trace(t.Context(), marigoldVerify())
				if err != nil || res.Outcome != pds.Matched {
					t.Errorf("%v, %v; want a match", res.Outcome, err)
				}
			}
		})
	}
}

func TestTakesItsTurnBeforeItIsRecorded(t *testing.T) {
	var calls atomic.Int32
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		says(200, example(t, success11)).ServeHTTP(w, r)
	}))
	c.Pace, c.PaceWait = pds.NewPace(1, 1), time.Millisecond
	req, rec := marigoldVerify(), &memo{}
	req.Recorder = rec
	if _, err := c.Trace(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	_, err := c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.NoSlot})
	rec.only(t)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	// What the local checks refuse takes no turn.
	req.NHSNumber = pds.NHSNumber{}
	if res, err := c.Trace(t.Context(), req); err != nil || res.Outcome != pds.Refused {
		t.Errorf("%v, %v; want it refused", res.Outcome, err)
	}
}

func TestWaitsForItsTurnByDefault(t *testing.T) {
	c := newClient(t, says(200, example(t, success11)))
	c.Pace = pds.NewPace(100, 1)
	for range 3 {
		if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeepsAsManyConnectionsAsItIsTold asks four questions at once, twice.
func TestKeepsAsManyConnectionsAsItIsTold(t *testing.T) {
	const at = 4
	var arrived sync.WaitGroup
	var mu sync.Mutex
	connections := make(map[string]bool)
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		arrived.Done()
		arrived.Wait()
		says(200, example(t, success11)).ServeHTTP(w, r)
	}))
	c.MaxIdle = at
	for range 2 {
		arrived.Add(at)
		var asked sync.WaitGroup
		for range at {
			asked.Go(func() {
				if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
					t.Error(err)
				}
			})
		}
		asked.Wait()
	}
	if len(connections) != at {
		t.Errorf("%d connections, want %d", len(connections), at)
	}
}

// TestAStallingProviderHoldsNobodyElse asks 200 questions at once of a provider that starts a
// long answer and never ends it.
func TestAStallingProviderHoldsNobodyElse(t *testing.T) {
	const asked, places = 200, 8
	var inside atomic.Int32
	taken := make(chan struct{}, asked) // one for each place
	part := bytes.Repeat([]byte(" "), 512<<10)
	stalling := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server notices the client's going
		inside.Add(1)
		_, _ = w.Write(part)
		_ = http.NewResponseController(w).Flush()
		taken <- struct{}{}
		<-r.Context().Done()
	}))
	healthy := newClient(t, says(200, example(t, success11)))

	pulse := &pds.Pulse{Limit: time.Hour}
	limited := pds.Retry(pds.Limit(pds.Breaker(pds.Observe(stalling, pulse.Observe), pds.Trip{}), places, time.Hour), pds.Backoff{})
	ctx, giveUp := context.WithCancel(t.Context())
	before := runtime.NumGoroutine()
	heap := liveHeap()
	errs := make(chan error, asked)
	for range asked {
		go func() {
			_, err := limited.Trace(ctx, marigoldVerify())
			errs <- err
		}()
	}
	for range places {
		<-taken
	}
	for range 20 { // other work goes on
		if res, err := healthy.Trace(t.Context(), marigoldVerify()); err != nil || res.Outcome != pds.Matched {
			t.Errorf("another provider: %v, %v", res.Outcome, err)
		}
	}
	// Each call in hand has some goroutines of its own on both of its sides; who waits has none.
	if n := runtime.NumGoroutine() - before; n > asked+places*8 {
		t.Errorf("%d more goroutines for %d questions and %d places", n, asked, places)
	}
	if grown := liveHeap() - heap; grown > places*4<<20 {
		t.Errorf("%d MiB more for %d answers of at most 1 MiB", grown>>20, places)
	}
	if n := inside.Load(); n != places {
		t.Errorf("%d questions at once, want %d", n, places)
	}
	giveUp()
	for range asked {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the caller's cancellation", err)
		}
	}
}

// liveHeap returns the bytes that are in use.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestClosesEveryConnection asks with a connection of its own each time and looks for one
// left behind.
func TestClosesEveryConnection(t *testing.T) {
	var open atomic.Int32
	closed := make(chan struct{}, 1)
	srv := httptest.NewUnstartedServer(says(200, example(t, success11)))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			if open.Add(-1) == 0 {
				closed <- struct{}{}
			}
		default:
		}
	}
	srv.Start()
	defer srv.Close()
	c := testClient(srv.URL)
	for range 3 {
		if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
			t.Fatal(err)
		}
		if n := open.Load(); n != 1 {
			t.Errorf("%d connections, want one that is kept", n)
		}
		c.CloseIdleConnections()
		<-closed
	}
}
