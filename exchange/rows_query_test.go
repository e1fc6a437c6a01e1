package exchange_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/store"
)

var (
	primrose = pds.MustNHSNumber("9990000018")
	survivor = pds.MustNHSNumber("9990000026")
)

// record is the national record of the patient of these tests.
func record() *pds.Patient {
	return &pds.Patient{
		NHSNumber: primrose, Title: "MRS", Given: []string{"PRIMROSE", "ANNE"}, Family: "HALVORSEN",
		Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17},
		Home:         pds.Address{Lines: [5]string{"", "1 MADEUP TERRACE", "", "LEEDS", ""}, Postcode: "LS99 1AA"},
		PracticeCode: "Z99901", PracticeName: "MADEUP MEDICAL CENTRE",
	}
}

func matched() pds.Result {
	return pds.Result{Outcome: pds.Matched, NHSNumber: primrose, Patient: record(), Code: "SMSP-0000"}
}

const (
	// recordPID is PID and PD1 of an answer that holds the record, without PID-3.
	recordPID = `||HALVORSEN^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|||||||||||||||||||||NSTS01` + "\r" +
		`PD1|||MADEUP MEDICAL CENTRE^^Z99901` + "\r"
	nhsIdentifier   = `9990000018^^^NHS^NH`
	localIdentifier = `RXX1234567^^^RXX^MR`
	byNumber        = `9990000018^^^^^^^^NHS^^^^NH`
	byMRN           = `RXX1234567^^^^^^^^RXX^^^^MR`
	search          = `@PID.5.1.1^HALVORSEN~@PID.5.2^PRIMROSE~@PID.7.1^19620417~@PID.8^F~@PID.11.5^LS99 1AA`
)

// header is the MSH of a question.
func header(messageType, id, version string) string {
	return `MSH|^~\&|PORTAL|RXX|NHSTRACE|RXX|20261122115959||` + messageType + "|" + id + "|P|" + version + "\r"
}

func qrd(who, what string) string {
	return "QRD|20261122115959|R|I|Q000017|||1^RD|" + who + "|" + what + "\r"
}

func a19(id, qrd string) string { return header("QRY^A19", id, "2.4") + qrd }

func qpd(name, parameters string) string { return "QPD|" + name + "|TAG0042|" + parameters + "\r" }

func q21(id, parameters string) string {
	return header("QBP^Q21^QBP_Q21", id, "2.5") + qpd("Q21^Get Person Demographics^HL70471", parameters) + "RCP|I\r"
}

func q22(id, parameters string) string {
	return header("QBP^Q22^QBP_Q21", id, "2.5") + qpd("IHE PDQ Query", parameters) + "RCP|I|10^RD\r"
}

func q23(id, parameters string) string {
	return header("QBP^Q23^QBP_Q21", id, "2.5") + qpd("IHE PIX Query", parameters) + "RCP|I\r"
}

