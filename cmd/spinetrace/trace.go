package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// tracing is what `trace` was asked.
type tracing struct {
	nhsNumber, family, given, dob, sex, postcode string

	details bool
	json    bool
	as      string
}

// trace asks the configured back end about one patient.
func trace(ctx context.Context, c console, args []string) error {
	var t tracing
	fs := newFlags("trace", "trace --nhs-number N --dob YYYY-MM-DD [flags]\n       spinetrace trace --family NAME --dob YYYY-MM-DD --sex SEX [flags]\n\nAsks the back end of the settings who one patient is: verifies a number, or searches for\none. It is recorded like any other question, on the chain of the commands. The exit code\nis 0 if there was an answer, whatever it says, and 1 if nobody could find out.")
	fs.StringVar(&t.nhsNumber, "nhs-number", "", "NHS `number`, with or without spaces; none means a search")
	fs.StringVar(&t.family, "family", "", "family `name`")
	fs.StringVar(&t.given, "given", "", "given `name`")
	fs.StringVar(&t.dob, "dob", "", "`date` of birth, YYYY-MM-DD or YYYYMMDD")
	fs.StringVar(&t.sex, "sex", "", "M or 1, F or 2, A or 9 (not specified), U or 0 (not known)")
	fs.StringVar(&t.postcode, "postcode", "", "home `postcode`; narrows a search")
	fs.BoolVar(&t.details, "details", false, "ask for the patient's details, not only for the number")
	fs.BoolVar(&t.json, "json", false, "print one JSON object")
	fs.StringVar(&t.as, "as", osUser(), "`name` of who asks, for the record")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if t.as == "" {
		return usageError("--as must name who asks")
	}
	req, err := t.request()
	if err != nil {
		return err
	}
	cfg, err := serviceConfig()
	if err != nil {
		return err
	}
	rules := pds.Rules{AllowWildcards: cfg.AllowWildcards, AllowPartialDOB: cfg.AllowPartialDOB}
	if refused, ok := rules.Check(req); !ok {
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
	req := pds.Request{Want: t.want(), Who: pds.Demographics{
		Family: strings.TrimSpace(t.family), Given: strings.TrimSpace(t.given), Postcode: printedPostcode(t.postcode),
	}}
	var err error
	if t.nhsNumber != "" {
		if req.NHSNumber, err = pds.ParseNHSNumber(t.nhsNumber); err != nil {
			return req, usageError("--nhs-number is not an NHS number: " + strings.TrimPrefix(err.Error(), "pds: "))
		}
	}
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
	case t.nhsNumber != "" && t.details:
		return pds.DetailsByNumber
	case t.nhsNumber != "":
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
	h, err := newHandler(cfg, tracer, m, log)
	if err != nil {
		return err
	}
	db, err := startStore(ctx, cfg, c)
	if err != nil {
		return err
	}
	h.Journal = db
	return errors.Join(t.record(ctx, c.Out, h, cfg.Backend, req), db.Close())
}

// record asks, which is recorded, and prints the answer.
func (t *tracing) record(ctx context.Context, w io.Writer, h *exchange.Handler, backend string, req pds.Request) error {
	start := time.Now()
	id, res, err := h.Trace(ctx, t.as, req)
	if class := pds.ClassOf(err); class != 0 && class != pds.Unrecorded {
		return fmt.Errorf("nobody could find out (recorded as %s): %w", id, err)
	}
	if err != nil {
		return err
	}
	a := tracedAnswer{backend, id, req, res, time.Since(start)}
	if t.json {
		return encodeJSON(w, a.json())
	}
	return a.print(w)
}

// tracedAnswer is a question and its answer.
type tracedAnswer struct {
	backend string
	id      store.ID
	req     pds.Request
	res     pds.Result
	took    time.Duration
}

// outcome is the word that the journal and the metrics have for the answer.
func (a tracedAnswer) outcome() string {
	switch {
	case a.res.Outcome != pds.Matched:
		return a.res.Outcome.String()
	case a.req.Want == pds.Verify:
		return store.Verified.String()
	}
	return store.Traced.String()
}

// print writes the answer for a person, NHS numbers 3-3-4.
func (a tracedAnswer) print(w io.Writer) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s\n\nAsked %s: %s\n", confidential, a.backend, a.req.Want)
	writeRows(&page, []factRow{
		{"NHS number", a.req.NHSNumber.Spaced()},
		{"family name", a.req.Who.Family},
		{"given name", a.req.Who.Given},
		{"born", birthday(a.req.Who.BirthDate)},
		{"sex", sexWord(a.req.Who.Sex)},
		{"postcode", a.req.Who.Postcode},
	})
	fmt.Fprintf(&page, "\nAnswered: %s\n", a.outcome())
	writeRows(&page, []factRow{
		{"code", a.res.Code},
		{"decided by", a.res.Reason},
		{"NHS number", a.res.NHSNumber.Spaced()},
	})
	if p := a.res.Patient; p != nil {
		writeRows(&page, patientRows(p))
	}
	fmt.Fprintf(&page, "\nTook %s; recorded as %s\n", a.took.Round(time.Millisecond), a.id)
	_, err := w.Write(page.Bytes())
	return err
}

