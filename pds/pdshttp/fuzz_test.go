package pdshttp_test

import (
	"testing"
	"time"

	"spinetrace/pds/pdshttp"
)

// FuzzRetryAfter reads any text: what it asks for is never in the past and at most a day.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"7", "-7", "Tue, 04 Mar 2025 09:15:30 GMT", "Tue, 04 Mar 0000 09:15:30 GMT", "4294967295"} {
		f.Add(s)
	}
	now := time.Date(2025, 3, 4, 9, 15, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d := pdshttp.RetryAfter(map[string][]string{"Retry-After": {s}}, now); d < 0 || d > 24*time.Hour {
			t.Errorf("%v", d)
		}
	})
}
