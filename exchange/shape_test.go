package exchange_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// shape is what the tables of the specification's section 5 say of one kind of query.
type shape struct {
	name     string
	question func(id string) string        // in version 2.5
	answer   func(version string) string   // MSH-9
	tag      string                        // QAK-1
	query    string                        // QAK-3
	echoed   []string                      // segments
	patient  func(status string) [][]field // PID and what follows it
	subject  string                        // ERR-2 of a fault of the whole question
}

// field is a field's number and what it holds; every other field of its segment is empty.
type field struct {
	n    int
	text string
}

const (
	filterQPD = "QPD|IHE PDQ Query|TAG0042|" + search + "|||||^^^NHS"
	personQPD = "QPD|Q21^Get Person Demographics^HL70471|TAG0042|" + nhsIdentifier
	pixQPD    = "QPD|IHE PIX Query|TAG0042|" + localIdentifier + "|^^^NHS"
	whoQRD    = "QRD|20261122115959|R|I|Q000017|||1^RD|" + byNumber + "|DEM"
	whoQRF    = "QRF|PAS||||19620417"
)

// demographics is the PID of the record in answers, and the PD1 behind it.
func demographics(pid3, status string) [][]field {
	return [][]field{
		{{0, "PID"}, {1, "1"}, {3, pid3}, {5, "HALVORSEN^PRIMROSE^ANNE^^MRS^^L"}, {7, "19620417"}, {8, "F"},
			{11, "1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H"}, {32, status}},
		{{0, "PD1"}, {3, "MADEUP MEDICAL CENTRE^^Z99901"}},
	}
}

var shapes = []shape{
	{
		name:     "A19",
		question: func(id string) string { return header("QRY^A19", id, "2.5") + whoQRD + "\r" + whoQRF + "\r" },
		answer: func(version string) string {
			if version < "2.4" {
				return "ADR^A19"
			}
			return "ADR^A19^ADR_A19"
		},
		tag: "Q000017", echoed: []string{whoQRD, whoQRF}, subject: "QRD^1^8",
		patient: func(status string) [][]field {
			return append(demographics(nhsIdentifier, status), []field{{0, "PV1"}, {1, "1"}, {2, "N"}})
		},
	},
	{
		name: "Q21",
		question: func(id string) string {
			return header("QBP^Q21^QBP_Q21", id, "2.5") + personQPD + "\rRCP|I\r"
		},
		answer: func(string) string { return "RSP^K21^RSP_K21" },
		tag:    "TAG0042", query: "Q21^Get Person Demographics^HL70471", echoed: []string{personQPD}, subject: "QPD^1^3",
		patient: func(status string) [][]field { return demographics(nhsIdentifier+"~"+localIdentifier, status) },
	},
	{
		name: "Q22",
		question: func(id string) string {
			return header("QBP^Q22^QBP_Q21", id, "2.5") + filterQPD + "\rRCP|I|10^RD\r"
		},
		answer: func(version string) string {
			if version < "2.5" {
				return "RSP^K22^RSP_K22"
			}
			return "RSP^K22^RSP_K21"
		},
		tag: "TAG0042", query: "IHE PDQ Query", echoed: []string{filterQPD}, subject: "QPD^1^3",
		patient: func(status string) [][]field { return demographics(nhsIdentifier, status) },
	},
	{
		name: "Q23",
		question: func(id string) string {
			return header("QBP^Q23^QBP_Q21", id, "2.5") + pixQPD + "\rRCP|I\r"
		},
		answer: func(string) string { return "RSP^K23^RSP_K23" },
		tag:    "TAG0042", query: "IHE PIX Query", echoed: []string{pixQPD}, subject: "QPD^1^3",
		patient: func(string) [][]field {
			return [][]field{{{0, "PID"}, {3, nhsIdentifier}, {5, "~^^^^^^S"}}}
		},
	},
}

// ending is how a question may end.
type ending struct {
	name   string
	result func() (pds.Result, error)
	msa    string
	qak    string
	text   string
	count  string                 // QAK-4 and 5; "" if the question was not dealt with
	status string                 // PID-32; "" if nobody is shown
	err    func(s shape) []string // place, code with its text, severity, application code, text; nil: no ERR
}

