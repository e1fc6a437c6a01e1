package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"spinetrace/mllp"
)

// clientTLS is the TLS flags of a command that connects.
type clientTLS struct {
	on                        bool
	ca, cert, key, serverName string
}

func (t *clientTLS) flags(fs *flag.FlagSet) {
	fs.BoolVar(&t.on, "tls", false, "connect by TLS")
	fs.StringVar(&t.ca, "ca", "", "PEM `file`: who signed the receiver's certificate; default the system's")
	fs.StringVar(&t.cert, "cert", "", "PEM `file`: our certificate")
	fs.StringVar(&t.key, "key", "", "PEM `file`: the key of --cert")
	fs.StringVar(&t.serverName, "server-name", "", "`name` in the receiver's certificate; default the host of --addr")
}

// config returns nil when TLS was not asked for.
func (t *clientTLS) config() (*tls.Config, error) {
	if !t.on {
		if t.ca != "" || t.cert != "" || t.key != "" || t.serverName != "" {
			return nil, usageError("--ca, --cert, --key and --server-name need --tls")
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	if t.ca != "" {
		pool, err := readPool(t.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		c.RootCAs = pool
	}
	if t.cert != "" || t.key != "" {
		pair, err := readPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// serverTLS returns the TLS of the listener, nil when MLLP_TLS is off.
func serverTLS(cfg *config) (*tls.Config, error) {
	if cfg.listenerTLS() == "off" {
		return nil, nil
	}
	if err := (namedFile{"MLLP_KEY", cfg.MLLPKey}).private(); err != nil {
		return nil, err
	}
	pair, err := readPair(cfg.MLLPCert, cfg.MLLPKey)
	if err != nil {
		return nil, fmt.Errorf("%sMLLP_CERT: %w", prefix, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if cfg.MLLPTLS == "mutual" {
		if c.ClientCAs, err = readPool(cfg.MLLPClientCA); err != nil {
			return nil, fmt.Errorf("%sMLLP_CLIENT_CA: %w", prefix, err)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if len(cfg.MLLPClientNames) > 0 {
			c.VerifyConnection = mllp.AllowNames(cfg.MLLPClientNames...)
		}
	}
	return c, nil
}

// liveServerTLS is serverTLS with files that may be replaced while the service runs.
func liveServerTLS(cfg *config, certs *certificates) (*tls.Config, error) {
	if cfg.listenerTLS() == "off" {
		return nil, nil
	}
	files := []string{cfg.MLLPCert, cfg.MLLPKey}
	if cfg.MLLPTLS == "mutual" {
		files = append(files, cfg.MLLPClientCA)
	}
	l, err := certs.keep("listener", "MLLP_CERT", files, func() (*tls.Config, error) { return serverTLS(cfg) })
	if err != nil {
		return nil, err
	}
	return l.server(), nil
}

// readPair reads a certificate with its key, and refuses one that is out of date: every
// connection would fail.
func readPair(cert, key string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("cannot be used: %w; give the PEM files of a certificate and its key", err)
	}
	return pair, inDate(pair.Leaf, time.Now())
}

// inDate says why a certificate cannot be shown at a time.
func inDate(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired on %s; get a new certificate", leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("is not valid before %s; check the clock", leaf.NotBefore.Format(time.DateTime))
	}
	return nil
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate; give the file of the signing certificates")
	}
	return pool, nil
}
