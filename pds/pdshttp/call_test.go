package pdshttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

func TestCheckEndpoint(t *testing.T) {
	for _, good := range []string{
		"https://smsp.example.nhs.uk/smsp/pds", "https://smsp.example.nhs.uk:8443", "https://10.0.0.1/",
		"http://localhost:8680/smsp", "http://127.0.0.1/", "http://127.8.8.8/", "http://[::1]:80/",
	} {
		if err := pdshttp.CheckEndpoint(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "/smsp", "smsp.example.nhs.uk", "https://", "https://:443", "https:///smsp", "ftp://localhost/",
		"http://smsp.example.nhs.uk/pds", "http://127.0.0.1.example.org/", "http://localhost.example.org/",
		"https://u:p@smsp.example.nhs.uk/", "https://smsp.example.nhs.uk/?a=b", "https://smsp.example.nhs.uk/#a",
		"https://smsp.example.nhs.uk/\x00",
	} {
		if err := pdshttp.CheckEndpoint(bad); !errors.Is(err, pdshttp.ErrEndpoint) {
			t.Errorf("%q: error %v, want ErrEndpoint", bad, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"-7":                            0,
		"soon":                          0,
		"4294967295":                    24 * time.Hour,
		"99999999999999999999":          0,
		"Tue, 04 Mar 2025 09:15:30 GMT": 30 * time.Second,
		"Tue, 04 Mar 2025 09:14:30 GMT": 0,
		"Tue, 04 Mar 2070 09:14:30 GMT": 24 * time.Hour,
	} {
		if got := pdshttp.RetryAfter(http.Header{"Retry-After": {in}}, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

// zipped compresses n bytes of "x".
func zipped(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, xs{}, n); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// xs is an endless text.
type xs struct{}

func (xs) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestReadBodyIsBounded(t *testing.T) {
	const limit = 1000
	for name, tt := range map[string]struct {
		encoding string
		body     io.Reader
		length   int64 // as the server says
		want     int
		reason   string // "": no error
	}{
		"plain":             {"", io.LimitReader(xs{}, limit), limit, limit, ""},
		"identity":          {"Identity", io.LimitReader(xs{}, 10), -1, 10, ""},
		"too long":          {"", io.LimitReader(xs{}, limit+1), limit + 1, limit, "body over the limit"},
		"endless":           {"", xs{}, -1, limit, "body over the limit"},
		"a lying length":    {"", io.LimitReader(xs{}, 10), 1 << 60, 10, ""},
		"gzip":              {" GZIP ", bytes.NewReader(zipped(t, limit)), -1, limit, ""},
		"gzip of too much":  {"x-gzip", bytes.NewReader(zipped(t, 4<<20)), -1, limit, "body over the limit"},
		"half a gzip":       {"gzip", bytes.NewReader(zipped(t, limit)[:11]), -1, 0, "connection closed early"},
		"gzip that is none": {"gzip", io.LimitReader(xs{}, 100), -1, 0, "not gzip"},
		"damaged gzip":      {"gzip", bytes.NewReader(append(zipped(t, 0)[:10], "\xff\xff\xff\xff"...)), -1, 0, "not gzip"},
		"brotli":            {"br", xs{}, -1, 0, "content encoding not supported"},
		"gzip twice":        {"gzip, gzip", xs{}, -1, 0, "content encoding not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pdshttp.ReadBody(&http.Response{
				Header:        http.Header{"Content-Encoding": {tt.encoding}},
				ContentLength: tt.length,
				Body:          io.NopCloser(tt.body),
			}, limit)
			if len(got) != tt.want || (err != nil) != (tt.reason != "") {
				t.Fatalf("%d bytes, error %v; want %d", len(got), err, tt.want)
			}
			if err == nil {
				return
			}
			if reason, _ := pdshttp.Failure(t.Context(), "test", 200, err); reason != tt.reason {
				t.Errorf("reason %q, want %q", reason, tt.reason)
			}
		})
	}
}

// secretQuery is what must not be in any error: it stands for a patient's name.
const secretQuery = "?family=Quillfeather"

// get calls url as a client of a national service does.
func get(ctx context.Context, client *http.Client, url string) error {
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+secretQuery, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = pdshttp.ReadBody(resp, 1<<10)
	return err
}

// bytesServer answers every connection with bytes and closes it, by a reset if asked.
func bytesServer(t *testing.T, response string, reset bool) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	t.Cleanup(srv.Close)
	return srv
}

// unknownHosts finds no host by its name.
func unknownHosts() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
		},
	}}
}

