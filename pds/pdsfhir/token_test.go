package pdsfhir

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// A mint makes tokens t1, t2, … that live for ten minutes, each after a delay.
type mint struct {
	mu    sync.Mutex
	made  int
	delay time.Duration
	err   error // of those made from now on
}

func (m *mint) fetch(ctx context.Context) (token, error) {
	m.mu.Lock()
	m.made++
	made, err := m.made, m.err
	m.mu.Unlock()
	select {
	case <-time.After(m.delay):
	case <-ctx.Done():
		return token{}, ended(ctx)
	}
	if err != nil {
		return token{}, err
	}
	return newToken(fmt.Sprintf("t%d", made), time.Now(), 10*time.Minute), nil
}

func (m *mint) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *mint) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made
}

func TestTokensAreKept(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration // since the first one was made
		fails bool
		want  string
		made  int
	}{
		"at once":                      {0, false, "t1", 1},
		"while a minute is left":       {9*time.Minute - 1, false, "t1", 1},
		"in the last minute":           {9 * time.Minute, false, "t2", 2},
		"when it has expired":          {10 * time.Minute, false, "t2", 2},
		"in the last minute, in vain":  {9 * time.Minute, true, "t1", 2},
		"when it has expired, in vain": {10 * time.Minute, true, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cache tokens
				m := &mint{}
				get := func() (string, error) { return cache.get(t.Context(), time.Now, m.fetch) }
				if first, err := get(); first != "t1" || err != nil {
					t.Fatalf("first: %q, %v", first, err)
				}
				<-time.After(tt.after)
				down := errors.New("down")
				if tt.fails {
					m.fail(down)
				}
				got, err := get()
				if got != tt.want || m.count() != tt.made || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, down) {
					t.Errorf("got %q, %v after %d; want %q after %d", got, err, m.count(), tt.want, tt.made)
				}
			})
		})
	}
}

func TestARenewalThatFailedIsNotTriedByEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache tokens
		m := &mint{}
		get := func() string {
			got, err := cache.get(t.Context(), time.Now, m.fetch)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		get()
		<-time.After(9 * time.Minute)
		m.fail(errors.New("down"))
		for range 20 {
			if got := get(); got != "t1" {
				t.Errorf("got %q", got)
			}
		}
		if m.count() != 2 {
			t.Errorf("%d renewals, want 1", m.count()-1)
		}
		m.fail(nil)
		<-time.After(renewPause)
		if got := get(); got != "t3" {
			t.Errorf("after the pause: %q", got)
		}
	})
}

func TestOneFetchesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache tokens
		m := &mint{delay: time.Second}
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if got, err := cache.get(t.Context(), time.Now, m.fetch); got != "t1" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		all.Wait()
		if m.count() != 1 {
			t.Errorf("%d fetched", m.count())
		}
	})
}

