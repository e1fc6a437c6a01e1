package exchange_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/smsp"
	"spinetrace/store"
)

// TestRequirementsPage holds docs/requirements.md to the tests that it names.
func TestRequirementsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range regexp.MustCompile(`(?m)^\| (T-(?:PDS|DQ|AUD|IG)-[0-9a-z]+) \|.*\| (?:met|part: .+) \|$`).FindAllStringSubmatch(string(page), -1) {
		ids = append(ids, m[1])
	}
	want := []string{
		"T-PDS-00", "T-PDS-01", "T-PDS-02", "T-PDS-03", "T-PDS-04", "T-PDS-05", "T-PDS-06a", "T-PDS-06b", "T-PDS-06c",
		"T-PDS-07", "T-PDS-08", "T-PDS-09", "T-PDS-10", "T-PDS-11", "T-PDS-12", "T-PDS-13",
		"T-DQ-01", "T-DQ-02", "T-DQ-03", "T-DQ-04", "T-DQ-05", "T-DQ-06", "T-DQ-07", "T-DQ-08", "T-DQ-09", "T-DQ-10",
		"T-DQ-11", "T-DQ-12", "T-DQ-13", "T-DQ-14",
		"T-AUD-01a", "T-AUD-01b", "T-AUD-01c", "T-AUD-01d", "T-AUD-01e", "T-AUD-01f", "T-AUD-01g", "T-AUD-01h",
		"T-AUD-02a", "T-AUD-02b", "T-AUD-02c", "T-AUD-02d", "T-AUD-02e", "T-AUD-02f", "T-AUD-02g", "T-AUD-03",
		"T-AUD-04a", "T-AUD-04b", "T-AUD-04c", "T-AUD-05a", "T-AUD-05b", "T-AUD-05c", "T-AUD-06", "T-AUD-07",
		"T-IG-01a", "T-IG-01b", "T-IG-01c", "T-IG-01d", "T-IG-02a", "T-IG-02b",
		"T-IG-02c", "T-IG-03a", "T-IG-03b", "T-IG-04a", "T-IG-04b",
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("ids of the page (-want +got):\n%s", diff)
	}
	folders := make(map[string]names)
	for _, m := range regexp.MustCompile("`([a-z0-9/]+) (Test[A-Za-z0-9]+)(?:/([^`]+))?`").FindAllStringSubmatch(string(page), -1) {
		folder, test, sub := m[1], m[2], m[3]
		if folders[folder].tests == nil {
			folders[folder] = testNames(t, filepath.Join("..", folder))
		}
		if !folders[folder].has(test, sub) {
			t.Errorf("%s has no %s %s", folder, test, sub)
		}
	}
	ours := regexp.MustCompile(`^TestT(PDS|DQ|AUD|IG)[0-9]`)
	for _, folder := range []string{"exchange", "cmd/spinetrace"} {
		for test := range folders[folder].tests {
			if ours.MatchString(test) && !strings.Contains(string(page), "`"+folder+" "+test+"`") {
				t.Errorf("the page does not name %s of %s", test, folder)
			}
		}
	}
}

// TestTPDS02SixAnswers: six answers of Spine are told apart, in the reply and in the audit.
func TestTPDS02SixAnswers(t *testing.T) {
	replies, outcomes := make(map[string]bool), make(map[string]bool)
	for _, tt := range sevenAnswers {
		s := newIndexed(t)
		tt.res.Code = tt.code
		s.provider.say = says(tt.res)
		s.open(t).dial(t).wantAck(adt("A28", "P02", numbered), "MSA|AA|P02|"+tt.text)
		f := s.facts(t, len(s.events(t))-1)
		replies[tt.text], outcomes[f.Outcome] = true, true
		if got := s.facts(t, 2).Code; got != tt.code {
			t.Errorf("the audit has code %q, want %s", got, tt.code)
		}
	}
	if len(replies) != len(sevenAnswers) || len(outcomes) != len(sevenAnswers) {
		t.Errorf("%d replies and %d outcomes for %d answers", len(replies), len(outcomes), len(sevenAnswers))
	}
}

