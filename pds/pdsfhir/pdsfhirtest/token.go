package pdsfhirtest

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"spinetrace/pds/pdstest/simulator"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	maxAhead      = 5 * time.Minute
	tolerance     = 10 * time.Second
)

// tokenProblem is an error of pds-fhir.md section 2.
type tokenProblem struct {
	status      int
	code        string
	description string
}

// assertion is a signed JWT, taken apart. Its signature has been looked at last.
type assertion struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ID       string          `json:"jti"`
	Expires  json.RawMessage `json:"exp"`
}

func invalidRequest(description string) *tokenProblem {
	return &tokenProblem{http.StatusBadRequest, "invalid_request", description}
}

func unauthorized(description string) *tokenProblem {
	return &tokenProblem{http.StatusUnauthorized, "invalid_client", description}
}

// readTokenRequest reads a token request and checks all of it that needs no memory. The
// assertion is there with a problem too, if it could be read.
func (s *Server) readTokenRequest(r *http.Request, req *Request) (assertion, *tokenProblem) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	form, err := url.ParseQuery(string(req.Body))
	switch {
	case r.Method != http.MethodPost:
		return assertion{}, &tokenProblem{http.StatusMethodNotAllowed, "invalid_request", "POST is the only method"}
	case !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") || err != nil:
		return assertion{}, invalidRequest("Content-Type must be application/x-www-form-urlencoded")
	case form.Get("grant_type") != "client_credentials":
		return assertion{}, &tokenProblem{http.StatusBadRequest, "unsupported_grant_type", "grant_type is invalid"}
	case form.Get("client_assertion_type") != assertionType:
		return assertion{}, invalidRequest("Missing or invalid client_assertion_type - must be '" + assertionType + "'")
	case form.Get("client_assertion") == "":
		return assertion{}, invalidRequest("Missing client_assertion")
	}
	return s.readAssertion(form.Get("client_assertion"), req)
}

// readAssertion takes a JWT apart and checks header, claims and signature.
func (s *Server) readAssertion(jwt string, req *Request) (assertion, *tokenProblem) {
	var header struct{ Alg, Typ, Kid string }
	var a assertion
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || !decode(parts[0], &header) || !decode(parts[1], &a) {
		return a, invalidRequest("Malformed JWT in client_assertion")
	}
	req.KeyID = header.Kid
	switch {
	case header.Kid == "":
		return a, invalidRequest("Missing 'kid' header in client_assertion JWT")
	case header.Typ != "JWT":
		return a, invalidRequest("Invalid 'typ' header in client_assertion JWT - must be 'JWT'")
	case header.Alg != "RS512":
		return a, invalidRequest("Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be 'RS512'")
	}
	if p := s.checkClaims(a); p != nil {
		return a, p
	}
	key := s.Keys[header.Kid]
	if key == nil {
		return a, unauthorized("Invalid 'kid' header in client_assertion JWT - no matching public key")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha512.Sum512([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA512, digest[:], signature) != nil {
		return a, unauthorized("JWT signature verification failed")
	}
	return a, nil
}

func decode(part string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, into) == nil
}

func (s *Server) checkClaims(a assertion) *tokenProblem {
	var audience string
	now := s.Time()
	expires, err := strconv.ParseInt(string(a.Expires), 10, 64)
	switch {
	case a.Issuer == "" || a.Subject == "":
		return invalidRequest("Missing 'iss' or 'sub' claim in client_assertion JWT")
	case a.Issuer != a.Subject:
		return invalidRequest("Non-matching 'iss' / 'sub' claims in client_assertion JWT")
	case a.ID == "":
		return invalidRequest("Missing 'jti' claim in client_assertion JWT")
	case a.Expires == nil:
		return invalidRequest("Missing 'exp' claim in client_assertion JWT")
	case err != nil:
		return invalidRequest("Invalid 'exp' claim in client_assertion JWT - must be an integer")
	case time.Unix(expires, 0).Add(tolerance).Before(now):
		return invalidRequest("Invalid 'exp' claim in client_assertion JWT - JWT has expired")
	case time.Unix(expires, 0).After(now.Add(maxAhead + tolerance)):
		return invalidRequest("Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future")
	case a.Issuer != s.apiKey():
		return unauthorized("Invalid 'iss' / 'sub' claims in client_assertion JWT")
	case json.Unmarshal(a.Audience, &audience) != nil || audience != s.TokenURL:
		return unauthorized("Missing or invalid 'aud' claim in client_assertion JWT")
	}
	return nil
}

// token answers a token request (pds-fhir.md section 2), or as kind says.
func (s *Server) token(asked assertion, p *tokenProblem, kind, code string) simulator.Reply {
	switch {
	case kind == "fault" || kind == "code":
		return tokenError(&tokenProblem{tokenStatus(code), code, "the simulator was told to"})
	case kind == "hollow":
		return tokenReply(http.StatusOK, kind, map[string]string{"token_type": "Bearer", "expires_in": "599"})
	case kind == "stranger":
		return s.issued(kind, "another-applications-token")
	case !s.within():
		return s.throttled()
	case p == nil && !s.first(asked):
		p = invalidRequest("Non-unique 'jti' claim in client_assertion JWT")
	}
	if p != nil {
		return tokenError(p)
	}
	token := uuid.NewString()
	s.mu.Lock()
	s.tokens[token] = s.Time().Add(s.lifetime())
	s.mu.Unlock()
	return s.issued("token", token)
}

func tokenStatus(code string) int {
	switch code {
	case "invalid_client", "unauthorized_client":
		return http.StatusUnauthorized
	case "public_key error":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

func (s *Server) issued(answer, token string) simulator.Reply {
	return tokenReply(http.StatusOK, answer, map[string]string{
		"access_token": token,
		"expires_in":   strconv.Itoa(int(s.lifetime().Seconds())),
		"issued_at":    strconv.FormatInt(s.Time().UnixMilli(), 10),
		"token_type":   "Bearer",
	})
}

func (s *Server) lifetime() time.Duration { return cmp.Or(s.TokenLifetime, 599*time.Second) }

// first tells whether an assertion's id comes for the first time. Ids are forgotten, and
// tokens too, once they are of no use.
func (s *Server) first(a assertion) bool {
	now := s.Time()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range []map[string]time.Time{s.used, s.tokens} {
		for id, until := range all {
			if until.Before(now.Add(-time.Hour)) {
				delete(all, id)
			}
		}
	}
	_, used := s.used[a.ID]
	s.used[a.ID] = now
	return !used
}

func tokenError(p *tokenProblem) simulator.Reply {
	return tokenReply(p.status, p.code, map[string]string{
		"error": p.code, "error_description": p.description, "message_id": "rrt-" + uuid.NewString(),
	})
}

func tokenReply(status int, answer string, body map[string]string) simulator.Reply {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings can be written
	}
	return simulator.Reply{Answer: answer, Status: status, Type: "application/json", Body: b}
}

// GenerateKey returns a new key pair of so many bits. PDS wants 4096, which takes seconds to
// find.
func GenerateKey(bits int) (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, bits) }

// NewKey returns a new key pair for a test, of 2048 bits to be quick.
func NewKey(tb simulator.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := GenerateKey(2048)
	if err != nil {
		tb.Fatalf("pdsfhirtest: key: %v", err)
	}
	return key
}