func TestOthersGoOnWithTheOldTokenWhileOneRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache tokens
		m := &mint{}
		if _, err := cache.get(t.Context(), time.Now, m.fetch); err != nil {
			t.Fatal(err)
		}
		<-time.After(9 * time.Minute)
		m.delay = time.Second
		var renewing sync.WaitGroup
		renewing.Go(func() {
			if got, err := cache.get(t.Context(), time.Now, m.fetch); got != "t2" || err != nil {
				t.Errorf("who renews got %q, %v", got, err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if got, err := cache.get(t.Context(), time.Now, m.fetch); got != "t1" || err != nil || time.Since(start) != 0 {
			t.Errorf("another got %q, %v after %v", got, err, time.Since(start))
		}
		renewing.Wait()
	})
}

// Who waits shares what came of it, but not that another gave up.
func TestWaiters(t *testing.T) {
	for name, tt := range map[string]struct {
		first func(t *testing.T) (context.Context, func(context.Context) (token, error))
		want  string
		made  int // by the others
	}{
		"share a failure": {func(t *testing.T) (context.Context, func(context.Context) (token, error)) {
			return t.Context(), (&mint{delay: time.Second, err: &pds.Error{Class: pds.AccessDenied}}).fetch
		}, "", 0},
		"take over from one who was cancelled": {func(t *testing.T) (context.Context, func(context.Context) (token, error)) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			return ctx, (&mint{delay: time.Hour}).fetch
		}, "t1", 1},
		"take over from one whose time was up": {func(t *testing.T) (context.Context, func(context.Context) (token, error)) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx, (&mint{delay: time.Hour}).fetch
		}, "t1", 1},
		"take over from one who could not write it down": {func(t *testing.T) (context.Context, func(context.Context) (token, error)) {
			return t.Context(), (&mint{delay: time.Second, err: &pds.Error{Class: pds.Unrecorded}}).fetch
		}, "t1", 1},
		"take over from one who got no turn": {func(t *testing.T) (context.Context, func(context.Context) (token, error)) {
			return t.Context(), (&mint{delay: time.Second, err: &pds.Error{Class: pds.NoSlot}}).fetch
		}, "t1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cache tokens
				var all sync.WaitGroup
				all.Go(func() {
					ctx, fetch := tt.first(t)
					if got, err := cache.get(ctx, time.Now, fetch); got != "" || err == nil {
						t.Errorf("the first got %q, %v", got, err)
					}
				})
				synctest.Wait()
				m := &mint{delay: time.Second}
				for range 3 {
					all.Go(func() {
						if got, err := cache.get(t.Context(), time.Now, m.fetch); got != tt.want || (err == nil) != (tt.want != "") {
							t.Errorf("a waiter got %q, %v; want %q", got, err, tt.want)
						}
					})
				}
				all.Wait()
				if m.count() != tt.made {
					t.Errorf("the waiters fetched %d, want %d", m.count(), tt.made)
				}
			})
		})
	}
}

func TestAWaiterMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cache tokens
		m := &mint{delay: time.Minute}
		var first sync.WaitGroup
		first.Go(func() { _, _ = cache.get(t.Context(), time.Now, m.fetch) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cache.get(ctx, time.Now, m.fetch); pds.ClassOf(err) != pds.SpineUnavailable {
			t.Errorf("out of time: %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := cache.get(gone, time.Now, m.fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		first.Wait()
	})
}

func TestAPanicLandsTheFlight(t *testing.T) {
	var cache tokens
	func() {
		defer func() { _ = recover() }()
		_, _ = cache.get(t.Context(), time.Now, func(context.Context) (token, error) { panic("recorder") })
	}()
	m := &mint{}
	if got, err := cache.get(t.Context(), time.Now, m.fetch); got != "t1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDiscardForgetsOnlyTheTokenRefused(t *testing.T) {
	var cache tokens
	m := &mint{}
	get := func() string {
		got, _ := cache.get(t.Context(), time.Now, m.fetch)
		return got
	}
	get()
	cache.discard("t0")
	if got := get(); got != "t1" {
		t.Errorf("after another was refused: %q", got)
	}
	cache.discard("t1")
	if got := get(); got != "t2" {
		t.Errorf("after it was refused: %q", got)
	}
}

func TestShortLives(t *testing.T) {
	tok := newToken("x", testNow, 30*time.Second)
	if got := tok.renew.Sub(testNow); got != 15*time.Second {
		t.Errorf("a token of 30 s is renewed after %v", got)
	}
}

const secretToken = "s3cret-t0ken"

// An issuer is a token endpoint and an API behind it.
type issuer struct {
	mu       sync.Mutex
	answers  []reply // of the token endpoint, the last again and again
	refusals int     // how many API calls get a 401
	forms    []url.Values
	bearers  []string
}

func (s *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/oauth2/token" {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		s.forms = append(s.forms, form)
		answer := s.answers[0]
		if len(s.answers) > 1 {
			s.answers = s.answers[1:]
		}
		answer.body = strings.ReplaceAll(answer.body, "ASSERTION", form.Get("client_assertion"))
		answer.contentType = "application/json"
		answer.write(w, r)
		return
	}
	bearer := r.Header.Get("Authorization")
	s.bearers = append(s.bearers, bearer)
	answer := person(object{"x-echo": bearer}).reply()
	if s.refusals > 0 {
		s.refusals--
		answer = outcome("ACCESS_DENIED").reply()
		answer.status = 401
	}
	answer.write(w, r)
}

