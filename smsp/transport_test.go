package smsp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

const success11 = "11-verifyNHSNumber-response-success.xml"

func TestStatuses(t *testing.T) {
	ok, fault := example(t, success11), example(t, "43-fault-2200-not-retryable.xml")
	for name, tt := range map[string]struct {
		status int
		body   string
		want   pds.Error
	}{
		"202":                     {202, "", pds.Error{Class: pds.ResponseInvalid}},
		"204":                     {204, "", pds.Error{Class: pds.ResponseInvalid}},
		"302":                     {302, "", pds.Error{Class: pds.InputInvalid}},
		"400 with an answer":      {400, ok, pds.Error{Class: pds.InputInvalid}},
		"401":                     {401, "", pds.Error{Class: pds.AccessDenied}},
		"403":                     {403, "<html>", pds.Error{Class: pds.AccessDenied}},
		"404":                     {404, "", pds.Error{Class: pds.InputInvalid}},
		"429":                     {429, "", pds.Error{Class: pds.Busy, Retry: true, RetryAfter: 3 * time.Second}},
		"500 with a fault":        {500, fault, pds.Error{Class: pds.ProviderError, Code: "2200"}},
		"500 with an answer":      {500, ok, pds.Error{Class: pds.ProviderError, Retry: true}},
		"500 that is not XML":     {500, "oh no", pds.Error{Class: pds.ProviderError, Retry: true}},
		"502 with a fault":        {502, fault, pds.Error{Class: pds.ProviderError, Retry: true}},
		"503 with a fault":        {503, fault, pds.Error{Class: pds.Busy, Retry: true, RetryAfter: 3 * time.Second}},
		"504":                     {504, "", pds.Error{Class: pds.ProviderError, Retry: true}},
		"600":                     {600, "", pds.Error{Class: pds.ResponseInvalid}},
		"200 that is empty":       {200, "", pds.Error{Class: pds.ResponseInvalid}},
		"200 that is not XML":     {200, "<html><br></html>", pds.Error{Class: pds.ResponseInvalid}},
		"200 that is not SOAP":    {200, "<html/>", pds.Error{Class: pds.ResponseInvalid}},
		"200 with the wrong root": {200, example(t, "22-getNHSNumber-response-no-match.xml"), pds.Error{Class: pds.ResponseInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.want.Status = tt.status
			c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "3")
				says(tt.status, tt.body).ServeHTTP(w, r)
			}))
			req, rec := marigoldVerify(), &memo{}
			req.Recorder = rec
			_, err := c.Trace(t.Context(), req)
			wantError(t, err, tt.want)
			if a := rec.only(t); a.Status != tt.status || a.Reason == "" {
				t.Errorf("recorded status %d, reason %q", a.Status, a.Reason)
			}
		})
	}
}

func TestSendsWhatTheContractAsks(t *testing.T) {
	for _, unquoted := range []bool{false, true} {
		var got http.Header
		var path string
		var length, read int64
		c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body) // an error shows in the length
			got, path, length, read = r.Header.Clone(), r.Method+" "+r.URL.Path, r.ContentLength, int64(len(b))
			says(200, example(t, success11)).ServeHTTP(w, r)
		}))
		c.UnquotedAction = unquoted
		if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
			t.Fatal(err)
		}
		action := "urn:nhs-itk:services:201005:verifyNHSNumber-v1-0"
		if !unquoted {
			action = `"` + action + `"`
		}
		got.Del("User-Agent")
		got.Del("Content-Length")
		want := http.Header{
			"Content-Type":    {"text/xml; charset=utf-8"},
			"Accept-Encoding": {"identity"},
			"Soapaction":      {action},
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("header (-got +want):\n%s", diff)
		}
		if path != "POST /smsp/pds" || length != read {
			t.Errorf("got %s with length %d of %d", path, length, read)
		}
	}
}

