package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"

	"spinetrace/store"
)

// exportRow is what a row is made of.
type exportRow struct {
	store.Event
	facts   store.Facts
	digests []store.Digest
}

// exportColumns are the columns of the CSV: an event's place in the journal, then its facts by the
// names they have there. The order is part of what is promised: new ones come last.
var exportColumns = []struct {
	name  string
	value func(r exportRow) string
}{
	{"chain", func(r exportRow) string { return r.Chain }},
	{"seq", func(r exportRow) string { return number(r.Seq) }},
	{"at", func(r exportRow) string { return r.Stamp() }},
	{"kind", func(r exportRow) string { return r.Kind.String() }},
	{"exchange", func(r exportRow) string { return idOrNone(r.Exchange) }},
	{"peer", func(r exportRow) string { return r.facts.Peer }},
	{"tls_subject", func(r exportRow) string { return r.facts.Subject }},
	{"application", func(r exportRow) string { return r.facts.Application }},
	{"facility", func(r exportRow) string { return r.facts.Facility }},
	{"control_id", func(r exportRow) string { return r.facts.ControlID }},
	{"type", func(r exportRow) string { return r.facts.Type }},
	{"user", func(r exportRow) string { return r.facts.User }},
	{"role", func(r exportRow) string { return r.facts.Role }},
	{"local_id", func(r exportRow) string { return r.facts.LocalID }},
	{"nhs_number_sent", func(r exportRow) string { return r.facts.NHSSent }},
	{"nhs_number_found", func(r exportRow) string { return r.facts.NHSFound }},
	{"attempt", func(r exportRow) string { return number(int64(r.facts.Attempt)) }},
	{"backend", func(r exportRow) string { return r.facts.Backend }},
	{"operation", func(r exportRow) string { return r.facts.Operation }},
	{"endpoint", func(r exportRow) string { return r.facts.Endpoint }},
	{"message_id", func(r exportRow) string { return r.facts.MessageID }},
	{"tracking_id", func(r exportRow) string { return r.facts.TrackingID }},
	{"payload_id", func(r exportRow) string { return r.facts.PayloadID }},
	{"answer_message_id", func(r exportRow) string { return r.facts.AnswerID }},
	{"http_status", func(r exportRow) string { return number(int64(r.facts.Status)) }},
	{"code", func(r exportRow) string { return r.facts.Code }},
	{"took_us", func(r exportRow) string { return number(r.facts.TookMicros) }},
	{"ack", func(r exportRow) string { return r.facts.Ack }},
	{"outcome", func(r exportRow) string { return r.facts.Outcome }},
	{"nhs_number_status", func(r exportRow) string { return r.facts.Decision }},
	{"reason", func(r exportRow) string { return r.facts.Reason }},
	{"software", func(r exportRow) string { return r.facts.Version }},
	{"configuration", func(r exportRow) string { return r.facts.Config }},
	{"host", func(r exportRow) string { return r.facts.Host }},
	{"login", func(r exportRow) string { return r.facts.Login }},
	{"database_login", func(r exportRow) string { return r.facts.DBLogin }},
	{"filters", func(r exportRow) string { return object(r.facts.Filters) }},
	{"rows", func(r exportRow) string { return number(int64(r.facts.Rows)) }},
	{"from", func(r exportRow) string { return number(r.facts.From) }},
	{"to", func(r exportRow) string { return number(r.facts.To) }},
	{"destination", func(r exportRow) string { return r.facts.Destination }},
	{"letter", func(r exportRow) string { return number(r.facts.Letter) }},
	{"items", func(r exportRow) string { return r.facts.Items }},
	{"item", func(r exportRow) string { return number(r.facts.Item) }},
	{"differences", func(r exportRow) string { return r.facts.Differences }},
	{"heads", func(r exportRow) string { return object(r.facts.Heads) }},
	{"details", func(r exportRow) string { return object(r.facts.Details) }},
	{"bodies", func(r exportRow) string { return digestText(r.digests) }},
	{"hash", func(r exportRow) string { return r.Hash.String() }},
}

// csvSink writes one row for every event. As in every list, the label and the end have a column of
// their own.
type csvSink struct {
	out  *csv.Writer
	cell func(string) string
	rows int
}

func newCSVSink(_ *exporting, _ store.Store, t *target) (sink, error) {
	s := &csvSink{out: csv.NewWriter(t), cell: cellFor(t.to)}
	line := make([]string, 0, len(exportColumns)+1)
	for _, c := range exportColumns {
		line = append(line, c.name)
	}
	return s, s.out.Write(append(line, confidential))
}

func (s *csvSink) take(_ context.Context, e store.Event) (rows int, err error) {
	r := exportRow{Event: e}
	if r.facts, err = e.Facts(); err == nil {
		r.digests, err = e.Digests()
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w; audit verify says where the chain breaks", place{e.Chain, e.Seq}, err)
	}
	line := make([]string, 0, len(exportColumns)+1)
	for _, c := range exportColumns {
		line = append(line, s.cell(c.value(r)))
	}
	s.rows++
	return 1, s.out.Write(append(line, ""))
}

func (s *csvSink) end() error {
	line := make([]string, len(exportColumns)+1)
	line[len(exportColumns)] = lastLine(s.rows, 1)
	if err := s.out.Write(line); err != nil {
		return err
	}
	s.out.Flush()
	return s.out.Error()
}

func (s *csvSink) left() (string, error) { return "", nil }

// harmless keeps a spreadsheet from taking what a sender wrote for a formula: an apostrophe comes
// before it. It comes before an apostrophe, too, so that taking one away gives back every value.
func harmless(cell string) string {
	if cell != "" && strings.IndexByte("=+-@\t\r'", cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// object writes a map as JSON, "" if there is nothing in it.
func object(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // texts always can be
	return string(b)
}

// digestText names the bodies of an event, each with its size and SHA-256.
func digestText(digests []store.Digest) string {
	var all []string
	for _, d := range digests {
		all = append(all, fmt.Sprintf("%s %d %s", d.Kind, d.Size, d.SHA256))
	}
	return strings.Join(all, "; ")
}

func idOrNone(id store.ID) string {
	if id == (store.ID{}) {
		return ""
	}
	return id.String()
}
