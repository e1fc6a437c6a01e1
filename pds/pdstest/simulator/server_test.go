package simulator_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
)

// echo is the smallest simulator: whoever asks is told "the whole answer".
type echo struct {
	simulator.Server[request]
}

type request struct{ Operation, Answer string }

const truth = "the whole answer"

func newEcho(t testing.TB, faults ...simulator.Fault) *echo {
	t.Helper()
	e := &echo{}
	e.Init(simulator.Service{
		Package: "echo", Path: "/echo", Name: "an echo", Hint: "GET anything.", Handle: e.handle,
		Bad: simulator.BadBodies{
			Type: "text/plain", Garbage: []byte("\x00"), Flood: "<", Bomb: func() []byte { return []byte("boom") },
		},
	}, pdstest.People(), faults)
	e.StartFor(t, nil)
	return e
}

func (e *echo) handle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/page" {
		e.Page(w)
		return
	}
	req := &request{Operation: strings.TrimPrefix(r.URL.Path, "/")}
	e.Remember(req.Operation, req)
	e.Play(w, r, simulator.Request{
		Operation: req.Operation, Answer: &req.Answer,
		Reply: func(kind, code string) simulator.Reply {
			return simulator.Reply{Answer: "said" + kind + code, Type: "text/plain", Body: []byte(truth + kind + code)}
		},
	})
}

// response is what came before a body that was read.
type response struct {
	StatusCode int
	Header     http.Header
}

// ask makes a request; the error is that of reading the answer.
func ask(t testing.TB, method, url, text string) (*response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &response{resp.StatusCode, resp.Header}, string(body), err
}

func TestPlay(t *testing.T) {
	for do, want := range map[string]struct {
		status int
		body   string
		err    error
		answer string
	}{
		"":              {200, truth, nil, "said"},
		"code:A-1":      {200, truth + "codeA-1", nil, "saidcodeA-1"},
		"hollow":        {200, truth + "hollow", nil, "saidhollow"},
		"truncated":     {200, truth[:8], nil, "truncated"},
		"cut":           {200, truth[:8], io.ErrUnexpectedEOF, "cut"},
		"garbage":       {200, "\x00", nil, "garbage"},
		"bomb":          {200, "boom", nil, "bomb"},
		"429:7":         {429, "the simulator was told to\n", nil, "429"},
		"204":           {204, "", nil, "204"},
		"what is this?": {501, "the simulator was told to\n", nil, "501"},
	} {
		t.Run(do, func(t *testing.T) {
			e := newEcho(t, simulator.Fault{Do: do})
			resp, body, err := ask(t, http.MethodGet, e.URL, "")
			if resp == nil || resp.StatusCode != want.status || body != want.body || !errors.Is(err, want.err) {
				t.Fatalf("%v, %q, %v; want %d, %q, %v", resp, body, err, want.status, want.body, want.err)
			}
			if got := e.Requests()[0]; got.Answer != want.answer || e.AskedOf("echo") != 1 {
				t.Errorf("remembered %q, asked %d times; want %q, 1", got.Answer, e.AskedOf("echo"), want.answer)
			}
			if after := resp.Header.Get("Retry-After"); (after == "7") != (do == "429:7") {
				t.Errorf("Retry-After %q", after)
			}
		})
	}
}

func TestWebPage(t *testing.T) {
	e := newEcho(t, simulator.Fault{Do: "html"})
	resp, body, err := ask(t, http.MethodGet, e.URL, "")
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(body, "<html>") {
		t.Errorf("%v, %q, %v", resp, body, err)
	}
}

