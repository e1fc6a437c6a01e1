package pdsfhir

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"spinetrace/pds"
)

const (
	// assertionLife is how long an assertion may be used; the endpoint allows five minutes.
	assertionLife = 4 * time.Minute
	// withheld stands in a record for what must not be in it.
	withheld = "withheld"
	// longestLife bounds what an endpoint can say of a token.
	longestLife = 24 * time.Hour
)

// assertion returns a signed statement that we are the application. No two are the same:
// the endpoint refuses one that it has seen. It has no iat and nbf, so that only a clock
// that is wrong by minutes matters.
func (c *Client) assertion(id string) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS512, jwt.MapClaims{
		"iss": c.APIKey,
		"sub": c.APIKey,
		"aud": c.tokenURL(),
		"jti": id,
		"exp": c.now().Add(assertionLife).Unix(),
	})
	t.Header["kid"] = c.KeyID
	return t.SignedString(c.Key)
}

// fetchToken asks the token endpoint for a token, once (section 2).
func (t *trace) fetchToken(ctx context.Context) (token, error) {
	id := t.newID()
	signed, err := t.assertion(id)
	if err != nil {
		return token{}, &pds.Error{Class: pds.InputInvalid, Err: errSigning}
	}
	err = t.announce(ctx, pds.Call{
		Backend:    "pds",
		Operation:  "token",
		Endpoint:   t.tokenURL(),
		MessageID:  id,
		TrackingID: t.id,
		Body:       []byte(tokenForm(withheld)),
	})
	if err != nil {
		return token{}, err
	}
	sent := t.now()
	a := t.send(ctx, "token", func(ctx context.Context) (*http.Request, error) { return t.tokenRequest(ctx, signed) })
	got, v := t.readToken(a, sent)
	a.body = withhold(a.body, got.value, append(strings.Split(signed, "."), t.APIKey)...)
	t.note(a, v)
	return got, v.err
}

func tokenForm(assertion string) string {
	return url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}.Encode()
}

func (t *trace) tokenRequest(ctx context.Context, signed string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.tokenURL(), strings.NewReader(tokenForm(signed)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// readToken reads what the endpoint answered.
func (t *trace) readToken(a *answer, sent time.Time) (token, verdict) {
	refuse := func(reason string) (token, verdict) {
		return token{}, meaningOf(tokenMeanings, a.status, anyCode).verdict(a.status, reason, a.header, t.now())
	}
	switch {
	case a.end == nil:
	case a.statusSays(tokenMeanings):
		return refuse("token refused; " + a.end.reason)
	default:
		return token{}, *a.end
	}
	var said struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   seconds `json:"expires_in"`
		Error       string  `json:"error"`
	}
	readable := json.Unmarshal(a.body, &said) == nil
	switch {
	case a.status == http.StatusOK && !readable:
		return refuse("not a token answer")
	case a.status == http.StatusOK && (!tokenShape.MatchString(said.AccessToken) || said.ExpiresIn <= 0):
		return refuse("no token in the answer, or no lifetime")
	case a.status == http.StatusOK:
		return newToken(said.AccessToken, sent, time.Duration(said.ExpiresIn)), verdict{reason: "token"}
	case readable && tokenErrorShape.MatchString(said.Error):
		return refuse("token refused: " + said.Error)
	}
	return refuse("token refused")
}

var (
	tokenShape      = regexp.MustCompile(`^[!-~]+$`)
	tokenErrorShape = regexp.MustCompile(`^[a-z]{1,20}([_ ][a-z]{1,20}){0,3}$`)
)

// seconds is a duration that is written as a number of them, or as a text of a number.
type seconds time.Duration

func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil {
		return nil // none
	}
	*s = seconds(min(n, longestLife.Seconds()) * float64(time.Second))
	return nil
}

// withhold blots the secrets out of a body that is to be recorded. Of a body that seems to
// hold a token, where it cannot be found, nothing is left.
func withhold(body []byte, token string, secrets ...string) []byte {
	hidden := token == "" || !bytes.Contains(body, []byte(token))
	if n := bytes.Count(bytes.ToLower(body), []byte("access_token")); n > 1 || n == 1 && hidden {
		return []byte(withheld)
	}
	for _, s := range append(secrets, token) {
		if s != "" {
			body = bytes.ReplaceAll(body, []byte(s), []byte(withheld))
		}
	}
	return body
}
