package exchange_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// local is a PID with the given local number and edits.
func local(number, pid string, edits ...string) string {
	return strings.NewReplacer(append([]string{"RXX1234567^^^RXX", number}, edits...)...).Replace(pid)
}

// pidOf is the PID segment of an answer, "" if there is none.
func pidOf(answer string) string {
	_, after, _ := strings.Cut(answer, "\rPID|")
	pid, _, _ := strings.Cut(after, "\r")
	return pid
}

// TestRetraceAfter: a patient whose identity fields are as they were is answered with what was
// found, and not asked about; a change of any of them asks again.
func TestRetraceAfter(t *testing.T) {
	s := newIndexed(t)
	s.handler.RetraceAfter = 168 * time.Hour
	clock := noon()
	s.handler.Now = func() time.Time { return clock }
	p := s.open(t).dial(t)
	first := p.wantAck(adt("A28", "R1", unnumbered), "MSA|AA|R1|Traced")
	s.wantAsked(t, 1)
	for id, m := range map[string]string{
		"R2": adt("A31", "R2", unnumbered),
		"R3": adt("A28", "R3", unnumbered, "|||||NSTS03", "|||||NSTS02"),
		"R4": adt("A08", "R4", unnumbered, "HALVORSEN", "halvorsen", "1 MADEUP TERRACE", "", "LS99 1AA", "ls991aa"),
	} {
		again := p.wantAck(m, "MSA|AA|"+id+"|Traced")
		if id != "R4" && pidOf(again) != pidOf(first) {
			t.Errorf("%s (-first +again):\n%s", id, cmp.Diff(pidOf(first), pidOf(again)))
		}
	}
	s.wantAsked(t, 1)
	for i, tt := range []struct {
		id    string
		edits []string
		pid   string
	}{
		{"C1", []string{"HALVORSEN", "HALVERSEN"}, unnumbered},
		{"C2", []string{"^PRIMROSE", "^ROSE"}, unnumbered},
		{"C3", []string{"19620417", "19620418"}, unnumbered},
		{"C4", []string{"|F|", "|M|"}, unnumbered},
		{"C5", []string{"LS99 1AA", "LS99 1AB"}, unnumbered},
		{"C6", nil, numbered},
		{"C7", nil, unnumbered}, // says nothing of the number, which was verified
	} {
		want := "MSA|AA|" + tt.id + "|Traced"
		if i == 5 || i == 6 {
			want = "MSA|AA|" + tt.id + "|Verified"
		}
		p.wantAck(adt("A28", tt.id, tt.pid, tt.edits...), want)
		s.wantAsked(t, min(i+2, 7))
	}
	clock = clock.Add(168 * time.Hour)
	p.wantAck(adt("A28", "E1", numbered), "MSA|AA|E1|Verified")
	s.wantAsked(t, 8)
}

// TestQueryDoesNotChangeWhatIsReused: a query that confirms what an ADT found leaves the words for
// the next ADT as they were.
func TestQueryDoesNotChangeWhatIsReused(t *testing.T) {
	for _, tt := range []struct {
		pid, text string
		res       pds.Result
	}{
		{unnumbered, "Traced", matched()},
		{numbered, "Verified", matched()},
		{numbered, "NHS number superseded; tell the patient", pds.Result{Outcome: pds.Superseded, NHSNumber: survivor}},
	} {
		s := newIndexed(t)
		s.handler.RetraceAfter = time.Hour
		s.provider.say = says(tt.res)
		p := s.open(t).dial(t)
		first := p.wantAck(adt("A28", "Q1", tt.pid), "MSA|AA|Q1|"+tt.text)
		res := matched()
		res.NHSNumber = tt.res.NHSNumber
		s.provider.say = says(res)
		p.wantAck(q21("Q2", "RXX1234567^^^RXX^MR"), "MSA|AA|Q2")
		if req := s.wantAsked(t, 2); req.NHSNumber != tt.res.NHSNumber {
			t.Error("the query was not about the number that was found")
		}
		again := p.wantAck(adt("A28", "Q3", tt.pid), "MSA|AA|Q3|"+tt.text)
		if pidOf(first) != pidOf(again) {
			t.Errorf("PID %q, then %q", pidOf(first), pidOf(again))
		}
	}
}