func TestFlood(t *testing.T) {
	e := newEcho(t, simulator.Fault{Do: "flood"})
	resp, err := http.Get(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 50<<20+1 {
		t.Errorf("%d bytes, %v; want 50 MiB and the beginning", n, err)
	}
}

// A client that leaves a flood early does not keep Close from returning.
func TestFloodIsLeft(t *testing.T) {
	e := newEcho(t, simulator.Fault{Do: "flood"})
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(e.URL, "http://"), "/echo"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil { // while nobody reads
		t.Errorf("Close: %v", err)
	}
}

func TestControl(t *testing.T) {
	e := newEcho(t, simulator.Fault{Operation: "echo", Skip: 1, Do: "503"})
	control := strings.TrimSuffix(e.URL, "/echo") + simulator.ControlPath
	expect := func(method, rows string, status int, want string) {
		t.Helper()
		resp, body, err := ask(t, method, control, rows)
		if err != nil || resp.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%s: %v, %v\n%s\nwant %d with %q", method, resp, err, body, status, want)
		}
		if err == nil && resp.Header.Get("X-Simulator") != simulator.Marker {
			t.Error("the answer does not say that it is a simulator's")
		}
	}
	status := func(want int) {
		t.Helper()
		if resp, _, err := ask(t, http.MethodGet, e.URL, ""); err != nil || resp.StatusCode != want {
			t.Errorf("the service: %v, %v; want %d", resp, err, want)
		}
	}
	status(200)
	expect("GET", "", 200, "# requests seen: 1, done to: 0\nop=echo,skip=1,do=503\n")
	status(503)
	expect("PUT", "op=search,do=hang\n# and\ntimes=1,do=418\n", 200, "# fault rows: 2\n")
	status(418)
	status(200)
	expect("PUT", "do=503\ndo=sing", 400, "line 2: not a fault row: do is an HTTP status, ")
	expect("GET", "", 200, "done to: 1\ntimes=1,do=418\n")
	expect("PUT", strings.Repeat("#", 65<<10), 400, "could not be read")
	expect("POST", "", 405, "GET, PUT or DELETE")
	expect("DELETE", "", 200, "# fault rows: 0\n")
	status(200)
	if e.Asked() != 5 {
		t.Errorf("asked %d times; control requests are no questions", e.Asked())
	}
}

// What GET shows, its remarks included, can be PUT.
func TestControlRoundTrip(t *testing.T) {
	e := newEcho(t, simulator.Fault{Operation: "read", Rate: 0.25, Do: "code:X"}, simulator.Fault{})
	control := strings.TrimSuffix(e.URL, "/echo") + simulator.ControlPath
	_, rows, err := ask(t, http.MethodGet, control, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := ask(t, http.MethodPut, control, rows); err != nil || again != rows {
		t.Errorf("%v\n%s\nwant\n%s", err, again, rows)
	}
}

func TestControlIsLocal(t *testing.T) {
	e := newEcho(t)
	for from, want := range map[string]int{"10.1.2.3:4000": 403, "[2001:db8::1]:4000": 403, "[::1]:4000": 200, "127.0.0.1:4000": 200} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, simulator.ControlPath, nil)
		r.RemoteAddr = from
		if e.ServeHTTP(w, r); w.Code != want {
			t.Errorf("from %s: status %d, want %d", from, w.Code, want)
		}
	}
}

func TestPage(t *testing.T) {
	e := newEcho(t)
	_, _, _ = ask(t, http.MethodGet, e.URL, "")
	_, page, err := ask(t, http.MethodGet, strings.TrimSuffix(e.URL, "/echo")+"/page", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NOT SPINE", "an echo", "all of them invented", "GET anything. It has been asked 1 times", "1  echo", "said"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestRequestsAreForgotten(t *testing.T) {
	e := newEcho(t)
	for range 1030 {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/old", nil))
	}
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/new", nil))
	got := e.Requests()
	if len(got) != 1024 || got[1023].Operation != "new" || got[0].Operation != "old" || e.Asked() != 1031 {
		t.Errorf("%d remembered of %d, the last %q; want the last 1024 of 1031", len(got), e.Asked(), got[len(got)-1].Operation)
	}
}

var _ simulator.TB = (testing.TB)(nil)
