package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// checkConfig prints every fault in the settings.
func checkConfig(ctx context.Context, c console, args []string) error {
	fs := newFlags("check-config", "check-config [flags]\n\nPrints every fault in the settings for serve. The exit code is 1 if there is one.")
	connect := fs.Bool("connect", false, "also try the store, the back end and the certificates")
	timeout := fs.Duration("timeout", 10*time.Second, "longest time for each try of --connect")
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	explain := fs.String("explain", "", "say how each message of this `file` would be treated, and why; nobody is asked")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	cfg, found := readConfig()
	cfg.require(&found)
	cfg.checkFiles(&found)
	r := report{w: c.Out, json: *asJSON}
	for _, x := range found {
		r.line(finding{Check: prefix + x.name, Fault: x.text})
	}
	if len(found) == 0 {
		r.line(finding{Check: "settings", Result: "no faults; digest " + cfg.digest()[:16]})
		if *connect {
			r.try(ctx, &cfg, *timeout)
		}
	}
	if err := r.err(); err != nil || *explain == "" {
		return err
	}
	return explainFile(ctx, c, &cfg, *explain, *asJSON)
}

// finding is one line of the report.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result,omitempty"`
	Fault  string `json:"fault,omitempty"`
}

// report prints findings and counts the faults among them.
type report struct {
	w      io.Writer
	json   bool
	faults int
	failed error // of w
}

func (r *report) line(f finding) {
	if f.Fault != "" {
		r.faults++
	}
	var err error
	switch {
	case r.json:
		err = json.NewEncoder(r.w).Encode(f)
	case f.Fault != "":
		_, err = fmt.Fprintf(r.w, "%s: %s\n", f.Check, f.Fault)
	default:
		_, err = fmt.Fprintf(r.w, "%s: ok, %s\n", f.Check, f.Result)
	}
	if err != nil && r.failed == nil {
		r.failed = err
	}
}

func (r *report) err() error {
	switch {
	case r.failed != nil:
		return r.failed
	case r.faults == 1:
		return fmt.Errorf("1 fault")
	case r.faults > 0:
		return fmt.Errorf("%d faults", r.faults)
	}
	return nil
}

// tries are what `--connect` does, one line each.
var tries = []struct {
	name string
	try  func(ctx context.Context, cfg *config) (string, error)
}{
	{"listener certificate", tryListener},
	{"client certificate", tryClientCertificate},
	{"store", tryStore},
	{"back end", func(ctx context.Context, cfg *config) (string, error) {
		return backends[cfg.Backend].reach(ctx, cfg)
	}},
	{"PAS", func(ctx context.Context, cfg *config) (string, error) { return cfg.peers()[0].reach(ctx) }},
	{"forward", func(ctx context.Context, cfg *config) (string, error) { return cfg.peers()[1].reach(ctx) }},
	{"webhook", reachWebhook},
	{"mail", reachMail},
}

func (r *report) try(ctx context.Context, cfg *config, timeout time.Duration) {
	for _, t := range tries {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		said, err := t.try(ctx, cfg)
		cancel()
		if err != nil {
			r.line(finding{Check: t.name, Fault: err.Error()})
			continue
		}
		r.line(finding{Check: t.name, Result: said})
	}
}

func tryListener(_ context.Context, cfg *config) (string, error) {
	c, err := serverTLS(cfg)
	switch {
	case err != nil:
		return "", err
	case c == nil:
		return "none needed, MLLP_TLS is off", nil
	}
	return validity(ends(c), time.Now()), nil
}

// tryClientCertificate reads what the provider is shown.
func tryClientCertificate(_ context.Context, cfg *config) (string, error) {
	if cfg.SMSPCert == "" {
		return "none, SMSP_CERT is not set", nil
	}
	pair, err := readPair(cfg.SMSPCert, cfg.SMSPKey)
	if err != nil {
		return "", fmt.Errorf("%sSMSP_CERT: %w", prefix, err)
	}
	return validity(pair.Leaf.NotAfter, time.Now()), nil
}
