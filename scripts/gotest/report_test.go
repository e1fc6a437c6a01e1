package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"    a_test.go:1: not worth telling\n"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"--- PASS: TestGood (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestSchema","Output":"=== RUN   TestSchema\n"}
{"Action":"output","Package":"p","Test":"TestSchema","Output":"    a_test.go:9: no schemas here\n"}
{"Action":"output","Package":"p","Test":"TestSchema","Output":"--- SKIP: TestSchema (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestSchema"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.010s\n"}
{"Action":"pass","Package":"p"}
{"Action":"output","Package":"q","Test":"TestBad","Output":"    b_test.go:3: got 1, want 2\n"}
{"Action":"output","Package":"q","Test":"TestBad","Output":"        what a server logged\n"}
{"Action":"output","Package":"q","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"q","Test":"TestBad"}
{"Action":"output","Package":"q","Test":"TestPanics","Output":"panic: boom\n"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.020s\n"}
{"Action":"fail","Package":"q"}
{"Action":"output","Package":"r","Output":"?   \tr\t[no test files]\n"}
{"Action":"skip","Package":"r"}
{"ImportPath":"s","Action":"build-output","Output":"s.go:1:1: syntax error\n"}
go: something that is no event
`

const shown = `ok  	p	0.010s
    b_test.go:3: got 1, want 2
        what a server logged
--- FAIL: TestBad (0.00s)
panic: boom
FAIL	q	0.020s
?   	r	[no test files]
s.go:1:1: syntax error
go: something that is no event

Failed:
  q TestBad
    b_test.go:3: got 1, want 2

Skipped:
  p TestSchema: a_test.go:9: no schemas here

1 passed, 1 failed, 1 skipped
`

func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.summary()
	if diff := cmp.Diff(shown, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestRunFailsWhenNothingRan(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"-run", "^$", "."}, &out, &errs); code == 0 {
		t.Errorf("run of no test ended with 0; it printed\n%s%s", &out, &errs)
	}
}

func TestRunShowsWhatFailsToBuild(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"./missing"}, &out, &errs); code == 0 {
		t.Errorf("run of a missing package ended with 0; it printed\n%s%s", &out, &errs)
	}
}
