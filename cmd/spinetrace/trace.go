package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"spinetrace/pds"
)

// tracing is what `trace` was asked.
type tracing struct {
	nhsNumber numberFlag

	family, given, dob, sex, postcode string

	details bool
	json    bool
	as      string
	role    string
}

// trace asks the configured back end about one patient.
func trace(ctx context.Context, c console, args []string) error {
	var t tracing
	fs := newFlags("trace", "trace --nhs-number N --dob YYYY-MM-DD [flags]\n       spinetrace trace --family NAME --dob YYYY-MM-DD --sex SEX [flags]\n\nAsks the back end of the settings who one patient is: verifies a number, or searches for\none. Prints what was asked, every call that was made, and why the answer was accepted or\nnot. It is recorded like any other question, on the chain of the commands. The exit code\nis 0 if there was an answer, whatever it says, and 1 if nobody could find out.")
	fs.Var(&t.nhsNumber, "nhs-number", "NHS `number`, with or without spaces; none means a search")
	fs.StringVar(&t.family, "family", "", "family `name`")
	fs.StringVar(&t.given, "given", "", "given `name`")
	fs.StringVar(&t.dob, "dob", "", "`date` of birth, YYYY-MM-DD or YYYYMMDD")
	fs.StringVar(&t.sex, "sex", "", "M or 1, F or 2, A or 9 (not specified), U or 0 (not known)")
	fs.StringVar(&t.postcode, "postcode", "", "home `postcode`; narrows a search")
	fs.BoolVar(&t.details, "details", false, "ask for the patient's details, not only for the number")
	fs.BoolVar(&t.json, "json", false, "print one JSON object")
	fs.StringVar(&t.as, "as", osUser(), "`name` of who asks, for the record")
	fs.StringVar(&t.role, "role", "", "role `profile` of the smartcard of who asks, if ACCESS is smartcard")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := checkWho(t.as, "asks"); err != nil {
		return err
	}
	req, err := t.request()
	if err != nil {
		return err
	}
	cfg, err := serviceConfig()
	if err != nil {
		return err
	}
	if refused, ok := cfg.rules().Check(req); !ok {
		return usageError("the question cannot be asked: " + strings.TrimPrefix(refused.Reason, "local check: "))
	}
	return t.ask(ctx, c, &cfg, req)
}

// sexFlags are the values of --sex.
var sexFlags = map[string]pds.Sex{
	"": 0, "M": pds.SexMale, "1": pds.SexMale, "F": pds.SexFemale, "2": pds.SexFemale,
	"A": pds.SexNotSpecified, "9": pds.SexNotSpecified, "U": pds.SexNotKnown, "0": pds.SexNotKnown,
}

// request makes the question of the flags. Its errors do not repeat them: a terminal's log
// is no place for a patient.
func (t *tracing) request() (pds.Request, error) {
	req := pds.Request{User: t.as, Role: strings.TrimSpace(t.role), Want: t.want(), NHSNumber: t.nhsNumber.NHSNumber, Who: pds.Demographics{
		Family: strings.TrimSpace(t.family), Given: strings.TrimSpace(t.given), Postcode: printedPostcode(t.postcode),
	}}
	var err error
	if t.dob != "" {
		if req.Who.BirthDate, err = pds.ParseDate(strings.ReplaceAll(t.dob, "-", "")); err != nil {
			return req, usageError("--dob is not a date; write YYYY-MM-DD")
		}
	}
	sex, ok := sexFlags[strings.ToUpper(t.sex)]
	if !ok {
		return req, usageError("--sex is not one of M, F, A and U")
	}
	req.Who.Sex = sex
	return req, nil
}

// want is what an ADT with these fields would ask.
func (t *tracing) want() pds.Want {
	switch {
	case !t.nhsNumber.IsZero() && t.details:
		return pds.DetailsByNumber
	case !t.nhsNumber.IsZero():
		return pds.Verify
	case t.details:
		return pds.DetailsBySearch
	}
	return pds.Number
}

// printedPostcode puts a postcode into its printed form: capitals, one space.
func printedPostcode(s string) string {
	s = strings.ToUpper(strings.Join(strings.Fields(s), ""))
	if len(s) < 5 || strings.ContainsAny(s, "*?%") {
		return s
	}
	return s[:len(s)-3] + " " + s[len(s)-3:]
}

// ask asks and prints the answer.
func (t *tracing) ask(ctx context.Context, c console, cfg *config, req pds.Request) error {
	m := newMetrics(thisBuild()) // nobody looks at them here
	client, err := backends[cfg.Backend].open(cfg, new(certificates))
	if err != nil {
		return err
	}
	if idle, ok := client.(interface{ CloseIdleConnections() }); ok {
		defer idle.CloseIdleConnections()
	}
	log := newLogger(c.Err, max(cfg.LogLevel, slog.LevelWarn))
	tracer, _ := limited(client, cfg, m, slog.New(slog.DiscardHandler))
	var calls hearing
	h, err := newHandler(cfg, calls.of(tracer), m, log)
	if err != nil {
		return err
	}
	db, err := startStore(ctx, cfg, c)
	if err != nil {
		return err
	}
	h.Journal = db
	a := tracedAnswer{backend: cfg.Backend, req: req}
	start := time.Now()
	a.id, a.res, a.err = h.Trace(ctx, t.as, req)
	a.took, a.calls = time.Since(start), calls.all
	return errors.Join(t.tell(c.Out, a), db.Close())
}

// tell prints the answer, or what was done to get one. An answer that is not recorded is not
// shown.
func (t *tracing) tell(w io.Writer, a tracedAnswer) error {
	class := pds.ClassOf(a.err)
	if a.err != nil && (class == 0 || class == pds.Unrecorded) {
		return a.err
	}
	print := a.print
	if t.json {
		print = func(w io.Writer) error { return encodeJSON(w, a.json()) }
	}
	if err := print(w); err != nil || a.err == nil {
		return err
	}
	return fmt.Errorf("nobody could find out (recorded as %s): %w", a.id, a.err)
}