var endings = []ending{
	{name: "found", result: func() (pds.Result, error) { return matched(), nil }, msa: "AA", qak: "OK", count: "1", status: "NSTS01"},
	{name: "superseded", result: func() (pds.Result, error) {
		res := matched()
		res.Outcome, res.Code = pds.Superseded, "DEMOG-0017"
		return res, nil
	}, msa: "AA", qak: "OK", text: "NHS number superseded; tell the patient", count: "1", status: "NSTS01"},
	{name: "nobody", result: ends(pds.NoMatch, "DEMOG-0001"), msa: "AA", qak: "NF", text: "No match", count: "0"},
	{name: "several", result: ends(pds.ManyMatches, "DEMOG-0007"), msa: "AA", qak: "NF", text: "Multiple matches", count: "0",
		err: func(s shape) []string {
			return []string{s.subject, "204", unknownKey, "W", "DEMOG-0007", "Multiple matches"}
		}},
	{name: "not verified", result: ends(pds.NotVerified, "DEMOG-0040"), msa: "AA", qak: "NF", text: "Not verified", count: "0"},
	{name: "invalidated", result: ends(pds.Invalidated, "DEMOG-0022"), msa: "AA", qak: "NF", text: "NHS number invalidated", count: "0"},
	{name: "old style", result: ends(pds.OldStyle, "DEMOG-0042"), msa: "AE", qak: "AE", text: "NHS number not valid",
		err: func(s shape) []string {
			if s.name == "Q23" {
				return []string{"QPD^1^3^1^1", "204", unknownKey, "E", "", "Unknown identifier"}
			}
			return []string{s.subject, "102", badType, "E", "", "NHS number not valid"}
		}},
	{name: "refused", result: ends(pds.Refused, "SMSP-0001"), msa: "AE", qak: "AE", text: "The question was refused",
		err: func(s shape) []string {
			if s.name == "Q23" {
				return []string{"", "207", internal, "E", "", "The question was refused"}
			}
			return []string{s.subject, "102", badType, "E", "", "The question was refused"}
		}},
	{name: "down", result: func() (pds.Result, error) { return pds.Result{}, &pds.Error{Class: pds.ProviderError, Status: 503} },
		msa: "AR", qak: "AR", text: "Cannot be dealt with now",
		err: func(shape) []string { return []string{"", "207", internal, "E", "", "Cannot be dealt with now"} }},
}

func ends(o pds.Outcome, code string) func() (pds.Result, error) {
	return func() (pds.Result, error) { return pds.Result{Outcome: o, Code: code}, nil }
}

