package exchange_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// TestNothingButTheOneAskedAbout: a question by two numbers that belong to two people is completed
// from neither, and what is found for a number of several records is learned for none.
func TestNothingButTheOneAskedAbout(t *testing.T) {
	s := newIndexed(t)
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "B1", numbered), "MSA|AA|B1|Event not used")
	p.wantAck(adt("A03", "B2", local("RXX7654321^^^RXX", numbered, "9990000018", "9990000026")), "MSA|AA|B2|Event not used")
	parameters := "@PID.3.1^RXX1234567~@PID.3.4^RXX~@PID.3.1^9990000026~@PID.3.4^NHS"
	p.wantReply(q22("B3", parameters), "RSP^K22^RSP_K21", "MSA|AA|B3|No match\rQAK|TAG0042|NF|IHE PDQ Query|0|0|0\r"+qpd("IHE PDQ Query", parameters))
	s.wantAsked(t, 0)

	p.wantAck(adt("A03", "B4", local("RXX2222222^^^RXX", numbered)), "MSA|AA|B4|Event not used")
	p.wantReply(q21("B5", nhsIdentifier), "RSP^K21^RSP_K21", "MSA|AA|B5\rQAK|TAG0042|OK|Q21^Get Person Demographics^HL70471|1|1|0\r"+
		qpd("Q21^Get Person Demographics^HL70471", nhsIdentifier)+"PID|1||"+nhsIdentifier+recordPID)
	s.wantAsked(t, 1)
	for _, id := range []string{"RXX1234567", "RXX2222222"} {
		entries, err := s.disk.Named(t.Context(), id, 1)
		if err != nil || len(entries) != 1 || !entries[0].Found.At.IsZero() {
			t.Errorf("%s: an entry was said to be verified: %v", id, err)
		}
	}
}

// TestIndexDoesNotAskByWhatMayNotBeSent: wildcards, truncated names and the names of people whom
// nobody knows are in messages, and never in a question that the index completes.
func TestIndexDoesNotAskByWhatMayNotBeSent(t *testing.T) {
	for name, edits := range map[string][]string{
		"wildcard in the family name": {"HALVORSEN", "HALV*"},
		"nobody knows who it is":      {"HALVORSEN^PRIMROSE", "UNKNOWN^FEMALE"},
		"PID-31":                      {"|NSTS03", "Y|NSTS03"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIndexed(t)
			p := s.open(t).dial(t)
			p.wantAck(adt("A03", "W1", unnumbered, edits...), "MSA|AA|W1|Event not used")
			got := p.ask(q21("W2", "RXX1234567^^^RXX^MR"))
			if !strings.Contains(got, "\rMSA|AE|W2|Family name or NHS number required\r") {
				t.Errorf("answered %q", got)
			}
			s.wantAsked(t, 0)
		})
	}
	s := newIndexed(t)
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "W3", unnumbered, "PRIMROSE", "PRIM*", "LS99 1AA", "LS9%"), "MSA|AA|W3|Event not used")
	p.wantAck(q21("W4", "RXX1234567^^^RXX^MR"), "MSA|AA|W4")
	if req := s.wantAsked(t, 1); req.Want != pds.DetailsBySearch || req.Who.Given != "" || req.Who.Postcode != "" {
		t.Error("a wildcard was sent")
	}
}

