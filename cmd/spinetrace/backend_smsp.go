package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"spinetrace/pds"
	"spinetrace/smsp"
)

func (c *config) checkSMSP(f *faults) {
	if u := c.SMSPURL.URL; u != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		f.add("SMSP_URL", "is plain http to another machine; write an https URL")
	}
	if (c.SMSPCert == "") != (c.SMSPKey == "") {
		f.add("SMSP_CERT", "and SMSP_KEY belong together, and one is missing; write the paths of both PEM files")
	}
	f.checkText("SMSP_SERVER_NAME", c.SMSPServerName, dnsName, "is not a host name; write the name in the provider's certificate")
	f.checkText("SMSP_LOCAL_ID_ROOT", c.SMSPLocalIDRoot, oid, "is not an OID; write numbers with dots between")
	for _, s := range []struct{ name, value string }{
		{"SMSP_USERNAME", c.SMSPUsername}, {"SMSP_FROM", c.SMSPFrom},
		{"SMSP_SENDER", c.SMSPSender}, {"SMSP_LOCAL_ID_PREFIX", c.SMSPLocalIDPrefix},
	} {
		f.checkText(s.name, s.value, headerValue, "has characters other than printable ASCII, or more than 200; write what the provider registered")
	}
	c.checkSMSPParsed(f)
}

// checkSMSPParsed reports what only the parsers of package smsp can tell.
func (c *config) checkSMSPParsed(f *faults) {
	if _, err := smsp.ParseAuditIDs(c.SMSPAuditIDs); err != nil {
		f.add("SMSP_AUDIT_IDS", "is not a list of audit identities; write [TYPE=]URI with {user}, {role}, {org} and {system}, commas between")
	}
	if _, err := parseProxy("SMSP_PROXY", c.SMSPProxy); err != nil {
		f.add("SMSP_PROXY", "is not the URL of a proxy; write http://host:port")
	}
}

// requireSMSP reports what smsp cannot do without.
func (c *config) requireSMSP(f *faults) {
	if c.SMSPURL.URL == nil {
		f.add("SMSP_URL", "is missing; write the https URL that the provider gave you")
	}
}

func openSMSP(cfg *config, certs *certificates) (pds.Tracer, error) {
	live, err := certs.keep("smsp_client", "SMSP_CERT", given(cfg.SMSPCert, cfg.SMSPKey, cfg.SMSPCA),
		func() (*tls.Config, error) { return smspTLS(cfg) })
	if err != nil {
		return nil, err
	}
	auditIDs, err := smsp.ParseAuditIDs(cfg.SMSPAuditIDs)
	if err != nil {
		return nil, err
	}
	proxy, err := parseProxy("SMSP_PROXY", cfg.SMSPProxy)
	if err != nil {
		return nil, err
	}
	c := &smsp.Client{
		Endpoint: cfg.SMSPURL.String(), ODS: cfg.ODS, System: cfg.Application,
		Username: cfg.SMSPUsername, From: cfg.SMSPFrom, Sender: cfg.SMSPSender, AuditIDs: auditIDs,
		LiveTLS: live.get, Proxy: proxy,
		ConnectTimeout: cfg.SMSPConnectTimeout, Timeout: cfg.BackendTimeout,
		MaxIdle: cfg.BackendConcurrency, MaxResponse: int64(cfg.SMSPMaxResponse),
		UnquotedAction: !cfg.SMSPActionQuoted, Validity: cfg.SMSPValidity,
		LocalIDRoot: cfg.SMSPLocalIDRoot, LocalIDPrefix: cfg.SMSPLocalIDPrefix,
		ShortSurnameOmit: cfg.SMSPShortSurname == "omit",
		Pace:             cfg.pace(0), PaceWait: cfg.ReplyBudget,
		Rules: cfg.rules(),
	}
	return c, c.Check()
}

func smspTLS(cfg *config) (*tls.Config, error) {
	if err := (namedFile{"SMSP_KEY", cfg.SMSPKey}).private(); err != nil {
		return nil, err
	}
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

// reachSMSP connects to the provider, or as far as the proxy, and shakes hands.
func reachSMSP(ctx context.Context, cfg *config) (string, error) {
	conf, err := smspTLS(cfg)
	if err != nil {
		return "", err
	}
	proxy, err := parseProxy("SMSP_PROXY", cfg.SMSPProxy)
	if err != nil {
		return "", err
	}
	return reach(ctx, road{"provider", cfg.SMSPURL.URL, proxy, conf, cfg.SMSPConnectTimeout})
}
