package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// sending is what `send` was asked to do.
type sending struct {
	addr        string
	tls         clientTLS
	count       int
	connections int
	rate        float64
	timeout     time.Duration
	release     int // of MLLP
	newIDs      bool
	fields      bool // answers with the names of their fields
	json        bool
}

// maxAnswer is the longest answer that is read.
const maxAnswer = 64 << 20

// letter is one frame to send, and where it comes from: a message, or a batch.
type letter struct {
	File    string
	Number  int // of its first message in the file, from 1
	Message []byte
}

// answer is how the sending of one message ended, alone or in a batch.
type answer struct {
	File      string        `json:"file"`
	Number    int           `json:"message"`
	ControlID string        `json:"control_id"`
	Ack       string        `json:"ack,omitempty"` // MSA-1
	Text      string        `json:"text,omitempty"`
	Took      time.Duration `json:"-"`
	TookMS    float64       `json:"took_ms"`
	Answer    string        `json:"answer,omitempty"`
	Err       string        `json:"error,omitempty"`
	raw       []byte
}

// positive tells whether the receiver took the message.
func (a answer) positive() bool { return a.Ack == "AA" || a.Ack == "CA" }

var (
	fhs11 = hl7v2.MustPath("FHS-11")
	bhs11 = hl7v2.MustPath("BHS-11")
	bhs12 = hl7v2.MustPath("BHS-12")
	msh10 = hl7v2.MustPath("MSH-10")
	msa1  = hl7v2.MustPath("MSA-1")
	msa2  = hl7v2.MustPath("MSA-2")
	msa3  = hl7v2.MustPath("MSA-3")
)

// send sends HL7 files over MLLP.
func send(ctx context.Context, c console, args []string) error {
	var s sending
	fs := newFlags("send", "send [flags] FILE...\n\nSends the messages of the files, framed by MLLP or plain, and prints the answers.\nA batch (FHS, BHS) goes out as one frame, and each of its messages has an answer;\na receiver that answers the whole with one acknowledgement answers each with it.\nThe file - is the standard input.\nThe exit code is 0 only if every answer is AA or CA.")
	fs.StringVar(&s.addr, "addr", "127.0.0.1:2575", "`address` of the receiver")
	s.tls.flags(fs)
	fs.IntVar(&s.count, "count", 1, "how many `times` to send every message")
	fs.IntVar(&s.connections, "connections", 1, "`number` of connections to share the messages")
	fs.Float64Var(&s.rate, "rate", 0, "messages a second, over all connections; 0 means as fast as they are answered")
	fs.DurationVar(&s.timeout, "timeout", 30*time.Second, "longest wait for an answer")
	fs.IntVar(&s.release, "release", 1, "`release` of MLLP that the receiver speaks, 1 or 2")
	fs.BoolVar(&s.newIDs, "new-ids", false, "give every message a control id (MSH-10) of its own, and every batch (BHS-11, FHS-11)")
	fs.BoolVar(&s.fields, "fields", false, "print answers with the names of their fields")
	fs.BoolVar(&s.json, "json", false, "print one JSON object for every answer")
	if err := parse(fs, c, args, -1); err != nil {
		return err
	}
	switch {
	case fs.NArg() == 0:
		return usageError("no file was given")
	case s.count < 1 || s.connections < 1 || s.rate < 0 || s.timeout <= 0:
		return usageError("--count, --connections and --timeout must be positive, --rate not negative")
	case s.release != 1 && s.release != 2:
		return usageError("--release must be 1 or 2")
	case s.fields && s.json:
		return errFieldsJSON
	}
	letters, err := readLetters(fs.Args(), c.In)
	if err != nil {
		return err
	}
	return s.run(ctx, c.Out, letters)
}

// run sends the letters and prints what comes back.
func (s *sending) run(ctx context.Context, w io.Writer, letters []letter) error {
	tlsConfig, err := s.tls.config()
	if err != nil {
		return err
	}
	tally := &tally{
		w: w, json: s.json, fields: s.fields, start: time.Now(),
		verbose: len(letters)*s.count == 1 || s.count == 1 && s.connections == 1,
	}
	queue := make(chan letter)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(queue)
		return s.fill(ctx, queue, letters)
	})
	for range s.connections {
		g.Go(func() error { return s.work(ctx, queue, tlsConfig, tally) })
	}
	// What was sent before an interrupt is told all the same.
	return errors.Join(g.Wait(), tally.close())
}

