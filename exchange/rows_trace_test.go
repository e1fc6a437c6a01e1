package exchange_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// plainSite is a site with one sender that answers before it traces, on a disk of its own, at a time
// that the test moves.
type plainSite struct {
	*site
	p    *sender
	sent int

	clock sync.Mutex
	now   time.Time
}

// newPlain is one whose back end finds the patient. Its sender comes with open.
func newPlain(t *testing.T) *plainSite {
	t.Helper()
	f := &plainSite{now: noon()}
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "journal.db"), store.Options{Now: f.time})
	if err == nil {
		err = db.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{db: db}
	t.Cleanup(func() { d.stop(t) })
	f.site = newSite(d)
	f.handler.Now, f.handler.Plain = f.time, true
	f.handler.WorkDeadline = 1_000_000 * time.Hour // it counts from ids, which the machine's clock makes
	f.provider.say = says(matched())
	return f
}

func (f *plainSite) open(t *testing.T) *plainSite {
	t.Helper()
	f.site.open(t)
	f.p = f.dial(t)
	return f
}

func (f *plainSite) time() time.Time {
	f.clock.Lock()
	defer f.clock.Unlock()
	return f.now
}

// pass moves the clock, and waits until everything that is due then has been tried.
func (f *plainSite) pass(t *testing.T, d time.Duration) {
	t.Helper()
	f.clock.Lock()
	f.now = f.now.Add(d)
	f.clock.Unlock()
	f.work(t)
}

// work waits until nothing is due any more. A second worker looks at once; the site's own
// would in a few seconds.
func (f *plainSite) work(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var worked sync.WaitGroup
	worked.Go(func() { f.handler.Work(ctx) })
	defer worked.Wait()
	defer stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); f.due(t); {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("waited in vain for traces to be made; the log:\n%s", f.logged())
		}
	}
}

// due tells whether an item waits for nothing but a worker, or has one.
func (f *plainSite) due(t *testing.T) bool {
	t.Helper()
	items, err := f.disk.store().Pending(context.Background(), false, 9)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(items, func(w store.Work) bool { return !w.Due.After(f.time()) || !w.Until.IsZero() })
}

// send sends an A28 that is answered AA with text and nothing else, and waits for its trace.
func (f *plainSite) send(t *testing.T, text, pid string, edits ...string) {
	t.Helper()
	f.sent++
	id := fmt.Sprintf("F%d", f.sent)
	if got := f.p.wantAck(adt("A28", id, pid, edits...), "MSA|AA|"+id+"|"+text); pidOf(got) != "" {
		t.Errorf("a plain answer holds PID %q", pidOf(got))
	}
	f.work(t)
}

const pending = "trace pending"

// trace sends an A28 that is traced, and returns what was asked.
func (f *plainSite) trace(t *testing.T, pid string, edits ...string) pds.Request {
	t.Helper()
	before := len(f.provider.calls())
	f.send(t, pending, pid, edits...)
	return f.wantAsked(t, before+1)
}

// refuse sends an A28 that is not traced, for the reason given.
func (f *plainSite) refuse(t *testing.T, reason, pid string, edits ...string) {
	t.Helper()
	before := len(f.provider.calls())
	f.send(t, "Not traced: "+reason, pid, edits...)
	f.wantAsked(t, before)
	if got := f.facts(t, len(f.events(t))-1); got.Outcome != store.NotTraced.String() || got.Reason != "Not traced: "+reason {
		t.Errorf("recorded %q, %q", got.Outcome, got.Reason)
	}
}

// ended returns how the traces ended that were made after their answers.
func (f *plainSite) ended(t *testing.T) []store.Facts {
	t.Helper()
	var all []store.Facts
	for n, e := range f.events(t) {
		if e.Kind == store.Finished {
			all = append(all, f.facts(t, n))
		}
	}
	return all
}

// wantEnded checks outcome, status and number of the last trace, as "verified NSTS01 999…".
func (f *plainSite) wantEnded(t *testing.T, want string) {
	t.Helper()
	all := f.ended(t)
	if len(all) == 0 {
		t.Fatalf("no trace ended, want %q", want)
	}
	last := all[len(all)-1]
	if got := strings.Join(strings.Fields(last.Outcome+" "+last.Decision+" "+last.NHSFound), " "); got != want {
		t.Errorf("the trace ended %q, want %q", got, want)
	}
}