// TestNegativeResultsAreReused, with their own words and status.
func TestNegativeResultsAreReused(t *testing.T) {
	for _, tt := range []struct {
		outcome      pds.Outcome
		text, status string
	}{
		{pds.NoMatch, "No match", "NSTS04"}, {pds.ManyMatches, "Multiple matches", "NSTS04"},
		{pds.Invalidated, "NHS number invalidated", "NSTS05"}, {pds.NotVerified, "Not verified", "NSTS05"}, {pds.OldStyle, "Old style number", "NSTS05"},
	} {
		s := newIndexed(t)
		s.handler.RetraceAfter = time.Hour
		s.provider.say = says(pds.Result{Outcome: tt.outcome})
		p := s.open(t).dial(t)
		first := p.wantAck(adt("A28", "N1", numbered), "MSA|AA|N1|"+tt.text)
		again := p.wantAck(adt("A28", "N2", numbered), "MSA|AA|N2|"+tt.text)
		if pidOf(first) != pidOf(again) || !strings.HasSuffix(pidOf(again), "|"+tt.status) {
			t.Errorf("PID %q, then %q", pidOf(first), pidOf(again))
		}
		s.wantAsked(t, 1)
	}
}

// TestNothingToReuse: a technical end, a local copy and a RetraceAfter of 0 ask again.
func TestNothingToReuse(t *testing.T) {
	s := newIndexed(t)
	s.handler.RetraceAfter = time.Hour
	res, err := pds.Result{}, error(&pds.Error{Class: pds.ProviderError, Status: 500})
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return res, err }
	p := s.open(t).dial(t)
	p.wantAck(adt("A28", "T1", numbered), "MSA|AA|T1|trace pending")
	res, err = matched(), nil
	res.Outcome = pds.Stale
	p.wantAck(adt("A28", "T2", numbered), "MSA|AA|T2|trace pending")
	res = pds.Result{Outcome: pds.Refused}
	p.wantAck(adt("A28", "T3", numbered), "MSA|AA|T3|Not traced: refused")
	res = matched()
	p.wantAck(adt("A28", "T4", numbered), "MSA|AA|T4|Verified")
	s.wantAsked(t, 4)
	p.wantAck(adt("A28", "T5", numbered), "MSA|AA|T5|Verified")
	s.wantAsked(t, 4)

	always := newIndexed(t)
	p = always.open(t).dial(t)
	p.wantAck(adt("A28", "T6", numbered), "MSA|AA|T6|Verified")
	p.wantAck(adt("A28", "T7", numbered), "MSA|AA|T7|Verified")
	always.wantAsked(t, 2)
}

// TestNumberHeldByAnotherRecord: a number that another record of the same authority holds is never
// verified for this one, until that record is merged away.
func TestNumberHeldByAnotherRecord(t *testing.T) {
	const held = "NHS number held by another record"
	later := []string{"EVN||20261122115958", "EVN||20261122115959"}
	other := adt("A03", "H1", local("RXX7654321^^^RXX", numbered))
	merged := func(from, into string) string {
		return adt("A40", "H2", "PID|1||"+into+"^^^RXX^MR\rMRG|"+from+"^^^RXX^MR", later...)
	}
	for name, tt := range map[string]struct {
		before []string // messages that come before
		edits  []string // of the patient's own
		msa    string
		number bool // PID-3 has our form of the number
	}{
		"held":                             {[]string{other}, nil, held, false},
		"held under another authority":     {[]string{strings.Replace(other, "^^^RXX^MR", "^^^RYY^MR", 1)}, nil, "Verified", true},
		"merged away into a third":         {[]string{other, merged("RXX7654321", "RXX3333333")}, nil, "Verified", true},
		"merged into this one":             {[]string{other, merged("RXX7654321", "RXX1234567")}, later, "Verified", true},
		"deleted":                          {[]string{other, adt("A29", "H2", local("RXX7654321^^^RXX", numbered), later...)}, nil, "Verified", true},
		"no longer its number":             {[]string{other, adt("A03", "H2", local("RXX7654321^^^RXX", unnumbered, "^MR|", "^MR~\"\"^^^NHS^NH|"), later...)}, nil, "Verified", true},
		"the other number of this patient": {[]string{other}, []string{"RXX1234567^^^RXX^MR", "RXX1234567^^^RXX^MR~RXX7654321^^^RXX^PI"}, "Verified", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIndexed(t).open(t).dial(t)
			for _, m := range tt.before {
				p.wantAck(m, "MSA|AA|H"+m[strings.Index(m, "|H")+2:][:1]+"|Event not used")
			}
			got := p.wantAck(adt("A28", "H9", numbered, tt.edits...), "MSA|AA|H9|"+tt.msa)
			status := map[bool]string{true: "NSTS01", false: "NSTS05"}[tt.number]
			if strings.Contains(pidOf(got), nhsIdentifier) != tt.number || !strings.HasSuffix(pidOf(got), "|"+status) {
				t.Errorf("PID %q", pidOf(got))
			}
		})
	}
}

