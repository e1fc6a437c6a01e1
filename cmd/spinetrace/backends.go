package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"time"

	"spinetrace/pds"
)

// backend is one kind of national service.
type backend struct {
	// check reports what is wrong with its settings, require what is missing from them.
	check, require func(cfg *config, f *faults)
	// open makes its client, whose certificate, if it has one, joins certs. Nothing is asked
	// yet.
	open func(cfg *config, certs *certificates) (pds.Tracer, error)
	// reach connects without asking anything about anybody, and says in a few words what it
	// found.
	reach func(ctx context.Context, cfg *config) (string, error)
	// backoff is how soon it may be asked again.
	backoff pds.Backoff
}

// backends are the kinds by the name that BACKEND gives them.
var backends = map[string]backend{
	"smsp": {check: (*config).checkSMSP, require: (*config).requireSMSP, open: openSMSP, reach: reachSMSP},
	"pds": {
		check: (*config).checkPDS, require: (*config).requirePDS, open: openPDS, reach: reachPDS,
		backoff: pds.Backoff{Delay: time.Second, MaxDelay: 4 * time.Second, Factor: 2},
	},
}

// pace is BACKEND_RATE with a back end's own default, in calls a second.
func (c *config) pace(perSecond float64) *pds.Pace {
	rate := c.BackendRate.or(perSecond)
	return pds.NewPace(rate, int(math.Ceil(rate)))
}

// parseProxy reads the setting of a proxy. The error does not hold it: it may have a password.
func parseProxy(name string, s Secret) (*url.URL, error) {
	if s.Reveal() == "" {
		return nil, nil
	}
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s%s: is not an http or https URL", prefix, name)
	}
	return u, nil
}

// given returns the values that are.
func given(values ...string) []string {
	return slices.DeleteFunc(values, func(s string) bool { return s == "" })
}

// A road leads to a back end.
type road struct {
	what    string // where it ends, in a word
	to      *url.URL
	proxy   *url.URL // nil: none
	tls     *tls.Config
	connect time.Duration
}

// reach connects to the end of the road, or as far as the proxy, and shakes hands.
func reach(ctx context.Context, r road) (string, error) {
	if r.proxy != nil {
		r.to, r.what = r.proxy, "proxy"
	}
	nc, err := (&net.Dialer{Timeout: r.connect}).DialContext(ctx, "tcp", hostPort(r.to))
	if err != nil {
		return "", fmt.Errorf("%s cannot be reached: %w", r.what, err)
	}
	defer nc.Close()
	if r.proxy != nil || r.to.Scheme == "http" {
		return r.what + " reached", nil
	}
	conf := r.tls.Clone()
	conf.ServerName = cmp.Or(conf.ServerName, r.to.Hostname())
	tc := tls.Client(nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("%s reached, but TLS: %w", r.what, err)
	}
	if err := refused(tc); err != nil {
		return "", fmt.Errorf("%s reached, but it refuses our certificate: %w", r.what, err)
	}
	leaf := tc.ConnectionState().PeerCertificates[0]
	return fmt.Sprintf("%s reached by TLS, its certificate is valid until %s", r.what, leaf.NotAfter.Format(time.DateOnly)), nil
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