func TestRecordsAroundTheCall(t *testing.T) {
	var calls atomic.Int32
	rec := &memo{}
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		rec.mu.Lock()
		asked, answered := len(rec.calls), len(rec.answers)
		rec.mu.Unlock()
		if asked != 1 || answered != 0 {
			t.Errorf("called after %d announcements and %d answers", asked, answered)
		}
		says(200, example(t, success11)).ServeHTTP(w, r)
	}))
	c.NewID = nil // the ids in the announcement are different ones
	req := marigoldVerify()
	req.Recorder = rec
	if _, err := c.Trace(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	rec.only(t)
	call := rec.calls[0]
	body := string(call.Body)
	for what, want := range map[string]string{
		"wsa:MessageID>":   call.MessageID,
		`trackingid="`:     call.TrackingID,
		`<id root="`:       call.PayloadID,
		`2.1.4.1" exten`:   `sion="` + call.NHSNumber.Digits(),
		"<wsa:To>":         call.Endpoint,
		"verifyNHSNumber-": "v1-0",
	} {
		if !strings.Contains(body, what+want) {
			t.Errorf("the body sent lacks what was announced after %s", what)
		}
	}
	if call.Backend != "smsp" || call.Operation != "verifyNHSNumber" {
		t.Errorf("announced %s %s", call.Backend, call.Operation)
	}

	broken := errors.New("disk full")
	rec = &memo{refuse: broken}
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	if pds.ClassOf(err) != pds.Unrecorded || !errors.Is(err, broken) {
		t.Errorf("error = %v, want the recorder's, unrecorded", err)
	}
	if n := calls.Load(); n != 1 || len(rec.answers) != 0 {
		t.Errorf("%d calls, %d answers after a refused announcement; want 1 and 0", n, len(rec.answers))
	}
}

func TestRefusesLocally(t *testing.T) {
	c := newClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	for name, change := range map[string]func(*pds.Request){
		"NHS number missing":                      func(r *pds.Request) { r.Want, r.NHSNumber = pds.Verify, pds.NHSNumber{} },
		"birth date out of range":                 func(r *pds.Request) { r.Who.BirthDate.Year = 2026 },
		"birth date partial":                      func(r *pds.Request) { r.Who.BirthDate.Day = 0 },
		"family name missing":                     func(r *pds.Request) { r.Who.Family = " \t" },
		"family name has a wildcard":              func(r *pds.Request) { r.Who.Family = "*" },
		"given name has a wildcard":               func(r *pds.Request) { r.Who.Given = "M*" },
		"family name has control characters":      func(r *pds.Request) { r.Who.Family = "Quill\x00feather" },
		"given name has control characters":       func(r *pds.Request) { r.Who.Given = "Mari\xffgold" },
		"local identifier has control characters": func(r *pds.Request) { r.Who.LocalID = "\x1f" },
		"user has control characters":             func(r *pds.Request) { r.User = "\x07" },
		"sex":                                     func(r *pds.Request) { r.Who.Sex = 'X' },
		"postcode":                                func(r *pds.Request) { r.Who.Postcode = "LS99 9ZZ 9" },
	} {
		t.Run(name, func(t *testing.T) {
			req, rec := full(pds.DetailsBySearch), &memo{}
			req.Recorder = rec
			change(&req)
			got, err := c.Trace(t.Context(), req)
			want := pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: "local check: " + name}
			if diff := cmp.Diff(got, want, compareNumbers); diff != "" || err != nil {
				t.Errorf("error %v, result (-got +want):\n%s", err, diff)
			}
			if len(rec.calls) != 0 {
				t.Error("announced")
			}
		})
	}
}

func TestRefusesItsSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		c    *Client
		want error
	}{
		"no endpoint":       {&Client{ODS: "X99"}, pdshttp.ErrEndpoint},
		"relative":          {&Client{ODS: "X99", Endpoint: "/smsp"}, pdshttp.ErrEndpoint},
		"plain http":        {&Client{ODS: "X99", Endpoint: "http://smsp.example.nhs.uk/pds"}, pdshttp.ErrEndpoint},
		"not quite local":   {&Client{ODS: "X99", Endpoint: "http://127.0.0.1.example.org/"}, pdshttp.ErrEndpoint},
		"password":          {&Client{ODS: "X99", Endpoint: "https://u:p@smsp.example.nhs.uk/"}, pdshttp.ErrEndpoint},
		"query":             {&Client{ODS: "X99", Endpoint: "https://smsp.example.nhs.uk/?a=b"}, pdshttp.ErrEndpoint},
		"no ODS code":       {&Client{Endpoint: "http://[::1]:80/"}, ErrNoODS},
		"control character": {&Client{ODS: "X\x00", Endpoint: "http://[::1]:80/"}, ErrText},
		"in an audit id":    {&Client{ODS: "X99", Endpoint: "http://[::1]:80/", AuditIDs: []AuditID{{URI: "\x00"}}}, ErrText},
		"unverified server": {&Client{ODS: "X99", Endpoint: "http://localhost/", TLS: insecure()}, ErrInsecure},
		"unverified by its own client": {&Client{ODS: "X99", Endpoint: "http://localhost/", HTTP: &http.Client{
			Transport: &http.Transport{TLSClientConfig: insecure()},
		}}, ErrInsecure},
		"unverified later":  {&Client{ODS: "X99", Endpoint: "http://localhost/", LiveTLS: insecure}, ErrInsecure},
		"in a local prefix": {&Client{ODS: "X99", Endpoint: "http://[::1]:80/", LocalIDPrefix: "\x00"}, ErrText},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.c.Trace(t.Context(), marigoldVerify())
			if pds.ClassOf(err) != pds.InputInvalid || !errors.Is(err, tt.want) || pds.Retryable(err) {
				t.Errorf("error = %v, want %v, not retryable", err, tt.want)
			}
		})
	}
	typed := &Client{ODS: "X99", Endpoint: "https://x.nhs.uk/", AuditIDs: []AuditID{{Type: "urn:x", URI: "urn:a"}}}
	if err := typed.Check(); err == nil || err.Error() != "smsp: audit identity 1: type is not an OID" {
		t.Errorf("an audit identity whose type is no OID: %v", err)
	}
	c := &Client{Endpoint: "https://x.nhs.uk/", Username: "u", From: "urn:f", Sender: "urn:s", AuditIDs: []AuditID{{URI: "urn:a"}}}
	if err := c.Check(); err != nil {
		t.Errorf("complete settings without an ODS code: %v", err)
	}
}

func TestNeverFollowsARedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := http.RedirectHandler(elsewhere.URL, status)
		for _, own := range []bool{false, true} {
			c := newClient(t, h)
			if own {
				c.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			}
			_, err := c.Trace(t.Context(), marigoldVerify())
			wantError(t, err, pds.Error{Class: pds.InputInvalid, Status: status})
		}
	}
}

// raw answers each connection, once it has sent a request, with the bytes given and
// closes it; with reset by an RST.
func raw(t *testing.T, reset bool, response string) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may have gone
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0) // makes Close reset
		}
		_, _ = io.WriteString(conn, response)
		_ = conn.Close()
	}))
	c := testClient(srv.URL)
	t.Cleanup(func() {
		c.CloseIdleConnections()
		srv.Close()
	})
	return c
}

func TestBrokenResponses(t *testing.T) {
	body := example(t, success11)
	for name, tt := range map[string]struct {
		reset    bool
		response string
		reason   string
		status   int
	}{
		"closed":    {false, "", "connection closed early", 0},
		"reset":     {true, "", "connection reset", 0},
		"truncated": {false, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:900]), "connection closed early", 200},
		"chunks":    {false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nxx", "connection closed early", 200},
		"not HTTP":  {false, "Quillfeather 9994102303\r\n\r\n", "no HTTP response", 0},
		"bad field": {false, "HTTP/1.1 200 OK\r\nQuillfeather 9994102303\r\n\r\n", "no HTTP response", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, req, rec := raw(t, tt.reset, tt.response), marigoldVerify(), &memo{}
			req.Recorder = rec
			_, err := c.Trace(t.Context(), req)
			wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Status: tt.status, Retry: true})
			if a := rec.only(t); a.Reason != tt.reason || a.Status != tt.status {
				t.Errorf("recorded %q with status %d, want %q with %d", a.Reason, a.Status, tt.reason, tt.status)
			}
			for _, leak := range []string{"Quillfeather", "9994102303"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("error repeats what the server said: %v", err)
				}
			}
		})
	}
}

