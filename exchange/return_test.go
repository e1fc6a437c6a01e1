package exchange_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// controlIDs are those of letters, which are made from what they follow from.
var controlIDs = regexp.MustCompile(`\bST[A-Z2-7]{18}\b`)

// masked is a message with its control id left out.
func masked(msg string) string { return controlIDs.ReplaceAllString(msg, "STxxxxxxxxxxxxxxxxxx") }

const (
	localPart = "RXX1234567^^^RXX^MR"
	home01    = localPart + "~9990000018^^^NHS^NH NSTS01"
)

// TestUpdateFieldByField: an A31 of each profile, byte for byte (rows 25, 27 and 60 of the
// reference).
func TestUpdateFieldByField(t *testing.T) {
	const source = "MSH|^~\\&|PAS^1.2.3^ISO|RXX|NHSTRACE|RXX|20261122115959||ADT^A28^ADT_A05|U1|P|2.4|||AL|NE|GBR|8859/1\r" +
		"EVN|A28|20261122115958|||CLERK1|20261122115700\r" +
		"PID|1|L1|RXX1234567^^^RXX^MR~9990000018^^^NHS~V1^^^RXX^VN|OLD|HALVORSEN^ZO\xcb^^^^^L~BORN^ZO\xcb^^^^^M||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||ED~NSTS02~AL|more\r" +
		"PD1|||TEST PRACTICE^^H81109\rPV1||N\rZPD|kept|A\\X41\\B\r"
	const header = "|NHSTRACE|RXX|PAS^1.2.3^ISO|RXX|20261122120000||ADT^A31^ADT_A05|STxxxxxxxxxxxxxxxxxx|P|2.4|||||GBR|8859/1\r" +
		"EVN|A31|20261122120000|||NHSTRACE|20261122115700\r"
	const back = "RXX1234567^^^RXX^MR~9990000018^^^NHS^NH~V1^^^RXX^VN"
	for name, tt := range map[string]struct {
		change func(*exchange.Handler)
		want   string
	}{
		"minimal": {func(*exchange.Handler) {}, "MSH|^~\\&" + header +
			"PID|1||" + back + "||HALVORSEN^ZO\xcb^^^^^L~BORN^ZO\xcb^^^^^M||19620417|F||||||||||||||||||||||||ED~NSTS01~AL\r" +
			"PV1||N\r"},
		"copy": {func(h *exchange.Handler) { h.UpdateProfile = exchange.UpdateCopy }, "MSH|^~\\&" + header +
			"PID|1|L1|" + back + "|OLD|HALVORSEN^ZO\xcb^^^^^L~BORN^ZO\xcb^^^^^M||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||ED~NSTS01~AL|more\r" +
			"PD1|||TEST PRACTICE^^H81109\rPV1||N\rZPD|kept|A\\X41\\B\r"},
		"number first": {func(h *exchange.Handler) { h.NumberFirst = true }, "MSH|^~\\&" + header +
			"PID|1||9990000018^^^NHS^NH~RXX1234567^^^RXX^MR~V1^^^RXX^VN||HALVORSEN^ZO\xcb^^^^^L~BORN^ZO\xcb^^^^^M||19620417|F||||||||||||||||||||||||ED~NSTS01~AL\r" +
			"PV1||N\r"},
		"to ROUTE": {func(h *exchange.Handler) { h.Receiver = "ROUTE" }, "MSH|^~\\&" + strings.Replace(header, "PAS^1.2.3^ISO|RXX", "ROUTE|ROUTE", 1) +
			"PID|1||" + back + "||HALVORSEN^ZO\xcb^^^^^L~BORN^ZO\xcb^^^^^M||19620417|F||||||||||||||||||||||||ED~NSTS01~AL\r" +
			"PV1||N\r"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newHome(t)
			tt.change(f.handler)
			f.open(t).p.ask(source)
			f.settle(t)
			got := f.pas.received()
			if len(got) != 1 {
				t.Fatalf("the PAS was sent %d messages", len(got))
			}
			if diff := cmp.Diff(tt.want, masked(got[0])); diff != "" {
				t.Errorf("update (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUpdateOfOtherVersions: the header follows the version of the source.
func TestUpdateOfOtherVersions(t *testing.T) {
	for version, want := range map[string]string{"2.3": "ADT^A31", "2.3.1": "ADT^A31^ADT_A05", "2.5.1": "ADT^A31^ADT_A05"} {
		f := newHome(t).open(t)
		f.p.ask(adt("A28", "V1", numbered, "|2.4", "|"+version))
		f.settle(t)
		if got := f.pas.received(); len(got) != 1 || headerField(got[0], 9) != want || headerField(got[0], 12) != version {
			t.Errorf("version %s: sent %q", version, got)
		}
	}
}

// itemOf is what a person has to look at after each answer about a number.
var itemOf = map[string][]string{
	"DEMOG-0017": {"replaced number 9990000018"}, "DEMOG-0001": {"no match 9990000018"}, "DEMOG-0007": {"many matches 9990000018"},
	"DEMOG-0022": {"invalid number 9990000018"}, "DEMOG-0040": {"not verified 9990000018"}, "DEMOG-0042": {"old style number 9990000018"},
}

// TestUpdates: what is sent home, and who has to look at it, for each answer of Spine (rows 44, 56
// and 58 of the reference).
func TestUpdates(t *testing.T) {
	for _, tt := range sevenAnswers {
		t.Run(tt.code, func(t *testing.T) {
			f := newHome(t)
			f.provider.say = says(tt.res)
			f.open(t).trace(t, numbered)
			number, status, _ := strings.Cut(tt.pid, "|")
			f.wantUpdates(t, localPart+"~"+number+" "+status)
			f.wantItems(t, itemOf[tt.code]...)
			f.wantStory(t, "exchanged asked answered queued finished tried")
		})
	}
}

// TestEveryFormOfANumberComesHomeAsOurs is row 44: whatever form the number had, it goes back in ours.
func TestEveryFormOfANumberComesHomeAsOurs(t *testing.T) {
	for _, cx := range []string{"9990000018^^^NHS^NH", "999 000 0018^^^NHS", "999-000-0018^^^NHSNBR^NHSNMBR"} {
		f := newHome(t).open(t)
		f.trace(t, identified(cx))
		f.wantUpdates(t, home01)
	}
	f := newHome(t).open(t)
	f.trace(t, unnumbered)
	f.wantUpdates(t, home01)
}

// TestNothingToTellIsNotSent: a result that the message has already, and what decides nothing.
func TestNothingToTellIsNotSent(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"})
	f.open(t).trace(t, unnumbered)
	f.wantUpdates(t, localPart+" NSTS04")
	f.trace(t, status("NSTS04"), "HALVORSEN", "HALVERSEN") // still nobody
	f.refuse(t, "status", status("NSTS01"), "HALVORSEN", "HALVERSEN")
	f.wantUpdates(t, localPart+" NSTS04")
}

// TestUpdateAfterFailures is row 57: nothing is sent until there is an answer, then one update.
func TestUpdateAfterFailures(t *testing.T) {
	f := newHome(t)
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		if len(f.provider.calls()) <= 3 {
			return pds.Result{}, &pds.Error{Class: pds.Busy, Status: 503, Retry: true}
		}
		return matched(), nil
	}
	f.open(t).trace(t, numbered)
	for range 3 {
		f.wantUpdates(t)
		f.elapse(t, time.Hour)
	}
	f.wantUpdates(t, home01)
	f.elapse(t, 24*time.Hour)
	f.wantUpdates(t, home01)
}

// TestTechnicalEndsSendNothing is row 58: a local copy decides nothing; a question that is refused
// as wrong is an operator's.
func TestTechnicalEndsSendNothing(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.Stale, NHSNumber: primrose, Code: "SMSP-0003"})
	f.open(t).trace(t, numbered)
	f.wantUpdates(t)
	f.wantItems(t)
	f.provider.say = says(matched())
	f.elapse(t, time.Hour)
	f.wantUpdates(t, home01)

	refused := newHome(t)
	refused.provider.say = says(pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: "local check: sex"})
	refused.open(t).trace(t, numbered)
	refused.elapse(t, 30*24*time.Hour)
	refused.wantAsked(t, 1)
	refused.wantUpdates(t)
	refused.wantItems(t, "question refused 9990000018")
}

// TestHeldNumberIsNotSent is row 59, T-DQ-01 and T-DQ-07: the PAS keeps the number that it has, and
// somebody is told of both records, once.
func TestHeldNumberIsNotSent(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.Superseded, NHSNumber: survivor, Code: "DEMOG-0017"})
	f.open(t)
	f.p.wantAck(adt("A03", "HELD", local("RXX7654321^^^RXX", identified("9990000026^^^NHS^NH"))), "MSA|AA|HELD|Event not used")
	f.trace(t, numbered)
	f.wantUpdates(t, localPart+"~9990000018^^^NHS NSTS05")
	f.wantItems(t, "shared number 9990000026")
	doc := exchange.ReadItemDoc(f.items(t)[0].Doc)
	if diff := cmp.Diff([][]string{{"RXX^RXX1234567"}, {"RXX^RXX7654321"}}, [][]string{doc.LocalIDs, doc.OtherIDs}); diff != "" {
		t.Errorf("local ids (-want +got):\n%s", diff)
	}
	f.send(t, inDoubt, numbered)
	f.wantItems(t, "shared number 9990000026")
	if items := f.items(t); len(items) != 1 || items[0].Times < 2 {
		t.Errorf("raised again: %+v", items)
	}
}