// patientRows are the demographics of a national record.
func patientRows(p *pds.Patient) []factRow {
	restricted := ""
	if p.RestrictedPossible {
		restricted = "no address, telephone or practice: the record may be restricted"
	}
	return []factRow{
		{"family name", p.Family},
		{"given names", strings.Join(p.Given, " ")},
		{"title", p.Title},
		{"born", birthday(p.BirthDate)},
		{"sex", sexWord(p.Sex)},
		{"died", deathText(p)},
		{"address", addressText(p.Home)},
		{"temporary address", addressText(p.Temporary)},
		{"postal address", addressText(p.Postal)},
		{"telephone", p.Phone},
		{"mobile", p.Mobile},
		{"email", p.Email},
		{"practice", strings.TrimSpace(p.PracticeCode + " " + p.PracticeName)},
		{"note", restricted},
	}
}

// deathText says that a patient has died, and when as far as it is known.
func deathText(p *pds.Patient) string {
	if p.Deceased {
		return cmp.Or(p.DeathTime, "at a time not known")
	}
	return ""
}

// addressText writes an address on one line.
func addressText(a pds.Address) string {
	var list []string
	for _, line := range append(a.Lines[:len(a.Lines):len(a.Lines)], a.Postcode) {
		if line != "" {
			list = append(list, line)
		}
	}
	return strings.Join(list, ", ")
}

// birthday writes a date as NHS systems show it, as far as it is known.
func birthday(d pds.Date) string {
	layout := map[bool]string{true: "02-Jan-2006", false: "Jan-2006"}[d.Full()]
	if d.Month == 0 {
		return d.Digits()
	}
	return time.Date(d.Year, time.Month(d.Month), max(d.Day, 1), 0, 0, 0, 0, time.UTC).Format(layout)
}

func sexWord(s pds.Sex) string {
	return map[pds.Sex]string{
		pds.SexMale: "male", pds.SexFemale: "female", pds.SexNotSpecified: "not specified", pds.SexNotKnown: "not known",
	}[s]
}

// json is the answer for a program: NHS numbers are ten digits, dates YYYYMMDD.
func (a tracedAnswer) json() any {
	out := map[string]any{
		"backend": a.backend, "operation": a.req.Want.String(), "exchange": a.id.String(),
		"outcome": a.outcome(), "code": a.res.Code, "rule": a.res.Reason,
		"took_ms": float64(a.took.Microseconds()) / 1000,
		"asked": onlyKnown(map[string]string{
			"nhs_number": a.req.NHSNumber.Digits(), "family": a.req.Who.Family, "given": a.req.Who.Given,
			"birth_date": a.req.Who.BirthDate.Digits(), "sex": a.req.Who.Sex.Code(), "postcode": a.req.Who.Postcode,
		}),
	}
	if !a.res.NHSNumber.IsZero() {
		out["nhs_number"] = a.res.NHSNumber.Digits()
	}
	if p := a.res.Patient; p != nil {
		out["patient"] = onlyKnown(map[string]string{
			"family": p.Family, "given": strings.Join(p.Given, " "), "title": p.Title,
			"birth_date": p.BirthDate.Digits(), "sex": p.Sex.Code(), "died": deathText(p),
			"address": addressText(p.Home), "postcode": p.Home.Postcode, "telephone": p.Phone, "mobile": p.Mobile,
			"email": p.Email, "practice": p.PracticeCode, "practice_name": p.PracticeName,
		})
	}
	return out
}

// onlyKnown leaves out what is not known.
func onlyKnown(m map[string]string) map[string]string {
	for key, value := range m {
		if value == "" {
			delete(m, key)
		}
	}
	return m
}
