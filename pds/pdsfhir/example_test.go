package pdsfhir_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
)

// The API here knows one patient and asks for no token.
func ExampleClient() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/fhir+json")
		fmt.Fprint(w, `{
			"resourceType": "Patient", "id": "9990000018", "birthDate": "1978-02-14",
			"meta": {"versionId": "4", "security": [{"code": "U"}]},
			"name": [{"use": "usual", "given": ["Marigold"], "family": "Quillfeather"},
			         {"use": "maiden", "given": ["Marigold"], "family": "Tarnbeck"}]
		}`)
	}))
	defer api.Close()

	c := &pdsfhir.Client{BaseURL: api.URL, TokenURL: pdsfhir.NoTokens, ODS: "X99"}
	defer c.CloseIdleConnections()
	res, err := c.Trace(context.Background(), pds.Request{
		Want:      pds.Verify,
		NHSNumber: pds.MustNHSNumber("9990000018"),
		Who:       pds.Demographics{Family: "TARNBECK", BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Outcome, res.Code)
	fmt.Println(res.Reason)
	// Output:
	// matched SMSP-0000
	// number and birth date agree; name agrees with a former name; record version 4
}

func ExampleParseKey() {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(made)})
	key, err := pdsfhir.ParseKey(text)
	fmt.Println(key.Equal(made), err)
	_, err = pdsfhir.ParseKey([]byte("a password"))
	fmt.Println(err)
	// Output:
	// true <nil>
	// pdsfhir: private key is not in PEM form
}