const inDoubt = "NHS number not valid; with back office; use data with care"

// TestConflictIsAnItem is row 46.
func TestConflictIsAnItem(t *testing.T) {
	f := newHome(t).open(t)
	two := identified("9990000018^^^NHS~9990000026^^^NHS")
	f.refuse(t, "conflicting NHS numbers", two)
	f.refuse(t, "conflicting NHS numbers", two)
	f.wantItems(t, "conflicting numbers")
	f.wantUpdates(t)
}

// TestEcho is row 62, and the loops that spec/hl7v2.md 6.4 names: an update that comes back is not
// traced, whoever says that he sent it.
func TestEcho(t *testing.T) {
	f := newHome(t).open(t)
	f.trace(t, numbered)
	f.wantUpdates(t, home01)
	sent := f.pas.received()[0]
	f.p.wantAck(strings.ReplaceAll(sent, headerField(sent, 10), "ECHO1"), "MSA|AA|ECHO1|Not traced: own message")
	renamed := strings.NewReplacer("|NHSTRACE|RXX|PAS|", "|PAS|RXX|NHSTRACE|", headerField(sent, 10), "ECHO2").Replace(sent)
	f.p.wantAck(renamed, "MSA|AA|ECHO2|Not traced: own message") // EVN-5 names us
	anonymous := strings.NewReplacer("|||NHSTRACE|", "|||PAS|", "ECHO2", "ECHO3").Replace(renamed)
	f.p.wantAck(anonymous, "MSA|AA|ECHO3|Not traced: status") // NSTS01
	forgetful := strings.NewReplacer("NSTS01", "", "ECHO3", "ECHO4").Replace(anonymous)
	f.p.wantAck(forgetful, "MSA|AA|ECHO4|Not traced: own message") // what it says is what we said
	f.p.wantAck(strings.Replace(forgetful, "ECHO4", "ECHO5", 1), "MSA|AA|ECHO5|Not traced: own message")
	f.wantUpdates(t, home01)
	f.wantAsked(t, 1)

	f.elapse(t, 25*time.Hour) // it is no echo any more
	f.p.wantAck(strings.Replace(forgetful, "ECHO4", "ECHO6", 1), "MSA|AA|ECHO6|trace pending")
	f.settle(t)
	f.wantAsked(t, 2)
}