func good(value string) reply {
	return reply{body: `{"access_token": "` + value + `", "expires_in": "599", "token_type": "Bearer", "issued_at": "1711111111111"}`}
}

func (s *issuer) client(t *testing.T) *Client {
	c := newClient(t, s)
	c.TokenURL, c.APIKey, c.Key, c.KeyID = "", "an-api-key", testKey(), "test-1"
	return c
}

func TestAssertion(t *testing.T) {
	s := &issuer{answers: []reply{good(secretToken)}}
	c := s.client(t)
	for range 2 {
		if _, err := c.Trace(t.Context(), asking(pds.Verify)); err != nil {
			t.Fatal(err)
		}
		c.tokens.discard(secretToken)
	}
	ids := make(map[any]bool)
	for _, form := range s.forms {
		signed := form.Get("client_assertion")
		form.Del("client_assertion")
		if diff := gocmp.Diff(form, url.Values{
			"grant_type":            {"client_credentials"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}); diff != "" {
			t.Errorf("form (-got +want):\n%s", diff)
		}
		claims := jwt.MapClaims{}
		parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS512"}), jwt.WithTimeFunc(func() time.Time { return testNow })).
			ParseWithClaims(signed, claims, func(*jwt.Token) (any, error) { return &testKey().PublicKey, nil })
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(parsed.Header, map[string]any{"alg": "RS512", "typ": "JWT", "kid": "test-1"}); diff != "" {
			t.Errorf("header (-got +want):\n%s", diff)
		}
		ids[claims["jti"]] = true
		delete(claims, "jti")
		if diff := gocmp.Diff(claims, jwt.MapClaims{
			"iss": "an-api-key", "sub": "an-api-key", "aud": c.tokenURL(), "exp": float64(testNow.Unix() + 240),
		}); diff != "" {
			t.Errorf("claims (-got +want):\n%s", diff)
		}
	}
	if len(ids) != 2 {
		t.Errorf("%d different jti in 2 assertions", len(ids))
	}
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	for refusals, want := range []struct {
		ops     []string
		bearers []string
		class   pds.Class
	}{
		{[]string{"token", "verifyNHSNumber"}, []string{"Bearer t1"}, 0},
		{[]string{"token", "verifyNHSNumber", "token", "verifyNHSNumber"}, []string{"Bearer t1", "Bearer t2"}, 0},
		{[]string{"token", "verifyNHSNumber", "token", "verifyNHSNumber"}, []string{"Bearer t1", "Bearer t2"}, pds.AccessDenied},
	} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			s := &issuer{answers: []reply{good("t1"), good("t2"), good("t3")}, refusals: refusals}
			rec := &memo{}
			req := asking(pds.Verify)
			req.Recorder = rec
			_, err := s.client(t).Trace(t.Context(), req)
			if pds.ClassOf(err) != want.class || pds.Retryable(err) {
				t.Errorf("got %v, want class %v", err, want.class)
			}
			var ops []string
			ids := make(map[string]bool)
			for _, call := range rec.calls {
				ops = append(ops, call.Operation)
				if call.Operation != "token" {
					ids[call.MessageID] = true
				}
			}
			if diff := gocmp.Diff(ops, want.ops); diff != "" || len(rec.answers) != len(ops) || len(ids) != 1 {
				t.Errorf("%d answers, %d request ids, calls (-got +want):\n%s", len(rec.answers), len(ids), diff)
			}
			if diff := gocmp.Diff(s.bearers, want.bearers); diff != "" {
				t.Errorf("tokens (-got +want):\n%s", diff)
			}
		})
	}
}