// TestTPDS04SearchNeedsNameSexAndBirthDate: what is missing is named, and nobody is asked.
func TestTPDS04SearchNeedsNameSexAndBirthDate(t *testing.T) {
	f := newPlain(t).open(t)
	for field, edits := range map[string][]string{
		"name": {"HALVORSEN", ""}, "sex": {"|F|", "||"}, "birth date": {"19620417", ""},
	} {
		f.refuse(t, field, unnumbered, edits...)
	}
	for id, tt := range map[string]struct{ without, text string }{
		"P04A": {"@PID.5.1.1^HALVORSEN~", "Family name or NHS number required"},
		"P04B": {"~@PID.8^F", "Sex required"},
		"P04C": {"~@PID.7.1^19620417", "Date of birth required"},
	} {
		f.p.wantAck(q22(id, strings.Replace(search, tt.without, "", 1)), "MSA|AE|"+id+"|"+tt.text)
	}
	f.wantAsked(t, 0)
	f.trace(t, numbered, "HALVORSEN", "", "|F|", "||") // a number needs neither name nor sex
}

// wire is what was sent to a mini service that does not work.
type wire struct {
	mu     sync.Mutex
	bodies []string
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is not there is found missing
	w.mu.Lock()
	w.bodies = append(w.bodies, string(body))
	w.mu.Unlock()
	rw.WriteHeader(http.StatusServiceUnavailable)
}

// wantLast checks how many questions there were, and parts of the last.
func (w *wire) wantLast(t *testing.T, n int, parts ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.bodies) != n {
		t.Fatalf("%d questions on the wire, want %d", len(w.bodies), n)
	}
	for _, part := range parts {
		if !strings.Contains(w.bodies[n-1], part) {
			t.Errorf("the question has no %s", part)
		}
	}
}

// newWired is a site with the client of the mini services under the given rules.
func newWired(t *testing.T, rules pds.Rules) (*site, *wire) {
	t.Helper()
	w := new(wire)
	srv := httptest.NewServer(w)
	rules.Now = noon
	client := &smsp.Client{Endpoint: srv.URL, ODS: "RXX", Rules: rules}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		srv.Close()
	})
	s := newSite(newDisk(t))
	s.handler.Tracer = client
	s.handler.AllowWildcards, s.handler.AllowPartialDOB = rules.AllowWildcards, rules.AllowPartialDOB
	return s, w
}

// TestTPDS05ForenameAndPostcodeReachTheWire of a search, when PID has them.
func TestTPDS05ForenameAndPostcodeReachTheWire(t *testing.T) {
	s, w := newWired(t, pds.Rules{})
	p := s.open(t).dial(t)
	p.wantAck(a28("P05A"), "MSA|AA|P05A|trace pending")
	w.wantLast(t, 1, "getNHSNumberRequest-v1-0", "<given>PRIMROSE</given><family>HALVORSEN</family>", "<postalCode>LS99 1AA</postalCode>",
		`"19620417"`, `code="2"`, `extension="RXX:RXX1234567"`)
	p.wantAck(a28("P05B", "^PRIMROSE^ANNE", "", "LS99 1AA", ""), "MSA|AA|P05B|trace pending")
	w.wantLast(t, 2, "<value><family>HALVORSEN</family></value>")
	if body := w.bodies[1]; strings.Contains(body, "given") || strings.Contains(body, "ostcode") {
		t.Error("the question has a name or postcode that PID has not")
	}
}

// TestTPDS06aWildcardsAreRefused unless a setting says otherwise.
func TestTPDS06aWildcardsAreRefused(t *testing.T) {
	s, w := newWired(t, pds.Rules{})
	p := s.open(t).dial(t)
	for id, edits := range map[string][]string{
		"P06A": {"HALVORSEN", "HALV*"}, "P06B": {"PRIMROSE", "PRIM*"}, "P06C": {"HALVORSEN", "HAL?ORSEN"}, "P06D": {"PRIMROSE", "PR%"},
	} {
		p.wantAck(a28(id, edits...), "MSA|AA|"+id+"|Not traced: name")
	}
	p.wantAck(a28("P06E", "LS99 1AA", "LS99*"), "MSA|AA|P06E|Not traced: refused")
	for id, wild := range map[string]string{"P06F": "HALV*", "P06G": "?", "P06H": "HAL%"} {
		p.wantAck(q22(id, strings.Replace(search, "HALVORSEN", wild, 1)), "MSA|AE|"+id+"|Wildcards are not accepted")
	}
	w.wantLast(t, 0)
}