func TestOneCallOnAConnectionThatDied(t *testing.T) {
	var calls atomic.Int32
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			says(200, example(t, success11)).ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler) // closes the reused connection before a byte of answer
	}))
	if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Trace(t.Context(), marigoldVerify())
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls for two questions", n)
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := testClient("http://" + ln.Addr().String())
	_ = ln.Close()
	req, rec := marigoldVerify(), &memo{}
	req.Recorder = rec
	_, err = c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
	if a := rec.only(t); a.Reason != "connection refused" {
		t.Errorf("reason %q", a.Reason)
	}
}

// silent never answers until the test ends.
func silent(t *testing.T) *Client {
	t.Helper()
	done := make(chan struct{})
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server notices the client's going
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(done) }) // before the server waits for its handlers
	return c
}

func TestTimeout(t *testing.T) {
	c, req, rec := silent(t), marigoldVerify(), &memo{}
	c.Timeout = 20 * time.Millisecond
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
	if a := rec.only(t); a.Reason != "timeout" {
		t.Errorf("reason %q", a.Reason)
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	c := silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Trace(ctx, marigoldVerify())
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
}

// A stalling connection delivers what comes first and then nothing in time.
type stalling struct {
	net.Conn
	stalled bool
}

func (s *stalling) Read(b []byte) (int, error) {
	if s.stalled {
		return 0, os.ErrDeadlineExceeded
	}
	s.stalled = true
	return s.Conn.Read(b)
}

func TestStalledBody(t *testing.T) {
	const part = "<soap:Envelope"
	c := raw(t, false, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+part)
	c.HTTP = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &stalling{Conn: conn}, err
		},
	}}
	req, rec := marigoldVerify(), &memo{}
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Status: 200, Retry: true})
	if a := rec.only(t); a.Reason != "timeout" || string(a.Body) != part {
		t.Errorf("recorded %q and %q", a.Reason, a.Body)
	}
}

func TestCancelledByTheCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-done
	}))
	t.Cleanup(func() { close(done) })
	req, rec := marigoldVerify(), &memo{}
	req.Recorder = rec
	_, err := c.Trace(ctx, req)
	if !errors.Is(err, context.Canceled) || pds.Retryable(err) || pds.ClassOf(err) != 0 {
		t.Errorf("error = %v, want the caller's own cancellation", err)
	}
	if a := rec.only(t); a.Reason != "cancelled" {
		t.Errorf("reason %q", a.Reason)
	}
}

func TestCancelledBehindAStatus(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server notices the client's going
		w.WriteHeader(503)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	c.HTTP = &http.Client{Transport: cancelling{cancel}}
	_, err := c.Trace(ctx, marigoldVerify())
	if !errors.Is(err, context.Canceled) || pds.ClassOf(err) != 0 {
		t.Errorf("error = %v, want the caller's own cancellation", err)
	}
}

// cancelling cancels the call once its status has come.
type cancelling struct{ cancel func() }

func (c cancelling) RoundTrip(r *http.Request) (*http.Response, error) {
	t := &http.Transport{DisableKeepAlives: true}
	resp, err := t.RoundTrip(r)
	c.cancel()
	return resp, err
}

