package exchange_test

import (
	"strings"
	"testing"
	"time"

	"spinetrace/pds"
)

// What TestPolicy found, each as the shortest story that shows it.

// TestNumberHeldUnderAnotherAuthority: a patient with numbers of two authorities shares no NHS
// number with another record of either, whichever number comes first.
func TestNumberHeldUnderAnotherAuthority(t *testing.T) {
	for _, ids := range []string{"RXX1234567^^^RXX^MR~5^^^RYY^MR", "5^^^RYY^MR~RXX1234567^^^RXX^MR"} {
		s := newIndexed(t)
		p := s.open(t).dial(t)
		p.wantAck(adt("A03", "HELD", local("RXX7654321^^^RXX", identified("9990000018^^^NHS^NH"))), "MSA|AA|HELD|Event not used")
		got := p.wantAck(adt("A28", "TWO", unnumbered, "RXX1234567^^^RXX^MR", ids), "MSA|AA|TWO|NHS number held by another record")
		if got := identifiersAndStatus(got); got != ids+" NSTS05" {
			t.Errorf("answered PID %q", got)
		}
	}
}

// TestSearchIsNoAnswerAboutANumber: what a search found, for a message that left the number out, is
// not put in place of a number that nobody was asked about since.
func TestSearchIsNoAnswerAboutANumber(t *testing.T) {
	s := newIndexed(t)
	s.handler.RetraceAfter = 168 * time.Hour
	p := s.open(t).dial(t)
	p.wantAck(adt("A28", "S1", numbered), "MSA|AA|S1|Verified")
	s.provider.say = says(pds.Result{Outcome: pds.Matched, NHSNumber: survivor, Code: "SMSP-0000"})
	p.wantAck(adt("A28", "S2", unnumbered, "HALVORSEN", "HALVERSEN"), "MSA|AA|S2|Traced")
	s.provider.say = says(pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040"})
	p.wantAck(adt("A28", "S3", numbered, "HALVORSEN", "HALVERSEN"), "MSA|AA|S3|Not verified")
	if req := s.wantAsked(t, 3); req.NHSNumber != primrose {
		t.Error("the number that the message has was not asked about")
	}
}

// TestStatusWithoutANumber: what a message without a number says of "the number" makes none verified that
// an earlier one told.
func TestStatusWithoutANumber(t *testing.T) {
	s := newIndexed(t)
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "N1", numbered), "MSA|AA|N1|Event not used")
	p.wantAck(later("A03", "N2", unnumbered, "59", "NSTS03", "NSTS01"), "MSA|AA|N2|Event not used")
	s.provider.say = says(pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040"})
	got := p.ask(q23("N3", "RXX1234567^^^RXX^MR|^^^NHS"))
	if strings.Contains(got, "9990000018") || !strings.Contains(got, "|NF|") {
		t.Errorf("answered %q; want nobody", got)
	}
}
