package pdsfhir

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// Faults of a text that was offered as a private key. They say nothing of its content.
var (
	ErrNotPEM = errors.New("pdsfhir: private key is not in PEM form")
	ErrNotRSA = errors.New("pdsfhir: private key is not an RSA key in PKCS #1 or PKCS #8 form, unencrypted")
)

// ParseKey reads the RSA private key of an application from a PEM file's content. Errors
// are [ErrNotPEM], [ErrNotRSA] and [ErrWeakKey].
func ParseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrNotPEM
	}
	key, ok := rsaKey(block.Bytes)
	if !ok || key.Validate() != nil {
		return nil, ErrNotRSA
	}
	if key.N.BitLen() < 2048 {
		return nil, ErrWeakKey
	}
	return key, nil
}

func rsaKey(der []byte) (*rsa.PrivateKey, bool) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, true
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, false
	}
	key, ok := parsed.(*rsa.PrivateKey)
	return key, ok
}