// TestTPDS06bWildcardsNeedTwoCharacters where they are allowed, and are never added.
func TestTPDS06bWildcardsNeedTwoCharacters(t *testing.T) {
	s, w := newWired(t, pds.Rules{AllowWildcards: true})
	p := s.open(t).dial(t)
	for n, name := range []string{"*", "H*", "HA*L", "HA*L*", "*HAL", "HAL?", "H *"} {
		id := fmt.Sprintf("P06I%d", n)
		p.wantAck(a28(id, "HALVORSEN", name), "MSA|AA|"+id+"|Not traced: refused")
	}
	p.wantAck(adt("A28", "P06J", numbered, "HALVORSEN", "HALV*"), "MSA|AA|P06J|Not traced: refused") // no search
	w.wantLast(t, 0)
	p.wantAck(a28("P06K", "HALVORSEN", "HA*"), "MSA|AA|P06K|trace pending")
	w.wantLast(t, 1, "<family>HA*</family>")
	p.wantAck(a28("P06L"), "MSA|AA|P06L|trace pending")
	w.wantLast(t, 2, "<family>HALVORSEN</family>")
	if strings.Contains(w.bodies[1], "*") {
		t.Error("a wildcard was added")
	}
}

// TestTPDS07PartialBirthDates are for searches only, and only where a setting says so.
func TestTPDS07PartialBirthDates(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		s, w := newWired(t, pds.Rules{AllowPartialDOB: allowed})
		p := s.open(t).dial(t)
		for n, born := range []string{"1962", "196204"} {
			verify, search := fmt.Sprintf("P07A%d", n), fmt.Sprintf("P07B%d", n)
			p.wantAck(adt("A28", verify, numbered, "19620417", born), "MSA|AA|"+verify+"|Not traced: birth date")
			text := "Not traced: birth date"
			if allowed {
				text = "trace pending"
			}
			p.wantAck(a28(search, "19620417", born), "MSA|AA|"+search+"|"+text)
			if allowed {
				w.wantLast(t, n+1, `value="`+born+`"`)
			}
			byNumber := fmt.Sprintf("P07C%d", n)
			if got := p.ask(q22(byNumber, "@PID.3.1^9990000026~@PID.3.4^NHS~@PID.7^"+born)); !strings.Contains(got, "\rMSA|AE|"+byNumber+"|") {
				t.Errorf("by number with %d digits of a birth date, partial allowed %v: %q", len(born), allowed, got)
			}
		}
		if !allowed {
			w.wantLast(t, 0)
		}
	}
}

// TestTPDS08GoesStraightToPDS: what the index knows does not answer in Spine's place. It
// completes a question, and knows which local number is whose.
func TestTPDS08GoesStraightToPDS(t *testing.T) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(adt("A28", "P08A", numbered), "MSA|AA|P08A|Verified")
	p.wantAck(adt("A28", "P08B", numbered), "MSA|AA|P08B|Verified")
	s.wantAsked(t, 2)
	for n, question := range []string{
		q22("P08C", search), q22("P08D", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"),
		q21("P08E", "RXX1234567^^^RXX^MR"), a19("P08F", qrd(byMRN, "DEM")), a19("P08G", qrd(byNumber, "DEM")),
	} {
		if got := p.ask(question); !strings.Contains(got, "\rMSA|AA|P08") {
			t.Errorf("answer %q", got)
		}
		s.wantAsked(t, n+3)
	}
}

// TestTPDS09EnoughToConfirmAnIdentity comes with an answer; a number that does not go with
// the rest is never shown as verified.
func TestTPDS09EnoughToConfirmAnIdentity(t *testing.T) {
	s := newIndexed(t).open(t)
	s.dial(t).wantReply(q22("P09A", search), "RSP^K22^RSP_K21",
		"MSA|AA|P09A\rQAK|TAG0042|OK|IHE PDQ Query|1|1|0\r"+qpd("IHE PDQ Query", search)+"PID|1||"+nhsIdentifier+recordPID)
	for _, res := range []pds.Result{
		{Outcome: pds.NotVerified, NHSNumber: primrose, Patient: record(), Code: "DEMOG-0040"},
		{Outcome: pds.Stale, NHSNumber: primrose, Patient: record(), Code: "SMSP-0003"},
	} {
		s := newIndexed(t)
		s.provider.say = says(res)
		p := s.open(t).dial(t)
		for _, question := range []string{adt("A28", "P09B", numbered), q22("P09C", "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417")} {
			if got := p.ask(question); strings.Contains(got, "NSTS01") || !strings.Contains(got, "\rMSA|AA|P09") {
				t.Errorf("%v: answer %q", res.Outcome, got)
			}
		}
	}
}