// TestTooManyUpdates: two systems that undo what the other did are stopped, and somebody is told.
func TestTooManyUpdates(t *testing.T) {
	f := newHome(t).open(t)
	for range 3 {
		f.elapse(t, time.Minute)
		f.trace(t, status("NSTS03"), "20261122115958", f.time().Format("20060102150405"))
	}
	f.wantUpdates(t, home01, home01, home01)
	f.elapse(t, time.Minute)
	f.trace(t, status("NSTS03"), "20261122115958", f.time().Format("20060102150405"))
	f.wantUpdates(t, home01, home01, home01)
	f.wantItems(t, "too many updates")
	f.elapse(t, time.Hour)
	f.trace(t, status("NSTS03"), "20261122115958", f.time().Format("20060102150405"))
	f.wantUpdates(t, home01, home01, home01, home01)
}

// TestMergedAwayIsNotUpdated is row 63: a number that was merged away while its patient was being
// traced is not updated, nor is it by an older message that comes behind.
func TestMergedAwayIsNotUpdated(t *testing.T) {
	asked, go_on := make(chan struct{}), make(chan struct{})
	f := newHome(t)
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		close(asked)
		<-go_on
		return matched(), nil
	}
	f.open(t)
	f.p.wantAck(adt("A28", "M1", numbered), "MSA|AA|M1|trace pending")
	<-asked
	merge := adt("A40", "M2", local("RXX7654321^^^RXX", unnumbered)) + "MRG|RXX1234567^^^RXX^MR\r"
	f.p.wantAck(merge, "MSA|AA|M2|Event not used")
	close(go_on)
	f.wantUpdates(t)
	if dropped := f.letters(t, store.Dropped); len(dropped) != 1 || dropped[0].Reason != "the patient was merged away" {
		t.Errorf("dropped: %+v", dropped)
	}
	f.p.wantAck(adt("A31", "M3", numbered, "20261122115958", "20261121115958"), "MSA|AA|M3|Not traced: older message")
	f.wantUpdates(t)
}

