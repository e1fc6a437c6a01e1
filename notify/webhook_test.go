package notify_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spinetrace/notify"
)

// receiver is an HTTPS server that keeps what it is posted.
type receiver struct {
	*httptest.Server
	status  int
	headers []http.Header
	bodies  []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.headers, r.bodies = append(r.headers, req.Header), append(r.bodies, req.Method+" "+string(b))
		w.WriteHeader(r.status)
		if r.status != http.StatusNoContent {
			io.WriteString(w, strings.Repeat("said in confidence ", 10_000))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) webhook() *notify.Webhook {
	return &notify.Webhook{URL: r.URL + "/hush?key=hush", Token: "hush", Client: r.Client()}
}

func TestWebhookPosts(t *testing.T) {
	r := newReceiver(t)
	msg := encode(t, notice())
	for _, status := range []int{200, 201, 202, 204} {
		r.status = status
		if answer, err := r.webhook().Send(t.Context(), msg); answer != nil || err != nil {
			t.Fatalf("status %d: %q, %v", status, answer, err)
		}
	}
	h := r.headers[0]
	if r.bodies[0] != "POST "+string(msg) || h.Get("Content-Type") != "application/json" || h.Get("Authorization") != "Bearer hush" {
		t.Errorf("got %s with %v", r.bodies[0], h)
	}
	open := r.webhook()
	open.Token = ""
	if _, err := open.Send(t.Context(), msg); err != nil || r.headers[4]["Authorization"] != nil {
		t.Errorf("without a token: %v, %v", err, r.headers[4])
	}
}

// TestWebhookKey: the key is the same at every attempt, whoever makes it, and another one for
// another notice.
func TestWebhookKey(t *testing.T) {
	r := newReceiver(t)
	seen := make(map[string]string)
	for name, change := range map[string]func(*notify.Notice){
		"as it is":       func(*notify.Notice) {},
		"another item":   func(n *notify.Notice) { n.Item = 18 },
		"another site's": func(n *notify.Notice) { n.Opened = n.Opened.Add(time.Microsecond) },
	} {
		n := notice()
		change(&n)
		for _, n.Chain = range []string{"main", "ward"} {
			if _, err := r.webhook().Send(t.Context(), encode(t, n)); err != nil {
				t.Fatal(err)
			}
			key := r.headers[len(r.headers)-1].Get("Idempotency-Key")
			if other, ok := seen[key]; key == "" || ok && other != name {
				t.Errorf("%s has the key %q of %s", name, key, other)
			}
			seen[key] = name
		}
	}
	if len(seen) != 3 {
		t.Errorf("keys %v", seen)
	}
}

func TestWebhookRefusals(t *testing.T) {
	r := newReceiver(t)
	for status, lasting := range map[int]bool{
		400: true, 404: true, 410: true, 413: true, 422: true,
		401: false, 403: false, 407: false, 408: false, 425: false, 429: false, 500: false, 502: false, 503: false, 304: false,
	} {
		r.status = status
		_, err := r.webhook().Send(t.Context(), encode(t, notice()))
		wantFailure(t, err, lasting, fmt.Sprintf("answered %d", status))
	}
}

// TestWebhookRedirects: only those are followed that bring the notice to the same host.
func TestWebhookRedirects(t *testing.T) {
	there := newReceiver(t)
	var here *httptest.Server
	taken := 0
	here = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/moved":
			http.Redirect(w, req, "/taken", http.StatusTemporaryRedirect)
		case "/get":
			http.Redirect(w, req, "/taken", http.StatusFound)
		case "/away":
			http.Redirect(w, req, there.URL, http.StatusPermanentRedirect)
		case "/plain":
			http.Redirect(w, req, strings.Replace(here.URL, "https", "http", 1)+"/taken", http.StatusPermanentRedirect)
		case "/round":
			http.Redirect(w, req, "/round", http.StatusTemporaryRedirect)
		default:
			taken++
		}
	}))
	defer here.Close()
	for path, ends := range map[string]string{
		"/moved": "", "/get": "answered 302", "/away": "answered 308", "/plain": "answered 308", "/round": "answered 307",
	} {
		hook := &notify.Webhook{URL: here.URL + path, Token: "hush", Client: here.Client()}
		_, err := hook.Send(t.Context(), encode(t, notice()))
		if ends != "" {
			wantFailure(t, err, false, ends)
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if taken != 1 || len(there.bodies) != 0 {
		t.Errorf("%d taken here, %d there", taken, len(there.bodies))
	}
}

// TestWebhookUnreachable: no server, a certificate that nobody vouches for, an address that is
// none, and a caller who has gone.
func TestWebhookUnreachable(t *testing.T) {
	r := newReceiver(t)
	stranger := r.webhook()
	stranger.Client = &http.Client{Transport: &http.Transport{}}
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, hook := range map[string]*notify.Webhook{
		"no server":   {URL: gone.URL + "/hush"},
		"no trust":    stranger,
		"no address":  {URL: "https://user:hush@127.0.0.1:port/hush"},
		"no protocol": {URL: "hush://127.0.0.1/"},
	} {
		_, err := hook.Send(t.Context(), encode(t, notice()))
		if name == "no protocol" { // its name is told, and may be
			if err == nil || permanent(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantFailure(t, err, false, "")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.webhook().Send(ctx, encode(t, notice()))
	wantFailure(t, err, false, context.Canceled.Error())
}