func TestFailureOfACall(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusals are the point
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := bytesServer(t, "", false)

	unavailable := pds.Error{Class: pds.SpineUnavailable, Retry: true}
	configuration := pds.Error{Class: pds.InputInvalid}
	for name, tt := range map[string]struct {
		client *http.Client // nil: an ordinary one
		url    string
		reason string
		want   pds.Error
	}{
		"refused":                  {nil, "http://" + nobody.Addr().String(), "connection refused", unavailable},
		"closed":                   {nil, plain.URL, "connection closed early", unavailable},
		"reset":                    {nil, bytesServer(t, "", true).URL, "connection reset", unavailable},
		"cut off":                  {nil, bytesServer(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", false).URL, "connection closed early", unavailable},
		"not HTTP":                 {nil, bytesServer(t, "Quillfeather\r\n\r\n", false).URL, "no HTTP response", unavailable},
		"no such host":             {unknownHosts(), "http://smsp.example.nhs.uk", "host name not found", unavailable},
		"timeout":                  {&http.Client{Timeout: 20 * time.Millisecond}, silent.URL, "timeout", unavailable},
		"no TLS":                   {nil, strings.Replace(plain.URL, "http", "https", 1), "server does not speak TLS", configuration},
		"unknown authority":        {nil, secure.URL, "server certificate refused", configuration},
		"client certificate asked": {secure.Client(), secure.URL, "TLS refused by the server", pds.Error{Class: pds.AccessDenied}},
	} {
		t.Run(name, func(t *testing.T) {
			client := tt.client
			if client == nil {
				client = &http.Client{Transport: &http.Transport{}}
			}
			callErr := get(t.Context(), client, tt.url)
			if callErr == nil {
				t.Fatal("the call went well")
			}
			reason, err := pdshttp.Failure(t.Context(), "smsp: getNHSNumber", 0, callErr)
			got, ok := errors.AsType[*pds.Error](err)
			if !ok || reason != tt.reason || got.Class != tt.want.Class || got.Retry != tt.want.Retry {
				t.Errorf("reason %q, error %v; want %q, %v, retry %v", reason, err, tt.reason, tt.want.Class, tt.want.Retry)
			}
			if strings.Contains(err.Error(), "Quillfeather") {
				t.Errorf("the error has the question or the answer in it: %v", err)
			}
		})
	}
}

func TestFailureOfACancelledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	callErr := get(ctx, &http.Client{Transport: &http.Transport{}}, "http://127.0.0.1:9")
	reason, err := pdshttp.Failure(ctx, "smsp: getNHSNumber", 0, callErr)
	if reason != "cancelled" || !errors.Is(err, context.Canceled) || pds.ClassOf(err) != 0 || pds.Retryable(err) {
		t.Errorf("reason %q, error %v; want the caller's own cancellation", reason, err)
	}
	if got := err.Error(); got != "smsp: getNHSNumber: context canceled" {
		t.Errorf("error %q", got)
	}
}

func TestFailureKeepsTheStatus(t *testing.T) {
	_, err := pdshttp.Failure(t.Context(), "smsp: getNHSNumber", 200, io.ErrUnexpectedEOF)
	if got, ok := errors.AsType[*pds.Error](err); !ok || got.Status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want status 200 and the cause", err)
	}
}