// TestChangedSinceIsTracedAgain: a result of a patient who has changed since it was found is not
// sent; who the patient is now is traced, even if the message that told of it would not be.
func TestChangedSinceIsTracedAgain(t *testing.T) {
	for _, event := range []string{"A31", "A02"} {
		asked, go_on := make(chan struct{}), make(chan struct{})
		f := newHome(t)
		f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
			if len(f.provider.calls()) == 1 {
				close(asked)
				<-go_on
				return pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil
			}
			return matched(), nil
		}
		f.open(t)
		f.p.wantAck(adt("A28", "C1", unnumbered), "MSA|AA|C1|trace pending")
		<-asked
		f.p.ask(adt(event, "C2", unnumbered, "HALVORSEN", "HALVERSEN", "20261122115958", "20261122115959"))
		close(go_on)
		f.settle(t)
		f.elapse(t, time.Hour)
		f.wantUpdates(t, home01)
		if last := f.provider.calls(); last[len(last)-1].Who.Family != "HALVERSEN" {
			t.Errorf("%s: the last question was about another", event)
		}
		if dropped := f.letters(t, store.Dropped); len(dropped) > 1 {
			t.Errorf("%s: dropped %d letters", event, len(dropped))
		}
	}
}

// TestChangedWhileItsTraceEnds: an update that waits, and would tell the same, but of the patient as
// she was, is dropped just before the trace of the change is settled. The change is told all the same.
func TestChangedWhileItsTraceEnds(t *testing.T) {
	f := newHome(t)
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return matched(), nil }
	f.relay.Sender = connect(t, f.pas)
	dropped := make(chan struct{})
	f.relay.Done = func(d exchange.Delivery) {
		if d.State == store.Dropped {
			close(dropped)
		}
	}
	finished := 0
	f.handler.Journal = watched{f.disk, func(c store.Commit) {
		if c.Entries[len(c.Entries)-1].Kind != store.Finished {
			return
		}
		if finished++; finished == 2 { // that of C2
			run(t, f.relay)
			select {
			case <-dropped:
			case <-time.After(patience):
			}
		}
	}}
	f.plainSite.open(t)
	f.p.wantAck(adt("A28", "C1", unnumbered), "MSA|AA|C1|trace pending")
	f.work(t)
	f.p.wantAck(adt("A31", "C2", unnumbered, "LS99 1AA", "LS99 9ZZ"), "MSA|AA|C2|trace pending")
	f.elapse(t, time.Hour)
	f.wantUpdates(t, home01)
}

// watched is a journal that somebody looks at before every commit.
type watched struct {
	store.Journal
	before func(store.Commit)
}

func (j watched) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	j.before(c)
	return j.Journal.Commit(ctx, c)
}

// TestResendCausesNoSecondUpdate is row 41 and promise 3: a resend gets the stored answer and
// causes nothing.
func TestResendCausesNoSecondUpdate(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	f.open(t)
	first := f.p.ask(adt("A28", "R41", numbered))
	for range 3 {
		if again := f.p.ask(adt("A28", "R41", numbered)); again != first {
			t.Errorf("answered %q, then %q", first, again)
		}
	}
	f.wantAsked(t, 1)
	f.wantUpdates(t, home01)
}

// TestReusedResultComesHomeOnce: a result that is reused is sent to a PAS that shows that it does
// not know it, but not twice for messages that were written before it was sent.
func TestReusedResultComesHomeOnce(t *testing.T) {
	f := newHome(t)
	f.handler.RetraceAfter = 168 * time.Hour
	f.open(t)
	f.trace(t, unnumbered)
	f.send(t, "Traced", unnumbered) // written before
	f.wantUpdates(t, home01)
	f.elapse(t, time.Minute)
	f.send(t, "Traced", unnumbered, "20261122115958", f.time().Format("20060102150405"))
	f.wantUpdates(t, home01, home01)
	f.wantAsked(t, 1)
}