// TestTPDS10WhenANumberIsVerified: NSTS01 comes with a match and with a number's successor, if
// no other record holds it, and with nothing else.
func TestTPDS10WhenANumberIsVerified(t *testing.T) {
	for outcome := pds.Matched; outcome <= pds.Refused; outcome++ {
		for _, pid := range []string{numbered, unnumbered} {
			res := pds.Result{Outcome: outcome}
			switch outcome {
			case pds.Matched, pds.Stale:
				res.NHSNumber = primrose
			case pds.Superseded:
				res.NHSNumber = survivor
			default:
			}
			s := newIndexed(t)
			s.provider.say = says(res)
			p := s.open(t).dial(t)
			got := p.ask(adt("A28", "P10A", pid))
			want := outcome == pds.Matched || outcome == pds.Superseded
			if strings.HasSuffix(pidOf(got), "|NSTS01") != want || (s.facts(t, 3).Decision == "NSTS01") != want {
				t.Errorf("%v: PID %q, recorded %q", outcome, pidOf(got), s.facts(t, 3).Decision)
			}

			held := newIndexed(t)
			held.provider.say = says(res)
			p = held.open(t).dial(t)
			p.wantAck(adt("A03", "P10B", local("RXX7654321^^^RXX", identified("9990000018^^^NHS~9990000026^^^NHS"))), "MSA|AA|P10B|Event not used")
			p.wantAck(adt("A03", "P10C", local("RXX7654322^^^RXX", numbered)), "MSA|AA|P10C|Event not used")
			p.wantAck(adt("A03", "P10D", local("RXX7654323^^^RXX", identified("9990000026^^^NHS"))), "MSA|AA|P10D|Event not used")
			if got := p.ask(adt("A28", "P10E", pid)); strings.Contains(pidOf(got), "NSTS01") {
				t.Errorf("%v, and another record holds the number: PID %q", outcome, pidOf(got))
			}
		}
	}
}

// TestTPDS11NothingStopsTheFeed: whatever Spine says or fails to say, the message is accepted,
// its demographics come back as they were sent or not at all, and the next one follows.
func TestTPDS11NothingStopsTheFeed(t *testing.T) {
	s := newIndexed(t)
	var res pds.Result
	var failure error
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return res, failure }
	p := s.open(t).dial(t)
	for n, tt := range sevenAnswers {
		id := fmt.Sprintf("P11A%d", n)
		res = tt.res
		wantBack(t, p.wantAck(adt("A28", id, numbered), "MSA|AA|"+id+"|"+tt.text), tt.pid)
	}
	for class := pds.ResponseInvalid; class < pds.Unrecorded; class++ {
		id := fmt.Sprintf("P11B%d", class)
		failure = &pds.Error{Class: class}
		if got := p.wantAck(adt("A28", id, numbered), "MSA|AA|"+id+"|trace pending"); strings.Contains(got, "\rPID|") {
			t.Errorf("%v: answer %q", class, got)
		}
	}
}

// TestTPDS12EventsThatTrace are a setting, in whose default are the start of every episode, and
// any event can be in it.
func TestTPDS12EventsThatTrace(t *testing.T) {
	for _, event := range []string{"A01", "A04", "A05", "A08", "A28", "A31"} {
		if !slices.Contains(exchange.DefaultTraceEvents(), event) {
			t.Errorf("%s does not trace", event)
		}
	}
	s := newIndexed(t)
	s.handler.TraceEvents = []string{"A03"}
	p := s.open(t).dial(t)
	p.wantAck(adt("A03", "P12A", numbered), "MSA|AA|P12A|Verified")
	p.wantAck(adt("A28", "P12B", numbered), "MSA|AA|P12B|Event not used")
	s.wantAsked(t, 1)
	for n, event := range exchange.DefaultTraceEvents() {
		s := newIndexed(t).open(t)
		id := fmt.Sprintf("P12C%d", n)
		s.dial(t).wantAck(adt(event, id, numbered), "MSA|AA|"+id+"|Verified")
		s.wantAsked(t, 1)
	}
}

// TestTPDS13MessagesKeepTenDigits, however the sender groups them.
func TestTPDS13MessagesKeepTenDigits(t *testing.T) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	wantBack(t, p.wantAck(adt("A28", "P13A", identified("999 000 0018^^^NHS")), "MSA|AA|P13A|Verified"), "9990000018^^^NHS^NH|NSTS01")
	if got := p.ask(q22("P13B", "@PID.3.1^999-000-0018~@PID.3.4^NHS~@PID.7^19620417")); !strings.Contains(got, "\rPID|1||9990000018^^^NHS^NH") {
		t.Errorf("answer %q", got)
	}
	found, err := s.disk.Holders(t.Context(), "9990000018", 9)
	if err != nil || len(found) != 1 || found[0].Found.Outcome != store.Verified {
		t.Errorf("%d records hold the number, %v", len(found), err)
	}
}