// identified is numbered with another identifier in place of its NHS number.
func identified(cx string) string { return strings.Replace(numbered, "9990000018^^^NHS", cx, 1) }

// status is unnumbered with other repetitions of PID-32.
func status(reps string) string { return strings.Replace(unnumbered, "NSTS03", reps, 1) }

func row44(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	for _, cx := range []string{
		"9990000018^^^NHS^NH", "999 000 0018^^^NHS", "999-000-0018^^^NHSNBR^NHSNMBR",
		"9990000018^^^^NH", "9990000018^^^NHSNMBR", "9990000018^^^NHS Number^NHS", "9990000018^^^nhs^nh",
		"9990000018^^^NHS^NH{status:02}", "9990000018^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH",
		"9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO^NH", "9990000018^^^NHS^NH^^^20261122",
	} {
		if req := f.trace(t, identified(cx)); req.Want != pds.Verify || req.NHSNumber != primrose {
			t.Errorf("%s: asked %v of %q", cx, req.Want, req.NHSNumber.Digits())
		}
		f.wantEnded(t, "verified NSTS01 9990000018")
	}
}

// row45 has, beside the numbers that are none, those that are not English, not any more, or
// nobody's to ask about.
func row45(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	for _, cx := range []string{
		"9990000019^^^NHS^NH", "0000000000^^^NHS^NH", "9999999999^^^NHS^NH", "99900000^^^NHS^NH", "ABC/123^^^NHS", `""^^^NHS^NH`,
		"9990000018^^^CHI^NH", "9990000018^^^HCN^NH", "9990000018^^^HCN", "9990000018^^^NHS^NH^^^20261121", "9990000018", "9990000018^03^^^NI",
	} {
		if req := f.trace(t, identified(cx)); req.Want != pds.Number || !req.NHSNumber.IsZero() {
			t.Errorf("%s: asked %v of %q", cx, req.Want, req.NHSNumber.Digits())
		}
		f.wantEnded(t, "traced NSTS01 9990000018")
	}
	f.refuse(t, "birth date", identified("9990000019^^^NHS^NH"), "19620417", "")
	f.refuse(t, "name", identified("9990000019^^^NHS^NH"), "HALVORSEN", "")
	f.refuse(t, "sex", identified("9990000019^^^NHS^NH"), "|F|", "||")

	for cx, change := range map[string]func(*exchange.Handler){
		"9990000018^^^NHS^NH": func(h *exchange.Handler) { h.Refuse999 = true },
		"9990000018^^^CHI^NH": func(h *exchange.Handler) { h.NHSNumbers = patterns(t, "NH") },
		"9990000018^^^hcn^NH": func(h *exchange.Handler) { h.NHSNumbers = patterns(t, "NH") },
	} {
		set := newPlain(t)
		change(set.handler)
		if req := set.open(t).trace(t, identified(cx)); req.Want != pds.Number || !req.NHSNumber.IsZero() {
			t.Errorf("%s: asked %v of %q", cx, req.Want, req.NHSNumber.Digits())
		}
	}
}

