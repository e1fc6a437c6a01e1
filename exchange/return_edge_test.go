package exchange_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// busy is an answer of Spine that says "not now".
func busy() error { return &pds.Error{Class: pds.Busy, Status: 503, Retry: true} }

// notNow refuses the first message that it is sent.
func notNow(n int, msg string) string {
	if n == 1 {
		return pasAck("AR", msg)
	}
	return ""
}

// later is a message recorded some seconds after the first.
func later(event, id, pid, second string, edits ...string) string {
	return adt(event, id, pid, append(edits, "20261122115958", "202611221159"+second)...)
}

// TestWhatRepeatsAnUpdateIsForwarded: a message that says what we told the PAS is not traced, but it may
// be an admission, and those behind us want it.
func TestWhatRepeatsAnUpdateIsForwarded(t *testing.T) {
	f := newHome(t)
	f.handler.Forwards, f.handler.Plain = true, false
	f.open(t)
	forward := &takingPAS{}
	relay := &exchange.Relay{
		Destination: exchange.ToForward, Sender: connect(t, forward), Outbox: f.disk, Journal: f.disk, Audit: f.disk,
		CommitTimeout: patience, Now: f.time, Log: f.handler.Log,
	}
	run(t, relay)
	f.p.ask(adt("A28", "W1", numbered, "|NSTS02", "|"))
	f.settle(t)
	f.p.wantAck(later("A01", "W2", identified("9990000018^^^NHS^NH"), "59", "|NSTS02", "|"), "MSA|AA|W2|Not traced: own message")
	for late := time.After(patience); len(forward.received()) < 2; {
		relay.Wake()
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			t.Fatalf("forwarded %d messages", len(forward.received()))
		}
	}
	if got := forward.received()[1]; headerField(got, 10) != "W2" {
		t.Errorf("forwarded %q", got)
	}
}

// TestNewerMessageTakesTheTraceOver: a trace that is still to be made is made of the patient as the
// newest message tells of him, though that one is of a kind that is not traced, and says little.
func TestNewerMessageTakesTheTraceOver(t *testing.T) {
	for name, second := range map[string]string{
		"same":    later("A02", "N2", unnumbered, "59"),
		"changed": later("A02", "N2", unnumbered, "59", "HALVORSEN", "HALVERSEN"),
		"sparse":  later("A03", "N2", "PID|1||RXX1234567^^^RXX^MR||HALVERSEN^PRIMROSE", "59"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newHome(t)
			f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
				if len(f.provider.calls()) == 1 {
					return pds.Result{}, busy()
				}
				return matched(), nil
			}
			f.open(t)
			f.trace(t, unnumbered)
			f.p.ask(second)
			f.elapse(t, time.Hour)
			f.elapse(t, time.Hour)
			req := f.wantAsked(t, 2)
			if want := map[string]string{"same": "HALVORSEN"}[name]; req.Who.Family != want && (want != "" || req.Who.Family != "HALVERSEN") || req.Who.BirthDate.Digits() != "19620417" {
				t.Errorf("asked about another")
			}
			f.wantUpdates(t, home01)
		})
	}
}

// TestWithdrawnUpdateIsFoundAgain: what an update told is not lost when it is withdrawn, however many
// messages come before the patient can be traced again.
func TestWithdrawnUpdateIsFoundAgain(t *testing.T) {
	f := newHome(t)
	f.pas.answer = notNow
	f.open(t)
	f.trace(t, unnumbered)
	f.settle(t)
	f.p.ask(later("A02", "D2", unnumbered, "59", "HALVORSEN", "HALVERSEN"))
	f.elapse(t, 10*time.Second)
	f.p.ask(adt("A03", "D3", unnumbered, "HALVORSEN", "HALVERSEN", "20261122115958", "20261122120001"))
	f.elapse(t, time.Hour)
	f.elapse(t, time.Hour)
	f.wantUpdates(t, home01, home01)
	if last := f.provider.calls(); last[len(last)-1].Who.Family != "HALVERSEN" {
		t.Error("the last question was about another")
	}
}

// TestTwoRecordsAtOnce: of two records that are registered at the same moment and found to be one
// person, one gets the number, and somebody is told.
func TestTwoRecordsAtOnce(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	both := make(chan struct{}, 2)
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		both <- struct{}{}
		for late := time.After(patience); len(both) < 2; {
			select {
			case <-time.After(time.Millisecond):
			case <-late:
				return pds.Result{}, busy()
			}
		}
		return matched(), nil
	}
	f.open(t)
	other := f.dial(t)
	other.send(frame(adt("A28", "B2", local("RXX7654321^^^RXX", unnumbered))))
	first := f.p.ask(adt("A28", "B1", unnumbered))
	second := other.answer()
	if strings.Contains(first, "NSTS01") == strings.Contains(second, "NSTS01") {
		t.Errorf("answered %q and %q", first, second)
	}
	f.wantItems(t, "shared number 9990000018")
}

// TestHeldSinceIsNotSent: an update waits, and another record is told the number meanwhile.
func TestHeldSinceIsNotSent(t *testing.T) {
	f := newHome(t)
	f.pas.answer = notNow
	f.open(t)
	f.trace(t, unnumbered)
	f.settle(t)
	f.p.ask(adt("A03", "H2", local("RXX7654321^^^RXX", identified("9990000018^^^NHS"))))
	f.elapse(t, time.Hour)
	f.elapse(t, time.Hour)
	got := f.pas.received()
	if len(got) != 2 || identifiersAndStatus(got[1]) != localPart+" NSTS05" {
		t.Errorf("sent %d messages, the last with %q", len(got), identifiersAndStatus(got[len(got)-1]))
	}
	f.wantItems(t, "shared number 9990000018")
}

