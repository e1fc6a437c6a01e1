package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/smsp"
)

// backend is one kind of national service.
type backend struct {
	// check reports what is wrong with its settings.
	check func(cfg *config, f *faults)
	// open makes its client, whose certificate, if it has one, joins certs. Nothing is asked
	// yet.
	open func(cfg *config, certs *certificates) (pds.Tracer, error)
	// reach connects without asking anything, and says in a few words what it found.
	reach func(ctx context.Context, cfg *config) (string, error)
}

// backends are the kinds by the name that BACKEND gives them.
var backends = map[string]backend{
	"smsp": {(*config).checkSMSP, openSMSP, reachSMSP},
}

func openSMSP(cfg *config, certs *certificates) (pds.Tracer, error) {
	tlsConfig, err := liveSMSPTLS(cfg, certs)
	if err != nil {
		return nil, err
	}
	auditIDs, err := smsp.ParseAuditIDs(cfg.SMSPAuditIDs)
	if err != nil {
		return nil, err
	}
	proxy, err := parseProxy(cfg.SMSPProxy)
	if err != nil {
		return nil, err
	}
	c := &smsp.Client{
		Endpoint: cfg.SMSPURL.String(), ODS: cfg.ODS, System: cfg.Application,
		Username: cfg.SMSPUsername, From: cfg.SMSPFrom, Sender: cfg.SMSPSender, AuditIDs: auditIDs,
		TLS: tlsConfig, Proxy: proxy,
		ConnectTimeout: cfg.SMSPConnectTimeout, Timeout: cfg.BackendTimeout,
		MaxIdle: cfg.BackendConcurrency, MaxResponse: int64(cfg.SMSPMaxResponse),
		UnquotedAction: !cfg.SMSPActionQuoted, Validity: cfg.SMSPValidity,
		LocalIDRoot: cfg.SMSPLocalIDRoot, LocalIDPrefix: cfg.SMSPLocalIDPrefix,
		ShortSurnameOmit: cfg.SMSPShortSurname == "omit",
		Rules:            pds.Rules{AllowWildcards: cfg.AllowWildcards, AllowPartialDOB: cfg.AllowPartialDOB},
	}
	return c, c.Check()
}

func smspTLS(cfg *config) (*tls.Config, error) {
	c, err := smsp.TLSConfig(cfg.SMSPCert, cfg.SMSPKey, cfg.SMSPCA, cfg.SMSPServerName)
	if err != nil {
		return nil, fmt.Errorf("%sSMSP_CERT, _KEY, _CA: %w; give the paths of PEM files", prefix, err)
	}
	for _, pair := range c.Certificates {
		if err := inDate(pair.Leaf, time.Now()); err != nil {
			return nil, fmt.Errorf("%sSMSP_CERT: %w", prefix, err)
		}
	}
	return c, nil
}

// liveSMSPTLS is smspTLS with a certificate that may be replaced while the service runs.
func liveSMSPTLS(cfg *config, certs *certificates) (*tls.Config, error) {
	if cfg.SMSPCert == "" {
		return smspTLS(cfg)
	}
	l, err := certs.keep("smsp_client", "SMSP_CERT", []string{cfg.SMSPCert, cfg.SMSPKey},
		func() (*tls.Config, error) { return smspTLS(cfg) })
	if err != nil {
		return nil, err
	}
	return l.client(), nil
}

// parseProxy reads SMSP_PROXY. The error does not hold it: it may have a password.
func parseProxy(s Secret) (*url.URL, error) {
	if s.Reveal() == "" {
		return nil, nil
	}
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%sSMSP_PROXY: is not an http or https URL", prefix)
	}
	return u, nil
}

// reachSMSP connects to the provider, or as far as the proxy, and shakes hands.
func reachSMSP(ctx context.Context, cfg *config) (string, error) {
	conf, err := smspTLS(cfg)
	if err != nil {
		return "", err
	}
	to, what := cfg.SMSPURL.URL, "provider"
	proxy, err := parseProxy(cfg.SMSPProxy)
	if err != nil {
		return "", err
	}
	if proxy != nil {
		to, what = proxy, "proxy"
	}
	nc, err := (&net.Dialer{Timeout: cfg.SMSPConnectTimeout}).DialContext(ctx, "tcp", hostPort(to))
	if err != nil {
		return "", fmt.Errorf("%s cannot be reached: %w", what, err)
	}
	defer nc.Close()
	if proxy != nil || to.Scheme == "http" {
		return what + " reached", nil
	}
	conf.ServerName = cmp.Or(conf.ServerName, to.Hostname())
	tc := tls.Client(nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("%s reached, but TLS: %w", what, err)
	}
	if err := refused(tc); err != nil {
		return "", fmt.Errorf("%s reached, but it refuses our certificate: %w", what, err)
	}
	leaf := tc.ConnectionState().PeerCertificates[0]
	return fmt.Sprintf("%s reached by TLS, its certificate is valid until %s", what, leaf.NotAfter.Format(time.DateOnly)), nil
}

// refused returns what the peer says against our certificate. In TLS 1.3 that comes behind a
// handshake that looked good, and silence is consent.
func refused(tc *tls.Conn) error {
	if err := tc.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err := tc.Read(make([]byte, 1))
	if alert := tls.AlertError(0); errors.As(err, &alert) {
		return err
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "remote error" {
		return err
	}
	return nil
}

// hostPort returns where to connect for a URL.
func hostPort(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// checkSMSPParsed reports what only the parsers of package smsp can tell.
func (c *config) checkSMSPParsed(f *faults) {
	if _, err := smsp.ParseAuditIDs(c.SMSPAuditIDs); err != nil {
		f.add("SMSP_AUDIT_IDS", "is not a list of audit identities; write [TYPE=]URI with {user}, {org} and {system}, commas between")
	}
	if _, err := parseProxy(c.SMSPProxy); err != nil {
		f.add("SMSP_PROXY", "is not the URL of a proxy; write http://host:port")
	}
}

// checkPatterns reports what only the parser of package exchange can tell.
func (c *config) checkPatterns(f *faults) {
	const text = "is not a list of patterns; write TYPE, AUTHORITY^TYPE, AUTHORITY^ or ^TYPE, commas between"
	if _, err := exchange.ParsePatterns(c.LocalID); err != nil {
		f.add("LOCAL_ID", text)
	}
	if _, err := exchange.ParsePatterns(c.NHSNumbers); err != nil {
		f.add("NHS_NUMBER_PATTERNS", text)
	}
}
