package smsptest_test

import (
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp"
	"spinetrace/smsp/smsptest"
)

// TestClientConforms holds the SMSP client to the contract of every Tracer, on the wire.
func TestClientConforms(t *testing.T) {
	pdstest.Exercise(t, func(t *testing.T, trouble pdstest.Trouble) pdstest.Backend {
		s := smsptest.NewServer(t, pdstest.People(), smsptest.Acting(trouble)...)
		return pdstest.Backend{Tracer: newClient(t, s), Asked: s.Asked}
	})
}

func newClient(t testing.TB, s *smsptest.Server) *smsp.Client {
	c := &smsp.Client{Endpoint: s.URL, ODS: "X99", System: "conformance"}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestClientOverMutualTLS(t *testing.T) {
	s, certs := smsptest.NewTLSServer(t, pdstest.People())
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	c := &smsp.Client{Endpoint: s.URL, ODS: "X99", TLS: config}
	t.Cleanup(c.CloseIdleConnections)
	res, err := c.Trace(t.Context(), pds.Request{
		Want:      pds.Verify,
		NHSNumber: pds.MustNHSNumber("9990000018"),
		Who:       pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
	})
	if err != nil || res.Outcome != pds.Matched {
		t.Errorf("got %v, %v; want %v", res.Outcome, err, pds.Matched)
	}
}

func TestClientOmitsShortSurnames(t *testing.T) {
	s := smsptest.New(pdstest.People())
	s.RefuseShortSurnames = true
	start(t, s)
	req := pds.Request{
		Want:      pds.Verify,
		NHSNumber: pds.MustNHSNumber("9990000042"),
		Who:       pds.Demographics{Family: "Ng", BirthDate: pds.Date{Year: 1999, Month: 12, Day: 31}},
	}
	for omit, want := range map[bool]pds.Outcome{false: pds.Refused, true: pds.Matched} {
		c := newClient(t, s)
		c.ShortSurnameOmit = omit
		if res, err := c.Trace(t.Context(), req); err != nil || res.Outcome != want {
			t.Errorf("omit %v: got %v, %v; want %v", omit, res.Outcome, err, want)
		}
	}
}

// A survivor that is the number asked about is no survivor (smsp.md section 10, step 7).
func TestClientDoubtsItsOwnSuccessor(t *testing.T) {
	s := smsptest.NewServer(t, pdstest.People(), smsptest.Fault{Do: "code:DEMOG-0017"})
	c := newClient(t, s)
	for _, want := range []pds.Want{pds.Verify, pds.DetailsByNumber, pds.Details} {
		res, err := c.Trace(t.Context(), pds.Request{
			Want:      want,
			NHSNumber: pds.MustNHSNumber("9990000018"),
			Who:       pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
		})
		if pds.ClassOf(err) != pds.ResponseInvalid {
			t.Errorf("%v: got %v, %v; want %v", want, res.Outcome, err, pds.ResponseInvalid)
		}
	}
}

// No identifier is used twice: each attempt is a message of its own (section 12).
func TestClientMakesNewIDs(t *testing.T) {
	s := smsptest.NewServer(t, pdstest.People())
	c := newClient(t, s)
	for range 3 {
		if _, err := c.Trace(t.Context(), pds.Request{
			ID: "same", Want: pds.Verify, NHSNumber: pds.MustNHSNumber("9990000018"),
			Who: pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]bool)
	for _, r := range s.Requests() {
		for _, id := range []string{r.MessageID, r.TrackingID, r.PayloadID, r.DocumentID} {
			if seen[id] {
				t.Errorf("%s used twice", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d identifiers in three messages, want 12", len(seen))
	}
}

// BenchmarkTrace: one lookup of details by number after the other from as many goroutines
// as there are processors, client and simulator together, over loopback without TLS.
func BenchmarkTrace(b *testing.B) {
	c := newClient(b, smsptest.NewServer(b, pdstest.People()))
	req := pds.Request{
		Want:      pds.DetailsByNumber,
		NHSNumber: pds.MustNHSNumber("9990000018"),
		Who:       pds.Demographics{BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17}},
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if res, err := c.Trace(b.Context(), req); err != nil || res.Outcome != pds.Matched {
				b.Errorf("got %v, %v; want %v", res.Outcome, err, pds.Matched)
			}
		}
	})
}