// TestEveryRecordHasItsOwnItem: a third record with the same number is told of, warned about, and found
// by its own local number.
func TestEveryRecordHasItsOwnItem(t *testing.T) {
	f := newHome(t).open(t)
	f.trace(t, unnumbered)
	for n, id := range []string{"RXX2222222^^^RXX", "RXX3333333^^^RXX"} {
		f.trace(t, local(id, unnumbered))
		items := f.items(t)
		if len(items) != n+1 {
			t.Fatalf("%d items", len(items))
		}
		doc := exchange.ReadItemDoc(items[n].Doc)
		want := "RXX^" + strings.TrimSuffix(id, "^^^RXX")
		if items[n].Patient.LocalID != strings.TrimPrefix(want, "RXX^") || doc.LocalIDs[0] != want {
			t.Errorf("item %d is about %v and %v", n, items[n].Patient, doc.LocalIDs)
		}
		f.p.wantAck(adt("A03", "E"+id[:4], local(id, unnumbered)), "MSA|AA|E"+id[:4]+"|"+inDoubt)
	}
}

// TestNobodyIsUpdatedWithoutALocalNumber: the PAS could not tell whom the update is about, and nothing
// could tell when it comes back.
func TestNobodyIsUpdatedWithoutALocalNumber(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
	f.open(t)
	nameless := strings.Replace(numbered, "RXX1234567^^^RXX^MR~", "", 1)
	f.trace(t, nameless)
	f.trace(t, nameless)
	f.wantUpdates(t)
	f.wantItems(t, "invalid number 9990000018") // one, for both
}

// TestUpdateUndoesNoEdit: what an update replaces as a whole has changed since.
func TestUpdateUndoesNoEdit(t *testing.T) {
	for name, tt := range map[string]struct {
		profile exchange.UpdateProfile
		edits   []string
		undone  bool
	}{
		"another local id": {exchange.UpdateMinimal, []string{"RXX^MR", "RXX^MR~NEW777^^^OTH^ZZ"}, true},
		"another title":    {exchange.UpdateMinimal, []string{"MRS", "LADY"}, true},
		"status by hand":   {exchange.UpdateMinimal, []string{"NSTS03", "NSTS07"}, true},
		"address lines":    {exchange.UpdateMinimal, []string{"1 MADEUP", "2 MADEUP"}, false},
		"copy":             {exchange.UpdateCopy, []string{"1 MADEUP", "2 MADEUP"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newHome(t)
			f.handler.UpdateProfile = tt.profile
			f.pas.answer = notNow
			f.open(t)
			f.trace(t, unnumbered)
			f.settle(t)
			f.p.ask(later("A02", "T2", unnumbered, "59", tt.edits...))
			f.elapse(t, time.Hour)
			if dropped := len(f.letters(t, store.Dropped)); (dropped == 1) != tt.undone {
				t.Errorf("dropped %d letters", dropped)
			}
		})
	}
}

// TestLongNamesOfSenders: what a sender calls itself cannot keep a trace from ending.
func TestLongNamesOfSenders(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"})
	f.open(t)
	f.p.ask(adt("A28", "L1", unnumbered, "|PAS|", "|"+strings.Repeat("P", 70_000)+"|"))
	f.settle(t)
	f.wantItems(t, "no match")
	f.wantAsked(t, 1)
}

// TestAcknowledgementWarns: T-DQ-08 in enhanced mode.
func TestAcknowledgementWarns(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
	f.handler.Plain, f.handler.Enhanced, f.handler.AppAcks, f.handler.Updates = false, true, true, false
	f.pas.answer = func(_ int, msg string) string { return pasAck("CA", msg) }
	f.open(t)
	f.p.ask(adt("A28", "E1", numbered, "|P|2.4", "|P|2.4|||AL|AL"))
	f.settle(t)
	f.p.ask(adt("A03", "E2", numbered, "|P|2.4", "|P|2.4|||AL|AL"))
	f.settle(t)
	got := f.pas.received()
	if len(got) != 2 || !strings.Contains(got[0], "MSA|AA|E1|NHS number invalidated\r") || !strings.Contains(got[1], "MSA|AA|E2|"+inDoubt+"\r") {
		t.Errorf("acknowledged %q", got)
	}
}

// TestVerifiedButNotUsed: a trust that leaves every number to a person is not told another result when
// that is used again.
func TestVerifiedButNotUsed(t *testing.T) {
	results, err := exchange.ParseResults([]byte("result,status,number,item,words\nVerified,02,kept,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	f := newHome(t)
	f.handler.Results, f.handler.Plain, f.handler.RetraceAfter = results, false, time.Hour
	f.open(t)
	f.p.wantAck(adt("A28", "V1", numbered), "MSA|AA|V1|Verified")
	f.p.wantAck(adt("A28", "V2", numbered), "MSA|AA|V2|Verified")
	f.wantAsked(t, 1)
}

// TestForwardsWhatIsTakenAndIgnored, and what is too odd to write a result into.
func TestForwardsWhatIsTakenAndIgnored(t *testing.T) {
	f := newHome(t)
	f.handler.Updates, f.handler.Forwards, f.handler.Plain = false, true, false
	f.handler.AcceptAndIgnore = []string{"ADT^A08"}
	f.relay.Destination = exchange.ToForward
	f.open(t)
	messages := []string{
		adt("A08", "I1", numbered),
		adt("A28", "I2", numbered, `^~\&`, "^"),
	}
	for _, m := range messages {
		f.p.ask(m)
	}
	f.settle(t)
	if diff := cmp.Diff(messages, f.pas.received()); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
}