// TestConflictEndsWithAMerge: what another record holds is looked at each time; a result that
// depended on it is not reused.
func TestConflictEndsWithAMerge(t *testing.T) {
	s := newIndexed(t)
	s.handler.RetraceAfter = time.Hour
	p := s.open(t).dial(t)
	p.wantAck(adt("A28", "K1", unnumbered), "MSA|AA|K1|Traced")
	p.wantAck(adt("A28", "K2", local("RXX7654321^^^RXX", numbered)), "MSA|AA|K2|NHS number held by another record")
	p.wantAck(adt("A28", "K3", unnumbered), "MSA|AA|K3|NHS number held by another record")
	s.wantAsked(t, 3)
	p.wantAck(adt("A40", "K4", "PID|1||RXX1234567^^^RXX^MR\rMRG|RXX7654321^^^RXX^MR"), "MSA|AA|K4|Event not used")
	p.wantAck(adt("A28", "K5", unnumbered), "MSA|AA|K5|Traced")
	p.wantAck(adt("A28", "K6", unnumbered), "MSA|AA|K6|Traced")
	s.wantAsked(t, 4)
}

// TestLateTraceDecidesTheSame: a trace that its sender did not wait for finds that another record
// holds the number, and so does the index that is made anew.
func TestLateTraceDecidesTheSame(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "journal.db"), store.Options{Now: noon})
	if err == nil {
		err = db.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{db: db}
	t.Cleanup(func() { d.stop(t) })
	s := newSite(d)
	hang := make(chan struct{})
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		<-hang
		return matched(), nil
	}
	s.handler.Budget = 50 * time.Millisecond
	s.open(t)
	p := s.dial(t)
	p.wantAck(adt("A03", "L1", local("RXX7654321^^^RXX", numbered)), "MSA|AA|L1|Event not used")
	p.wantAck(adt("A28", "L2", unnumbered), "MSA|AA|L2|trace pending")
	p.wantAck(adt("A28", "L3", local("RXX2222222^^^RYY", unnumbered)), "MSA|AA|L3|trace pending")
	close(hang)
	if err := s.handler.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	var decided []string
	for n, e := range s.events(t) {
		if f := s.facts(t, n); e.Kind == store.Finished {
			decided = append(decided, f.Outcome+" "+f.Decision)
		}
	}
	if got := strings.Join(decided, ", "); got != "held by another record NSTS05, traced NSTS01" && got != "traced NSTS01, held by another record NSTS05" {
		t.Errorf("decided %s", got)
	}
	s.handler.RetraceAfter = time.Hour // what was asked then is what counts
	wantAnew(t, s, "RXX1234567", "RXX7654321", "RXX2222222")
}

