package main

import (
	"fmt"
	"strings"

	"spinetrace/hl7v2"
)

// sample is one of testdata.Messages: what it is, what must come back, and what that means.
type sample struct {
	file   string // in testdata.Messages
	title  string
	want   []field // of the answer
	unseen bool    // the back end must not be asked
	told   string  // what happened, behind what was asked
	home   string  // what the A31 tells that brings the result home; "": there is none
}

// field is a place in an answer and what is there. A field without repetition is meant
// with all of them.
type field struct{ path, value string }

// The files are in the order in which they are sent: what earlier ones left in the index of
// patients answers later ones. The last is the first, sent again.
var samples = []sample{
	{
		file: "01-a28-traced.hl7", title: "ADT^A28, a new patient without an NHS number",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "Traced"}, {"PID-3", "D100001^^^DEMO^MR~9990000018^^^NHS^NH"}, {"PID-32", "NSTS01"},
		},
		told: "one patient found; PID-3 brings the number back, with NSTS01",
		home: "the PAS had no number; now it has one, and NSTS01 says that it is verified",
	},
	{
		file: "02-a31-verified.hl7", title: "ADT^A31, an update; the NHS number is not verified yet (NSTS03)",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "Verified"}, {"PID-3", "D100002^^^DEMO^MR~9990000026^^^NHS^NH"}, {"PID-32", "NSTS01"},
		},
		told: "the number is this patient's, so NSTS01",
		home: "the number stays, and NSTS03 becomes NSTS01",
	},
	{
		file: "03-a28-no-match.hl7", title: "ADT^A28, a new patient whom nobody knows",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "No match"}, {"PID-3", "D100003^^^DEMO^MR"}, {"PID-32", "NSTS04"},
		},
		told: "nobody found; that is an answer and no error: AA, NSTS04",
		home: "nobody was found: NSTS04, and the identifiers stay as they are",
	},
	{
		file: "04-a31-superseded.hl7", title: "ADT^A31, an update; the NHS number, written 3-3-4, was replaced by another",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "NHS number superseded; tell the patient"},
			{"PID-3", "D100004^^^DEMO^MR~9994104616^^^NHS^NH"}, {"PID-32", "NSTS01"},
		},
		told: "superseded; PID-3 has the new number in place of the old one",
		home: "the new number takes the place of the old one; a clerk sees to it that the patient is told",
	},
	{
		file: "05-a28-twins.hl7", title: "ADT^A28, a new patient: one of two twins, given name not known",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "Multiple matches"}, {"PID-3", "D100005^^^DEMO^MR"}, {"PID-32", "NSTS04"},
		},
		told: "more than one fits; nobody guesses, so there is no number",
		home: "several fit: NSTS04, and a clerk finds out which of them it is",
	},
	{
		file: "06-a31-invalidated.hl7", title: "ADT^A31, an update; the NHS number was withdrawn",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "NHS number invalidated"},
			{"PID-3", "D100006^^^DEMO^MR~9990600635^^^NHS^NH"}, {"PID-32", "NSTS05"},
		},
		told: "withdrawn without a successor; PID-3 stays as it came, NSTS05",
		home: "the number stays where it is, but NSTS05 says not to use it until a clerk has found the right one",
	},
	{
		file: "07-a03-not-used.hl7", title: "ADT^A03, a discharge",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "Event not used"}, {"PID-3", ""},
		},
		unseen: true,
		told:   "stored and acknowledged; A03 is no reason to trace",
	},
	{
		file: "08-a28-settled.hl7", title: "ADT^A28, a patient whose NHS number is verified already (NSTS01)",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-3", "Not traced: status"}, {"PID-3", ""},
		},
		unseen: true,
		told:   "stored and acknowledged; there is nothing left to find out",
	},
	{
		file: "09-a19-found.hl7", title: "QRY^A19, a query by NHS number and birth date",
		want: []field{
			{"MSA-1", "AA"}, {"QAK-1", "Q0009"}, {"QAK-2", "OK"}, {"PID-3", "9990000034^^^NHS^NH"}, {"PID-7", "19880229"}, {"PID-32", "NSTS01"},
		},
		told: "the patient's details come back in the answer",
	},
	{
		file: "10-q22-found.hl7", title: "QBP^Q22, a query by name, birth date, sex and postcode",
		want: []field{
			{"MSA-1", "AA"}, {"QAK-1", "TAG0010"}, {"QAK-2", "OK"}, {"PID-3", "9990500002^^^NHS^NH"}, {"PID-32", "NSTS01"},
		},
		told: "one patient found; the details and the number come back",
	},
	{
		file: "11-q22-not-understood.hl7", title: "QBP^Q22, a query with a parameter that no standard has",
		want: []field{
			{"MSA-1", "AE"}, {"QAK-2", "AE"}, {"ERR-2", "QPD^1^3^2"}, {"ERR-3.1", "102"}, {"PID-3", ""},
		},
		unseen: true,
		told:   "refused; ERR says where: the second parameter of QPD-3",
	},
	{
		file: "12-a19-by-mrn.hl7", title: "QRY^A19, a query by the trust's own number, that of message 1, and nothing else",
		want: []field{
			{"MSA-1", "AA"}, {"QAK-1", "Q0012"}, {"QAK-2", "OK"}, {"PID-3", "9990000018^^^NHS^NH~D100001^^^DEMO^MR"}, {"PID-7", "19620417"}, {"PID-32", "NSTS01"},
		},
		told: "the index of patients knows who that is, from message 1; the details are from Spine",
	},
	{
		file: "13-q23-found.hl7", title: "QBP^Q23, a query for the NHS number of another of the trust's numbers",
		want: []field{
			{"MSA-1", "AA"}, {"QAK-1", "TAG0013"}, {"QAK-2", "OK"}, {"PID-3", "9990000026^^^NHS^NH"},
		},
		unseen: true,
		told:   "from the index of patients, where message 2 left it verified",
	},
	{
		file: "14-a28-resent.hl7", title: "ADT^A28, the first message again from a sender that missed the answer",
		want: []field{
			{"MSA-1", "AA"}, {"MSA-2", "DEMO0001"}, {"PID-3", "D100001^^^DEMO^MR~9990000018^^^NHS^NH"}, {"PID-32", "NSTS01"},
		},
		unseen: true,
		told:   "the stored answer, byte for byte",
	},
}

