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
	exchange  store.ID // zero: wherever the control id leads
	at        place    // the same
	bodies    bool
	fields    bool // messages with the names of their fields
	json      bool
	csv       bool // the facts, a row for each
	as        string
}

// maxHits is how many messages with one control id are listed.
const maxHits = 200

// auditShow shows the whole story of one message.
func auditShow(ctx context.Context, c console, args []string) error {
	var s showing
	fs := newFlags("audit show", "audit show CONTROL-ID [flags]\n       spinetrace audit show --exchange ID [flags]\n       spinetrace audit show --seq CHAIN:N [flags]\n\nShows all that happened to one message, in order, and at the end what was answered, to\nwhom. CONTROL-ID is its MSH-10, or the id of its exchange; audit find finds them. That\nsomebody looked is recorded first, on the chain of the commands.\n\nWhat is shown is checked: each event's hash against the event before it and its document,\nits columns against the document, its messages and envelopes against their digests. What\ndoes not hold is marked with !! and the exit code is 1: audit verify --bodies then says\nwhat is wrong in all of the journal.")
	fs.Func("seq", "choose the message that has an event at this place, `CHAIN:N`", func(text string) (err error) {
		s.at, err = parsePlace(text)
		return err
	})
	fs.Func("exchange", "choose the message by the `ID` of its exchange", func(text string) (err error) {
		s.exchange, err = parseID(text)
		return err
	})
	fs.BoolVar(&s.bodies, "bodies", false, "show what the back end was asked and what it answered, too")
	fs.BoolVar(&s.fields, "fields", false, "print messages with the names of their fields")
	fs.BoolVar(&s.json, "json", false, "print one JSON object for every event")
	fs.BoolVar(&s.csv, "csv", false, "print CSV, a row for every fact; of messages and envelopes size and SHA-256 only")
	fs.StringVar(&s.as, "as", osUser(), "`name` of who looks, for the record")
	if err := parse(fs, c, args, 1); err != nil {
		return err
	}
	switch {
	case fs.NArg() == 0 && s.at == (place{}) && s.exchange == (store.ID{}):
		return usageError("no control id was given")
	case s.at != (place{}) && s.exchange != (store.ID{}):
		return usageError("--seq and --exchange exclude each other")
	case s.fields && s.json:
		return errFieldsJSON
	case s.csv && (s.json || s.fields || s.bodies):
		return usageError("--csv excludes --json, --fields and --bodies")
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

// String writes a place as --seq takes it. The name of a chain that somebody forged may be anything.
func (p place) String() string { return fmt.Sprintf("%s:%d", printable(p.chain), p.seq) }

func parsePlace(s string) (place, error) {
	chain, digits, _ := strings.Cut(s, ":")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if chain == "" || err != nil || seq < 1 {
		return place{}, errors.New("write CHAIN:N, for example main:42")
	}
	return place{chain, seq}, nil
}

// parseID reads the id of an exchange.
func parseID(text string) (store.ID, error) {
	id, err := uuid.Parse(text)
	if err != nil || id == (store.ID{}) {
		return store.ID{}, errors.New("not the id of an exchange; audit find shows them with --csv")
	}
	return id, nil
}

// errNoSuchMessage says that there is nothing to show.
var errNoSuchMessage = errors.New("the journal holds no such message; if audit find lists it, its events were taken away: run spinetrace audit verify")

// run finds, records the look, and only then shows.
func (s showing) run(ctx context.Context, w io.Writer, db store.Store) error {
	hits, story, err := s.search(ctx, db)
	if err != nil {
		return err
	}
	told, err := readStory(ctx, db, story)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	switch {
	case len(hits) > 0 && s.csv:
		err = hitPage(hits).csv(&page, cellFor(w))
	case len(hits) > 0:
		err = s.list(&page, hits)
	case len(story) > 0 && s.csv:
		err = storyCSV(&page, cellFor(w), told)
	case len(story) > 0:
		err = s.tell(&page, story, told)
	}
	if err != nil {
		return err
	}
	if err := look(ctx, db, s.as, s.filters(hits, story), len(hits)+len(story)); err != nil {
		return err
	}
	if page.Len() == 0 {
		return errNoSuchMessage
	}
	if _, err = w.Write(page.Bytes()); err != nil {
		return err
	}
	return doubt(told)
}

// filters are what the record says was looked for, which messages are shown, and about whom they are.
func (s showing) filters(hits []store.Exchange, story []store.Event) map[string]string {
	f := map[string]string{"command": "audit show", "control_id": s.controlID}
	if s.at != (place{}) {
		f["seq"] = s.at.String()
	}
	if s.exchange != (store.ID{}) {
		f["exchange"] = s.exchange.String()
	}
	if s.bodies {
		f["bodies"] = "yes"
	}
	numbers, locals := make(map[string]bool), make(map[string]bool)
	for _, x := range hits {
		numbers[x.NHSNumber], numbers[x.NHSFound], locals[x.LocalID] = true, true, true
	}
	f["shown"] = idsOf(hits)
	for _, e := range story {
		facts, _ := e.Facts() // none, if the document is damaged: that is for verify to tell
		numbers[facts.NHSSent], numbers[facts.NHSFound], locals[facts.LocalID] = true, true, true
		if e.Exchange != (store.ID{}) { // of all of them it is the same
			f["shown"] = e.Exchange.String()
		}
	}
	delete(numbers, "")
	delete(locals, "")
	f["nhs_number"], f["local_id"] = strings.Join(sortedKeys(numbers), " "), strings.Join(sortedKeys(locals), " ")
	return onlyKnown(f)
}

// search returns the events of the one message that is meant, or the messages to choose
// from, or neither.
func (s showing) search(ctx context.Context, db store.Store) (hits []store.Exchange, story []store.Event, err error) {
	if s.controlID != "" {
		if hits, err = named(ctx, db, s.controlID); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case s.at != (place{}):
		story, err = s.atPlace(ctx, db, hits)
		return nil, story, err
	case s.exchange != (store.ID{}):
		story, err = s.ofExchange(ctx, db, s.exchange, hits)
		return nil, story, err
	case len(hits) > 1:
		return hits, nil, nil
	case len(hits) == 1:
		story, err = collect(ctx, db, store.Query{Exchange: hits[0].ID}, -1)
		return nil, story, err
	}
	id, err := parseID(s.controlID)
	if err != nil {
		return nil, nil, nil // a control id that nothing has
	}
	story, err = collect(ctx, db, store.Query{Exchange: id}, -1)
	return nil, story, err
}

// named returns the messages with a control id; if there is none, those that a letter or a call of
// that name followed from.
func named(ctx context.Context, db store.Audit, id string) ([]store.Exchange, error) {
	hits, err := db.Search(ctx, store.Search{ControlID: id, Limit: maxHits})
	if err == nil && len(hits) == 0 {
		hits, err = db.Search(ctx, store.Search{MessageID: id, Limit: maxHits})
	}
	return hits, err
}

// atPlace returns the events of the message that an event belongs to; that event alone if
// it belongs to none.
func (s showing) atPlace(ctx context.Context, db store.Store, hits []store.Exchange) ([]store.Event, error) {
	found, err := collect(ctx, db, store.Query{Chain: s.at.chain, From: s.at.seq, Limit: 1}, 1)
	if err != nil || len(found) == 0 || found[0].Seq != s.at.seq {
		return nil, err
	}
	if found[0].Exchange == (store.ID{}) && s.controlID == "" {
		return found, nil
	}
	return s.ofExchange(ctx, db, found[0].Exchange, hits)
}

// ofExchange returns the events of an exchange. A control id, if one was given, must be that
// message's.
func (s showing) ofExchange(ctx context.Context, db store.Store, id store.ID, hits []store.Exchange) ([]store.Event, error) {
	same := func(x store.Exchange) bool { return x.ID == id }
	if s.controlID != "" && !slices.ContainsFunc(hits, same) {
		return nil, nil
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
		return hitPage(hits).json(page)
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

// framed writes n lines of JSON between the first and the last that every export has.
func (s showing) framed(page *bytes.Buffer, n int, line func(i int) error) error {
	err := encodeJSON(page, jsonHead{Confidentiality: confidential})
	for i := 0; i < n && err == nil; i++ {
		err = line(i)
	}
	return errors.Join(err, encodeJSON(page, jsonEnd{Rows: n, Page: 1, Pages: 1, Complete: true}))
}

// tell writes the story of one message.
func (s showing) tell(page *bytes.Buffer, story []store.Event, told []toldEvent) error {
	var answers listener
	if s.json {
		return s.framed(page, len(told), func(i int) error {
			return encodeJSON(page, s.eventJSON(told[i], answers.hear(told[i])))
		})
	}
	fmt.Fprintf(page, "%s\n\n%s\n", confidential, headline(story))
	who := ""
	for _, e := range told {
		answers.hear(e)
		if e.facts.User == who {
			e.facts.User = "" // said above
		} else {
			who = e.facts.User
		}
		s.tellEvent(page, e)
	}
	answers.tell(page)
	if err := doubt(told); err != nil {
		fmt.Fprintf(page, "\n!! %s\n", err)
	}
	return nil
}

// shows tells whether bodies of a kind were asked for.
func (s showing) shows(kind store.PartKind) bool {
	return s.bodies || isMessage(kind)
}

// eventJSON is an event for programs: the document that the chain's hashes are made of, as it is if
// it is JSON, but for a DEL in it, and the bodies asked for.
func (s showing) eventJSON(e toldEvent, answer *givenAnswer) any {
	type body struct {
		Kind string `json:"kind"`
		Text string `json:"text,omitempty"`
		Data []byte `json:"base64,omitempty"` // when the bytes are not UTF-8
	}
	out := struct {
		Event  any          `json:"event"`
		Hash   string       `json:"hash"`
		Parts  []body       `json:"contents,omitempty"`
		Lacks  string       `json:"contents_missing,omitempty"`
		Wrong  []string     `json:"does_not_hold,omitempty"`
		Answer *givenAnswer `json:"answered,omitempty"`
	}{Event: e.Doc, Hash: e.Hash.String(), Lacks: e.why, Wrong: e.wrong, Answer: answer}
	if json.Valid([]byte(e.Doc)) {
		out.Event = json.RawMessage(e.Doc)
	}
	for _, p := range e.parts {
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
