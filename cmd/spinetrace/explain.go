package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
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
		x := explained{l, e}
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
}

// print writes for a person, NHS numbers 3-3-4.
func (x explained) print(w io.Writer) error {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%s, message %d: %s\n", x.File, x.Number, x.Route)
	writeRows(&page, []factRow{
		{"local numbers", x.locals()},
		{"NHS number", x.NHSNumber.Spaced()},
		{"status", x.Status},
		{"recorded", stamp(x.Recorded)},
		{"read with", strings.Join(x.Warnings, "; ")},
		{"would ask", x.question()},
		{"would be answered", strings.TrimSpace(x.Ack + " " + x.Text)},
		{"because", x.Reason},
		{"note", x.note()},
	})
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
	if x.Request == nil {
		out["answer"] = onlyKnown(map[string]string{"code": x.Ack, "text": x.Text, "reason": x.Reason})
		return out
	}
	out["ask"] = map[string]any{"operation": x.Request.Want.String(), "fields": askedFields(*x.Request), "after_the_answer": x.Deferred}
	return out
}