func patterns(t *testing.T, list string) exchange.Patterns {
	t.Helper()
	ps, err := exchange.ParsePatterns(list)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func row46(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	f.refuse(t, "conflicting NHS numbers", identified("9990000018^^^NHS^NH~9990000026^^^NHS^NH"))
	f.refuse(t, "conflicting NHS numbers", identified("9990000018^^^NHS~9990000026^^^^NH"), "19620417", "") // which comes before the birth date
	for _, cx := range []string{
		"9990000018^^^NHS^NH~999 000 0018^^^NHSNMBR", // one number twice
		"9990000019^^^NHS^NH~9990000018^^^NHS^NH",    // of which one is none
		"9990000026^^^NHS^NH^^^20200101~9990000018^^^NHS^NH",
	} {
		if req := f.trace(t, identified(cx)); req.Want != pds.Verify || req.NHSNumber != primrose {
			t.Errorf("%s: asked %v of %q", cx, req.Want, req.NHSNumber.Digits())
		}
	}
}

// legacy are places beside PID-3 in which an NHS number may stand.
var legacy = map[string][]string{
	"PID-2":                    {"PID|1||", "PID|1|9990000018|"},
	"PID-2, with its form":     {"PID|1||", "PID|1|9990000018^^^NHS^NH|"},
	"PID-19":                   {"|||||||||||||NSTS03", "999 000 0018|||||||||||||NSTS03"},
	"both":                     {"PID|1||", "PID|1|9990000018|", "|||||||||||||NSTS03", "9990000018|||||||||||||NSTS03"},
	"PID-19, beside a bad one": {"^MR|", "^MR~9990000019^^^NHS^NH|", "|||||||||||||NSTS03", "9990000018|||||||||||||NSTS03"},
}

func row47(t *testing.T, _ *disk) {
	off, on := newPlain(t).open(t), newPlain(t)
	fields, err := exchange.ParseLegacyFields("pid-19, PID-2")
	if err != nil {
		t.Fatal(err)
	}
	on.handler.LegacyNumbers = fields
	on.open(t)
	for name, edits := range legacy {
		if req := off.trace(t, unnumbered, edits...); req.Want != pds.Number {
			t.Errorf("%s, switched off: asked %v", name, req.Want)
		}
		if req := on.trace(t, unnumbered, edits...); req.Want != pds.Verify || req.NHSNumber != primrose {
			t.Errorf("%s: asked %v of %q", name, req.Want, req.NHSNumber.Digits())
		}
	}
	for name, edits := range map[string][]string{
		"of the trust":           {"PID|1||", "PID|1|9990000018^^^RXX^MR|"},
		"null":                   {"PID|1||", `PID|1|""|`},
		"expired":                {"PID|1||", "PID|1|9990000018^^^^^^^20200101|"},
		"in PID-4, of all times": {"^MR||", "^MR|9990000018^^^NHS^NH|"},
	} {
		if req := on.trace(t, unnumbered, edits...); req.Want != pds.Number {
			t.Errorf("%s: asked %v", name, req.Want)
		}
	}
	on.refuse(t, "conflicting NHS numbers", identified("9990000026^^^NHS^NH"), "PID|1||", "PID|1|9990000018|")

	traced := newIndexed(t)
	traced.handler.LegacyNumbers = fields
	got := traced.open(t).dial(t).wantAck(a28("R47", legacy["PID-2"]...), "MSA|AA|R47|Verified")
	if want := "1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||"; !strings.HasPrefix(pidOf(got), want) {
		t.Errorf("PID %q, want %q", pidOf(got), want)
	}
	for _, list := range []string{"PID-4", "PID-2,", "SSN"} {
		if _, err := exchange.ParseLegacyFields(list); err == nil {
			t.Errorf("%q is a list of legacy fields", list)
		}
	}
}

// row48 sees the status by the index, and by what PID-32 becomes.
func row48(t *testing.T, _ *disk) {
	for i, tt := range []struct{ sent, back string }{
		{"ED~NSTS02", "ED~NSTS01"},
		{"NSTS02~AL", "NSTS01~AL"},
		{"AL~ED~UD~UA~US~NSTS02", "AL~ED~UD~UA~US~NSTS01"},
		{"02", "NSTS01"}, {"2", "NSTS01"}, {"nsts02", "NSTS01"},
	} {
		s := newIndexed(t).open(t)
		id := fmt.Sprintf("R48%d", i)
		got := s.dial(t).wantAck(adt("A28", id, numbered, "|NSTS02", "|"+tt.sent), "MSA|AA|"+id+"|Verified")
		if !strings.HasSuffix(pidOf(got), "|"+tt.back) {
			t.Errorf("%s: PID %q, want %s", tt.sent, pidOf(got), tt.back)
		}
		p, ok, err := s.disk.Patient(t.Context(), store.PatientKey{Authority: "RXX", LocalID: "RXX1234567"})
		if err != nil || !ok || p.Told.Status != "02" {
			t.Errorf("%s: the index has status %q, %v", tt.sent, p.Told.Status, err)
		}
	}

	f := newPlain(t).open(t)
	for _, reps := range []string{"ED~NSTS01", "AL~ED~UD~UA~US~nsts01", "01", "1"} {
		f.refuse(t, "status", status(reps))
	}
	beside := strings.Replace(numbered, "|NSTS02", "|ED", 1)
	f.refuse(t, "status", strings.Replace(beside, "^^^NHS|", "^^^NHS^NH{status:01}|", 1))
	f.trace(t, strings.Replace(numbered, "^^^NHS|", "^^^NHS^NH{status:01}|", 1)) // PID-32 says more
	f.trace(t, strings.Replace(beside, "^^^NHS|", "^^^NHS^NH^^^20200101~1^^^RXX^PI{status:01}|", 1))
	f.trace(t, strings.Replace(beside, "^^^NHS|", "^^^NHS^NH{status:01}^^^20200101|", 1))
	f.trace(t, strings.Replace(beside, "^^^NHS|", "^01^^NHS^NH|", 1))

	welsh := newPlain(t)
	welsh.handler.NHSNumbers, welsh.handler.StatusInCX2 = patterns(t, exchange.DefaultNHSNumbers+",^NI"), true
	welsh.open(t)
	welsh.refuse(t, "status", strings.Replace(beside, "^^^NHS|", "^01^^^NI|", 1))
	for _, cx := range []string{"9990000018^03^^^NI", "9990000018^8^^^NI", "9990000018^1^M11^NHS^NH"} { // 8 and 1: check digits
		if req := welsh.trace(t, strings.Replace(identified(cx), "|NSTS02", "|", 1)); req.Want != pds.Verify {
			t.Errorf("%s: asked %v", cx, req.Want)
		}
	}
}

func row49(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	for _, reps := range []string{"NSTS01", "NSTS04", "NSTS05", "NSTS06", "NSTS07", "ED~NSTS07"} {
		f.refuse(t, "status", status(reps))
	}
}

func row50(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	for _, reps := range []string{"", `""`, "ED~AL", "NSTS09"} {
		if req := f.trace(t, status(reps)); req.Want != pds.Number {
			t.Errorf("PID-32 %s, no number: asked %v", reps, req.Want)
		}
		if req := f.trace(t, strings.Replace(numbered, "NSTS02", reps, 1)); req.Want != pds.Verify {
			t.Errorf("PID-32 %s, a number: asked %v", reps, req.Want)
		}
	}
	const odd = "NHS number status of PID-32 is in no table"
	warned := 0
	for n, e := range f.events(t) {
		if e.Kind == store.Exchanged && strings.Contains(f.facts(t, n).Reason, odd) {
			warned++
		}
	}
	if warned != 2 {
		t.Errorf("%d rows say %q, want 2", warned, odd)
	}
}

func row51(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	f.refuse(t, "under 6 weeks", status("NSTS08"), "19620417", "20261112")
	f.pass(t, 31*24*time.Hour) // day 41
	f.wantAsked(t, 0)
	f.pass(t, 24*time.Hour)
	if req := f.wantAsked(t, 1); req.Want != pds.Number {
		t.Errorf("asked %v", req.Want)
	}
	f.wantEnded(t, "traced NSTS01 9990000018")
	f.pass(t, 42*24*time.Hour)
	f.wantAsked(t, 1)
}

func row52(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	const nobody = "identity unknown"
	for _, y := range []string{"Y", "y"} {
		f.refuse(t, nobody, unnumbered, "|NSTS03", y+"|NSTS03")
	}
	for _, family := range []string{"UNKNOWN^UNKNOWN", "unk", "Not  Known", "TEST", "XXTESTER", "ZZTEST", "Zzzebra"} {
		f.refuse(t, nobody, unnumbered, "HALVORSEN^PRIMROSE", family)
		f.refuse(t, nobody, numbered, "HALVORSEN^PRIMROSE", family)
	}
	f.refuse(t, nobody, strings.Replace(unnumbered, "HALVORSEN", "UNKNOWN", 1), "NSTS03", "NSTS01") // which comes before the status
	for _, family := range []string{"TESTER", "UNKNOWNE", "XTEST", "ZZ"} {
		f.trace(t, unnumbered, "HALVORSEN", family)
	}
	own := newPlain(t)
	own.handler.UnknownNames = []string{"Nobody", "Do Not*"}
	own.open(t)
	own.refuse(t, nobody, unnumbered, "HALVORSEN", "NOBODY")
	own.refuse(t, nobody, unnumbered, "HALVORSEN", "do not use")
	own.trace(t, unnumbered, "HALVORSEN", "UNKNOWN")
}

func row53(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	const whole = "HALVORSEN^PRIMROSE^ANNE^^MRS^^L"
	for names, want := range map[string]string{
		"OLD^ANN^^^^^M~NEW^ANN^^^^^L":         "NEW ANN",
		"OLD^ANN~NEW^ANN^^^^^CURRENT":         "NEW ANN",
		"OLD^ANN^^^^^D~NEW^ANN":               "NEW ANN",
		"OLD^ANN^^^^^A~NEW^ANN^^^^^D":         "NEW ANN",
		"OLD^ANN^^^^^N~NEW^ANN^^^^^preferred": "NEW ANN",
		"NEW^ANN^MARIE^^^^L":                  "NEW ANN",
		"NEW^BABY^^^^^L":                      "NEW",
		"NEW^Baby Girl^^^^^L":                 "NEW",
		"NEW^TWIN 1^^^^^L":                    "NEW",
		"NEW^TWIN2^^^^^L":                     "NEW",
		"NEW^INFANT^^^^^L":                    "NEW",
		"NEW^UNKNOWN^^^^^L":                   "NEW",
		"NEW^INFANTA^^^^^L":                   "NEW INFANTA",
		`NEW^""^^^^^L`:                        "NEW",
		"NG^LI^^^^^L":                         "NG LI",
		"O'NEW-OLD^ZOË^^^^^L":                 "O'NEW-OLD ZOË",
		"NEW (DECEASED)^ANN^^^^^L":            "NEW ANN",
		"NEW&VAN DER^ANN^^^^^L":               "VAN DER NEW ANN",
		"VAN DER NEW&VAN DER^ANN^^^^^L":       "VAN DER NEW ANN",
		"FEATHERSTONEHAUGH-CHOLMONDELEY-WRIOTHESLEY^ANN^^^^^L": "FEATHERSTONEHAUGH-CHOLMONDELEY-WRIOTHESLEY ANN", // the client cuts it, and says so
	} {
		req := f.trace(t, unnumbered, whole, names)
		if got := strings.TrimSpace(req.Who.Family + " " + req.Who.Given); got != want {
			t.Errorf("%s: asked for %q, want %q", names, got, want)
		}
	}
	for _, kind := range []string{"A", "B", "M", "N", "MAIDEN", "PREVIOUS", "S", "T"} {
		f.refuse(t, "name", unnumbered, "^MRS^^L", "^MRS^^"+kind)
	}
	for _, family := range []string{"SMI*", "SM?TH", "SMI%", "*"} {
		f.refuse(t, "name", unnumbered, "HALVORSEN", family)
		f.refuse(t, "name", numbered, "HALVORSEN", family)
	}
	f.refuse(t, "name", unnumbered, "PRIMROSE", "PRIM*")
	if req := f.trace(t, numbered, whole, "OLD^ANN^^^^^M"); req.Want != pds.Verify || req.Who.Family != "" {
		t.Error("a number is not verified without a name, or with a maiden name")
	}
}

func row54(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	const whole = "1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H"
	for addresses, want := range map[string]string{
		"^^^^LS99 9ZZ^^TMP~^^^^kt171na^^H": "KT17 1NA",
		"^^^^LS99 9ZZ~^^^^KT17 1NA^^HOME":  "KT17 1NA",
		"^^^^LS99 9ZZ~^^^^KT17-1NA^^P":     "KT17 1NA",
		"^^^^LS99 9ZZ~^^^^k t17 1na^^L":    "KT17 1NA",
		"^^^^LS99 9ZZ^^C~^^^^KT17 1NA":     "KT17 1NA",
		"^^^^ZZ99 3VZ^^H":                  "", // no fixed abode
		"^^^^75008^^H":                     "",
		"^^^^KT17^^H":                      "",
		`^^^^""^^H`:                        "",
		"^^^^gir0aa^^H":                    "GIR 0AA",
		"^^^^W1A 1AA^^H":                   "W1A 1AA",
		"^^^^EC1A1BB^^H":                   "EC1A 1BB",
		"^^^^M1 1AE^^H":                    "M1 1AE",
		"^^^^CR2 6XH^^H":                   "CR2 6XH",
		"^^^^M60 1NW^^H":                   "M60 1NW",
	} {
		if req := f.trace(t, unnumbered, whole, addresses); req.Who.Postcode != want {
			t.Errorf("%s: asked for %q, want %q", addresses, req.Who.Postcode, want)
		}
	}
	for _, kind := range []string{"TMP", "C", "PST", "M", "BA", "B", "O", "BDL", "N"} {
		if req := f.trace(t, unnumbered, "^^H|", "^^"+kind+"|"); req.Who.Postcode != "" {
			t.Errorf("type %s: asked for %q", kind, req.Who.Postcode)
		}
	}
}

func row55(t *testing.T, _ *disk) {
	f := newPlain(t).open(t)
	for sent, want := range map[string]pds.Sex{
		"U": '0', "O": '0', "N": '0', "0": '0', "X": '0', "unknown": '0',
		"A": '9', "9": '9', "I": '9', "Indeterminate": '9',
		"FEMALE": '2', "F": '2', "2": '2', "f^x": '2', "M": '1', "1": '1', "Male": '1',
	} {
		if req := f.trace(t, unnumbered, "|F|", "|"+sent+"|"); req.Who.Sex != want {
			t.Errorf("%s: asked for %s, want %s", sent, req.Who.Sex.Code(), want.Code())
		}
	}
	for _, sent := range []string{"", `""`, "Q", "3"} {
		f.refuse(t, "sex", unnumbered, "|F|", "|"+sent+"|")
		f.trace(t, numbered, "|F|", "|"+sent+"|") // which no verification needs
	}
}

// sevenAnswers are those that decide something, by the codes of the mini services.
var sevenAnswers = []struct {
	code, text string
	res        pds.Result
	ended      string // outcome, status and number, for a message with a number
	pid        string // the number and status that an answer brings back
}{
	{"SMSP-0000", "Verified", pds.Result{Outcome: pds.Matched, NHSNumber: primrose}, "verified NSTS01 9990000018", "9990000018^^^NHS^NH|NSTS01"},
	{"DEMOG-0017", "NHS number superseded; tell the patient", pds.Result{Outcome: pds.Superseded, NHSNumber: survivor}, "superseded NSTS01 9990000026", "9990000026^^^NHS^NH|NSTS01"},
	{"DEMOG-0001", "No match", pds.Result{Outcome: pds.NoMatch}, "no match NSTS04", "9990000018^^^NHS|NSTS04"},
	{"DEMOG-0007", "Multiple matches", pds.Result{Outcome: pds.ManyMatches}, "many matches NSTS04", "9990000018^^^NHS|NSTS04"},
	{"DEMOG-0022", "NHS number invalidated", pds.Result{Outcome: pds.Invalidated}, "invalidated NSTS05", "9990000018^^^NHS|NSTS05"},
	{"DEMOG-0040", "Not verified", pds.Result{Outcome: pds.NotVerified}, "not verified NSTS05", "9990000018^^^NHS|NSTS05"},
	{"DEMOG-0042", "Old style number", pds.Result{Outcome: pds.OldStyle}, "old style NSTS05", "9990000018^^^NHS|NSTS05"},
}

// wantBack checks PID of an answer: what was sent, but for the number and the status.
func wantBack(t *testing.T, answer, numberAndStatus string) {
	t.Helper()
	number, status, _ := strings.Cut(numberAndStatus, "|")
	want := "1||RXX1234567^^^RXX^MR~" + number + "||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|" + strings.Repeat("|", 23) + status
	if diff := cmp.Diff(want, pidOf(answer)); diff != "" {
		t.Errorf("PID (-want +got):\n%s", diff)
	}
}

func row56(t *testing.T, _ *disk) {
	for _, tt := range sevenAnswers {
		tt.res.Code = tt.code
		f := newPlain(t)
		f.provider.say = says(tt.res)
		f.open(t)
		f.trace(t, numbered)
		f.wantEnded(t, tt.ended)
		f.wantStory(t, "exchanged asked answered finished")
		if f.ended(t)[0].Code != tt.code {
			t.Errorf("recorded %q, want %s", f.ended(t)[0].Code, tt.code)
		}
		f.pass(t, 365*24*time.Hour)
		f.wantAsked(t, 1)

		s := newIndexed(t)
		s.provider.say = says(tt.res)
		wantBack(t, s.open(t).dial(t).wantAck(adt("A28", "R56", numbered), "MSA|AA|R56|"+tt.text), tt.pid)
	}
}

func row57(t *testing.T, _ *disk) {
	f := newPlain(t)
	failures := []*pds.Error{
		{Class: pds.SpineError, Status: 200, Code: "DEMOG-9999", Retry: true},
		{Class: pds.SpineUnavailable, Retry: true, Err: context.DeadlineExceeded},
		{Class: pds.Busy, Status: 503, Retry: true},
		{Class: pds.Busy, Status: 503, Retry: true},
	}
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		if n := len(f.provider.calls()); n <= len(failures) {
			return pds.Result{}, failures[n-1]
		}
		return matched(), nil
	}
	f.open(t)
	f.trace(t, numbered)
	for range failures {
		f.wantEnded(t, "unfinished")
		f.pass(t, time.Hour)
	}
	f.wantEnded(t, "verified NSTS01 9990000018")
	f.pass(t, 24*time.Hour)
	f.wantAsked(t, len(failures)+1)
	var kinds []string
	for _, e := range f.events(t) {
		kinds = append(kinds, e.Kind.String())
	}
	if got, want := strings.Join(kinds, " "), "exchanged"+strings.Repeat(" asked answered finished", 5); got != want {
		t.Errorf("journal: %s, want %s", got, want)
	}
	if got := f.ended(t); got[0].Reason != "spine error DEMOG-9999" || got[1].Reason != "spine unavailable" || got[2].Reason != "busy" {
		t.Errorf("reasons %q, %q, %q", got[0].Reason, got[1].Reason, got[2].Reason)
	}
}

