package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"os"

	"spinetrace/pds"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdshttp"
)

// pdsRate is how many calls a second PDS is asked unless BACKEND_RATE says otherwise: one
// below what an application is allowed at first.
const pdsRate = 4

func (c *config) checkPDS(f *faults) {
	if u := c.PDSURL.URL; u != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		f.add("PDS_URL", "is plain http to another machine; write an https URL")
	}
	if t := c.PDSTokenURL; t != "" && t != pdsfhir.NoTokens && pdshttp.CheckEndpoint(t) != nil {
		f.add("PDS_TOKEN_URL", "is neither off nor a URL that may be used; write an https URL without user, query and fragment")
	}
	f.checkText("PDS_API_KEY", c.PDSAPIKey.Reveal(), headerValue, "has characters other than printable ASCII, or more than 200; write the key as the developer portal shows it")
	f.checkText("PDS_KEY_ID", c.PDSKeyID, headerValue, "has characters other than printable ASCII, or more than 200; write the kid of the registered JWKS")
	f.checkText("PDS_SERVER_NAME", c.PDSServerName, dnsName, "is not a host name; write the name in the API's certificate")
	if _, err := parseProxy("PDS_PROXY", c.PDSProxy); err != nil {
		f.add("PDS_PROXY", "is not the URL of a proxy; write http://host:port")
	}
}

// requirePDS reports what pds cannot do without.
func (c *config) requirePDS(f *faults) {
	if c.PDSURL.URL == nil {
		f.add("PDS_URL", "is missing; write the https URL of the API, up to and with /FHIR/R4")
	}
	if c.PDSTokenURL == pdsfhir.NoTokens {
		return
	}
	const text = "is missing, and PDS_TOKEN_URL is not off; write "
	if c.PDSAPIKey.Reveal() == "" {
		f.add("PDS_API_KEY", text+"the API key of the registered application")
	}
	f.checkGiven("PDS_KEY_FILE", c.PDSKeyFile, "PDS_TOKEN_URL is not off")
	if c.PDSKeyID == "" {
		f.add("PDS_KEY_ID", text+"the kid of its key")
	}
}

func openPDS(cfg *config, certs *certificates) (pds.Tracer, error) {
	live, err := certs.keep("pds_authorities", "PDS_CA", given(cfg.PDSCA),
		func() (*tls.Config, error) { return pdsTLS(cfg) })
	if err != nil {
		return nil, err
	}
	proxy, err := parseProxy("PDS_PROXY", cfg.PDSProxy)
	if err != nil {
		return nil, err
	}
	c := &pdsfhir.Client{
		BaseURL: cfg.PDSURL.String(), TokenURL: cfg.PDSTokenURL,
		APIKey: cfg.PDSAPIKey.Reveal(), KeyID: cfg.PDSKeyID,
		ODS: cfg.ODS, UserAgent: "spinetrace/" + thisBuild().Version,
		LiveTLS: live.get, Proxy: proxy,
		ConnectTimeout: cfg.PDSConnectTimeout, Timeout: cfg.BackendTimeout,
		MaxIdle: cfg.BackendConcurrency, MaxResponse: int64(cfg.PDSMaxResponse),
		Pace: cfg.pace(pdsRate), PaceWait: cfg.ReplyBudget,
		FamilyPart: cfg.PDSFamilyPart, GivenInitial: cfg.PDSGivenInitial, AcceptPartialDOB: cfg.PDSAcceptPartialDOB,
		RestrictedSearch: cfg.PDSRestrictedSearch, FuzzyFallback: cfg.PDSFuzzyFallback,
		GenderCheck: cfg.PDSGenderCheck, MinScore: cfg.minScore(),
		Rules: cfg.rules(),
	}
	if cfg.PDSTokenURL != pdsfhir.NoTokens {
		if c.Key, err = readSigningKey(cfg.PDSKeyFile); err != nil {
			return nil, err
		}
	}
	return c, c.Check()
}

// minScore is PDS_MIN_SCORE as the client has it, whose 0 means the default.
func (c *config) minScore() float64 {
	if c.PDSMinScore == 0 {
		return -1
	}
	return float64(c.PDSMinScore)
}

// pdsTLS trusts who PDS_CA says, or the system's authorities.
func pdsTLS(cfg *config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.PDSServerName}
	if cfg.PDSCA == "" {
		return c, nil
	}
	var err error
	if c.RootCAs, err = readPool(cfg.PDSCA); err != nil {
		return nil, fmt.Errorf("%sPDS_CA: %w", prefix, err)
	}
	return c, nil
}

// readSigningKey reads PDS_KEY_FILE. Its errors say nothing of the key.
func readSigningKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%sPDS_KEY_FILE: cannot be read; write the path of a file that this process may read", prefix)
	}
	key, err := pdsfhir.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%sPDS_KEY_FILE: %w", prefix, err)
	}
	return key, nil
}

// reachPDS connects to the API, or as far as the proxy, and shakes hands.
func reachPDS(ctx context.Context, cfg *config) (string, error) {
	conf, err := pdsTLS(cfg)
	if err != nil {
		return "", err
	}
	proxy, err := parseProxy("PDS_PROXY", cfg.PDSProxy)
	if err != nil {
		return "", err
	}
	if cfg.PDSTokenURL != pdsfhir.NoTokens {
		if _, err := readSigningKey(cfg.PDSKeyFile); err != nil {
			return "", err
		}
	}
	return reach(ctx, road{"API", cfg.PDSURL.URL, proxy, conf, cfg.PDSConnectTimeout})
}
