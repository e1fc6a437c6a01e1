package exchange

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"unicode"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// FuzzBatch holds for every frame, with and without batch headers: its messages are answered
// once each and in order, or once together, under their own control ids; only an answer, or
// what MSH-15 leaves out in enhanced mode, gets none; and every byte is in a row, but for the
// headers and trailers of a batch that is as it should be, and for messages that came before.
func FuzzBatch(f *testing.F) {
	a03 := func(n int) string { return numbered(adt("A03", primrose), n) }
	ack := "MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|X1|P|2.4\nMSA|AA|NT1\n"
	asks := func(n int, accept string) string {
		return strings.Replace(numbered(adt("A28", primrose), n), "|P|2.4", "|P|2.4|||"+accept, 1)
	}
	for _, seed := range []string{
		a03(1),
		a03(1) + "\n" + ack + a03(1),
		"BHS|^~\\&|PAS|RXX|||||||B1\n" + a03(1) + "\n" + numbered(adt("A28", "PV1||N"), 2) + "\nBTS|2",
		"FHS|^~\\&|PAS|RXX|||||||F1\nBHS|^~\\&|PAS|||||||B1\n" + a03(1) + "\nBTS|1\nBHS|$%&!|PAS\n" + q22(qpd) + "\nBTS|9\nFTS|2",
		"BHS|^^^^|PAS\nNTE|1\n" + ack + "MSH|^|PAS\nMSH||PAS\nBTS|x\nNTE|2",
		"BHS|^~\\&|PAS|RXX|||||||B2|B1\n" + ack + ack + "BTS|2",
		"BHS|^~\\&|PAS\n" + asks(1, "AL") + "\n" + asks(2, "NE") + "\n" + asks(3, "SU") + "\nthis is no segment\nBTS|3",
	} {
		f.Add(wire(seed), strings.Contains(seed, "|AL"))
	}
	f.Fuzz(func(t *testing.T, frame []byte, enhanced bool) {
		r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
		r.Enhanced = enhanced
		reply, err := r.HandleMLLP(context.Background(), peer, nil, bytes.Clone(frame))
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		if err := r.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.log.String(), "panic") {
			t.Fatalf("%q: %s", frame, r.log)
		}
		batch := hl7v2.Split(frame)
		if !isBatch(frame) || batch.Header == nil && len(batch.Messages) <= 1 {
			batch = hl7v2.Batch{Messages: [][]byte{frame}}
		}
		checkKept(t, r, batch)
		checkAnswered(t, r, batch, reply)
	})
}

// checkKept compares the rows with the parts of a frame.
func checkKept(t *testing.T, r *rig, batch hl7v2.Batch) {
	var rows [][]byte
	resent, rest := 0, []byte(nil)
	for _, e := range r.journal.events {
		part, _ := store.FindPart(e.Parts, store.Frame)
		switch e.Kind {
		case store.Broken:
			rest = part
		case store.Resent:
			resent++
		case store.Received, store.Exchanged:
			rows = append(rows, part)
		default:
		}
	}
	faulty := batch.Header != nil && len(batch.Messages) == 0 || batch.Mismatch || batch.Stray || batch.BadHeader
	if faulty && !bytes.Equal(rest, batch.Rest) || !faulty && rest != nil {
		t.Fatalf("kept of what is in no message: %q, want %q", rest, batch.Rest)
	}
	if len(rows)+resent != len(batch.Messages) {
		t.Fatalf("%d rows and %d resent of %d messages", len(rows), resent, len(batch.Messages))
	}
	left := batch.Messages
	for _, row := range rows {
		at := slices.IndexFunc(left, func(m []byte) bool { return bytes.Equal(m, row) })
		if at < 0 {
			t.Fatalf("a row of %q, which is no message, or not in its place", row)
		}
		left = left[at+1:]
	}
}

// due is an answer that a message must get, or may.
type due struct {
	id   string // of the message, when it is surely echoed as it is
	must bool
}

// checkAnswered compares a reply with what the messages of a frame are due.
func checkAnswered(t *testing.T, r *rig, batch hl7v2.Batch, reply []byte) {
	var want []due
	for _, message := range batch.Messages {
		m, err := hl7v2.Parse(message)
		if err != nil {
			m = hl7v2.Head(message)
		}
		if looksLikeAnswer(m) {
			continue
		}
		d := due{must: true}
		if id := m.Raw(pathControlID); !strings.ContainsFunc(id, isMark) {
			d.id = id
		}
		if r.accepts(m) && slices.Contains([]string{"NE", "ER", "SU"}, strings.ToUpper(m.Get(pathAcceptAck))) {
			d.must = false
		}
		want = append(want, d)
	}
	if batch.Header == nil {
		if i := slices.IndexFunc(want, func(d due) bool { return d.must }); reply == nil && i >= 0 {
			t.Fatalf("no answer, although %q is due one", want[i].id)
		} else if reply != nil {
			checkOne(t, want, reply)
		}
		return
	}
	if reply == nil && answersAnother(batch) {
		return
	}
	answers := hl7v2.Split(reply)
	if answers.Header == nil || answers.Mismatch || answers.Stray {
		t.Fatalf("the batch is answered %q", reply)
	}
	if !fits(answers.Messages, want) {
		t.Fatalf("not one answer for each message, in order: %q", reply)
	}
}

// fits tells whether answers are what is due, in order.
func fits(answers [][]byte, want []due) bool {
	switch {
	case len(want) == 0:
		return len(answers) == 0
	case len(answers) > 0 && isAnswerTo(answers[0], want) && fits(answers[1:], want[1:]):
		return true
	}
	return !want[0].must && fits(answers, want[1:])
}

// isMark tells what may be a delimiter of the answer, or not be in its character set.
func isMark(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// checkOne checks the only answer to messages without a header.
func checkOne(t *testing.T, want []due, reply []byte) {
	for ; len(want) > 0; want = want[1:] {
		if isAnswerTo(reply, want) {
			return
		}
		if want[0].must {
			break
		}
	}
	t.Fatalf("%q answers none of the first messages: %v", reply, want)
}

// isAnswerTo tells whether an answer is to the first message of want.
func isAnswerTo(answer []byte, want []due) bool {
	m, err := hl7v2.Parse(answer)
	return err == nil && len(want) > 0 && m.Get(pathAckCode) != "" && (want[0].id == "" || m.Raw(pathAckControlID) == want[0].id)
}