// TestAnswersFieldByField reads every field of every segment of every kind of answer, in every
// version that changes them, by nothing but the separators.
func TestAnswersFieldByField(t *testing.T) {
	for _, version := range []string{"2.3", "2.4", "2.5", "2.5.1"} {
		for _, s := range shapes {
			for _, e := range endings {
				t.Run(version+" "+s.name+" "+e.name, func(t *testing.T) {
					t.Parallel()
					site := newSite(newDisk(t))
					site.provider.say = says(pds.Result{Outcome: pds.NoMatch})
					site.open(t)
					p := site.dial(t)
					p.ask(adt("A03", "TOLD", numbered)) // whom Q21 and Q23 are about
					site.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return e.result() }
					got := p.ask(strings.Replace(s.question("ID1"), "|P|2.5", "|P|"+version, 1))
					if diff := cmp.Diff(s.want(version, e), segments(t, got), cmp.AllowUnexported(field{})); diff != "" {
						t.Errorf("answer (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// want is the answer by the tables of the specification.
func (s shape) want(version string, e ending) [][]field {
	all := [][]field{
		{{0, "MSH"}, {2, `^~\&`}, {3, "NHSTRACE"}, {4, "RXX"}, {5, "PORTAL"}, {6, "RXX"}, {7, "20261122120000"}, {9, s.answer(version)},
			{10, "NT0000000002"}, {11, "P"}, {12, version}},
	}
	fault := []string(nil)
	if e.err != nil {
		fault = e.err(s)
	}
	text := e.text
	if fault != nil {
		text = fault[5]
	}
	all = append(all, filled([]field{{0, "MSA"}, {1, e.msa}, {2, "ID1"}, {3, text}}))
	if fault != nil && version >= "2.5" {
		all = append(all, filled([]field{{0, "ERR"}, {2, fault[0]}, {3, fault[1] + "^" + fault[2] + "^HL70357"}, {4, fault[3]}, {5, fault[4]}, {7, fault[5]}}))
	} else if fault != nil && fault[3] == "E" {
		place := strings.Join(append(strings.Split(fault[0], "^"), "", "", "", "")[:3], "^") + "^" // ERR-1 has no deeper place
		all = append(all, []field{{0, "ERR"}, {1, place + fault[1] + "&" + fault[2] + "&HL70357&&" + fault[5]}})
	}
	qak := []field{{0, "QAK"}, {1, s.tag}, {2, e.qak}}
	if version >= "2.4" {
		qak = append(qak, field{3, s.query})
		if e.count != "" {
			qak = append(qak, field{4, e.count}, field{5, e.count}, field{6, "0"})
		}
	}
	all = append(all, filled(qak))
	for _, echo := range s.echoed {
		all = append(all, fieldsOf(echo))
	}
	if e.status != "" {
		all = append(all, s.patient(e.status)...)
	}
	return all
}

// filled leaves empty fields out.
func filled(fields []field) []field {
	return slices.DeleteFunc(fields, func(f field) bool { return f.text == "" })
}

// fieldsOf splits a segment; MSH counts from the separator.
func fieldsOf(segment string) []field {
	var fields []field
	texts := strings.Split(segment, "|")
	for i, text := range texts {
		if texts[0] == "MSH" && i > 0 {
			i++
		}
		fields = append(fields, field{i, text})
	}
	return filled(fields)
}

func segments(t *testing.T, message string) (all [][]field) {
	t.Helper()
	for segment := range strings.SplitSeq(strings.TrimSuffix(message, "\r"), "\r") {
		if strings.HasSuffix(segment, "|") {
			for _, echoed := range []string{"QPD", "QRD", "QRF"} {
				if !strings.HasPrefix(segment, echoed) {
					t.Errorf("%.3s ends in empty fields", segment)
					break
				}
			}
		}
		all = append(all, fieldsOf(segment))
	}
	return all
}

// TestPlainRefusalsOfQueries: a query whose MSH is not acceptable, and one without a QPD or QRD
// where the setting wants that, get an ACK; every other refusal has the shape of an answer.
func TestPlainRefusalsOfQueries(t *testing.T) {
	s := newSite(newDisk(t))
	s.handler.PlainNACK = true
	p := s.open(t).dial(t)
	question := q22("ID1", search)
	for name, tt := range map[string]struct{ question, messageType, msa, err string }{
		"type":               {strings.Replace(question, "QBP^Q22^QBP_Q21", "XYZ^Q22", 1), "ACK^Q22^ACK", "MSA|AR|ID1|Unsupported message type", `ERR||MSH^1^9^1^1|200^`},
		"event":              {strings.Replace(question, "QBP^Q22", "QBP^Q24", 1), "ACK^Q24^ACK", "MSA|AR|ID1|Unsupported event code", `ERR||MSH^1^9^1^2|201^`},
		"processing id":      {strings.Replace(question, "|P|2.5", "|T|2.5", 1), "ACK^Q22^ACK", "MSA|AR|ID1|Unsupported processing id", `ERR||MSH^1^11|202^`},
		"version":            {strings.Replace(question, "|P|2.5", "|P|3.0", 1), "", "MSA|AR|ID1|Unsupported version", "ERR|"},
		"processing id, 2.3": {strings.Replace(question, "|P|2.5", "|T|2.3", 1), "ACK", "MSA|AR|ID1|Unsupported processing id", `ERR|MSH^1^11^202&`},
		"no QPD":             {header("QBP^Q22^QBP_Q21", "ID1", "2.5") + "RCP|I\r", "ACK^Q22^ACK", "MSA|AE|ID1|QPD segment missing", `ERR||QPD^1|100^`},
		"no QRD":             {header("QRY^A19", "ID1", "2.4") + whoQRF + "\r", "ACK^A19^ACK", "MSA|AE|ID1|QRD segment missing", `ERR|QRD^1^^100&`},
		"content":            {q22("ID1", "@PID.8^F"), "RSP^K22^RSP_K21", "MSA|AE|ID1|Date of birth required", `ERR||QPD^1^3|101^`},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Split(p.ask(tt.question), "\r")
			if messageType := strings.Split(got[0], "|")[8]; tt.messageType != "" && messageType != tt.messageType {
				t.Errorf("MSH-9 %q, want %q", messageType, tt.messageType)
			}
			if got[1] != tt.msa || !strings.HasPrefix(got[2], tt.err) {
				t.Errorf("answered %q", got)
			}
			if plain := len(got) == 4; plain != strings.HasPrefix(strings.Split(got[0], "|")[8], "ACK") {
				t.Errorf("answered %q", got)
			}
		})
	}
	s.wantAsked(t, 0)
}

// TestEchoesByteForByte: QPD, QRD and QRF come back as they were sent, in whatever delimiters and
// character set, and what we add is in the same.
func TestEchoesByteForByte(t *testing.T) {
	s := newSite(newDisk(t))
	res := matched()
	res.Patient.Family = "HALVORSÉN & CO"
	s.provider.say = says(res)
	p := s.open(t).dial(t)
	for name, tt := range map[string]struct {
		marks, charset string
		qpd            string
		family         string // PID-5.1
	}{
		"as usual":              {`|^~\&`, "", `QPD|IHE PDQ Query|T|@PID.5.1^HALVORS\XE9\N~@PID.7^19620417~@PID.8^F||`, "HALVORSÉN \\T\\ CO"},
		"UTF-8":                 {`|^~\&`, "UNICODE UTF-8", "QPD|IHE PDQ Query|Tä&b|@PID.5.1^HALVORSÉN~@PID.7^19620417~@PID.8^F|||^^~|", "HALVORSÉN \\T\\ CO"},
		"8859/1":                {`|^~\&`, "8859/1", "QPD|IHE PDQ Query|T\xe4|@PID.5.1^HALVORS\xc9N~@PID.7^19620417~@PID.8^F\\.br\\|||^^~|", "HALVORS\xc9N \\T\\ CO"},
		"not said, one byte":    {`|^~\&`, "", "QPD|IHE PDQ Query|T\x80|@PID.5.1^HALVORS\xc9N~@PID.7^19620417~@PID.8^F|", "HALVORS\xc9N \\T\\ CO"},
		"other delimiters":      {`!$*+%`, "", "QPD!IHE PDQ Query!T+X41+|~^\\!@PID.5.1$HALVORSEN*@PID.7$19620417*@PID.8$F!!!%%!$$$NHS!", "HALVORSÉN & CO"},
		"other delimiters, set": {`!$*+%`, "8859/1", "QPD!IHE PDQ Query!T|\xe9+Zx+!@PID.5.1$HALVORS\xc9N*@PID.7$19620417*@PID.8$F*!!!!!$$$NHS!", "HALVORS\xc9N & CO"},
		"truncation":            {`|^~\&#`, "", `QPD|IHE PDQ Query|T\#|@PID.5.1^HALVORSEN~@PID.7^19620417~@PID.8^F|`, "HALVORSÉN \\T\\ CO"},
	} {
		t.Run(name, func(t *testing.T) {
			sep, component := tt.marks[:1], tt.marks[1:2]
			msh := "MSH" + tt.marks + strings.ReplaceAll(fmt.Sprintf("|PORTAL|RXX|NHSTRACE|RXX|20261122115959||QBP^Q22^QBP_Q21|%s|P|2.5||||||%s\r", strings.ReplaceAll(name, " ", "_"), tt.charset), "|", sep)
			got := p.ask(strings.ReplaceAll(msh, "QBP^Q22^", "QBP"+component+"Q22"+component) + tt.qpd + "\rRCP" + sep + "I\r")
			all := strings.Split(got, "\r")
			if len(all) < 5 || all[3] != tt.qpd {
				t.Fatalf("answered %q, want %q in it", got, tt.qpd)
			}
			if want := "QAK" + sep + strings.Split(tt.qpd, sep)[2] + sep + "OK" + sep; !strings.HasPrefix(all[2], want) {
				t.Errorf("QAK %q, want %q…", all[2], want)
			}
			pid := regexp.MustCompile(`^PID` + regexp.QuoteMeta(sep)).FindString(all[4])
			if name := strings.Split(all[4], sep); pid == "" || len(name) < 6 || !strings.HasPrefix(name[5], tt.family+component) {
				t.Errorf("PID %q, want the family name %q", all[4], tt.family)
			}
		})
	}
	for _, qrf := range []string{"QRF|PAS\\T\\1|20261122|^^||19620417~@PID.8^F|||X~Y^|", "QRF|PAS\t||||@PID.7^19620417||"} {
		echo := "QRD|20261122115959|R|I|Q\xe9\\S\\17^^|||1^RD|9990000018^^^^^^^^NHS^^^^NH|DEM||^"
		got := p.ask(header("QRY^A19", fmt.Sprintf("E%d", len(qrf)), "2.4") + echo + "\r" + qrf + "\r")
		if !strings.Contains(got, "\r"+echo+"\r"+qrf+"\r") || !strings.Contains(got, "\rQAK|Q\xe9\\S\\17^^|OK|") {
			t.Errorf("answered %q, want %q in it", got, echo+"\r"+qrf)
		}
	}
}