// zeros is a body of n bytes.
func zeros(w io.Writer, n int) {
	block := make([]byte, 64<<10)
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func zipped(t *testing.T, write func(io.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	write(z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodies(t *testing.T) {
	answer := example(t, success11)
	good := zipped(t, func(w io.Writer) { _, _ = io.WriteString(w, answer) }) // to memory
	bomb := zipped(t, func(w io.Writer) { zeros(w, 50<<20) })
	for name, tt := range map[string]struct {
		encoding string
		write    func(io.Writer)
		reason   string
		want     *pds.Error // nil: the answer is read
	}{
		"gzip":        {"gzip", func(w io.Writer) { _, _ = io.WriteString(w, good) }, "response code", nil},
		"identity":    {"identity", func(w io.Writer) { _, _ = io.WriteString(w, answer) }, "response code", nil},
		"50 MB":       {"", func(w io.Writer) { zeros(w, 50<<20) }, "body over the limit", &pds.Error{Class: pds.ResponseInvalid}},
		"gzip bomb":   {"gzip", func(w io.Writer) { _, _ = io.WriteString(w, bomb) }, "body over the limit", &pds.Error{Class: pds.ResponseInvalid}},
		"not gzip":    {"gzip", func(w io.Writer) { _, _ = io.WriteString(w, answer) }, "not gzip", &pds.Error{Class: pds.ResponseInvalid}},
		"half a gzip": {"gzip", func(w io.Writer) { _, _ = io.WriteString(w, good[:len(good)/2]) }, "connection closed early", &pds.Error{Class: pds.SpineUnavailable, Retry: true}},
		"brotli":      {"br", func(w io.Writer) { _, _ = io.WriteString(w, answer) }, "content encoding not supported", &pds.Error{Class: pds.ResponseInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", tt.encoding)
				w.Header().Set("Content-Type", "application/octet-stream") // not insisted on
				tt.write(w)
			}))
			req, rec := marigoldVerify(), &memo{}
			req.Recorder = rec
			_, err := c.Trace(t.Context(), req)
			a := rec.only(t)
			if tt.want == nil && (err != nil || string(a.Body) != answer) {
				t.Errorf("error %v, recorded %q", err, a.Body)
			}
			if tt.want != nil {
				tt.want.Status = 200
				wantError(t, err, *tt.want)
			}
			if a.Reason != tt.reason || len(a.Body) > 1<<20 {
				t.Errorf("recorded %q with %d bytes, want %q", a.Reason, len(a.Body), tt.reason)
			}
		})
	}
}

// TestTheStatusSaysAllWhateverTheBody is section 3: "any" body includes one that cannot be
// read.
func TestTheStatusSaysAllWhateverTheBody(t *testing.T) {
	bodies := map[string]http.HandlerFunc{
		"content encoding not supported": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x") // the client may have gone
		},
		"body over the limit": func(w http.ResponseWriter, _ *http.Request) { zeros(w, 2<<20) },
		"connection closed early": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	}
	for status, want := range map[int]pds.Error{
		202: {Class: pds.ResponseInvalid},
		302: {Class: pds.InputInvalid},
		401: {Class: pds.AccessDenied},
		404: {Class: pds.InputInvalid},
		500: {Class: pds.ProviderError, Retry: true},
		502: {Class: pds.ProviderError, Retry: true},
		503: {Class: pds.Busy, Retry: true, RetryAfter: 7 * time.Second},
	} {
		for reason, write := range bodies {
			c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(reason, "encoding") {
					w.Header().Set("Content-Encoding", "br")
				}
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
				write(w, r)
			}))
			req, rec := marigoldVerify(), &memo{}
			req.Recorder = rec
			_, err := c.Trace(t.Context(), req)
			want.Status = status
			wantError(t, err, want)
			if a := rec.only(t); a.Reason != "no answer with this status; "+reason {
				t.Errorf("%d: recorded %q, want %q behind", status, a.Reason, reason)
			}
		}
	}
}

func TestEndlessHeader(t *testing.T) {
	c := raw(t, false, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	_, err := c.Trace(t.Context(), marigoldVerify())
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
}

func TestProxy(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Host)
		says(200, example(t, success11)).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	c := testClient("http://127.0.0.1:9/pds")
	defer c.CloseIdleConnections()
	c.Proxy = mustURL(t, proxy.URL)
	if _, err := c.Trace(t.Context(), marigoldVerify()); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != "127.0.0.1:9" {
		t.Errorf("proxy was asked for %v", asked.Load())
	}
}

// TestAnswersKeepToTheirQuestions asks about many patients at once.
func TestAnswersKeepToTheirQuestions(t *testing.T) {
	answer := example(t, success11)
	number := regexp.MustCompile(`extension="([0-9]{10})"`)
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked := number.FindSubmatch(b)[1]
		says(200, strings.ReplaceAll(answer, marigold.Digits(), string(asked))).ServeHTTP(w, r)
	}))
	var wg sync.WaitGroup
	for _, n := range []string{"9990000018", "9990000026", "9990000034", "9990000042", "9990500002"} {
		wg.Go(func() {
			for range 20 {
				n := pds.MustNHSNumber(n)
				res, err := c.Trace(t.Context(), verify(n, pds.Date{Year: 1978, Month: 2, Day: 14}))
				if err != nil || res.Outcome != pds.Matched || res.NHSNumber != n {
					t.Errorf("%v, %v; want a match with the number asked about", res.Outcome, err)
				}
			}
		})
	}
	wg.Wait()
}