func row58(t *testing.T, _ *disk) {
	f := newPlain(t)
	f.provider.say = func(context.Context, pds.Request) (pds.Result, error) {
		if len(f.provider.calls()) == 1 {
			return pds.Result{Outcome: pds.Stale, NHSNumber: primrose, Code: "SMSP-0003"}, nil
		}
		return matched(), nil
	}
	f.open(t)
	f.trace(t, numbered)
	if got := f.ended(t)[0]; got.Decision != "" {
		t.Errorf("a local copy decided %s", got.Decision)
	}
	f.pass(t, time.Hour)
	f.wantAsked(t, 2)
	f.wantEnded(t, "verified NSTS01 9990000018")

	refused := newPlain(t)
	refused.provider.say = says(pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: "local check: sex"})
	refused.open(t)
	refused.trace(t, numbered)
	refused.wantEnded(t, "refused")
	refused.pass(t, 30*24*time.Hour)
	refused.wantAsked(t, 1)
}

func row59(t *testing.T, _ *disk) {
	replaced := says(pds.Result{Outcome: pds.Superseded, NHSNumber: survivor, Code: "DEMOG-0017"})
	other := adt("A03", "R59", local("RXX7654321^^^RXX", identified("9990000026^^^NHS^NH")))
	f := newPlain(t)
	f.provider.say = replaced
	f.open(t)
	f.p.wantAck(other, "MSA|AA|R59|Event not used")
	f.trace(t, numbered)
	f.wantEnded(t, "held by another record NSTS05 9990000026")
	p, ok, err := f.disk.Patient(t.Context(), store.PatientKey{Authority: "RXX", LocalID: "RXX1234567"})
	if n, _ := p.Current(); err != nil || !ok || n != "9990000018" {
		t.Errorf("the index has %q, %v", n, err)
	}

	s := newIndexed(t)
	s.provider.say = replaced
	peer := s.open(t).dial(t)
	peer.wantAck(other, "MSA|AA|R59|Event not used")
	wantBack(t, peer.wantAck(adt("A28", "R59B", numbered), "MSA|AA|R59B|NHS number held by another record"), "9990000018^^^NHS|NSTS05")
}

