package pdsfhir

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"sync"
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// testKey is every client's: to make one takes a while.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Client)
		want   error
	}{
		"good":                  {func(*Client) {}, nil},
		"loopback":              {func(c *Client) { c.BaseURL = "http://127.0.0.1:8681/FHIR/R4/" }, nil},
		"no base":               {func(c *Client) { c.BaseURL = "" }, pdshttp.ErrEndpoint},
		"plain HTTP":            {func(c *Client) { c.BaseURL = "http://pds.example.nhs.uk" }, pdshttp.ErrEndpoint},
		"tokens elsewhere":      {func(c *Client) { c.TokenURL = "https://id.example.nhs.uk/token" }, nil},
		"tokens over HTTP":      {func(c *Client) { c.TokenURL = "http://id.example.nhs.uk/token" }, ErrTokenURL},
		"no API key":            {func(c *Client) { c.APIKey = "" }, ErrNoAPIKey},
		"no key":                {func(c *Client) { c.Key = nil }, ErrNoKey},
		"no key id":             {func(c *Client) { c.KeyID = "" }, ErrNoKeyID},
		"no credentials needed": {func(c *Client) { c.TokenURL, c.Key, c.KeyID, c.APIKey = NoTokens, nil, "", "" }, nil},
		"no ODS code":           {func(c *Client) { c.ODS = "" }, ErrNoODS},
		"ODS code in two lines": {func(c *Client) { c.ODS = "X99\r\nX" }, ErrHeader},
		"accented user agent":   {func(c *Client) { c.UserAgent = "é" }, ErrHeader},
		"trusting anybody":      {func(c *Client) { c.TLS = &tls.Config{InsecureSkipVerify: true} }, ErrInsecure},
		"gender warning":        {func(c *Client) { c.GenderCheck = GenderWarn }, nil},
		"gender nonsense":       {func(c *Client) { c.GenderCheck = "maybe" }, ErrGenderCheck},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Client{BaseURL: "https://pds.example.nhs.uk/FHIR/R4", APIKey: "k", Key: testKey(), KeyID: "1", ODS: "X99"}
			tt.change(c)
			err := c.Check()
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.want == nil {
				return
			}
			if _, err := c.Trace(t.Context(), asking(pds.Verify)); pds.ClassOf(err) != pds.InputInvalid || !errors.Is(err, tt.want) {
				t.Errorf("Trace: %v", err)
			}
		})
	}
}

func TestCheckTellsEveryFault(t *testing.T) {
	err := (&Client{GenderCheck: "x"}).Check()
	for _, want := range []error{pdshttp.ErrEndpoint, ErrNoAPIKey, ErrNoKey, ErrNoKeyID, ErrNoODS, ErrGenderCheck} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not in it", want)
		}
	}
}

func TestTokenURL(t *testing.T) {
	for _, tt := range []struct{ base, token, want string }{
		{"https://api.service.nhs.uk/personal-demographics/FHIR/R4", "", "https://api.service.nhs.uk/oauth2/token"},
		{"http://127.0.0.1:8681/personal-demographics/FHIR/R4/", "", "http://127.0.0.1:8681/oauth2/token"},
		{"https://api.service.nhs.uk/x", "https://id.example.nhs.uk/token", "https://id.example.nhs.uk/token"},
		{"https://sandbox.api.service.nhs.uk/x", NoTokens, ""},
	} {
		c := &Client{BaseURL: tt.base, TokenURL: tt.token, APIKey: "k", Key: testKey(), KeyID: "1", ODS: "X99"}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if got := c.tokenURL(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestParseKey(t *testing.T) {
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text []byte
		want error
	}{
		"PKCS #1":      {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey())), nil},
		"PKCS #8":      {block("PRIVATE KEY", pkcs8(testKey())), nil},
		"not PEM":      {[]byte("secret"), ErrNotPEM},
		"nothing":      {nil, ErrNotPEM},
		"not a key":    {block("PRIVATE KEY", []byte("secret")), ErrNotRSA},
		"another kind": {block("PRIVATE KEY", pkcs8(curve)), ErrNotRSA},
		"too short":    {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak)), ErrWeakKey},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ParseKey(tt.text)
			if !errors.Is(err, tt.want) || (key == nil) != (tt.want != nil) {
				t.Fatalf("got %v, key given: %v; want %v", err, key != nil, tt.want)
			}
			if key != nil && !key.Equal(testKey()) {
				t.Error("another key")
			}
		})
	}
}

func TestAClientOfOnesOwn(t *testing.T) {
	own := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c := newClient(t, &api{reads: []reply{person().reply()}})
	c.HTTP = own
	if _, err := c.Trace(t.Context(), asking(pds.Verify)); err != nil {
		t.Fatal(err)
	}
	if own.CheckRedirect != nil {
		t.Error("the client given was changed")
	}
}
