package smsp

import (
	"testing"

	"spinetrace/pds"
)

// BenchmarkRequest builds one getPatientDetails request with every parameter: check,
// ids, and the bytes as they go on the wire.
func BenchmarkRequest(b *testing.B) {
	c := &Client{Endpoint: "https://smsp.example.nhs.uk/pds", ODS: "X99"}
	if err := c.Check(); err != nil {
		b.Fatal(err)
	}
	req := full(pds.Details)
	b.SetBytes(int64(len(c.question(req).call.Body)))
	b.ReportAllocs()
	for b.Loop() {
		req := tidy(req)
		if _, ok := c.check(req); !ok {
			b.Fatal("refused")
		}
		c.question(req)
	}
}

// BenchmarkResponse reads one answer: XML, all checks, and the details if it has them.
func BenchmarkResponse(b *testing.B) {
	for _, bb := range []struct {
		name, file string
		ask        pds.Request
	}{
		{"verify", success11, marigoldVerify()},
		{"details", prefixes39, full(pds.Details)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			q := &question{
				op: &operations[bb.ask.Want], want: bb.ask.Want,
				number: bb.ask.NHSNumber, born: bb.ask.Who.BirthDate,
				call: pds.Call{MessageID: testID},
			}
			body := []byte(example(b, bb.file))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				a := &answer{response: response{status: 200, body: body}}
				if fault := a.read(q, testNow); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}

// BenchmarkTrace asks a loopback server without TLS that has the answer ready, from as
// many goroutines as there are processors, client and server included.
func BenchmarkTrace(b *testing.B) {
	c := newClient(b, says(200, example(b, success11)))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := c.Trace(b.Context(), marigoldVerify()); err != nil {
				b.Error(err)
			}
		}
	})
}
