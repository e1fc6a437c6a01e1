package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"spinetrace/store"
)

// confidential is the first line of everything that shows a patient's data to a person.
const confidential = "NHS Confidential: Personal Data about a patient"

// showing is what `audit show` was asked for.
type showing struct {
	controlID string
	at        place // the zero place: wherever the control id leads
	bodies    bool
	fields    bool // messages with the names of their fields
	json      bool
	as        string
}

// maxHits is how many messages with one control id are listed.
const maxHits = 200

// auditShow shows the whole story of one message.
func auditShow(ctx context.Context, c console, args []string) error {
	var s showing
	fs := newFlags("audit show", "audit show CONTROL-ID [flags]\n       spinetrace audit show --seq CHAIN:N [flags]\n\nShows all that happened to one message, in order. CONTROL-ID is its MSH-10, or the id of\nits exchange. That somebody looked is recorded first, on the chain of the commands.\n\nNothing is recomputed here: whether an event was changed is for audit verify --bodies\nto say.")
	fs.Func("seq", "choose the message that has an event at this place, `CHAIN:N`", func(text string) (err error) {
		s.at, err = parsePlace(text)
		return err
	})
	fs.BoolVar(&s.bodies, "bodies", false, "show what the back end was asked and what it answered, too")
	fs.BoolVar(&s.fields, "fields", false, "print messages with the names of their fields")
	fs.BoolVar(&s.json, "json", false, "print one JSON object for every event")
	fs.StringVar(&s.as, "as", osUser(), "`name` of who looks, for the record")
	if err := parse(fs, c, args, 1); err != nil {
		return err
	}
	switch {
	case fs.NArg() == 0 && s.at == (place{}):
		return usageError("no control id was given")
	case s.fields && s.json:
		return errFieldsJSON
	}
	if err := checkWho(s.as, "looks"); err != nil {
		return err
	}
	s.controlID = fs.Arg(0)
	return reading(ctx, c, func(db store.Store) error { return s.run(ctx, c.Out, db) })
}

// place is where an event stands: number N of a chain.
type place struct {
	chain string
	seq   int64
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.chain, p.seq) }

func parsePlace(s string) (place, error) {
	chain, digits, _ := strings.Cut(s, ":")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if chain == "" || err != nil || seq < 1 {
		return place{}, errors.New("write CHAIN:N, for example main:42")
	}
	return place{chain, seq}, nil
}

// errNoSuchMessage says that there is nothing to show.
var errNoSuchMessage = errors.New("the journal holds no such message")

// run finds, records the look, and only then shows.
func (s showing) run(ctx context.Context, w io.Writer, db store.Store) error {
	hits, story, err := s.search(ctx, db)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	switch {
	case len(hits) > 0:
		err = s.list(&page, hits)
	case len(story) > 0:
		err = s.tell(ctx, &page, db, story)
	}
	if err != nil {
		return err
	}
	if err := look(ctx, db, s.as, s.filters(), len(hits)+len(story)); err != nil {
		return err
	}
	if page.Len() == 0 {
		return errNoSuchMessage
	}
	_, err = w.Write(page.Bytes())
	return err
}

// filters are what the record says was looked for.
func (s showing) filters() map[string]string {
	f := map[string]string{"command": "audit show"}
	if s.controlID != "" {
		f["control_id"] = s.controlID
	}
	if s.at != (place{}) {
		f["seq"] = s.at.String()
	}
	if s.bodies {
		f["bodies"] = "yes"
	}
	return f
}

// search returns the events of the one message that is meant, or the messages to choose
// from, or neither.
func (s showing) search(ctx context.Context, db store.Store) (hits []store.Exchange, story []store.Event, err error) {
	if s.controlID != "" {
		if hits, err = db.Find(ctx, s.controlID, maxHits); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case s.at != (place{}):
		story, err = s.atPlace(ctx, db, hits)
		return nil, story, err
	case len(hits) > 1:
		return hits, nil, nil
	case len(hits) == 1:
		story, err = collect(ctx, db, store.Query{Exchange: hits[0].ID}, -1)
		return nil, story, err
	}
	id, err := uuid.Parse(s.controlID)
	if err != nil || id == (store.ID{}) {
		return nil, nil, nil // a control id that nothing has
	}
	story, err = collect(ctx, db, store.Query{Exchange: id}, -1)
	return nil, story, err
}