// TestForward: every ADT that was taken is sent on, in order: byte for byte, or with the result in
// it, or, if that comes late, with an update behind it (row 25).
func TestForward(t *testing.T) {
	const extra = "ZPD|kept|a\\T\\b\r"
	wide := strings.Replace(numbered, "|NSTS02", "|NSTS02"+strings.Repeat("|x", 60), 1)
	f := newHome(t)
	f.handler.Updates, f.handler.Forwards, f.handler.Plain = false, true, false
	f.relay.Destination = exchange.ToForward
	f.open(t)
	taken := []string{
		adt("A03", "W1", wide) + extra,
		adt("A28", "W2", wide) + extra,
		adt("A60", "W3", numbered) + extra,
	}
	for _, m := range taken {
		f.p.ask(m)
	}
	f.p.ask(adt("A28", "W4", numbered, "|P|2.4", "|T|2.4"))            // not ours: refused
	f.p.ask(adt("A28", "W5", numbered, "|PAS|RXX|", "|NHSTRACE|RXX|")) // our own: a circle
	f.p.ask(taken[0])                                                  // a resend
	f.settle(t)
	want := slices.Clone(taken)
	want[1] = strings.NewReplacer("9990000018^^^NHS|", "9990000018^^^NHS^NH|", "NSTS02", "NSTS01").Replace(want[1])
	if diff := cmp.Diff(want, f.pas.received()); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}

	late := newHome(t)
	late.handler.Updates, late.handler.Forwards = false, true
	late.relay.Destination = exchange.ToForward
	late.open(t).trace(t, numbered)
	late.settle(t)
	got := late.pas.received()
	if len(got) != 2 || got[0] != adt("A28", "F1", numbered) || headerField(got[1], 9) != "ADT^A31^ADT_A05" {
		t.Errorf("forwarded %q", got)
	}
}

