package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
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
		r.line(finding{Check: "body keys", Result: saidOfKeys(&cfg)})
		if *connect {
			r.try(ctx, &cfg, *timeout)
		}
	}
	if err := r.err(); err != nil || *explain == "" {
		return err
	}
	return explainFile(ctx, c, &cfg, *explain, *asJSON)
}

// saidOfKeys says which keys of bodies there are, by their numbers.
func saidOfKeys(cfg *config) string {
	keys, err := cfg.bodyKeys()
	if err != nil || keys == nil {
		return "none, bodies are not encrypted"
	}
	var numbers []string
	for _, n := range keys.Numbers() {
		numbers = append(numbers, strconv.Itoa(n))
	}
	return fmt.Sprintf("number %s; %s encrypts", strings.Join(numbers, ", "), numbers[len(numbers)-1])
}

// finding is one line of the report.
type finding struct {
	Check   string `json:"check"`
	Result  string `json:"result,omitempty"`
	Warning string `json:"warning,omitempty"` // the service works, and somebody should know
	Fault   string `json:"fault,omitempty"`
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
	case f.Warning != "":
		_, err = fmt.Fprintf(r.w, "%s: warning, %s\n", f.Check, f.Warning)
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
	{"outbox", tryOutbox},
	{"body keys of the store", tryBodyKeys},
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
		var warned warning
		switch {
		case errors.As(err, &warned):
			for _, text := range warned {
				r.line(finding{Check: t.name, Warning: text})
			}
		case err != nil:
			r.line(finding{Check: t.name, Fault: err.Error()})
		default:
			r.line(finding{Check: t.name, Result: said})
		}
	}
}

// warning is what somebody should know, though nothing is at fault.
type warning []string

func (w warning) Error() string { return strings.Join(w, "; ") }

// noStore says why there is no store to look into, if there is none. What is wrong with it tryStore
// tells.
func noStore(ctx context.Context, cfg *config) string {
	_, err := tryStore(ctx, cfg)
	exists := cfg.driver().exists
	switch {
	case err != nil:
		return "not looked at, the store cannot be used"
	case exists != nil && exists(cfg.Store.Reveal()) != nil:
		return "empty, there is no store yet"
	}
	return ""
}

// intoStore looks into the store, if there is one, and writes nothing.
func intoStore(ctx context.Context, cfg *config, look func(store.Store) (string, error)) (string, error) {
	if why := noStore(ctx, cfg); why != "" {
		return why, nil
	}
	db, err := startStore(ctx, cfg, console{Err: io.Discard})
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }() // nothing was written
	return look(db)
}

// tryBodyKeys compares the keys of the settings with those that the store was written with.
func tryBodyKeys(ctx context.Context, cfg *config) (string, error) {
	return intoStore(ctx, cfg, func(db store.Store) (string, error) {
		if err := db.Unkeyed(); err != nil {
			return "", fmt.Errorf("%w; serve does not start without it", err)
		}
		return "none is missing or another", nil
	})
}

// tryOutbox looks for letters that nobody would deliver.
func tryOutbox(ctx context.Context, cfg *config) (string, error) {
	return intoStore(ctx, cfg, func(db store.Store) (string, error) {
		lost, err := stranded(ctx, db, cfg.destinations())
		switch {
		case err != nil:
			return "", err
		case len(lost) > 0:
			return "", warning(lost)
		}
		return "nothing waits for a destination that is not configured", nil
	})
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