// check says what is not as expected of the answer.
func (s sample) check(answer []byte, asked int) (faults []string) {
	faults = differing(answer, s.want)
	if s.unseen && asked > 0 {
		faults = append(faults, "the back end was asked")
	}
	return faults
}

// checkUpdate says what is not as expected of the A31: it tells what the answer told.
func (s sample) checkUpdate(msg []byte) []string {
	if msg == nil {
		return []string{"it did not come"}
	}
	want := []field{{"MSH-9", "ADT^A31^ADT_A05"}}
	for _, f := range s.want {
		if f.path == "PID-3" || f.path == "PID-32" {
			want = append(want, f)
		}
	}
	return differing(msg, want)
}

// patient is the local number that the A31 of the sample goes by.
func (s sample) patient() string {
	for _, f := range s.want {
		if f.path == "PID-3" {
			id, _, _ := strings.Cut(f.value, "^")
			return id
		}
	}
	return ""
}

// differing says which fields of a message are others than those wanted.
func differing(msg []byte, want []field) (faults []string) {
	m, err := hl7v2.Parse(msg)
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range want {
		path, err := hl7v2.ParsePath(f.path)
		switch got := m.Raw(path); {
		case err != nil:
			faults = append(faults, err.Error())
		case got != f.value:
			faults = append(faults, fmt.Sprintf("%s is %q, not %q", f.path, got, f.value))
		}
	}
	return faults
}