// wantAnew compares entries of the index with those that are derived from the journal.
func wantAnew(t *testing.T, s *site, localIDs ...string) {
	t.Helper()
	entries, _, err := s.handler.Reindex(context.Background(), s.disk.store(), nil)
	if err != nil {
		t.Fatal(err)
	}
	anew, kept := make(map[store.PatientKey]store.Patient), make(map[store.PatientKey]store.Patient)
	for p := range entries {
		anew[p.Key] = p
	}
	for _, id := range localIDs {
		named, err := s.disk.Named(context.Background(), id, 9)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range named {
			kept[p.Key] = p
		}
	}
	if diff := cmp.Diff(kept, anew, cmpopts.IgnoreFields(store.Found{}, "At")); diff != "" || len(kept) == 0 {
		t.Errorf("made anew (-stored +anew):\n%s", diff)
	}
}

// TestStatus04: who was not found is asked about again when the identity fields have changed.
func TestStatus04(t *testing.T) {
	s := newIndexed(t)
	s.provider.say = says(pds.Result{Outcome: pds.NoMatch})
	p := s.open(t).dial(t)
	const status = "Not traced: status"
	tried := strings.Replace(unnumbered, "NSTS03", "NSTS04", 1)
	p.wantAck(adt("A28", "S1", tried), "MSA|AA|S1|"+status) // nothing to compare with
	p.wantAck(adt("A28", "S2", unnumbered), "MSA|AA|S2|No match")
	p.wantAck(adt("A31", "S3", tried), "MSA|AA|S3|"+status)
	p.wantAck(adt("A31", "S4", tried, "1 MADEUP TERRACE", "2 MADEUP TERRACE"), "MSA|AA|S4|"+status)
	p.wantAck(adt("A31", "S5", tried, "19620417", "19620418"), "MSA|AA|S5|No match")
	p.wantAck(adt("A31", "S6", tried, "19620417", "19620418"), "MSA|AA|S6|"+status)
	s.wantAsked(t, 2)

	elsewhere := newIndexed(t) // it was tried by somebody else
	elsewhere.provider.say = says(pds.Result{Outcome: pds.NoMatch})
	p = elsewhere.open(t).dial(t)
	p.wantAck(adt("A28", "S7", tried), "MSA|AA|S7|"+status)
	p.wantAck(adt("A28", "S8", tried, "PRIMROSE", "ROSE"), "MSA|AA|S8|No match")
	elsewhere.wantAsked(t, 1)
}

// TestAnewAfterAnswersThatCameFirst: a trace that was made after its answer is in the index that is
// made anew.
func TestAnewAfterAnswersThatCameFirst(t *testing.T) {
	s := newIndexed(t)
	s.handler.Enhanced = true
	asked := make(chan struct{})
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		close(asked)
		return matched(), nil
	}
	p := s.open(t).dial(t)
	p.wantAck(adt("A28", "D1", numbered, "|P|2.4", "|P|2.4|||AL"), "MSA|CA|D1")
	<-asked
	if err := s.handler.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	named, err := s.disk.Named(context.Background(), "RXX1234567", 1)
	if err != nil || len(named) != 1 || named[0].Found.NHSNumber != "9990000018" {
		t.Fatalf("%d entries, or nothing found: %v", len(named), err)
	}
	wantAnew(t, s, "RXX1234567")
}

// TestLegacyNumberIsAnIdentityField: a number of PID-19 that has changed asks again, and one that
// has not does not.
func TestLegacyNumberIsAnIdentityField(t *testing.T) {
	fields, err := exchange.ParseLegacyFields("PID-19")
	if err != nil {
		t.Fatal(err)
	}
	s := newIndexed(t)
	s.handler.LegacyNumbers, s.handler.RetraceAfter = fields, time.Hour
	p := s.open(t).dial(t)
	in := func(number string) []string {
		return []string{"|||||||||||||NSTS03", number + "|||||||||||||NSTS02"}
	}
	p.wantAck(adt("A28", "G1", unnumbered, in("9990000018")...), "MSA|AA|G1|Verified")
	p.wantAck(adt("A28", "G2", unnumbered, in("9990000018")...), "MSA|AA|G2|Verified")
	s.wantAsked(t, 1)
	p.wantAck(adt("A28", "G3", unnumbered, in("9990000026")...), "MSA|AA|G3|Verified")
	if req := s.wantAsked(t, 2); req.NHSNumber != survivor {
		t.Errorf("asked about %q", req.NHSNumber.Digits())
	}
}
