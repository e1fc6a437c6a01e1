package exchange

import (
	stdcmp "cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/docs"
	"spinetrace/pds"
	"spinetrace/store"
)

// TestTPDS01MappingPage holds docs/mapping.md to the tables that the program goes by. When it
// fails it prints the rows as they should be.
func TestTPDS01MappingPage(t *testing.T) {
	for heading, rows := range map[string][]string{
		"What an answer means": answerRows(),
		"Sex":                  sexRows(),
		"Status":               statusRows(),
		"Names and addresses":  typeRows(),
	} {
		if diff := cmp.Diff(rows, docs.MappingRows(heading)); diff != "" {
			t.Errorf("%s (-code +page):\n%s\n%s", heading, diff, strings.Join(rows, "\n"))
		}
	}
}

func answerRows() []string {
	var rows []string
	for o := pds.Matched; o <= pds.Refused; o++ {
		wants := []pds.Want{pds.Verify}
		if o == pds.Matched {
			wants = []pds.Want{pds.Verify, pds.Number}
		}
		for _, want := range wants {
			h := new(Handler)
			d, ok := h.decide(subject{}, nil, want, pds.Result{Outcome: o})
			text := textOf[d.outcome]
			switch {
			case o == pds.Stale:
				text = tracePending
			case !ok:
				text = questionRefused
			}
			asked := want.String()
			if len(wants) == 1 {
				asked = "any"
			}
			rows = append(rows, docs.Row(o.String(), asked, outcomeOf(want, pds.Result{Outcome: o}).String(), text, stdcmp.Or(d.status, "as it was")))
		}
	}
	held := DefaultResults().decision(store.HeldElsewhere)
	return append(rows, docs.Row("matched or superseded, and another local record holds the number", "any", held.outcome.String(), heldByAnother, held.status))
}

func sexRows() []string {
	var rows []string
	for _, code := range []pds.Sex{pds.SexMale, pds.SexFemale, pds.SexNotSpecified, pds.SexNotKnown} {
		var from []string
		for _, s := range slices.Sorted(maps.Keys(sexes)) {
			if sexes[s] == code {
				from = append(from, s)
			}
		}
		rows = append(rows, docs.Row(strings.Join(from, ", "), code.Code(), sexLetters[code]))
	}
	return rows
}

func statusRows() []string {
	var rows []string
	for n := range 8 {
		status := fmt.Sprintf("%02d", n+1)
		traced := "yes"
		switch {
		case status == "04":
			traced = "when the identity fields have changed"
		case status == "08":
			traced = "at six weeks"
		case settled[status] != "":
			traced = "no"
		}
		rows = append(rows, docs.Row(statusPrefix+status, traced))
	}
	return rows
}

func typeRows() []string {
	var rows []string
	for _, list := range []struct {
		field string
		types [][]string
	}{{"XPN-7", nameTypes}, {"XAD-7", addressTypes}} {
		for n, types := range list.types {
			rows = append(rows, docs.Row(list.field, fmt.Sprint(n+1), stdcmp.Or(strings.Join(types, ", "), "none")))
		}
	}
	return rows
}