func TestTokenFailures(t *testing.T) {
	said := func(e string) string { return `{"error":"` + e + `","error_description":"x","message_id":"1"}` }
	for name, tt := range map[string]struct {
		answer reply
		want   pds.Error
		reason string
	}{
		"400":                {reply{status: 400, body: said("invalid_request")}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, "token refused: invalid_request"},
		"401":                {reply{status: 401, body: said("invalid_client")}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, "token refused: invalid_client"},
		"403":                {reply{status: 403, body: said("public_key error")}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, "token refused: public_key error"},
		"401, compressed":    {reply{status: 401, body: "?", header: map[string]string{"Content-Encoding": "br"}}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, "token refused; content encoding not supported"},
		"404":                {reply{status: 404, body: "<html>"}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, "token refused"},
		"408":                {reply{status: 408}, pds.Error{Class: pds.SpineUnavailable, Code: "SMSP-0004", Retry: true}, "token refused"},
		"429":                {reply{status: 429, header: map[string]string{"Retry-After": "3"}}, pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true, RetryAfter: 3 * time.Second}, "token refused"},
		"500":                {reply{status: 500, body: said("Marigold Quillfeather")}, pds.Error{Class: pds.ProviderError, Code: "SMSP-9999", Retry: true}, "token refused"},
		"503":                {reply{status: 503}, pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true}, "token refused"},
		"504":                {reply{status: 504}, pds.Error{Class: pds.SpineUnavailable, Code: "SMSP-0004", Retry: true}, "token refused"},
		"302":                {reply{status: 302}, pds.Error{Class: pds.InputInvalid, Code: "SMSP-9999"}, "token refused"},
		"nonsense":           {reply{body: "<html>"}, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002"}, "not a token answer"},
		"no token":           {reply{body: `{"expires_in":"599"}`}, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002"}, "no token in the answer, or no lifetime"},
		"a token in two":     {reply{body: `{"access_token":"a b","expires_in":"599"}`}, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002"}, "no token in the answer, or no lifetime"},
		"no lifetime":        {reply{body: `{"access_token":"abc"}`}, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002"}, "no token in the answer, or no lifetime"},
		"a lifetime of none": {reply{body: `{"access_token":"abc","expires_in":"NaN"}`}, pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002"}, "no token in the answer, or no lifetime"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &issuer{answers: []reply{tt.answer}}
			rec := &memo{}
			req := asking(pds.Verify)
			req.Recorder = rec
			_, err := s.client(t).Trace(t.Context(), req)
			if tt.want.Status = tt.answer.status; tt.want.Status == 0 {
				tt.want.Status = 200
			}
			wantError(t, err, tt.want)
			last := rec.last(t)
			if len(rec.calls) != 1 || rec.calls[0].Operation != "token" || last.Reason != tt.reason || last.Code != tt.want.Code {
				t.Errorf("recorded %d calls, reason %q, code %q", len(rec.calls), last.Reason, last.Code)
			}
			if len(s.bearers) > 0 {
				t.Error("the API was asked without a token")
			}
		})
	}
}

func TestLifetimesAreTextsOrNumbers(t *testing.T) {
	for _, life := range []string{`"599"`, `599`, `599.0`, `1e300`} {
		s := &issuer{answers: []reply{{body: `{"access_token":"abc","expires_in":` + life + `}`}}}
		c := s.client(t)
		if _, err := c.Trace(t.Context(), asking(pds.Verify)); err != nil {
			t.Errorf("%s: %v", life, err)
		}
		if got := c.tokens.current.expires.Sub(testNow); got != 599*time.Second && (life != "1e300" || got != longestLife) {
			t.Errorf("%s: lives %v", life, got)
		}
	}
}

// Whatever the endpoint or the API repeats, and whatever goes wrong, none of the secrets is
// recorded or told.
func TestSecretsAreWithheld(t *testing.T) {
	for name, answer := range map[string]reply{
		"a token":                   good(secretToken),
		"a token written otherwise": {body: `{"access_token": "s3cret\u002dt0ken", "expires_in": 599}`},
		"an echo":                   {status: 400, body: `{"error": "invalid_request", "error_description": "ASSERTION of an-api-key"}`},
		"an echo in HTML":           {status: 502, body: `<p>ASSERTION</p>`},
		"two tokens":                {body: `{"access_token": "s3cret-one", "access_token": "` + secretToken + `", "expires_in": 599}`},
		"half a token":              {body: `{"access_token": "s3cret-t0`},
		"a token in an error":       {status: 500, body: `{"access_token": "` + secretToken + `"}`},
		"no token shape":            {body: `{"access_token": "s3cret t0ken", "expires_in": 599}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &issuer{answers: []reply{answer}}
			rec := &memo{}
			req := asking(pds.Verify)
			req.Recorder = rec
			c := s.client(t)
			_, err := c.Trace(t.Context(), req)
			told := rec.all() + fmt.Sprint(err)
			signed := s.forms[0].Get("client_assertion")
			claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[1])
			if !json.Valid(claims) {
				t.Fatal("no assertion was sent")
			}
			for what, secret := range map[string]string{
				"token": secretToken, "half a token": "s3cret", "assertion": signed, "signature": strings.Split(signed, ".")[2],
				"claims": strings.Split(signed, ".")[1], "API key": c.APIKey,
			} {
				if strings.Contains(told, secret) {
					t.Errorf("the %s is told", what)
				}
			}
			if !strings.Contains(string(rec.calls[0].Body), "client_assertion="+withheld) {
				t.Errorf("the request is recorded as %s", rec.calls[0].Body)
			}
		})
	}
}

func TestTokenCallsAreRecorded(t *testing.T) {
	s := &issuer{answers: []reply{good(secretToken)}}
	rec := &memo{}
	req := asking(pds.Verify)
	req.Recorder = rec
	c := s.client(t)
	c.NewID = func() string { return "0b2f6d3e-57a5-4a4c-9a3e-0d8f4a1c2b3d" }
	if _, err := c.Trace(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := pds.Call{
		Backend: "pds", Operation: "token", Endpoint: c.tokenURL(),
		MessageID: "0b2f6d3e-57a5-4a4c-9a3e-0d8f4a1c2b3d", TrackingID: "x1",
		Body: []byte("client_assertion=withheld&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&grant_type=client_credentials"),
	}
	if diff := gocmp.Diff(rec.calls[0], want, compareNumbers); diff != "" {
		t.Errorf("call (-got +want):\n%s", diff)
	}
	if got, want := string(rec.answers[0].Body), good(withheld).body; got != want {
		t.Errorf("answer recorded as %s, want %s", got, want)
	}
}

// A token is fetched by whoever needs it first, at the expense of that exchange's record.
func TestTokensOverTheWireAreShared(t *testing.T) {
	s := &issuer{answers: []reply{good("t1"), good("t2")}}
	c := s.client(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	fetched := 0
	for range 16 {
		all.Go(func() {
			rec := &memo{}
			req := asking(pds.Verify)
			req.Recorder = rec
			if _, err := c.Trace(t.Context(), req); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			fetched += len(rec.calls) - 1
		})
	}
	all.Wait()
	if fetched != 1 || len(s.forms) != 1 {
		t.Errorf("%d tokens recorded, %d fetched; want one", fetched, len(s.forms))
	}
}

func TestATokenEndpointThatIsDown(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	s := &issuer{answers: []reply{good("t1")}}
	c := s.client(t)
	c.TokenURL = down.URL
	rec := &memo{}
	req := asking(pds.Verify)
	req.Recorder = rec
	_, err := c.Trace(t.Context(), req)
	wantError(t, err, pds.Error{Class: pds.SpineUnavailable, Retry: true})
	if last := rec.last(t); last.Reason != "connection refused" || len(s.bearers) > 0 {
		t.Errorf("recorded %q; %d calls to the API", last.Reason, len(s.bearers))
	}
}