// TestOwnMessageIsNotTraced: a message that we sent and that comes back, under our name or with
// ours as the operator, is the end of a circle. Nothing else about it is looked at.
func TestOwnMessageIsNotTraced(t *testing.T) {
	f := newPlain(t).open(t)
	const own = "own message"
	f.refuse(t, own, numbered, "|PAS|", "|NHSTRACE|")
	f.refuse(t, own, numbered, "|PAS|", "|NHSTRACE^1.2.3^ISO|")
	f.refuse(t, own, numbered, "EVN||20261122115958", "EVN|A28|20261122115958|||NHSTRACE")
	f.refuse(t, own, unnumbered, "EVN||20261122115958", "EVN|A28|20261122115958|||nhstrace", "HALVORSEN", "UNKNOWN")
	f.p.wantAck(adt("A03", "OWN", numbered, "|PAS|", "|NHSTRACE|"), "MSA|AA|OWN|Not traced: own message")
	f.trace(t, numbered, "EVN||20261122115958", "EVN|A28|20261122115958|||CLERK1")
}

// TestPlaceholderDates: a trust has its own idea of what stands for no birth date.
func TestPlaceholderDates(t *testing.T) {
	f := newPlain(t).open(t)
	for _, born := range []string{"19000101", "18000101", "18491231", "20261123"} {
		f.refuse(t, "birth date", unnumbered, "19620417", born)
	}
	f.trace(t, unnumbered, "19620417", "19010101")
	own := newPlain(t)
	own.handler.PlaceholderDates = []string{"19010101"}
	own.open(t)
	own.refuse(t, "birth date", unnumbered, "19620417", "19010101")
	own.trace(t, unnumbered, "19620417", "19000101")
}

