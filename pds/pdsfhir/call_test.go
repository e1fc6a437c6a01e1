package pdsfhir

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

var uuidShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestHeaders(t *testing.T) {
	a := &api{reads: []reply{person().reply()}}
	c := newClient(t, a)
	c.UserAgent = "spinetrace/1.2"
	rec := &memo{}
	req := asking(pds.Verify)
	req.ID, req.Recorder = "0197.a b", rec
	if _, err := c.Trace(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	got := a.asked[0].Header
	id := got.Get("X-Request-ID")
	want := http.Header{
		"Accept":                         {"application/fhir+json"},
		"Accept-Encoding":                {"identity"},
		"User-Agent":                     {"spinetrace/1.2"},
		"X-Request-Id":                   {id},
		"X-Correlation-Id":               {"0197-a-b"},
		"Nhsd-End-User-Organisation-Ods": {"X99"},
	}
	if diff := gocmp.Diff(got, want); diff != "" {
		t.Errorf("headers (-got +want):\n%s", diff)
	}
	if !uuidShape.MatchString(id) {
		t.Errorf("request id %q", id)
	}
	call := rec.calls[0]
	wantCall := pds.Call{
		Backend: "pds", Operation: "verifyNHSNumber", Endpoint: c.BaseURL + "/Patient",
		MessageID: id, TrackingID: "0197-a-b", NHSNumber: marigold,
		Body: []byte("GET /personal-demographics/FHIR/R4/Patient/9990000018"),
	}
	if diff := gocmp.Diff(call, wantCall, compareNumbers); diff != "" {
		t.Errorf("call (-got +want):\n%s", diff)
	}
	if last := rec.last(t); last.MessageID != id {
		t.Errorf("the answer's id recorded as %q", last.MessageID)
	}
}

func TestSearchesAreRecordedWithTheirQuery(t *testing.T) {
	rec := &memo{}
	req := asking(pds.Number)
	req.Recorder = rec
	if _, err := newClient(t, &api{searches: []reply{found().reply()}}).Trace(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := "GET /personal-demographics/FHIR/R4/Patient?family=Quillfeather-Ash&given=Marigold&birthdate=eq1978-02-14&_history=true"
	if call := rec.calls[0]; string(call.Body) != want || strings.Contains(call.Endpoint, "?") {
		t.Errorf("recorded %s at %s", call.Body, call.Endpoint)
	}
}

// The same question has the same ids each time it is asked; no other question has them.
func TestRequestIDs(t *testing.T) {
	a := &api{searches: []reply{found(person()).reply()}, reads: []reply{person().reply()}}
	c := newClient(t, a)
	ids := func(req pds.Request) (ids []string) {
		rec := &memo{}
		req.Recorder = rec
		_, _ = c.Trace(t.Context(), req)
		for _, call := range rec.calls {
			ids = append(ids, call.MessageID)
		}
		return ids
	}
	seen := make(map[string]string)
	for name, req := range map[string]pds.Request{
		"verify":           asking(pds.Verify),
		"another exchange": asking(pds.Verify, func(r *pds.Request) { r.ID = "x2" }),
		"another number":   asking(pds.Verify, otherNumber),
		"another question": asking(pds.DetailsByNumber),
		"search":           asking(pds.DetailsBySearch),
		"another search":   asking(pds.Number, changing(func(d *pds.Demographics) { d.Given = "" })),
	} {
		first := ids(req)
		if diff := gocmp.Diff(first, ids(req)); diff != "" {
			t.Errorf("%s: ids of two attempts (-first +second):\n%s", name, diff)
		}
		for _, id := range first {
			if seen[id] != "" {
				t.Errorf("%s has an id of %s", name, seen[id])
			}
			seen[id] = name
		}
	}
	nameless := asking(pds.Verify, func(r *pds.Request) { r.ID = "" })
	if gocmp.Equal(ids(nameless), ids(nameless)) {
		t.Error("two questions without an exchange have one id")
	}
}

func TestAnswersThatAreNotToUs(t *testing.T) {
	for name, answer := range map[string]reply{
		"to another request": {body: person().String(), header: map[string]string{"X-Request-ID": "60e0b220-8136-4ca5-ae46-1d97ef59d068"}},
		"a web page":         {body: person().String(), contentType: "text/html"},
		"no media type":      {body: person().String(), contentType: ";;"},
		"a search result":    found(person()).reply(),
		"nonsense":           {body: "{"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, &api{reads: []reply{answer}}).Trace(t.Context(), asking(pds.Verify))
			wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002", Status: 200})
		})
	}
}

