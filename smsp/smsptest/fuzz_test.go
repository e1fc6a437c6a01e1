package smsptest

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"spinetrace/pds/pdstest"
)

// FuzzReadRequest: whatever comes, it is read without panic, and what passes the grammar
// is answered.
func FuzzReadRequest(f *testing.F) {
	for _, body := range examples(f) {
		f.Add(body)
	}
	s := New(pdstest.People())
	now := time.Date(2025, 3, 4, 9, 16, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		req := readRequest(http.Header{"Content-Type": {"text/xml"}}, body, now)
		if req.Problem == "" {
			t.Fatal("a request without a SOAPAction was accepted")
		}
		op := operations[req.Operation]
		if op == nil {
			return
		}
		answer := appendAnswer(nil, op, req, s.ask(req, now))
		if upperUUID(req.MessageID) {
			if _, err := parse(answer); err != nil {
				t.Fatalf("the answer is not XML: %v", err)
			}
		}
	})
}

func examples(tb testing.TB) [][]byte {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.xml"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("%d examples, %v", len(files), err)
	}
	var bodies [][]byte
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}