// TestOrderOfChecks: of everything that is wrong with a message, the reason is the first in the
// order of the reference.
func TestOrderOfChecks(t *testing.T) {
	f := newPlain(t)
	f.handler.RetraceAfter = time.Hour
	f.open(t)
	f.send(t, pending, unnumbered)
	everything := adt("A03", "ORDER", identified("9990000026^^^NHS~9990000018^^^NHS"), "|PAS|", "|NHSTRACE|", "EVN||20261122115958", "EVN||20261122115957",
		"|||||NSTS02", "||||Y|NSTS01", "19620417", "19000101", "HALVORSEN", "HALV*", "|F|", "|Q|")
	for n, mended := range []struct {
		text  string
		edits []string // which mend the fault of the line above
	}{
		{"Not traced: own message", nil},
		{"Event not used", []string{"|NHSTRACE|RXX|NHS", "|PAS|RXX|NHS"}},
		{"Not traced: older message", []string{"ADT^A03", "ADT^A28"}},
		{"Not traced: identity unknown", []string{"20261122115957", "20261122115958"}},
		{"Not traced: status", []string{"Y|NSTS01", "|NSTS01"}},
		{"Not traced: conflicting NHS numbers", []string{"NSTS01", "NSTS03"}},
		{"Not traced: birth date", []string{"~9990000026^^^NHS~9990000018^^^NHS", ""}},
		{"Not traced: name", []string{"19000101", "19620417"}},
		{"Not traced: sex", []string{"HALV*", "HALVORSEN"}},
	} {
		id := fmt.Sprintf("ORDER%d", n)
		everything = strings.NewReplacer(mended.edits...).Replace(everything)
		f.p.wantAck(strings.Replace(everything, "|ORDER|", "|"+id+"|", 1), "MSA|AA|"+id+"|"+mended.text)
	}
	f.wantAsked(t, 1)
	// A field that is left out says nothing: the patient is as it was, and so is the result.
	f.send(t, "Traced", unnumbered)
	f.send(t, "Traced", unnumbered, "19620417", "", "|F|", "||")
	f.wantAsked(t, 1)
}
