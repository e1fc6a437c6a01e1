package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
)

// explainFile says how the messages of a file would be treated under the settings. The index of
// patients is not looked at: whether a patient was traced lately is another day's answer.
func explainFile(ctx context.Context, c console, cfg *config, file string, asJSON bool) error {
	letters, err := readLetters([]string{file}, os.Stdin)
	if err != nil {
		return err
	}
	h, err := newHandler(cfg, nil, newMetrics(thisBuild()), newLogger(c.Err, max(cfg.LogLevel, slog.LevelWarn)))
	if err != nil {
		return err
	}
	for _, l := range letters {
		e, err := h.Explain(ctx, l.Message)
		if err != nil {
			return err
		}
		x := explained{l, e, cfg}
		if asJSON {
			err = encodeJSON(c.Out, x.json())
		} else {
			err = x.print(c.Out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explained is a message and how it would be treated.
type explained struct {
	letter
	exchange.Explanation
	cfg *config
}

// print writes for a person, NHS numbers 3-3-4.
func (x explained) print(w io.Writer) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s, message %d: %s\n", x.File, x.Number, x.Route)
	writeRows(&page, slices.Concat([]factRow{
		{"local numbers", x.locals()},
		{"NHS number", x.NHSNumber.Spaced()},
		{"status", x.Status},
		{"recorded", stamp(x.Recorded)},
		{"read with", strings.Join(x.Warnings, "; ")},
		{"would ask", x.question()},
		{"details", x.details()},
		{"would be answered", strings.TrimSpace(x.Ack + " " + x.Text)},
		{"because", x.Reason},
	}, each("would follow", x.follows()), []factRow{
		{"results", x.table()},
		{"note", x.note()},
	}))
	_, err := w.Write(page.Bytes())
	return err
}

// note says what the index of patients, which is not looked at here, may change.
func (x explained) note() string {
	if x.Request != nil || !strings.HasPrefix(x.Route, "Q") || x.Ack == "AR" {
		return ""
	}
	return "what the question leaves out, the service looks up in the index of patients"
}

// traces tells whether the message is an ADT that somebody would be asked about.
func (x explained) traces() bool { return x.Request != nil && x.adt() }

func (x explained) adt() bool { return strings.HasPrefix(x.Route, "ADT") }

// details says whether more than the number would be asked for: only then can the record differ.
func (x explained) details() string {
	switch {
	case !x.traces():
		return ""
	case x.cfg.ADTDetails:
		return "asked for: where Spine says otherwise, an item is opened"
	}
	return "not asked for, ADT_DETAILS is false: where Spine says otherwise, nobody hears of it"
}

// follows says what would leave beside the answer.
func (x explained) follows() []string {
	if !x.adt() {
		return nil
	}
	return append(given(x.sentHome()), x.sentOn())
}

func (x explained) sentHome() string {
	switch {
	case !x.traces():
		return ""
	case !x.cfg.returns(returnA31):
		return "no A31, RETURN does not have a31"
	case len(x.LocalIDs) == 0:
		return "no A31, the message has no local number"
	}
	return "a result that changes number or status is sent to the PAS as A31"
}

func (x explained) sentOn() string {
	taken := x.Ack == "AA" || x.Ack == "CA"
	switch {
	case !x.cfg.returns(returnForward):
		return "the message is not forwarded, RETURN does not have forward"
	case x.traces() && x.Deferred:
		return "the message is forwarded as it came, and an A31 behind it once there is a result"
	case x.traces():
		return "the message is forwarded with the result in it, or as it came and an A31 behind it if the result comes late"
	case taken && x.Text != "Not traced: own message":
		return "the message is forwarded as it came"
	}
	return "the message is not forwarded"
}

// table says which table of results holds.
func (x explained) table() string {
	switch {
	case !x.traces():
		return ""
	case x.cfg.ResultsFile != "":
		return "mean what RESULTS_FILE says"
	case x.cfg.ReferAllSuperseded:
		return "mean what the default table says; REFER_ALL_SUPERSEDED is true"
	}
	return "mean what the default table says"
}

// locals lists the trust's own numbers with their authorities.
func (x explained) locals() string {
	var all []string
	for _, key := range x.LocalIDs {
		all = append(all, strings.TrimSpace(key.LocalID+" "+key.Authority))
	}
	return strings.Join(all, ", ")
}

// question says what would be asked, and with which fields.
func (x explained) question() string {
	if x.Request == nil {
		return "nobody"
	}
	fields := askedFields(*x.Request)
	text := x.Request.Want.String() + " with " + strings.Join(fields, ", ")
	if x.Deferred {
		text += ", after the answer"
	}
	return text
}

// askedFields names the fields that are asked with. A number is compared with birth date and
// names only.
func askedFields(req pds.Request) []string {
	if req.Want == pds.Verify || req.Want == pds.DetailsByNumber {
		req.Who.Sex, req.Who.Postcode = 0, ""
	}
	var fields []string
	for _, f := range []struct {
		name string
		said bool
	}{
		{"NHS number", !req.NHSNumber.IsZero()}, {"birth date", !req.Who.BirthDate.IsZero()}, {"family name", req.Who.Family != ""},
		{"given name", req.Who.Given != ""}, {"sex", req.Who.Sex != 0}, {"postcode", req.Who.Postcode != ""},
	} {
		if f.said {
			fields = append(fields, f.name)
		}
	}
	return fields
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// json is the same for a program: the NHS number is ten digits.
func (x explained) json() any {
	out := map[string]any{
		"file": x.File, "message": x.Number, "route": x.Route, "ask": nil,
		"told": onlyKnown(map[string]string{
			"local_numbers": x.locals(), "nhs_number": x.NHSNumber.Digits(), "status": x.Status, "recorded": stamp(x.Recorded),
		}),
	}
	if len(x.Warnings) > 0 {
		out["read_with"] = x.Warnings
	}
	if all := x.follows(); len(all) > 0 {
		out["follows"] = all
	}
	if x.Request == nil {
		out["answer"] = onlyKnown(map[string]string{"code": x.Ack, "text": x.Text, "reason": x.Reason})
		return out
	}
	out["ask"] = map[string]any{"operation": x.Request.Want.String(), "fields": askedFields(*x.Request), "after_the_answer": x.Deferred}
	return out
}