// wantReply asks, and checks everything behind the MSH of the answer, and its type.
func (p *sender) wantReply(question, messageType, want string) {
	p.t.Helper()
	msh, rest, _ := strings.Cut(p.ask(question), "\r")
	if got := strings.Split(msh, "|")[8]; got != messageType {
		p.t.Errorf("MSH-9 %q, want %q", got, messageType)
	}
	if diff := cmp.Diff(strings.Split(want, "\r"), strings.Split(rest, "\r")); diff != "" {
		p.t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// err25 is an ERR segment of 2.5 or later, err24 one of before.
func err25(place string, code int, name, text string) string {
	return fmt.Sprintf("ERR||%s|%d^%s^HL70357|E|||%s\r", place, code, name, text)
}

func err24(place string, code int, name, text string) string {
	return fmt.Sprintf("ERR|%s^%d&%s&HL70357&&%s\r", place, code, name, text)
}

const (
	missing    = "Required field missing"
	badType    = "Data type error"
	badValue   = "Table value not found"
	unknownKey = "Unknown key identifier"
	internal   = "Application internal error"
)

// newIndexed is a site with a disk of its own, whose back end finds the patient.
func newIndexed(t *testing.T) *site {
	s := newSite(newDisk(t))
	s.provider.say = says(matched())
	return s
}

// row63 is its second half: a message that was recorded before the newest one for its number is
// not traced, whether that told of the patient or merged the number away.
func row63(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(a28("R63A"), "MSA|AA|R63A|Traced")
	p.wantAck(a28("R63B", "EVN||20261122115958", "EVN||20261122115957"), "MSA|AA|R63B|Not traced: older message")
	p.wantAck(a28("R63C", "EVN||20261122115958", "EVN||20261122115959"), "MSA|AA|R63C|Traced")
	p.wantAck(adt("A40", "R63D", "PID|1||RXX7654321^^^RXX^MR||HALVORSEN^PRIMROSE\rMRG|RXX1234567^^^RXX^MR", "EVN||20261122115958", "EVN||20261122120000"), "MSA|AA|R63D|Event not used")
	p.wantAck(a28("R63E", "EVN||20261122115958", "EVN||20261122115959"), "MSA|AA|R63E|Not traced: older message")
	s.wantAsked(t, 2)
}

func row64(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(adt("A28", "R64A", numbered), "MSA|AA|R64A|Verified")
	echo := "QRD|20261122115959|R|I|Q000017|||1^RD|" + byNumber + `|DEM|RXX\T\1|X^^` + "\r"
	p.wantReply(a19("R64B", echo), "ADR^A19^ADR_A19", "MSA|AA|R64B\rQAK|Q000017|OK||1|1|0\r"+echo+
		"PID|1||"+nhsIdentifier+"~"+localIdentifier+recordPID+"PV1|1|N\r")
	if req := s.wantAsked(t, 2); req.Want != pds.DetailsByNumber || req.NHSNumber != primrose || !req.Who.BirthDate.Full() {
		t.Errorf("asked %v, birth date complete: %v", req.Want, req.Who.BirthDate.Full())
	}
	p.wantReply(a19("R64C", qrd(byMRN, "DEM")), "ADR^A19^ADR_A19", "MSA|AA|R64C\rQAK|Q000017|OK||1|1|0\r"+qrd(byMRN, "DEM")+
		"PID|1||"+nhsIdentifier+"~"+localIdentifier+recordPID+"PV1|1|N\r")
}

func row65(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	for id, who := range map[string]string{"R65A": byMRN, "R65B": "H000417", "R65C": "12345^DOE^JOHN"} {
		p.wantReply(a19(id, qrd(who, "DEM")), "ADR^A19^ADR_A19", "MSA|AA|"+id+"|No match\rQAK|Q000017|NF||0|0|0\r"+qrd(who, "DEM"))
	}
	s.wantAsked(t, 0)
}

func row66(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	for id, tt := range map[string]struct{ qrd, text, err string }{
		"R66A": {qrd("", "DEM"), "Who is asked about is missing", err24("QRD^1^8", 101, missing, "Who is asked about is missing")},
		"R66B": {qrd(byNumber, "APN"), "Only DEM is served", err24("QRD^1^9", 103, badValue, "Only DEM is served")},
		"R66C": {qrd(byNumber, "DEM"), "Date of birth required", err24("QRD^1^8", 101, missing, "Date of birth required")},
	} {
		p.wantReply(a19(id, tt.qrd), "ADR^A19^ADR_A19", "MSA|AE|"+id+"|"+tt.text+"\r"+tt.err+"QAK|Q000017|AE\r"+tt.qrd)
	}
	s.wantAsked(t, 0)
}

func row67(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(adt("A28", "R67A", numbered), "MSA|AA|R67A|Verified")
	p.wantReply(header("QRY^Q01", "R67B", "2.4")+qrd(byNumber, "DEM"), "ADR^A19^ADR_A19", "MSA|AA|R67B\rQAK|Q000017|OK||1|1|0\r"+qrd(byNumber, "DEM")+
		"PID|1||"+nhsIdentifier+"~"+localIdentifier+recordPID+"PV1|1|N\r")
	p.wantReply(header("QRY^Q01", "R67C", "2.4")+qrd(byNumber, "RES"), "ADR^A19^ADR_A19", "MSA|AE|R67C|Only DEM is served\r"+
		err24("QRD^1^9", 103, badValue, "Only DEM is served")+"QAK|Q000017|AE\r"+qrd(byNumber, "RES"))
}

func row68(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	echo := qpd("IHE PDQ Query", search+`~@PID.13.1^01134960000|90|X\T\Y||^|^^^NHS`)
	question := header("QBP^Q22^QBP_Q21", "R68A", "2.5") + echo + "RCP|I|10^RD\r"
	p.wantReply(question, "RSP^K22^RSP_K21", "MSA|AA|R68A|Not used: PID.13.1\rQAK|TAG0042|OK|IHE PDQ Query|1|1|0\r"+echo+"PID|1||"+nhsIdentifier+recordPID)
	if req := s.wantAsked(t, 1); req.Want != pds.DetailsBySearch || !req.NHSNumber.IsZero() || req.Who.Sex != pds.SexFemale {
		t.Errorf("asked %v", req.Want)
	}
}

func row69(t *testing.T, _ *disk) {
	s := newIndexed(t)
	res := pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return res, nil }
	p := s.open(t).dial(t)
	echo := qpd("IHE PDQ Query", search)
	p.wantReply(q22("R69A", search), "RSP^K22^RSP_K21", "MSA|AA|R69A|No match\rQAK|TAG0042|NF|IHE PDQ Query|0|0|0\r"+echo)
	res = pds.Result{Outcome: pds.ManyMatches, Code: "DEMOG-0007"}
	p.wantReply(q22("R69B", search), "RSP^K22^RSP_K21", "MSA|AA|R69B|Multiple matches\r"+
		"ERR||QPD^1^3|204^Unknown key identifier^HL70357|W|DEMOG-0007||Multiple matches\rQAK|TAG0042|NF|IHE PDQ Query|0|0|0\r"+echo)
	older := strings.Replace(q22("R69C", search), "|P|2.5", "|P|2.4", 1)
	p.wantReply(older, "RSP^K22^RSP_K22", "MSA|AA|R69C|Multiple matches\rQAK|TAG0042|NF|IHE PDQ Query|0|0|0\r"+echo)
}

func row70(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	parameters := search + "|||||^^^NHS~^^^ELSEWHERE"
	s.dial(t).wantReply(q22("R70", parameters), "RSP^K22^RSP_K21", "MSA|AE|R70|Unknown identifier domain\r"+
		err25("QPD^1^8^2", 204, unknownKey, "Unknown identifier domain")+"QAK|TAG0042|AE|IHE PDQ Query\r"+qpd("IHE PDQ Query", parameters))
	s.wantAsked(t, 0)
}

func row71(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	for id, tt := range map[string]struct {
		parameters, place string
		code              int
		name, text        string
	}{
		"R71A": {strings.Replace(search, "~@PID.8^F", "", 1), "QPD^1^3", 101, missing, "Sex required"},
		"R71B": {strings.Replace(search, "HALVORSEN", "SMI*", 1), "QPD^1^3^1", 102, badType, "Wildcards are not accepted"},
		"R71C": {"", "QPD^1^3", 101, missing, "Who is asked about is missing"},
		"R71D": {"@PID.7^19620417~@PID.3.1^9990000019~@PID.3.4^NHS", "QPD^1^3^2", 102, badType, "NHS number not valid"},
	} {
		p.wantReply(q22(id, tt.parameters), "RSP^K22^RSP_K21", "MSA|AE|"+id+"|"+tt.text+"\r"+
			err25(tt.place, tt.code, tt.name, tt.text)+"QAK|TAG0042|AE|IHE PDQ Query\r"+qpd("IHE PDQ Query", tt.parameters))
	}
	s.wantAsked(t, 0)
}

// row72: the budget is a setting. What the back end says once it answers is recorded, and told to
// whoever asks next, and never sent to the peer who has gone without.
func row72(t *testing.T, _ *disk) {
	s := newIndexed(t)
	s.handler.Budget = 50 * time.Millisecond
	hang := make(chan struct{})
	s.provider.say = func(ctx context.Context, req pds.Request) (pds.Result, error) {
		<-hang
		return matched(), nil
	}
	s.open(t)
	p := s.dial(t)
	p.wantAck(adt("A03", "R72A", unnumbered), "MSA|AA|R72A|Event not used")
	p.wantReply(q22("R72B", search), "RSP^K22^RSP_K21", "MSA|AR|R72B|Cannot be dealt with now\r"+
		err25("", 207, internal, "Cannot be dealt with now")+"QAK|TAG0042|AR|IHE PDQ Query\r"+qpd("IHE PDQ Query", search))
	mrn := "RXX1234567^^^RXX^MR"
	p.wantReply(q23("R72C", mrn+"|^^^NHS"), "RSP^K23^RSP_K23", "MSA|AR|R72C|Cannot be dealt with now\r"+
		err25("", 207, internal, "Cannot be dealt with now")+"QAK|TAG0042|AR|IHE PIX Query\r"+qpd("IHE PIX Query", mrn+"|^^^NHS"))
	close(hang)
	if err := s.handler.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	ends := 0
	for n, e := range s.events(t) {
		if f := s.facts(t, n); e.Kind == store.Finished {
			ends++
			if f.Outcome != "traced" || f.NHSFound != "9990000018" {
				t.Errorf("recorded %q", f.Outcome)
			}
		}
	}
	if ends != 2 {
		t.Errorf("%d late results were recorded, want 2", ends)
	}
	s.wantAsked(t, 2)
	// The next thing on the wire is the next answer; it comes from the index.
	p.wantReply(q23("R72D", mrn+"|^^^NHS"), "RSP^K23^RSP_K23", "MSA|AA|R72D\rQAK|TAG0042|OK|IHE PIX Query|1|1|0\r"+
		qpd("IHE PIX Query", mrn+"|^^^NHS")+"PID|||"+nhsIdentifier+"||~^^^^^^S\r")
	s.wantAsked(t, 2)
}

func row73(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantReply(q22("R73A", search)+"DSC|pointer|I\r", "RSP^K22^RSP_K21", "MSA|AE|R73A|Unknown continuation pointer\r"+
		err25("DSC^1^1", 204, unknownKey, "Unknown continuation pointer")+"QAK|TAG0042|AE|IHE PDQ Query\r"+qpd("IHE PDQ Query", search))
	p.wantReply(header("QCN^J01^QCN_J01", "R73B", "2.5")+"QID|NEVERSEEN|IHE PDQ Query\r", "ACK^J01^ACK", "MSA|AA|R73B\r")
	s.wantAsked(t, 0)
}

func row74(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	p.wantAck(adt("A28", "R74A", numbered), "MSA|AA|R74A|Verified")
	echo := qpd("Q22^Find Candidates^HL70471", nhsIdentifier)
	question := header("QBP^Q21^QBP_Q21", "R74B", "2.5") + echo + "RCP||I\r"
	p.wantReply(question, "RSP^K21^RSP_K21", "MSA|AA|R74B\rQAK|TAG0042|OK|Q22^Find Candidates^HL70471|1|1|0\r"+echo+
		"PID|1||"+nhsIdentifier+"~"+localIdentifier+recordPID)
	swapped := strings.Replace(question, `^~\&|PORTAL`, `^&~\|PORTAL`, 1)
	p.wantReply(strings.Replace(swapped, "R74B", "R74C", 1), "RSP^K21^RSP_K21", "MSA|AA|R74C\rQAK|TAG0042|OK|Q22^Find Candidates^HL70471|1|1|0\r"+echo+
		"PID|1||"+nhsIdentifier+"~"+localIdentifier+recordPID)
}

func row75(t *testing.T, _ *disk) {
	s := newIndexed(t)
	result, down := matched(), error(nil)
	s.provider.say = func(context.Context, pds.Request) (pds.Result, error) { return result, down }
	s.open(t)
	p := s.dial(t)
	const mrn = "RXX1234567^^^RXX^MR"
	asked := 0
	wants := func(id, parameters, head, tail string) {
		t.Helper()
		p.wantReply(q23(id, parameters), "RSP^K23^RSP_K23", head+qpd("IHE PIX Query", parameters)+tail)
		s.wantAsked(t, asked)
	}
	unknown := func(id, parameters, place, text string) {
		t.Helper()
		wants(id, parameters, "MSA|AE|"+id+"|"+text+"\r"+err25(place, 204, unknownKey, text)+"QAK|TAG0042|AE|IHE PIX Query\r", "")
	}
	unknown("R75A", mrn+"|^^^NHS", "QPD^1^3^1^1", "Unknown identifier")
	unknown("R75B", nhsIdentifier+"|^^^RXX", "QPD^1^3^1^1", "Unknown identifier")
	unknown("R75C", "1^^^ELSEWHERE^MR|^^^NHS", "QPD^1^3^1^4", "Unknown identifier domain")
	unknown("R75D", "1^^^ELSEWHERE&1.2.3&ISO|^^^NHS", "QPD^1^3^1^4", "Unknown identifier domain")
	unknown("R75E", mrn+"|^^^NHS~^^^ELSEWHERE", "QPD^1^4^2", "Unknown identifier domain")

	p.wantAck(adt("A03", "R75F", numbered), "MSA|AA|R75F|Event not used") // a number that nobody has verified
	const nobody = "QAK|TAG0042|NF|IHE PIX Query|0|0|0\r"
	down, asked = &pds.Error{Class: pds.ProviderError, Status: 500}, 1
	wants("R75G", mrn+"|^^^NHS", "MSA|AR|R75G|Cannot be dealt with now\r"+err25("", 207, internal, "Cannot be dealt with now")+"QAK|TAG0042|AR|IHE PIX Query\r", "")
	down, result, asked = nil, pds.Result{Outcome: pds.NotVerified, Code: "DEMOG-0040"}, 2
	wants("R75H", mrn+"|^^^NHS", "MSA|AA|R75H|Not verified\r"+nobody, "")
	result, asked = matched(), 3
	const found = "QAK|TAG0042|OK|IHE PIX Query|1|1|0\r"
	wants("R75I", mrn+"|^^^NHS", "MSA|AA|R75I\r"+found, "PID|||"+nhsIdentifier+"||~^^^^^^S\r")
	wants("R75J", mrn+"|^^^NHS", "MSA|AA|R75J\r"+found, "PID|||"+nhsIdentifier+"||~^^^^^^S\r") // verified by now
	wants("R75K", mrn, "MSA|AA|R75K\r"+found, "PID|||"+nhsIdentifier+"||~^^^^^^S\r")
	wants("R75L", nhsIdentifier+"|^^^RXX", "MSA|AA|R75L\r"+found, "PID|||"+localIdentifier+"||~^^^^^^S\r")
	wants("R75M", mrn+"|^^^RXX", "MSA|AA|R75M\r"+nobody, "") // nothing else in the wanted domain
	if req := s.wantAsked(t, 3); req.Want != pds.Verify || req.NHSNumber != primrose {
		t.Errorf("asked %v", req.Want)
	}
}

func row76(t *testing.T, _ *disk) {
	s := newIndexed(t).open(t)
	p := s.dial(t)
	other := strings.Replace(q22("R76A", search), "QBP^Q22^QBP_Q21", "QBP^Q99^QBP_Q21", 1)
	p.wantReply(other, "ACK^Q99^ACK", "MSA|AR|R76A|Unsupported event code\r"+err25("MSH^1^9^1^2", 201, "Unsupported event code", "Unsupported event code"))
	worklist := strings.Replace(q22("R76B", search), "IHE PDQ Query", "IHE Scheduled Worklist", 1)
	p.wantReply(worklist, "RSP^K22^RSP_K21", "MSA|AE|R76B|Query name not served\r"+err25("QPD^1^1", 103, badValue, "Query name not served")+
		"QAK|TAG0042|AE|IHE Scheduled Worklist\r"+qpd("IHE Scheduled Worklist", search))
	s.wantAsked(t, 0)
}

// row77: the site's log is searched for the patient when it closes.
func row77(t *testing.T, _ *disk) {
	s := newIndexed(t)
	other := record()
	other.Family, other.NHSNumber, other.Home.Postcode = "OTTERBOURNE", survivor, "LS99 9ZZ"
	s.provider.say = says(pds.Result{Outcome: pds.NotVerified, NHSNumber: survivor, Patient: other, Code: "DEMOG-0040"})
	p := s.open(t).dial(t)
	parameters := "@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"
	p.wantReply(q22("R77", parameters), "RSP^K22^RSP_K21", "MSA|AA|R77|Not verified\rQAK|TAG0042|NF|IHE PDQ Query|0|0|0\r"+qpd("IHE PDQ Query", parameters))
	s.wantAsked(t, 1)
	for _, secret := range []string{"OTTERBOURNE", "9990000026", "LS99 9ZZ"} {
		if strings.Contains(s.logged(), secret) {
			t.Errorf("the log holds the national record:\n%s", s.logged())
		}
	}
}