func TestOtherJSONTypesAreRead(t *testing.T) {
	for _, kind := range []string{"application/fhir+json; charset=utf-8", "application/json", "application/fhir+json;fhirVersion=4.0"} {
		a := &api{reads: []reply{{body: person().String(), contentType: kind}}}
		if _, err := newClient(t, a).Trace(t.Context(), asking(pds.Verify)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	c := newClient(t, mux)
	c.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err := c.Trace(t.Context(), asking(pds.Verify))
	if pds.ClassOf(err) != pds.InputInvalid || elsewhere > 0 {
		t.Errorf("got %v; %d calls elsewhere", err, elsewhere)
	}
}

func TestBodiesOverTheLimit(t *testing.T) {
	c := newClient(t, &api{reads: []reply{person(object{"x": strings.Repeat("x", 5000)}).reply()}})
	c.MaxResponse = 4096
	rec := &memo{}
	req := asking(pds.Verify)
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002", Status: 200})
	if last := rec.last(t); len(last.Body) != 4096 {
		t.Errorf("%d bytes recorded", len(last.Body))
	}
}

func TestTimeout(t *testing.T) {
	c := newClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	c.Timeout = 20 * time.Millisecond
	_, err := c.Trace(t.Context(), asking(pds.Number))
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
}

func TestTheCallersOwnEndSaysNothingOfTheService(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	rec := &memo{}
	req := asking(pds.Number)
	req.Recorder = rec
	_, err := c.Trace(ctx, req)
	if !errors.Is(err, context.Canceled) || pds.ClassOf(err) != 0 || strings.Contains(err.Error(), "Quill") {
		t.Errorf("got %v", err)
	}
	if last := rec.last(t); last.Reason != "cancelled" {
		t.Errorf("recorded %q", last.Reason)
	}
}

// A connection that was kept open may break before it gives an answer. net/http would send a
// GET again on its own, unrecorded.
func TestNoCallIsRepeatedInSecret(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 8)
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r.Header.Get("Transfer-Encoding") + r.Header.Get("Content-Length") + string(body)
		if len(requests) == 1 {
			reply{body: person().String()}.write(w, r)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	defer func() { srv.Close(); <-served }()
	c := &Client{BaseURL: "http://" + ln.Addr().String(), TokenURL: NoTokens, ODS: "X99"}
	defer c.CloseIdleConnections()

	if _, err := c.Trace(t.Context(), asking(pds.Verify)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Trace(t.Context(), asking(pds.Verify))
	if pds.ClassOf(err) != pds.SpineUnavailable || !pds.Retryable(err) {
		t.Errorf("got %v", err)
	}
	if len(requests) != 2 {
		t.Errorf("%d requests for 2 calls", len(requests))
	}
	for range len(requests) {
		if sent := <-requests; sent != "" {
			t.Errorf("the request had a body or announced one: %q", sent)
		}
	}
}

func TestEachCallTakesItsTurn(t *testing.T) {
	a := &api{searches: []reply{found(person()).reply()}, reads: []reply{person().reply()}}
	c := newClient(t, a)
	c.Pace, c.PaceWait = pds.NewPace(0.001, 1), time.Millisecond
	rec := &memo{}
	req := asking(pds.DetailsBySearch)
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	if pds.ClassOf(err) != pds.NoSlot || len(rec.calls) != 1 || len(rec.answers) != 1 {
		t.Errorf("got %v after %d calls and %d answers; want no slot for the second", err, len(rec.calls), len(rec.answers))
	}
}

// What net/http makes of a broken answer may quote it; what it makes of a URL has the query.
func TestErrorsQuoteNeitherSide(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "Quillfeather 9990000018\r\n\r\n")
				conn.Close()
			}
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "Quillfeather 9990000018")
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &memo{}
			req := asking(pds.Number)
			req.Recorder = rec
			_, err := newClient(t, h).Trace(t.Context(), req)
			if pds.ClassOf(err) != pds.SpineUnavailable || strings.Contains(err.Error(), "Quill") || strings.Contains(err.Error(), "99900") {
				t.Errorf("got %v", err)
			}
			if reason := rec.last(t).Reason; strings.Contains(reason, "Quill") {
				t.Errorf("recorded %q", reason)
			}
		})
	}
}

func TestOverTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(&api{reads: []reply{person().reply()}})
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	trusting := srv.Client().Transport.(*http.Transport).TLSClientConfig
	c := &Client{BaseURL: srv.URL, TokenURL: NoTokens, ODS: "X99", TLS: trusting}
	defer c.CloseIdleConnections()
	if _, err := c.Trace(t.Context(), asking(pds.Verify)); err != nil {
		t.Error(err)
	}
	stranger := &Client{BaseURL: srv.URL, TokenURL: NoTokens, ODS: "X99"}
	defer stranger.CloseIdleConnections()
	if _, err := stranger.Trace(t.Context(), asking(pds.Verify)); pds.ClassOf(err) != pds.InputInvalid {
		t.Errorf("certificate of nobody's: %v", err)
	}
}
