package pdsfhirtest_test

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
)

var anyKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return pdsfhirtest.GenerateKey(2048) })

// oneKey is the same key for every test, because they take long to find.
func oneKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := anyKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func then() time.Time { return time.Date(2026, 3, 4, 9, 16, 0, 0, time.UTC) }

// application is a client that does everything right unless a test changes it.
type application struct {
	key    *rsa.PrivateKey
	method jwt.SigningMethod
	header map[string]any
	claims jwt.MapClaims
	form   url.Values
	media  string
}

func newApplication(s *pdsfhirtest.Server, key *rsa.PrivateKey) *application {
	return &application{
		key: key, method: jwt.SigningMethodRS512,
		header: map[string]any{"kid": "k1"},
		claims: jwt.MapClaims{
			"iss": "app", "sub": "app", "aud": s.TokenURL, "jti": "6f9619ff", "exp": then().Add(4 * time.Minute).Unix(),
		},
		form: url.Values{
			"grant_type":            {"client_credentials"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		},
		media: "application/x-www-form-urlencoded",
	}
}

func (a *application) ask(t testing.TB, s *pdsfhirtest.Server) (status int, answer map[string]string) {
	t.Helper()
	token := jwt.NewWithClaims(a.method, a.claims)
	for name, value := range a.header {
		token.Header[name] = value
	}
	var key any = a.key
	if a.method == jwt.SigningMethodNone {
		key = jwt.UnsafeAllowNoneSignatureType
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if !a.form.Has("client_assertion") {
		a.form.Set("client_assertion", signed)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.TokenURL, strings.NewReader(a.form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", a.media)
	resp, raw := do(t, req)
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%v in %s", err, raw) // every value is a string, the numbers too
	}
	return resp.StatusCode, answer
}

func newTokenServer(t testing.TB, key *rsa.PrivateKey, faults ...pdsfhirtest.Fault) *pdsfhirtest.Server {
	t.Helper()
	s := pdsfhirtest.New(pdstest.People(), faults...)
	s.Now, s.APIKey, s.Keys = then, "app", map[string]*rsa.PublicKey{"k1": &key.PublicKey}
	s.StartFor(t, nil)
	return s
}

func TestTokens(t *testing.T) {
	key, another := oneKey(t), pdsfhirtest.NewKey(t)
	for name, tt := range map[string]struct {
		change func(*application)
		status int
		want   string // error, and a word of its description
	}{
		"right":                   {func(*application) {}, 200, ""},
		"charset":                 {func(a *application) { a.media += "; charset=utf-8" }, 200, ""},
		"five minutes ahead":      {func(a *application) { a.claims["exp"] = then().Add(5*time.Minute + 10*time.Second).Unix() }, 200, ""},
		"passed just now":         {func(a *application) { a.claims["exp"] = then().Add(-10 * time.Second).Unix() }, 200, ""},
		"JSON":                    {func(a *application) { a.media = "application/json" }, 400, "invalid_request Content-Type"},
		"grant":                   {func(a *application) { a.form.Set("grant_type", "authorization_code") }, 400, "unsupported_grant_type"},
		"assertion type":          {func(a *application) { a.form.Del("client_assertion_type") }, 400, "invalid_request client_assertion_type"},
		"no assertion":            {func(a *application) { a.form.Set("client_assertion", "") }, 400, "invalid_request client_assertion"},
		"no JWT":                  {func(a *application) { a.form.Set("client_assertion", "a.b.c") }, 400, "invalid_request Malformed"},
		"no kid":                  {func(a *application) { delete(a.header, "kid") }, 400, "invalid_request 'kid'"},
		"unknown kid":             {func(a *application) { a.header["kid"] = "k2" }, 401, "invalid_client 'kid'"},
		"typ":                     {func(a *application) { a.header["typ"] = "at+jwt" }, 400, "invalid_request 'typ'"},
		"RS256":                   {func(a *application) { a.method = jwt.SigningMethodRS256 }, 400, "invalid_request RS512"},
		"PS512":                   {func(a *application) { a.method = jwt.SigningMethodPS512 }, 400, "invalid_request RS512"},
		"unsigned":                {func(a *application) { a.method = jwt.SigningMethodNone }, 400, "invalid_request RS512"},
		"PS512 that says RS512":   {func(a *application) { a.method, a.header["alg"] = jwt.SigningMethodPS512, "RS512" }, 401, "invalid_client signature"},
		"another's key":           {func(a *application) { a.key = another }, 401, "invalid_client signature"},
		"another application":     {func(a *application) { a.claims["iss"], a.claims["sub"] = "b", "b" }, 401, "invalid_client 'iss'"},
		"issuer differs from sub": {func(a *application) { a.claims["iss"] = "b" }, 400, "invalid_request Non-matching"},
		"no subject":              {func(a *application) { delete(a.claims, "sub") }, 400, "invalid_request Missing"},
		"audience with a slash":   {func(a *application) { a.claims["aud"] = a.claims["aud"].(string) + "/" }, 401, "invalid_client 'aud'"},
		"audience as a list":      {func(a *application) { a.claims["aud"] = []any{a.claims["aud"]} }, 401, "invalid_client 'aud'"},
		"no audience":             {func(a *application) { delete(a.claims, "aud") }, 401, "invalid_client 'aud'"},
		"no jti":                  {func(a *application) { delete(a.claims, "jti") }, 400, "invalid_request 'jti'"},
		"no exp":                  {func(a *application) { delete(a.claims, "exp") }, 400, "invalid_request Missing"},
		"exp as text":             {func(a *application) { a.claims["exp"] = "soon" }, 400, "invalid_request integer"},
		"exp as text of digits":   {func(a *application) { a.claims["exp"] = "1772616000" }, 400, "invalid_request integer"},
		"exp too far ahead":       {func(a *application) { a.claims["exp"] = then().Add(5*time.Minute + 11*time.Second).Unix() }, 400, "invalid_request more than 5 minutes"},
		"expired":                 {func(a *application) { a.claims["exp"] = then().Add(-11 * time.Second).Unix() }, 400, "invalid_request expired"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, key)
			app := newApplication(s, key)
			tt.change(app)
			status, answer := app.ask(t, s)
			if status != tt.status {
				t.Errorf("status %d %s, want %d", status, answer["error_description"], tt.status)
			}
			code, word, _ := strings.Cut(tt.want, " ")
			if answer["error"] != code || !strings.Contains(answer["error_description"], word) || (code != "") != (answer["message_id"] != "") {
				t.Errorf("%s: %s; want %s with %q", answer["error"], answer["error_description"], code, word)
			}
			if (answer["access_token"] != "") != (tt.status == 200) {
				t.Error("a token with an error, or none without")
			}
			if got := s.Requests()[0]; got.Operation != "token" || s.Tokens() != 1 || s.Asked() != 0 {
				t.Errorf("remembered as %q, %d tokens, %d asked", got.Operation, s.Tokens(), s.Asked())
			}
		})
	}
}

func TestAssertionIsGoodOnce(t *testing.T) {
	key := oneKey(t)
	s := newTokenServer(t, key)
	app := newApplication(s, key)
	if status, answer := app.ask(t, s); status != 200 || answer["expires_in"] != "599" || answer["token_type"] != "Bearer" ||
		answer["issued_at"] != "1772615760000" {
		t.Fatalf("status %d, %v", status, answer)
	}
	app.form.Del("client_assertion")
	app.claims["exp"] = then().Add(time.Minute).Unix() // another assertion, the same id
	if status, answer := app.ask(t, s); status != 400 || !strings.Contains(answer["error_description"], "Non-unique") {
		t.Errorf("status %d, %s; want 400, Non-unique", status, answer["error_description"])
	}
}

func TestAuthorization(t *testing.T) {
	key := oneKey(t)
	s := pdsfhirtest.New(pdstest.People())
	now := then()
	s.Now, s.APIKey, s.Keys = func() time.Time { return now }, "app", map[string]*rsa.PublicKey{"k1": &key.PublicKey}
	s.TokenLifetime = time.Minute
	s.StartFor(t, nil)
	_, answer := newApplication(s, key).ask(t, s)
	good := "Bearer " + answer["access_token"]
	for name, tt := range map[string]struct {
		header []string
		status int
	}{
		"good":         {[]string{good}, 200},
		"none":         {nil, 401},
		"another's":    {[]string{"Bearer x"}, 401},
		"basic":        {[]string{"Basic " + answer["access_token"]}, 401},
		"lower case":   {[]string{strings.ToLower(good[:6]) + good[6:]}, 401},
		"good, really": {[]string{good}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			resp, b := get(t, s, "/Patient/9990000018", http.Header{"Authorization": tt.header})
			if resp.StatusCode != tt.status || tt.status == 401 && b.said() != "ACCESS_DENIED" {
				t.Errorf("%d %s; want %d", resp.StatusCode, b.said(), tt.status)
			}
		})
	}
	now = now.Add(61 * time.Second)
	if resp, _ := get(t, s, "/Patient/9990000018", http.Header{"Authorization": {good}}); resp.StatusCode != 401 {
		t.Errorf("status %d for an expired token", resp.StatusCode)
	}
	now = then()
	s.Revoke()
	if resp, _ := get(t, s, "/Patient/9990000018", http.Header{"Authorization": {good}}); resp.StatusCode != 401 {
		t.Errorf("status %d for a revoked token", resp.StatusCode)
	}
}

func TestTokenFaults(t *testing.T) {
	key := oneKey(t)
	for do, want := range map[string]struct {
		status int
		err    string
		token  bool
	}{
		"code:public_key error": {403, "public_key error", false},
		"code:invalid_client":   {401, "invalid_client", false},
		"fault:invalid_request": {400, "invalid_request", false},
		"hollow":                {200, "", false},
		"stranger":              {200, "", true},
	} {
		t.Run(do, func(t *testing.T) {
			s := newTokenServer(t, key, pdsfhirtest.Fault{Operation: "token", Do: do})
			status, answer := newApplication(s, key).ask(t, s)
			if status != want.status || answer["error"] != want.err || (answer["access_token"] != "") != want.token {
				t.Errorf("%d %v; want %+v", status, answer, want)
			}
		})
	}
}