// TestApplicationAcknowledgement is row 37: in enhanced mode the commit says nothing of the result;
// a sender who asks for the application acknowledgement is sent it, when there is one.
func TestApplicationAcknowledgement(t *testing.T) {
	for _, tt := range []struct{ msh16, event, want string }{
		{"AL", "A28", "MSA|AA|E1|Verified\rPID|1||" + strings.Replace(home01, " NSTS01", "", 1) + "||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS01\r"},
		{"SU", "A28", "MSA|AA|E1|Verified\rPID|1||" + strings.Replace(home01, " NSTS01", "", 1) + "||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS01\r"},
		{"AL", "A02", "MSA|AA|E1|Event not used\r"},
		{"ER", "A28", ""},
		{"NE", "A28", ""},
		{"", "A28", ""},
	} {
		t.Run(tt.msh16+" "+tt.event, func(t *testing.T) {
			f := newHome(t)
			f.handler.Plain, f.handler.Enhanced, f.handler.AppAcks, f.handler.Updates = false, true, true, false
			f.pas.answer = func(_ int, msg string) string { return pasAck("CA", msg) }
			f.open(t)
			f.p.wantAck(adt(tt.event, "E1", numbered, "|P|2.4", "|P|2.4|||AL|"+tt.msh16), "MSA|CA|E1")
			f.settle(t)
			got := f.pas.received()
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("sent %q", got)
				}
				return
			}
			header := "MSH|^~\\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK^" + tt.event + "^ACK|STxxxxxxxxxxxxxxxxxx|P|2.4|||AL|NE\r"
			if len(got) != 1 || masked(got[0]) != header+tt.want {
				t.Errorf("sent %q, want %q", got, header+tt.want)
			}
			if left := f.letters(t, store.Waiting); len(left) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

// TestOtherResults: a trust has a table of its own.
func TestOtherResults(t *testing.T) {
	for name, tt := range map[string]struct{ row, update string }{
		"omitted": {"NHS number invalidated,05,omitted,invalid number,", localPart + " NSTS05"},
		"nulled":  {"NHS number invalidated,05,nulled,,Withdrawn", localPart + `~""^^^NHS^NH NSTS05`},
		"kept":    {"NHS number invalidated,03,kept,,", localPart + "~9990000018^^^NHS NSTS03"},
	} {
		results, err := exchange.ParseResults([]byte("result,status,number,item,words\n" + tt.row + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		f := newHome(t)
		f.handler.Results, f.handler.Plain = results, false
		f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
		f.open(t)
		text := "NHS number invalidated"
		if name == "nulled" {
			text = "Withdrawn"
		}
		answer := f.p.wantAck(adt("A28", "O1", numbered), "MSA|AA|O1|"+text)
		if got := identifiersAndStatus(answer); !strings.HasPrefix(got, localPart+"~9990000018^^^NHS ") { // an answer takes no number away
			t.Errorf("%s: answered PID %q", name, got)
		}
		f.wantUpdates(t, tt.update)
		if items := len(f.items(t)); items != map[string]int{"omitted": 1}[name] {
			t.Errorf("%s: %d items", name, items)
		}
	}
}

// The requirements of audit-requirements.md, section 5.

// TestTDQ01SharedNumber: two local ids with one NHS number are an item, once, with both.
func TestTDQ01SharedNumber(t *testing.T) {
	f := newHome(t).open(t)
	f.trace(t, unnumbered)
	second := local("RXX7654321^^^RXX", unnumbered)
	f.trace(t, second)
	f.send(t, pending, unnumbered)
	f.wantItems(t, "shared number 9990000018")
	doc := exchange.ReadItemDoc(f.items(t)[0].Doc)
	ids := slices.Concat(doc.LocalIDs, doc.OtherIDs)
	slices.Sort(ids)
	if diff := cmp.Diff([]string{"RXX^RXX1234567", "RXX^RXX7654321"}, ids); diff != "" {
		t.Errorf("local ids (-want +got):\n%s", diff)
	}
}

// TestTDQ02MergesPassUntouched: a merge or a link is sent on byte for byte.
func TestTDQ02MergesPassUntouched(t *testing.T) {
	f := newHome(t)
	f.handler.Updates, f.handler.Forwards = false, true
	f.relay.Destination = exchange.ToForward
	f.open(t)
	messages := []string{
		adt("A40", "Q1", numbered) + "MRG|RXX7654321^^^RXX^MR~9990000026^^^NHS\r",
		adt("A37", "Q2", numbered) + unnumbered + "\r",
	}
	for _, m := range messages {
		f.p.ask(m)
	}
	f.settle(t)
	if diff := cmp.Diff(messages, f.pas.received()); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
}

// superseding answers as Spine does about a number that was replaced.
func superseding() pds.Result {
	return pds.Result{Outcome: pds.Superseded, NHSNumber: survivor, Code: "DEMOG-0017"}
}

// TestTDQ04SupersededWarns: a warning of its own, in words that a trust may change, and an item.
func TestTDQ04SupersededWarns(t *testing.T) {
	words, err := exchange.ParseResults([]byte("result,status,number,item,words\nNHS number superseded; tell the patient,01,found,replaced number,Neue Nummer\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, results := range map[string]exchange.Results{"NHS number superseded; tell the patient": {}, "Neue Nummer": words} {
		f := newHome(t)
		f.handler.Plain, f.handler.Results = false, results
		f.provider.say = says(superseding())
		f.open(t).p.wantAck(adt("A28", "S1", numbered), "MSA|AA|S1|"+text)
		f.wantItems(t, "replaced number 9990000018")
	}
}

// TestTDQ05SupersededTellsBoth: the words say that the number was replaced and that the patient is
// to be told; the new number is in PID-3 and in the item.
func TestTDQ05SupersededTellsBoth(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	f.provider.say = says(superseding())
	answer := f.open(t).p.ask(adt("A28", "S1", numbered))
	for _, statement := range []string{"superseded", "tell the patient", "9990000026^^^NHS^NH"} {
		if !strings.Contains(answer, statement) {
			t.Errorf("the answer lacks %q", statement)
		}
	}
	if doc := exchange.ReadItemDoc(f.items(t)[0].Doc); doc.NewNumber != "9990000026" || doc.NHSNumber != "9990000018" || !doc.Invalid {
		t.Errorf("the item has %q, %q, invalid %t", doc.NHSNumber, doc.NewNumber, doc.Invalid)
	}
}

// TestTDQ06SupersededReplaces: the new number takes the old one's place; the old one is in the
// audit and in the item, never beside it.
func TestTDQ06SupersededReplaces(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(superseding())
	f.open(t).trace(t, identified("9990000018^^^NHS~999 000 0018^^^NHS^NH"))
	f.wantUpdates(t, localPart+"~9990000026^^^NHS^NH NSTS01")
	if got := f.facts(t, 0).NHSSent; got != "9990000018" {
		t.Errorf("the audit has %q", got)
	}
	f.wantItems(t, "replaced number 9990000018")
}

// TestTDQ07SupersededByAHeldNumber: the reply does not replace the number, and the item names both
// records.
func TestTDQ07SupersededByAHeldNumber(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	f.provider.say = says(superseding())
	f.open(t)
	f.p.ask(adt("A03", "H1", local("RXX7654321^^^RXX", identified("9990000026^^^NHS^NH"))))
	answer := f.p.wantAck(adt("A28", "H2", numbered), "MSA|AA|H2|NHS number held by another record")
	if got := identifiersAndStatus(answer); got != localPart+"~9990000018^^^NHS NSTS05" {
		t.Errorf("answered PID %q", got)
	}
	doc := exchange.ReadItemDoc(f.items(t)[0].Doc)
	if !slices.Contains(doc.LocalIDs, "RXX^RXX1234567") || !slices.Contains(doc.OtherIDs, "RXX^RXX7654321") {
		t.Errorf("the item names %q and %q", doc.LocalIDs, doc.OtherIDs)
	}
}

// TestTDQ08PendingSupersededWarnsOnEveryAccess: until the item is closed, by somebody and for a
// reason, whatever is said of the local id says that the number is not valid.
func TestTDQ08PendingSupersededWarnsOnEveryAccess(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	f.provider.say = says(superseding())
	f.open(t)
	f.p.ask(adt("A03", "H1", local("RXX7654321^^^RXX", identified("9990000026^^^NHS^NH"))))
	f.p.wantAck(adt("A28", "H2", numbered), "MSA|AA|H2|NHS number held by another record")
	for n, m := range []string{
		adt("A03", "H30", numbered), adt("A28", "H31", numbered), adt("A02", "H32", unnumbered), adt("A28", "H33", status("NSTS05")),
	} {
		f.p.wantAck(m, fmt.Sprintf("MSA|AA|H3%d|%s", n, inDoubt))
	}
	f.p.wantAck(q22("H4", "@PID.3.1^RXX1234567~@PID.3.4^RXX"), "MSA|AA|H4|"+inDoubt)
	f.p.wantAck(adt("A03", "H5", local("RXX7654321^^^RXX", identified("9990000026^^^NHS^NH"))), "MSA|AA|H5|Event not used")
	f.closeItem(t, f.items(t)[0])
	f.p.wantAck(adt("A03", "H6", numbered), "MSA|AA|H6|Event not used")
	f.wantItems(t)

	replaced := newHome(t) // the new number is valid: only who has the old one is warned
	replaced.handler.Plain = false
	replaced.provider.say = says(superseding())
	replaced.open(t)
	replaced.p.wantAck(adt("A28", "N1", numbered), "MSA|AA|N1|NHS number superseded; tell the patient")
	replaced.p.wantAck(adt("A03", "N2", numbered), "MSA|AA|N2|"+inDoubt)
	replaced.p.wantAck(adt("A03", "N3", unnumbered), "MSA|AA|N3|"+inDoubt)
	replaced.p.wantAck(adt("A03", "N4", identified("9990000026^^^NHS^NH")), "MSA|AA|N4|Event not used")
}

// TestTDQ09ReferAllSuperseded: a setting leaves every superseded number to a person.
func TestTDQ09ReferAllSuperseded(t *testing.T) {
	f := newHome(t)
	f.handler.Results = f.handler.Results.ReferSuperseded()
	f.handler.Plain = false
	f.provider.say = says(superseding())
	f.open(t)
	answer := f.p.wantAck(adt("A28", "S1", numbered), "MSA|AA|S1|NHS number superseded; tell the patient")
	if got := identifiersAndStatus(answer); got != localPart+"~9990000018^^^NHS NSTS05" {
		t.Errorf("answered PID %q", got)
	}
	f.wantUpdates(t, localPart+"~9990000018^^^NHS NSTS05")
	f.wantItems(t, "replaced number 9990000018")
	if strings.Contains(f.p.ask(q22("S2", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417")), "9990000026") {
		t.Error("a query was told the number that a person is to look at")
	}
}

// TestTDQ10InvalidWarnsOnEveryAccess: the number is never told as verified, and every later reply
// warns.
func TestTDQ10InvalidWarnsOnEveryAccess(t *testing.T) {
	f := newHome(t)
	f.handler.Plain = false
	f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
	f.open(t)
	first := f.p.wantAck(adt("A28", "I1", numbered), "MSA|AA|I1|NHS number invalidated")
	second := f.p.wantAck(adt("A28", "I2", numbered), "MSA|AA|I2|"+inDoubt)
	third := f.p.wantAck(q22("I3", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"), "MSA|AA|I3|"+inDoubt)
	for _, answer := range []string{first, second, third} {
		if strings.Contains(answer, "NSTS01") {
			t.Errorf("answered as verified: %q", answer)
		}
	}
	f.wantItems(t, "invalid number 9990000018")
	f.closeItem(t, f.items(t)[0])
	f.p.wantAck(adt("A03", "I4", numbered), "MSA|AA|I4|Event not used")
}

// TestTDQ11ItemAtOnceAndOnce: the item is there when the answer is, and there is one for each kind.
func TestTDQ11ItemAtOnceAndOnce(t *testing.T) {
	f := newHome(t)
	f.handler.Plain, f.handler.Notify = false, exchange.Notify{store.InvalidNumber: {exchange.ToWebhook}}
	f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
	f.open(t)
	for n := range 3 {
		f.p.ask(adt("A28", fmt.Sprintf("K%d", n), numbered))
		f.wantItems(t, "invalid number 9990000018")
	}
	notices, err := f.disk.Letters(t.Context(), store.Waiting, 9)
	notices = slices.DeleteFunc(notices, func(l store.Letter) bool { return l.Kind != store.Notice })
	if err != nil || len(notices) != 1 || f.items(t)[0].Times != 3 {
		t.Errorf("%d notices, %+v, %v", len(notices), f.items(t), err)
	}
}

// TestTDQ12NoticeHoldsWhatAClerkNeeds: each of the seven fields.
func TestTDQ12NoticeHoldsWhatAClerkNeeds(t *testing.T) {
	f := newHome(t)
	f.provider.say = says(pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"})
	f.open(t).trace(t, numbered, "^^MRS^^L||", "^^MRS^^L~OLDNAME^PRIM^^^^^M||")
	want := exchange.ItemDoc{
		LocalIDs: []string{"RXX^RXX1234567"}, NHSNumber: "9990000018", Invalid: true,
		Name: "HALVORSEN, PRIMROSE", OtherNames: []string{"OLDNAME, PRIM"}, BirthDate: "1962-04-17", Sex: "F",
		Address: "1 MADEUP TERRACE, LEEDS", Postcode: "LS99 1AA", Sender: "PAS^RXX", ControlID: "F1",
	}
	got := exchange.ReadItemDoc(f.items(t)[0].Doc)
	got.Reason = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("item (-want +got):\n%s", diff)
	}
}

// TestTDQ14Differences: what the national record says otherwise is listed field by field, in the
// item and, by name, in the audit; the message goes home as it was.
func TestTDQ14Differences(t *testing.T) {
	f := newHome(t)
	f.handler.Details = true
	other := record()
	other.Family, other.Sex, other.Home.Postcode = "HALVERSEN", pds.SexMale, "LS99 9ZZ"
	f.provider.say = says(pds.Result{Outcome: pds.Matched, NHSNumber: primrose, Patient: other, Code: "SMSP-0000"})
	f.open(t).trace(t, numbered)
	f.wantItems(t, "discrepancy 9990000018")
	want := []string{"family name: HALVORSEN | HALVERSEN", "sex: F | M", "postcode: LS99 1AA | LS99 9ZZ"}
	if diff := cmp.Diff(want, exchange.ReadItemDoc(f.items(t)[0].Doc).Differences); diff != "" {
		t.Errorf("item (-want +got):\n%s", diff)
	}
	if got := f.ended(t)[0]; got.Differences != "family name, sex, postcode" || got.Items != "discrepancy" {
		t.Errorf("the audit has %q, %q", got.Differences, got.Items)
	}
	f.settle(t)
	if sent := f.pas.received(); len(sent) != 1 || !strings.Contains(sent[0], "|HALVORSEN^") || !strings.Contains(sent[0], "|F|") {
		t.Errorf("sent %q", sent)
	}

	same := newHome(t)
	same.handler.Details = true
	same.provider.say = says(matched())
	same.open(t).trace(t, numbered, "1 MADEUP TERRACE", "1, Madeup terrace", "LS99 1AA", "ls991aa")
	same.wantItems(t)
}