// atPlace returns the events of the message that an event belongs to; that event alone if
// it belongs to none. A control id, if one was given, must be that message's.
func (s showing) atPlace(ctx context.Context, db store.Store, hits []store.Exchange) ([]store.Event, error) {
	found, err := collect(ctx, db, store.Query{Chain: s.at.chain, From: s.at.seq}, 1)
	if err != nil || len(found) == 0 || found[0].Seq != s.at.seq {
		return nil, err
	}
	id := found[0].Exchange
	same := func(x store.Exchange) bool { return x.ID == id }
	switch {
	case s.controlID != "" && !slices.ContainsFunc(hits, same):
		return nil, nil
	case id == (store.ID{}):
		return found, nil
	}
	return collect(ctx, db, store.Query{Exchange: id}, -1)
}

// collect reads at most limit events; a negative limit is none.
func collect(ctx context.Context, db store.Audit, q store.Query, limit int) ([]store.Event, error) {
	var events []store.Event
	for e, err := range db.Events(ctx, q) {
		if err != nil {
			return nil, err
		}
		if events = append(events, e); len(events) == limit {
			break
		}
	}
	return events, nil
}

// list writes the messages to choose from, newest first.
func (s showing) list(page *bytes.Buffer, hits []store.Exchange) error {
	if s.json {
		for _, x := range hits {
			if err := encodeJSON(page, hitJSON(x)); err != nil {
				return err
			}
		}
		return nil
	}
	many := strconv.Itoa(len(hits))
	if len(hits) == maxHits {
		many = "At least " + many
	}
	fmt.Fprintf(page, "%s\n\n%s messages have this control id, the newest first. Choose one with --seq:\n\n", confidential, many)
	for _, x := range hits {
		from := strings.Trim(x.Application+", "+x.Facility, ", ")
		fmt.Fprintf(page, "  --seq %-14s %s  %-12s %s from %s\n",
			place{x.Chain, x.Seq}, x.At.Format(timeText), x.Outcome, printable(x.Type), printable(from))
	}
	return nil
}

func hitJSON(x store.Exchange) map[string]any {
	return map[string]any{
		"seq": place{x.Chain, x.Seq}.String(), "exchange": x.ID.String(), "at": x.At,
		"application": x.Application, "facility": x.Facility, "control_id": x.ControlID, "type": x.Type,
		"local_id": x.LocalID, "nhs_number_sent": x.NHSNumber, "nhs_number_found": x.NHSFound, "outcome": x.Outcome.String(),
	}
}

// tell writes the story of one message.
func (s showing) tell(ctx context.Context, page *bytes.Buffer, db store.Audit, story []store.Event) error {
	if !s.json {
		fmt.Fprintf(page, "%s\n\n%s\n", confidential, headline(story))
	}
	for _, e := range story {
		parts, kept, err := db.Parts(ctx, e)
		damaged := errors.Is(err, store.ErrParts)
		if err != nil && !damaged {
			return err
		}
		if s.json {
			if err := encodeJSON(page, s.eventJSON(e, parts)); err != nil {
				return err
			}
			continue
		}
		s.tellEvent(page, e, parts, kept || damaged)
	}
	return nil
}

// shows tells whether bodies of a kind were asked for.
func (s showing) shows(kind store.PartKind) bool {
	return s.bodies || isMessage(kind)
}

// eventJSON is an event for programs: the document that the chain's hashes are made of, byte
// for byte if it is JSON, and the bodies asked for.
func (s showing) eventJSON(e store.Event, parts []store.Part) any {
	type body struct {
		Kind string `json:"kind"`
		Text string `json:"text,omitempty"`
		Data []byte `json:"base64,omitempty"` // when the bytes are not UTF-8
	}
	out := struct {
		Event any    `json:"event"`
		Hash  string `json:"hash"`
		Parts []body `json:"contents,omitempty"`
	}{Event: e.Doc, Hash: e.Hash.String()}
	if json.Valid([]byte(e.Doc)) {
		out.Event = json.RawMessage(e.Doc)
	}
	for _, p := range parts {
		b := body{Kind: p.Kind.String(), Data: p.Data}
		if utf8.Valid(p.Data) {
			b.Text, b.Data = string(p.Data), nil
		}
		if s.shows(p.Kind) {
			out.Parts = append(out.Parts, b)
		}
	}
	return out
}
