package exchange

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"spinetrace/store"
)

const resultsHead = "result,status,number,item,words\n"

// The contract's texts are all there, and no other: product.md 4.6 d.
func TestDefaultResults(t *testing.T) {
	texts := slices.Collect(maps.Values(textOf))
	texts = append(texts, numberInDoubt, localCopy, tracePending, eventNotUsed, statusSettled, birthDateUnusable, nameUnusable,
		sexUnusable, identityUnknown, conflictingIDs, underSixWeeks, ownMessage, olderMessage, questionRefused)
	slices.Sort(texts)
	r := DefaultResults()
	if got := slices.Sorted(maps.Keys(r.rows)); !slices.Equal(got, texts) {
		t.Errorf("results are %q, want %q", got, texts)
	}
	for _, o := range findings {
		if d := r.decision(o); d.status != "NSTS01" || !d.verified() {
			t.Errorf("%v decides %+v, want NSTS01 and the number found", o, d)
		}
	}
	if got := (Results{}).decision(store.NoMatch); got != r.decision(store.NoMatch) {
		t.Errorf("the zero table decides %+v", got)
	}
}

func TestParseResults(t *testing.T) {
	r, err := ParseResults([]byte("\ufeff" + resultsHead +
		"No match,03,kept,,Nobody found\nNHS number invalidated,nsts07,omitted,invalid number,\ntrace pending,,,,Later\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.decision(store.NoMatch), (decision{store.NoMatch, "NSTS03", numberKept}); got != want {
		t.Errorf("no match decides %+v, want %+v", got, want)
	}
	if got, want := r.decision(store.Invalidated), (decision{store.Invalidated, "NSTS07", numberOmitted}); got != want {
		t.Errorf("an invalidated number decides %+v, want %+v", got, want)
	}
	for text, want := range map[string]string{"No match": "Nobody found", tracePending: "Later", "Traced": "Traced", "Not used: PID.9": "Not used: PID.9"} {
		if got := r.say(text); got != want {
			t.Errorf("say(%q) = %q, want %q", text, got, want)
		}
	}
	if r.of("No match").item != 0 || r.of("Multiple matches").item != store.Ambiguous {
		t.Error("a row does not replace the default one as a whole, or replaces another")
	}
	if DefaultResults().say(tracePending) != tracePending {
		t.Error("reading a table changed the default one")
	}
}

func TestParseResultsRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":                 {"", "line 1: the columns"},
		"other columns":           {"result,status\n", "line 1: the columns"},
		"too few fields":          {resultsHead + "No match,04\n", "line 2"},
		"an open quotation":       {resultsHead + "\"No match\n", "line"},
		"no such result":          {resultsHead + "No luck,04,kept,,\n", `line 2: there is no result "No luck"`},
		"a result twice":          {resultsHead + "No match,04,kept,,\nNo match,03,kept,,\n", "line 3: the result came before"},
		"no such rule":            {resultsHead + "No match,04,lost,,\n", "number is not one of"},
		"no such item":            {resultsHead + "No match,04,kept,party,\n", "item is not a kind"},
		"no status":               {resultsHead + "No match,,kept,,\n", "status is not one of"},
		"no such status":          {resultsHead + "No match,09,kept,,\n", "status is not one of"},
		"a status of one digit":   {resultsHead + "No match,4,kept,,\n", "status is not one of"},
		"verified by no match":    {resultsHead + "No match,01,found,,\n", "no number can be found"},
		"verified and not used":   {resultsHead + "Traced,01,kept,,\n", "go together"},
		"used and not verified":   {resultsHead + "Traced,02,found,,\n", "go together"},
		"verified though held":    {resultsHead + heldByAnother + ",01,found,,\n", "no number can be found"},
		"a status for no result":  {resultsHead + "trace pending,02,,,\n", "nothing is decided"},
		"a number for no result":  {resultsHead + "trace pending,,omitted,,\n", "nothing is decided"},
		"words that are too long": {resultsHead + "Traced,01,found,," + strings.Repeat("x", 81) + "\n", "longer than 80"},
		"words beyond ASCII":      {resultsHead + "Traced,01,found,,trouv\u00e9\n", "not ASCII"},
	} {
		if _, err := ParseResults([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseResults() error = %v, want one with %q", name, err, tt.want)
		}
	}
}

func TestReferSuperseded(t *testing.T) {
	r := Results{}.ReferSuperseded()
	if got, want := r.decision(store.Superseded), (decision{store.Superseded, "NSTS05", numberKept}); got != want {
		t.Errorf("a superseded number decides %+v, want %+v", got, want)
	}
	if d := r.decision(store.Traced); !d.verified() {
		t.Errorf("a traced number decides %+v", d)
	}
}

// Whatever a table says, it cannot make a number verified that was not found.
func FuzzResults(f *testing.F) {
	f.Add(resultsHead + "No match,03,kept,,Nobody found\n")
	f.Add(DefaultResultsTable())
	f.Add("\ufeff" + resultsHead + "\"Local copy, Spine unavailable\",,,,\"a, b\"\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseResults([]byte(text))
		if err != nil {
			return
		}
		for o := range textOf {
			if d := r.decision(o); (d.status == "NSTS01") != d.verified() || d.verified() && !slices.Contains(findings, o) {
				t.Errorf("%v decides %+v", o, d)
			}
		}
		for key, row := range r.rows {
			if len(r.say(key)) > 80 || row.check(key) != nil {
				t.Errorf("%q has %+v", key, row)
			}
		}
	})
}
