package exchange

import (
	"testing"

	"spinetrace/store"
)

// TestReindexFollowsATraceToItsEnd: what was found at a later attempt, or after an answer that came
// first, is learned; what was reused is not learned as if it were new.
func TestReindexFollowsATraceToItsEnd(t *testing.T) {
	key := store.PatientKey{Authority: "RXX", LocalID: "1"}
	decided := store.Facts{Outcome: store.Traced.String(), Decision: "NSTS01", NHSFound: "9990000018"}
	asked, unfinished := store.Entry{Kind: store.Asked}, store.Entry{Kind: store.Finished, Facts: store.Facts{Outcome: "unfinished"}}
	finished := store.Entry{Kind: store.Finished, Facts: decided}
	for name, tt := range map[string]struct {
		entries []store.Entry
		found   bool
	}{
		"at once":                {[]store.Entry{asked, {Kind: store.Replied, Facts: decided}}, true},
		"after a pending answer": {[]store.Entry{asked, {Kind: store.Replied, Facts: store.Facts{Outcome: store.Pending.String()}}, asked, finished}, true},
		"while the answer left":  {[]store.Entry{asked, {Kind: store.Replied, Facts: store.Facts{Outcome: store.Pending.String()}}, finished}, true},
		"at the third attempt":   {[]store.Entry{asked, unfinished, asked, unfinished, asked, finished}, true},
		"at six weeks":           {[]store.Entry{{Kind: store.Finished, Facts: store.Facts{Outcome: store.NotTraced.String(), Reason: underSixWeeks}}, asked, finished}, true},
		"reused":                 {[]store.Entry{asked, unfinished, finished}, false},
		"another took its place": {[]store.Entry{asked, unfinished, {Kind: store.Finished, Facts: store.Facts{Outcome: store.NotTraced.String()}}, asked, finished}, false},
	} {
		t.Run(name, func(t *testing.T) {
			id, head := store.NewID(), store.Head{Chain: "main"}
			r := &reindexing{index: newDerived(), open: map[store.ID]inHand{id: {subject: subject{keys: []store.PatientKey{key}}}}}
			for _, entry := range tt.entries {
				if err := r.take(t.Context(), head.Append(noon(), id, entry)); err != nil {
					t.Fatal(err)
				}
			}
			p, found := r.index.entries[key]
			if found != tt.found || found && p.Found.NHSNumber != "9990000018" {
				t.Errorf("found: %v, want %v", found, tt.found)
			}
		})
	}
}
