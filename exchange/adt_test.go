package exchange

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/store"
)

const ackA28 = `MSH|^~\&|NHSTRACE|RXX|PAS|RXX|20261122120000||ACK^A28^ACK|NT0000000123|P|2.4` + "\n"

func TestADTCarriesTheResultHome(t *testing.T) {
	matched := pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Code: "SMSP-0000"}
	superseded := pds.Result{Outcome: pds.Superseded, NHSNumber: survivor, Code: "DEMOG-0017"}
	for name, tt := range map[string]struct {
		pid  string
		res  pds.Result
		err  error
		want string // after MSH
	}{
		"verified": {primrose, matched, nil,
			"MSA|AA|PAS0000451|Verified\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS01`},
		"traced, number added at the end": {unnumbered, matched, nil,
			"MSA|AA|PAS0000451|Traced\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS01`},
		"traced, in place of a number that fails Modulus 11": {
			strings.Replace(primrose, "9990000018", "9990000019", 1), matched, nil,
			"MSA|AA|PAS0000451|Traced\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS01`},
		"superseded number replaced, and every copy of it left out": {
			strings.Replace(primrose, "||HALVORSEN", "~999 000 0018^^^NHS^NH||HALVORSEN", 1), superseded, nil,
			"MSA|AA|PAS0000451|NHS number superseded; tell the patient\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000026^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS01`},
		"no match keeps the identifiers as they came": {primrose, pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil,
			"MSA|AA|PAS0000451|No match\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS04`},
		"multiple matches": {unnumbered, pds.Result{Outcome: pds.ManyMatches, Code: "DEMOG-0007"}, nil,
			"MSA|AA|PAS0000451|Multiple matches\n" +
				`PID|1||RXX1234567^^^RXX^MR||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS04`},
		"invalidated": {primrose, pds.Result{Outcome: pds.Invalidated, Code: "DEMOG-0022"}, nil,
			"MSA|AA|PAS0000451|NHS number invalidated\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS05`},
		"not verified": {primrose, pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040"}, nil,
			"MSA|AA|PAS0000451|Not verified\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS05`},
		"old style": {primrose, pds.Result{Outcome: pds.OldStyle, Code: "DEMOG-0042"}, nil,
			"MSA|AA|PAS0000451|Old style number\n" +
				`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS05`},
		"a local copy decides nothing": {primrose, pds.Result{Outcome: pds.Stale, NHSNumber: primroseNumber, Code: "SMSP-0003"}, nil,
			"MSA|AA|PAS0000451|trace pending"},
		"the question was refused": {primrose, pds.Result{Outcome: pds.Refused, Code: "SMSP-0001"}, nil,
			"MSA|AA|PAS0000451|Not traced: refused"},
		"the back end failed": {primrose, pds.Result{}, errBackEnd,
			"MSA|AA|PAS0000451|trace pending"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(tt.res, tt.err))
			if diff := cmp.Diff(ackA28+tt.want, r.send(t, adt("A28", tt.pid))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got, want := r.journal.story(), "received asked answered replied"; got != want {
				t.Errorf("journal: %s; want %s", got, want)
			}
		})
	}
}

func TestADTAsksTheLeastItCan(t *testing.T) {
	who := pds.Demographics{
		Family: "HALVORSEN", Given: "PRIMROSE", BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17},
		Sex: pds.SexFemale, Postcode: "LS99 1AA", LocalID: "RXX1234567",
	}
	for name, tt := range map[string]struct {
		pid     string
		details bool
		want    pds.Want
		number  pds.NHSNumber
	}{
		"a valid number is verified":     {primrose, false, pds.Verify, primroseNumber},
		"no number is searched for":      {unnumbered, false, pds.Number, pds.NHSNumber{}},
		"details by number, if set":      {primrose, true, pds.DetailsByNumber, primroseNumber},
		"details by search, if set":      {unnumbered, true, pds.DetailsBySearch, pds.NHSNumber{}},
		"the display form is a number":   {strings.Replace(primrose, "9990000018^^^NHS", "999 000 0018^^^NHSNBR^NHSNMBR", 1), false, pds.Verify, primroseNumber},
		"an OID is an authority":         {strings.Replace(primrose, "^^^NHS|", "^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH|", 1), false, pds.Verify, primroseNumber},
		"a status behind the type":       {strings.Replace(primrose, "^^^NHS|", "^^^NHS^NH{status:02}|", 1), false, pds.Verify, primroseNumber},
		"a bad check digit is no number": {strings.Replace(primrose, "9990000018", "9990000019", 1), false, pds.Number, pds.NHSNumber{}},
		"ten equal digits are no number": {strings.Replace(primrose, "9990000018", "9999999999", 1), false, pds.Number, pds.NHSNumber{}},
		"a Scottish number is not ours":  {strings.Replace(primrose, "^^^NHS|", "^^^CHI^NH|", 1), false, pds.Number, pds.NHSNumber{}},
		"an expired number is not used":  {strings.Replace(primrose, "^^^NHS|", "^^^NHS^NH^^^20200101|", 1), false, pds.Number, pds.NHSNumber{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			r.Details = tt.details
			r.send(t, adt("A28", tt.pid))
			calls := r.service.calls()
			if len(calls) != 1 {
				t.Fatalf("asked %d times, want once", len(calls))
			}
			if got := calls[0]; got.Want != tt.want || got.NHSNumber != tt.number || got.Who != who {
				t.Errorf("asked %v with number %q, %q; want %v, %q", got.Want, got.NHSNumber.Digits(), got.Who.Postcode, tt.want, tt.number.Digits())
			}
		})
	}
}

func TestADTIsNotTraced(t *testing.T) {
	pid := func(old, replacement string) string {
		if !strings.Contains(unnumbered, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(unnumbered, old, replacement, 1)
	}
	for name, tt := range map[string]struct {
		event, pid, want string
	}{
		"an event that is not used":       {"A03", primrose, "Event not used"},
		"a cancelled admission":           {"A11", primrose, "Event not used"},
		"verified already":                {"A28", pid("NSTS03", "NSTS01"), "Not traced: status"},
		"no match before":                 {"A28", pid("NSTS03", "NSTS04"), "Not traced: status"},
		"a person decides":                {"A28", pid("NSTS03", "NSTS05"), "Not traced: status"},
		"not required, in the old form":   {"A28", pid("NSTS03", "07"), "Not traced: status"},
		"postponed":                       {"A28", strings.Replace(pid("NSTS03", "AL~NSTS08"), "19620417", "20261112", 1), "Not traced: under 6 weeks"},
		"unknown patient":                 {"A28", pid("|||||||||||||||||||||NSTS03", "||||||||||||||||||||Y|NSTS03"), "Not traced: identity unknown"},
		"placeholder name":                {"A28", pid("HALVORSEN^PRIMROSE", "UNKNOWN^UNKNOWN"), "Not traced: identity unknown"},
		"test patient":                    {"A28", pid("HALVORSEN", "ZZTESTER"), "Not traced: identity unknown"},
		"two numbers":                     {"A28", pid("^^^RXX^MR", "^^^RXX^MR~9990000018^^^NHS~9990000026^^^NHS"), "Not traced: conflicting NHS numbers"},
		"no birth date":                   {"A28", pid("19620417", ""), "Not traced: birth date"},
		"a null birth date":               {"A28", pid("19620417", `""`), "Not traced: birth date"},
		"a month that no year has":        {"A28", pid("19620417", "196213121515"), "Not traced: birth date"},
		"a day that no February has":      {"A28", pid("19620417", "20240230"), "Not traced: birth date"},
		"a placeholder birth date":        {"A28", pid("19620417", "19000101"), "Not traced: birth date"},
		"born tomorrow":                   {"A28", pid("19620417", "20261123"), "Not traced: birth date"},
		"born in a year":                  {"A28", pid("19620417", "1962"), "Not traced: birth date"},
		"no name to search with":          {"A28", pid("HALVORSEN^PRIMROSE^ANNE^^MRS^^L", "^PRIMROSE^^^^^L"), "Not traced: name"},
		"only an alias":                   {"A28", pid("^MRS^^L", "^MRS^^A"), "Not traced: name"},
		"a wildcard in the name":          {"A28", pid("HALVORSEN", "HAL*"), "Not traced: name"},
		"a wildcard in the postcode":      {"A28", pid("ls991aa", "LS99%"), "Not traced: refused"},
		"no sex to search with":           {"A28", pid("|F|", "||"), "Not traced: sex"},
		"a sex that is in no table":       {"A28", pid("|F|", "|Q|"), "Not traced: sex"},
		"no name, in other words":         {"A28", pid("HALVORSEN^PRIMROSE", "UNK^X"), "Not traced: identity unknown"},
		"no name, in two words":           {"A28", pid("HALVORSEN^PRIMROSE", "Not Known^X"), "Not traced: identity unknown"},
		"a test by name":                  {"A28", pid("HALVORSEN^PRIMROSE", "Test^X"), "Not traced: identity unknown"},
		"the conflict outranks the dates": {"A28", strings.Replace(pid("^^^RXX^MR", "^^^RXX^MR~9990000018^^^NHS~9990000026^^^NHS"), "19620417", "", 1), "Not traced: conflicting NHS numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{}, errBackEnd))
			want := strings.Replace(ackA28, "A28", tt.event, 1) + "MSA|AA|PAS0000451|" + tt.want
			if diff := cmp.Diff(want, r.send(t, adt(tt.event, tt.pid))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if n := len(r.service.calls()); n != 0 {
				t.Errorf("the back end was asked %d times", n)
			}
			if got := r.journal.story(); got != "exchanged" {
				t.Errorf("journal: %s; want one event", got)
			}
			if got := r.done[0].Outcome; got != store.NotTraced {
				t.Errorf("outcome %v, want %v", got, store.NotTraced)
			}
		})
	}
}

func TestACutOffValueIsNotTracedWith(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	cut := strings.Replace(adt("A28", unnumbered), `^~\&`, `^~\&#`, 1)
	if got := r.send(t, strings.Replace(cut, "HALVORSEN", "HALVOR#", 1)); !strings.HasSuffix(got, "Not traced: name") {
		t.Errorf("a cut name: %s", got)
	}
	numbered := strings.Replace(adt("A31", primrose), `^~\&`, `^~\&#`, 1)
	r.send(t, strings.Replace(numbered, "9990000018", "9990000018#", 1))
	if calls := r.service.calls(); len(calls) != 1 || calls[0].Want != pds.Number {
		t.Errorf("a cut number: asked %d times, or with the number", len(calls))
	}
	r.send(t, strings.Replace(numbered, "RXX1234567", "RXX1234#", 1))
	if calls := r.service.calls(); len(calls) != 2 || calls[1].Who.LocalID != "" {
		t.Error("a cut local number is used")
	}
}

func TestTheAnswerIsInOneSetOfDelimiters(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber}, nil))
	short := strings.NewReplacer(`^~\&`, ":;", "^", ":", "~", ";").Replace(adt("A28", primrose))
	_, got, _ := strings.Cut(r.send(t, short), "\n")
	want := "MSA|AA|PAS0000451|Verified\n" +
		`PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||ED~NSTS01`
	if got != want {
		t.Errorf("answer (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestNullListsAreNotSentBackWithValues(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber}, nil))
	pid := strings.NewReplacer("RXX1234567^^^RXX^MR", `""`, "NSTS03", `""`).Replace(unnumbered)
	if got, want := r.send(t, adt("A28", pid)), `PID|1||9990000018^^^NHS^NH||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F||||||||||||||||||||||||NSTS01`; !strings.HasSuffix(got, want) {
		t.Errorf("answer:\n%s\nwant\n%s", got, want)
	}
}

func TestBeforeVersion231AFamilyNameHasNoParts(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	r.send(t, strings.Replace(strings.Replace(adt("A28", unnumbered), "|P|2.4", "|P|2.3", 1), "HALVORSEN", "SMITHE & SONNE", 1))
	if got := r.service.calls()[0].Who.Family; got != "SMITHE & SONNE" {
		t.Errorf("asked for %q", got)
	}
}

func TestNameAndAddressChoice(t *testing.T) {
	for name, tt := range map[string]struct {
		names, addresses       string
		family, given, postcod string
	}{
		"current before maiden":        {"OLD^ANN^^^^^M~NEW^ANN^^^^^L", "", "NEW", "ANN", ""},
		"untyped before preferred":     {"PREF^ANN^^^^^D~PLAIN^ANN", "", "PLAIN", "ANN", ""},
		"own prefix joined":            {"HOOLE&VAN DER^PIETER^^^^^L", "", "VAN DER HOOLE", "PIETER", ""},
		"note dropped":                 {"SMITHSONIA (DECEASED)^ANN^^^^^L", "", "SMITHSONIA", "ANN", ""},
		"spaces folded":                {" VAN  DER HOOLE ^ANN^^^^^L", "", "VAN DER HOOLE", "ANN", ""},
		"a baby has no name yet":       {"NEWBORNE^BABY^^^^^L", "", "NEWBORNE", "", ""},
		"a twin neither":               {"NEWBORNE^TWIN 1^^^^^L", "", "NEWBORNE", "", ""},
		"apostrophe, hyphen, escape":   {`O'DON\T\NELLY-VANE^CIARÁN^^^^^L`, "", "O'DON&NELLY-VANE", "CIARÁN", ""},
		"home before temporary":        {"A^B^^^^^L", "^^^^LS99 9ZZ^^TMP~^^^^kt171na^^H", "A", "B", "KT17 1NA"},
		"no fixed abode has none":      {"A^B^^^^^L", "^^^^ZZ99 3VZ^^H", "A", "B", ""},
		"abroad has none":              {"A^B^^^^^L", "^^^^75008^^H", "A", "B", ""},
		"temporary address never used": {"A^B^^^^^L", "^^^^LS99 9ZZ^^TMP", "A", "B", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			r.send(t, adt("A28", "PID|1||1^^^RXX^MR||"+tt.names+"||19620417|F|||"+tt.addresses))
			got := r.service.calls()[0].Who
			if got.Family != tt.family || got.Given != tt.given || got.Postcode != tt.postcod {
				t.Errorf("asked for %q, %q, %q; want %q, %q, %q", got.Family, got.Given, got.Postcode, tt.family, tt.given, tt.postcod)
			}
		})
	}
}

func TestSexMap(t *testing.T) {
	for in, want := range map[string]string{
		"M": "1", "1": "1", "male": "1", "F": "2", "2": "2", "Female": "2", "A": "9", "9": "9", "I": "9", "INDETERMINATE": "9",
		"U": "0", "0": "0", "N": "0", "O": "0", "X": "0", "unknown": "0", "": "", "Q": "", `""`: "",
	} {
		if got := parseSex(in).Code(); got != want {
			t.Errorf("parseSex(%q) = %q, want %q", in, got, want)
		}
	}
}