// TestLocalCopyForPIX: a number from a provider's local copy is told only if it is the one that
// was verified before.
func TestLocalCopyForPIX(t *testing.T) {
	s := newIndexed(t)
	s.handler.RetraceAfter = 1 // a nanosecond: what is verified is asked about again
	res := matched()
	res.Outcome = pds.Stale
	s.provider.say = says(res)
	clock := noon()
	s.handler.Now = func() time.Time { return clock }
	p := s.open(t).dial(t)
	const mrn = "RXX1234567^^^RXX^MR"
	const nobody = "QAK|TAG0042|NF|IHE PIX Query|0|0|0\r"
	p.wantAck(adt("A03", "P1", numbered), "MSA|AA|P1|Event not used")
	p.wantReply(q23("P2", mrn), "RSP^K23^RSP_K23", "MSA|AA|P2|Local copy, Spine unavailable\r"+nobody+qpd("IHE PIX Query", mrn))
	s.provider.say = says(matched())
	p.wantAck(q23("P3", mrn), "MSA|AA|P3")
	clock = clock.Add(time.Hour)
	s.provider.say = says(res)
	p.wantReply(q23("P4", mrn), "RSP^K23^RSP_K23", "MSA|AA|P4|Local copy, Spine unavailable\rQAK|TAG0042|OK|IHE PIX Query|1|1|0\r"+qpd("IHE PIX Query", mrn)+
		"PID|||"+nhsIdentifier+"||~^^^^^^S\r")
	res.NHSNumber = survivor
	s.provider.say = says(res)
	p.wantReply(q23("P5", mrn), "RSP^K23^RSP_K23", "MSA|AA|P5|Local copy, Spine unavailable\r"+nobody+qpd("IHE PIX Query", mrn))
}

// TestFeedWithoutAuthorities: numbers that a feed sends without an authority are found by the
// trust's own, if it has no second one.
func TestFeedWithoutAuthorities(t *testing.T) {
	const mrn = "RXX1234567^^^RXX^MR"
	for name, tt := range map[string]struct {
		domains string
		msa     string
	}{
		"one domain":  {"RXX", "MSA|AA|A2"},
		"two domains": {"RXX,RYY", "MSA|AE|A2|Unknown identifier"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIndexed(t)
			var err error
			if s.handler.Domains, err = exchange.ParseDomains(tt.domains); err != nil {
				t.Fatal(err)
			}
			p := s.open(t).dial(t)
			p.wantAck(adt("A28", "A1", numbered, "^^^RXX^MR", "^^^^MR"), "MSA|AA|A1|Verified")
			p.wantAck(q23("A2", mrn), tt.msa)
		})
	}
}

// TestQueryByANumberThatWasReplaced: who still has the old number gets the new one, as long as the
// newest message has the old one, too.
func TestQueryByANumberThatWasReplaced(t *testing.T) {
	s := newIndexed(t)
	superseded := matched()
	superseded.Outcome, superseded.NHSNumber = pds.Superseded, survivor
	s.provider.say = says(superseded)
	p := s.open(t).dial(t)
	const text = "NHS number superseded; tell the patient"
	p.wantAck(adt("A28", "O1", numbered), "MSA|AA|O1|"+text)
	const name = "Q21^Get Person Demographics^HL70471"
	p.wantReply(q21("O2", nhsIdentifier), "RSP^K21^RSP_K21", "MSA|AA|O2|"+text+"\rQAK|TAG0042|OK|"+name+"|1|1|0\r"+qpd(name, nhsIdentifier)+
		"PID|1||9990000026^^^NHS^NH~"+localIdentifier+recordPID)
	s.wantAsked(t, 2)
	p.wantReply(q23("O3", nhsIdentifier), "RSP^K23^RSP_K23", "MSA|AA|O3|"+text+"\rQAK|TAG0042|OK|IHE PIX Query|1|1|0\r"+qpd("IHE PIX Query", nhsIdentifier)+
		"PID|||9990000026^^^NHS^NH~"+localIdentifier+"||~^^^^^^S\r")
	s.wantAsked(t, 2)
	both := "@PID.3.1^RXX1234567~@PID.3.4^RXX~@PID.3.1^9990000018~@PID.3.4^NHS"
	p.wantAck(q22("O4", both), "MSA|AA|O4|"+text)
	s.wantAsked(t, 3)
}

// failing is an index that cannot be read while it fails.
type failing struct {
	store.Index
	reads, holders atomic.Bool
}

func (f *failing) Patient(ctx context.Context, key store.PatientKey) (store.Patient, bool, error) {
	if f.reads.Load() {
		return store.Patient{}, false, store.ErrUnavailable
	}
	return f.Index.Patient(ctx, key)
}

func (f *failing) Holders(ctx context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	if f.holders.Load() {
		return nil, store.ErrUnavailable
	}
	return f.Index.Holders(ctx, nhsNumber, limit)
}

