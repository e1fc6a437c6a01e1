package pdsfhir

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// A Client asks the API of one environment as one application. Set its fields before the
// first Trace and leave them alone after. A Client must not be copied once it is in use:
// it holds the access token that all its calls share.
type Client struct {
	BaseURL  string // ends in /FHIR/R4; https, or http to a loopback address; required
	TokenURL string // default /oauth2/token on the host of BaseURL; "off": no token, as the sandbox wants it

	APIKey string          // of the application; required with a token
	Key    *rsa.PrivateKey // signs for the application; see ParseKey; required with a token
	KeyID  string          // of Key in the registered JWKS; required with a token

	ODS       string // organisation code of the trust; required
	UserAgent string // product/version; default "spinetrace"

	// HTTP is used in place of a client made from the next five. Redirects are not followed
	// whatever it says.
	HTTP *http.Client

	TLS            *tls.Config        // nil trusts the system's authorities; 1.2 is the minimum whatever it says
	LiveTLS        func() *tls.Config // asked before every call and used in place of TLS; see [pdshttp.Settings]
	Proxy          *url.URL           // nil: none; the environment is not asked
	ConnectTimeout time.Duration      // to connect, and again for the TLS handshake; default 5 s
	Timeout        time.Duration      // for a whole HTTP call, or less if the context says so; default 10 s
	MaxIdle        int                // connections kept open; default 64: make it the number of calls at once
	MaxResponse    int64              // bytes of an answer, decompressed; default 1 MiB

	Pace     *pds.Pace     // each HTTP call takes a turn first, token calls included; nil: none waits
	PaceWait time.Duration // longest wait for a turn; default 4 s

	FamilyPart       bool    // a family name also agrees with one part of a double-barrelled one
	GivenInitial     bool    // an initial agrees with a given name that begins with it
	AcceptPartialDOB bool    // a record that holds part of a birth date, which agrees, is verified
	RestrictedSearch bool    // a search with a postcode that finds nobody looks for a restricted record without it
	FuzzyFallback    bool    // a search that finds nobody is made once more, fuzzily
	GenderCheck      string  // of a search hit of the opposite sex: GenderReject (default) or GenderWarn
	MinScore         float64 // of a search hit; default 0.85; below 0 means any

	Rules pds.Rules        // the local checks; their clock is Now unless they have one
	Now   func() time.Time // default time.Now
	NewID func() string    // a UUID that no other call has, for jti; default random

	once    sync.Once // guards the rest, but for tokens
	invalid error
	client  *http.Client
	rules   pds.Rules
	base    *url.URL // without a final slash
	tokens  tokens
}

var _ pds.Tracer = (*Client)(nil)

// What GenderCheck can be.
const (
	GenderReject = "reject" // the hit is no match
	GenderWarn   = "warn"   // the hit is a match, and Reason says so
)

// NoTokens is the TokenURL of an environment without access tokens.
const NoTokens = "off"

// Errors of a Client's settings, beside [pdshttp.ErrEndpoint]; Trace returns them in a
// [pds.Error] of class [pds.InputInvalid].
var (
	ErrInsecure    = errors.New("pdsfhir: TLS settings skip the verification of the server")
	ErrTokenURL    = errors.New("pdsfhir: token endpoint is not an https URL, or http of a loopback address, without user, query and fragment")
	ErrNoODS       = errors.New("pdsfhir: no ODS code")
	ErrNoAPIKey    = errors.New("pdsfhir: no API key")
	ErrNoKey       = errors.New("pdsfhir: no private key")
	ErrNoKeyID     = errors.New("pdsfhir: no key id")
	ErrWeakKey     = errors.New("pdsfhir: private key of less than 2048 bits")
	ErrHeader      = errors.New("pdsfhir: ODS code or user agent has characters that a header cannot carry")
	ErrGenderCheck = errors.New("pdsfhir: gender check is neither reject nor warn")
)

// Trace asks the API. What the local checks refuse is not asked: the outcome is
// [pds.Refused] and the Recorder hears nothing. Otherwise the Recorder is told before each
// HTTP call and, whatever happens, once after it.
//
// A call is not repeated, but for one case: after a 401 the token is thrown away, a new one
// fetched, and the call made once more, under the same X-Request-ID. That id is made of
// req.ID and of what is asked, so that a later attempt at the same question has it too.
//
// Errors are a [*pds.Error], except that the caller's own cancellation comes back as
// [context.Canceled], wrapped.
func (c *Client) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	if err := c.Check(); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.InputInvalid, Err: err}
	}
	req = tidy(req)
	if res, ok := c.check(req); !ok {
		return res, nil
	}
	return c.begin(req).run(ctx)
}

// Check tells what is wrong with the settings, nil if nothing is: the errors above, several
// of them joined.
func (c *Client) Check() error {
	c.once.Do(c.prepare)
	return c.invalid
}

// CloseIdleConnections closes the connections that wait for the next question.
func (c *Client) CloseIdleConnections() {
	if c.Check() == nil {
		c.client.CloseIdleConnections()
	}
}

func (c *Client) prepare() {
	c.rules = c.Rules
	if c.rules.Now == nil {
		c.rules.Now = c.now
	}
	c.client = c.connections().Client()
	c.invalid = errors.Join(pdshttp.CheckEndpoint(c.BaseURL), c.checkTokens(), c.checkSettings())
	if c.invalid == nil {
		c.base, c.invalid = url.Parse(strings.TrimSuffix(c.BaseURL, "/"))
	}
}

// connections says how the API is reached.
func (c *Client) connections() pdshttp.Settings {
	return pdshttp.Settings{
		HTTP: c.HTTP, TLS: c.TLS, LiveTLS: c.LiveTLS, Proxy: c.Proxy,
		ConnectTimeout: c.ConnectTimeout, MaxIdle: c.MaxIdle,
	}
}

func (c *Client) checkTokens() error {
	if c.TokenURL == NoTokens {
		return nil
	}
	return errors.Join(
		unless(c.TokenURL == "" || pdshttp.CheckEndpoint(c.TokenURL) == nil, ErrTokenURL),
		unless(c.APIKey != "", ErrNoAPIKey),
		unless(c.Key != nil, ErrNoKey),
		unless(c.Key == nil || c.Key.N.BitLen() >= 2048, ErrWeakKey),
		unless(c.KeyID != "", ErrNoKeyID),
	)
}

func (c *Client) checkSettings() error {
	gender := cmp.Or(c.GenderCheck, GenderReject)
	return errors.Join(
		unless(!c.connections().Insecure(), ErrInsecure),
		unless(c.ODS != "", ErrNoODS),
		unless(plain(c.ODS) && plain(c.UserAgent), ErrHeader),
		unless(gender == GenderReject || gender == GenderWarn, ErrGenderCheck),
	)
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// plain tells whether a header can carry the text: printable ASCII.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// tokenURL returns the token endpoint, "" if there is none. It is also the audience of the
// assertion, so nothing is added to it.
func (c *Client) tokenURL() string {
	switch c.TokenURL {
	case NoTokens:
		return ""
	case "":
		return c.base.Scheme + "://" + c.base.Host + "/oauth2/token"
	}
	return c.TokenURL
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) newID() string {
	if c.NewID != nil {
		return c.NewID()
	}
	return uuid.NewString()
}