// work sends what is in the queue over one connection.
func (s *sending) work(ctx context.Context, queue <-chan letter, tlsConfig *tls.Config, t *tally) error {
	client := &mllp.Client{
		Addr: s.addr, TLSConfig: tlsConfig, AnswerTimeout: s.timeout, MaxFrame: maxAnswer, Match: sameControlID,
		Release: s.release,
	}
	defer func() { _ = client.Close() }() // every answer is in
	for l := range queue {
		for _, a := range deliver(ctx, client, l) {
			if err := t.add(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill puts every letter into the queue, as often and as fast as asked.
func (s *sending) fill(ctx context.Context, queue chan<- letter, letters []letter) error {
	now := make(chan time.Time)
	close(now) // always ready: no pace
	var pace <-chan time.Time = now
	if s.rate > 0 {
		t := time.NewTicker(max(time.Duration(float64(time.Second)/s.rate), 1))
		defer t.Stop()
		pace = t.C
	}
	for range s.count {
		for _, l := range letters {
			if err := s.enqueue(ctx, queue, pace, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sending) enqueue(ctx context.Context, queue chan<- letter, pace <-chan time.Time, l letter) (err error) {
	if s.newIDs {
		if l.Message, err = withNewID(l.Message); err != nil {
			return fmt.Errorf("%s, message %d: %w", l.File, l.Number, err)
		}
	}
	select {
	case <-pace:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case queue <- l:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withNewID returns the message with a control id that no other has, or the batch with one
// for itself and for each of its messages. Several messages need no header for that.
func withNewID(msg []byte) ([]byte, error) {
	if batch := hl7v2.Split(msg); batch.Header != nil || len(batch.Messages) > 1 {
		return withNewIDs(msg, batch.Messages)
	}
	m, err := hl7v2.Parse(msg)
	if err != nil {
		return nil, err
	}
	if err := m.Set(msh10, newID()); err != nil {
		return nil, err
	}
	return m.Bytes(), nil
}

func newID() string { return rand.Text()[:20] }

// sameControlID is the Match of an mllp.Client.
func sameControlID(msg, ack []byte) error {
	if batch := hl7v2.Split(msg); batch.Header != nil {
		return sameBatch(batch, ack)
	}
	if hl7v2.Head(msg).Get(msh10) != controlIDOf(ack) {
		return errOtherID
	}
	return nil
}

// errOtherID says that an answer is not the answer to what was sent.
var errOtherID = errors.New("MSA-2 of the answer is not MSH-10 of the message")

func controlIDOf(ack []byte) string {
	m, err := hl7v2.Parse(ack)
	if err != nil {
		return ""
	}
	return m.Get(msa2)
}

var (
	errOtherBatch  = errors.New("BHS-12 of the answer is not the control id of the batch")
	errNotABatch   = errors.New("the answer to the batch cannot be read")
	errNotInAnswer = errors.New("the answer to the batch has none to this message")
	errNotInBatch  = errors.New("the answer to the batch has more than there are messages")
)

// sameBatch tells whether reply is the answer to the batch. A receiver may refuse a batch as
// a whole, in an answer to its first message.
func sameBatch(batch hl7v2.Batch, reply []byte) error {
	header := hl7v2.Split(reply).Header
	if header == nil {
		m, err := hl7v2.Parse(reply)
		switch {
		case err != nil || m.Get(msa1) == "" || len(batch.Messages) == 0:
			return errNotABatch
		case m.Get(msa2) != hl7v2.Head(batch.Messages[0]).Get(msh10):
			return errOtherID
		}
		return nil
	}
	id := cmp.Or(batch.Header.Get(bhs11), batch.Header.Get(fhs11))
	if id != "" && header.Get(bhs12) != id {
		return errOtherBatch
	}
	return nil
}

// deliver sends a letter and returns an answer for each message in it.
func deliver(ctx context.Context, client *mllp.Client, l letter) []answer {
	start := time.Now()
	reply, err := client.Send(ctx, l.Message)
	took := time.Since(start)
	answers := opened(l, reply, err)
	for i := range answers {
		answers[i].Took, answers[i].TookMS = took, float64(took.Microseconds())/1000
	}
	return answers
}

// opened says what the reply to a letter, or the want of one, is to each message in it.
func opened(l letter, reply []byte, err error) []answer {
	messages, replies := [][]byte{l.Message}, [][]byte{reply}
	if batch := hl7v2.Split(l.Message); batch.Header != nil {
		messages, replies = batch.Messages, hl7v2.Split(reply).Messages
		if err == nil && hl7v2.Split(reply).Header == nil {
			return openedAsOne(l, messages, reply)
		}
	}
	answers := make([]answer, 0, len(messages))
	for i := range max(len(messages), len(replies)) {
		a := answer{File: l.File, Number: l.Number + i}
		if i < len(messages) {
			a.ControlID = hl7v2.Head(messages[i]).Get(msh10)
		}
		switch {
		case err != nil:
			a.Err = err.Error()
		case i >= len(replies):
			a.Err = errNotInAnswer.Error()
		case i >= len(messages):
			a.Err = errNotInBatch.Error()
		default:
			a.read(replies[i])
		}
		answers = append(answers, a)
	}
	return answers
}

// openedAsOne is opened for a receiver that answers a batch with one acknowledgement, to its
// first message and with the worst code of all: it is the answer to each of them.
func openedAsOne(l letter, messages [][]byte, reply []byte) []answer {
	first := answer{File: l.File, Number: l.Number, ControlID: hl7v2.Head(messages[0]).Get(msh10)}
	first.read(reply)
	answers := slices.Repeat([]answer{first}, len(messages))
	for i, m := range messages {
		answers[i].Number += i
		answers[i].ControlID = hl7v2.Head(m).Get(msh10)
	}
	return answers
}

// read notes what the reply to the message says.
func (a *answer) read(reply []byte) {
	a.raw, a.Answer = reply, string(reply)
	m, err := hl7v2.Parse(reply)
	switch {
	case err != nil:
		a.Err = err.Error()
	case m.Get(msa2) != a.ControlID:
		a.Err = errOtherID.Error()
	default:
		a.Ack, a.Text = m.Get(msa1), m.Get(msa3)
	}
}

// tally prints answers as they come and counts them.
type tally struct {
	w       io.Writer
	json    bool
	fields  bool
	verbose bool // print every answer; otherwise only those that are not positive
	start   time.Time

	mu           sync.Mutex // guards what follows, and w
	sent, failed int
}

func (t *tally) add(a answer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if !a.positive() {
		t.failed++
	}
	switch {
	case t.json:
		e := json.NewEncoder(t.w)
		e.SetEscapeHTML(false) // MSH-2 has an ampersand
		return e.Encode(a)
	case t.verbose || !a.positive():
		return a.print(t.w, t.fields)
	}
	return nil
}

// bare leaves out what an error says of the program instead of the answer.
var bare = strings.NewReplacer("mllp: send: ", "", "mllp: no answer: ", "", "mllp: read: ", "")

// print writes the answer for a person.
func (a answer) print(w io.Writer, fields bool) error {
	how := a.Ack
	if a.Err != "" {
		// An error that stands for no answer says so itself, behind the names of packages.
		how = "no answer: " + bare.Replace(a.Err)
	}
	if _, err := fmt.Fprintf(w, "%s, message %d: %s in %s\n", a.File, a.Number, how, a.Took.Round(10*time.Microsecond)); err != nil {
		return err
	}
	if a.raw == nil {
		return nil
	}
	if err := messagePrinter(fields)(w, a.raw); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// close prints the sum, and returns an error if an answer was not positive.
func (t *tally) close() error {
	took := time.Since(t.start)
	if !t.json && t.sent > 1 {
		if _, err := fmt.Fprintf(t.w, "%d sent in %s, %.0f a second; %d AA or CA, %d not\n",
			t.sent, took.Round(time.Millisecond), float64(t.sent)/took.Seconds(), t.sent-t.failed, t.failed); err != nil {
			return err
		}
	}
	if t.failed > 0 {
		return fmt.Errorf("%d of %d messages were not answered AA or CA", t.failed, t.sent)
	}
	return nil
}