// TestIndexThatCannotBeRead: nothing is decided without it. A query is told 207, an ADT's
// connection is closed, and the ADT sent again is answered as if it came for the first time.
func TestIndexThatCannotBeRead(t *testing.T) {
	s := newIndexed(t)
	index := &failing{Index: s.disk}
	s.handler.Index = index
	s.handler.Budget = time.Second // half of it is what a resend waits for the first copy
	s.open(t)
	const mrn = "RXX1234567^^^RXX^MR"

	index.reads.Store(true)
	p := s.dial(t)
	p.wantReply(q21("U1", mrn), "RSP^K21^RSP_K21", "MSA|AR|U1|Cannot be dealt with now\r"+err25("", 207, internal, "Cannot be dealt with now")+
		"QAK|TAG0042|AR|Q21^Get Person Demographics^HL70471\r"+qpd("Q21^Get Person Demographics^HL70471", mrn))
	p.send(frame(adt("A28", "U2", numbered)))
	p.wantEnd()
	s.wantAsked(t, 0)
	s.wantStory(t, "")

	index.reads.Store(false)
	index.holders.Store(true) // who else holds the number cannot be read once it is known
	p = s.dial(t)
	p.send(frame(adt("A28", "U3", numbered)))
	p.wantEnd()
	s.wantAsked(t, 1)
	index.holders.Store(false)
	s.dial(t).wantAck(adt("A28", "U3", numbered), "MSA|AA|U3|Verified")
	s.wantAsked(t, 2)
	s.wantFound(t, "U3", 1)
}

// TestAChangeIsTracedLater: with status 04 only who has changed is traced. That the message which
// told of the change is in the index by the time of its trace is no reason to leave it out.
func TestAChangeIsTracedLater(t *testing.T) {
	s := newSite(newDisk(t))
	s.handler.Plain = true
	p := s.open(t).dial(t)
	p.wantAck(adt("A28", "C1", unnumbered, "NSTS03", "NSTS04"), "MSA|AA|C1|Not traced: status")
	p.wantAck(adt("A31", "C2", unnumbered, "NSTS03", "NSTS04", "HALVORSEN", "HALVERSEN"), "MSA|AA|C2|trace pending")
	s.awaitWork(t)
	s.wantAsked(t, 1)
}

// TestAMergeInTheSameSecondEndsATrace: nobody asks about a number that is no more.
func TestAMergeInTheSameSecondEndsATrace(t *testing.T) {
	s := newSite(newDisk(t))
	s.handler.Plain = true
	merge := adt("A40", "M2", local("RXX7654321^^^RXX", unnumbered)+"\rMRG|RXX1234567^^^RXX^MR")
	for _, m := range []string{a28("M1"), merge} {
		if _, err := s.handler.HandleMLLP(context.Background(), netip.AddrPort{}, nil, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	s.open(t)
	s.awaitWork(t)
	s.wantAsked(t, 0)
}

// damaged is a journal of which one message cannot be read.
type damaged struct {
	store.Audit
	at int64
}

func (d damaged) Parts(ctx context.Context, e store.Event) ([]store.Part, bool, error) {
	if e.Seq == d.at {
		return nil, false, fmt.Errorf("store: %w", store.ErrParts)
	}
	return d.Audit.Parts(ctx, e)
}

// TestReindexLeavesOutWhatIsDamaged, and says where it is.
func TestReindexLeavesOutWhatIsDamaged(t *testing.T) {
	s := newIndexed(t)
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "D1", numbered), "MSA|AA|D1|Event not used")
	p.wantAck(adt("A03", "D2", numbered, "RXX1234567", "RXX7654321"), "MSA|AA|D2|Event not used")
	entries, messages, err := s.handler.Reindex(t.Context(), damaged{s.disk.store(), s.events(t)[0].Seq}, nil)
	if err != nil || messages != 1 {
		t.Fatalf("Reindex() read %d messages, error %v; want the other one", messages, err)
	}
	for e := range entries {
		if e.Key.LocalID != "RXX7654321" {
			t.Errorf("an entry of %v", e.Key)
		}
	}
	if log := s.logged(); !strings.Contains(log, "a damaged message is left out") {
		t.Errorf("the log says nothing of it: %s", log)
	}
}
