package exchange

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
)

// patient is a national record with everything that an answer can carry.
func patient() *pds.Patient {
	return &pds.Patient{
		NHSNumber: primroseNumber, Title: "MRS", Given: []string{"PRIMROSE", "ANNE"}, Family: "HALVORSEN & CO",
		Sex: pds.SexFemale, BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17},
		Home:         pds.Address{Lines: [5]string{"", "1 MADEUP TERRACE", "MOCKINGHAM", "LEEDS", ""}, Postcode: "LS99 1AA"},
		PracticeCode: "Z99901", PracticeName: "MADEUP MEDICAL CENTRE",
	}
}

const (
	pidAnswer = `PID|1||9990000018^^^NHS^NH||HALVORSEN \T\ CO^PRIMROSE^ANNE^^MRS^^L||19620417|F|||1 MADEUP TERRACE^MOCKINGHAM^LEEDS^^LS99 1AA^^H|||||||||||||||||||||NSTS01`
	pd1Answer = `PD1|||MADEUP MEDICAL CENTRE^^Z99901`

	qrd = `QRD|20261122115959|R|I|Q000017|||1^RD|9990000018^^^^^^^^NHS^^^^NH|DEM`
	qrf = `QRF|PAS||||19620417`
	qpd = `QPD|IHE PDQ Query|TAG0042|@PID.5.1.1^HALVORSEN~@PID.5.2^PRIMROSE~@PID.7.1^19620417~@PID.8^F~@PID.11.5^LS99 1AA|||||^^^NHS`
)

func a19(segments ...string) string {
	return `MSH|^~\&|PORTAL|RXX|NHSTRACE|RXX|20261122115959||QRY^A19|P000017|P|2.4` + "\n" + strings.Join(segments, "\n")
}

func q22(segments ...string) string {
	return `MSH|^~\&|PORTAL|RXX|NHSTRACE|RXX|20261122115959||QBP^Q22^QBP_Q21|P000018|P|2.5` + "\n" + strings.Join(segments, "\n")
}

const (
	mshA19 = `MSH|^~\&|NHSTRACE|RXX|PORTAL|RXX|20261122120000||ADR^A19^ADR_A19|NT0000000123|P|2.4` + "\n"
	mshK22 = `MSH|^~\&|NHSTRACE|RXX|PORTAL|RXX|20261122120000||RSP^K22^RSP_K21|NT0000000123|P|2.5` + "\n"
)

func TestQueriesAnswered(t *testing.T) {
	matched := pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Patient: patient(), Code: "SMSP-0000"}
	superseded := matched
	superseded.Outcome, superseded.NHSNumber = pds.Superseded, survivor
	stale := matched
	stale.Outcome = pds.Stale
	bare := &pds.Patient{Family: "HIDEAWAY", BirthDate: pds.Date{Year: 1982}}
	withdrawn := pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Patient: bare}
	dead := patient()
	dead.Deceased, dead.DeathTime = true, "202001011200"

	qak := func(s string) string { return "QAK|TAG0042|" + s + "\n" + qpd }
	for name, tt := range map[string]struct {
		question string
		res      pds.Result
		err      error
		want     string
	}{
		"A19, found": {a19(qrd, qrf), matched, nil,
			mshA19 + "MSA|AA|P000017\nQAK|Q000017|OK||1|1|0\n" + qrd + "\n" + qrf + "\n" + pidAnswer + "\n" + pd1Answer + "\nPV1|1|N"},
		"A19, nobody": {a19(qrd, qrf), pds.Result{Outcome: pds.NotVerified}, nil,
			mshA19 + "MSA|AA|P000017|Not verified\nQAK|Q000017|NF||0|0|0\n" + qrd + "\n" + qrf},
		"A19, back end down": {a19(qrd, qrf), pds.Result{}, errBackEnd,
			mshA19 + "MSA|AR|P000017|Cannot be dealt with now\n" +
				"ERR|^^^207&Application internal error&HL70357&&Cannot be dealt with now\n" +
				"QAK|Q000017|AR\n" + qrd + "\n" + qrf},
		"Q22, found": {q22(qpd, "RCP|I|10^RD"), matched, nil,
			mshK22 + "MSA|AA|P000018\n" + "QAK|TAG0042|OK|IHE PDQ Query|1|1|0\n" + qpd + "\n" + pidAnswer + "\n" + pd1Answer},
		"Q22, superseded shows the new number only": {q22(qpd), superseded, nil,
			mshK22 + "MSA|AA|P000018|NHS number superseded; tell the patient\n" + qak("OK|IHE PDQ Query|1|1|0") + "\n" +
				strings.Replace(pidAnswer, "9990000018", "9990000026", 1) + "\n" + pd1Answer},
		"Q22, a local copy is never verified": {q22(qpd), stale, nil,
			mshK22 + "MSA|AA|P000018|Local copy, Spine unavailable\n" + qak("OK|IHE PDQ Query|1|1|0") + "\n" +
				strings.Replace(pidAnswer, "NSTS01", "NSTS02", 1) + "\n" + pd1Answer},
		"Q22, a restricted record leaves fields empty": {q22(qpd), withdrawn, nil,
			mshK22 + "MSA|AA|P000018\n" + qak("OK|IHE PDQ Query|1|1|0") + "\n" +
				`PID|1||9990000018^^^NHS^NH||HIDEAWAY^^^^^^L||1982|||||||||||||||||||||||||NSTS01`},
		"Q22, deceased": {q22(qpd), pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Patient: dead}, nil,
			mshK22 + "MSA|AA|P000018\n" + qak("OK|IHE PDQ Query|1|1|0") + "\n" +
				strings.Replace(pidAnswer, strings.Repeat("|", 21)+"NSTS01", strings.Repeat("|", 18)+"202001011200|Y||NSTS01", 1) + "\n" + pd1Answer},
		"Q22, no match": {q22(qpd), pds.Result{Outcome: pds.NoMatch}, nil,
			mshK22 + "MSA|AA|P000018|No match\n" + qak("NF|IHE PDQ Query|0|0|0")},
		"Q22, several": {q22(qpd), pds.Result{Outcome: pds.ManyMatches, Code: "DEMOG-0007"}, nil,
			mshK22 + "MSA|AA|P000018|Multiple matches\n" +
				"ERR||QPD^1^3|204^Unknown key identifier^HL70357|W|DEMOG-0007||Multiple matches\n" + qak("NF|IHE PDQ Query|0|0|0")},
		"Q22, invalidated": {q22(qpd), pds.Result{Outcome: pds.Invalidated}, nil,
			mshK22 + "MSA|AA|P000018|NHS number invalidated\n" + qak("NF|IHE PDQ Query|0|0|0")},
		"Q22, the provider refuses": {q22(qpd), pds.Result{Outcome: pds.Refused}, nil,
			mshK22 + "MSA|AE|P000018|The question was refused\n" +
				"ERR||QPD^1^3|102^Data type error^HL70357|E|||The question was refused\n" + qak("AE|IHE PDQ Query")},
		"Q22, back end down": {q22(qpd), pds.Result{}, errBackEnd,
			mshK22 + "MSA|AR|P000018|Cannot be dealt with now\n" +
				"ERR|||207^Application internal error^HL70357|E|||Cannot be dealt with now\n" + qak("AR|IHE PDQ Query")},
		"Q22 with a parameter that plays no part": {q22(strings.Replace(qpd, "~@PID.8", "~@PID.13.1^01134960000~@PID.8", 1)), matched, nil,
			mshK22 + "MSA|AA|P000018|Not used: PID.13.1\nQAK|TAG0042|OK|IHE PDQ Query|1|1|0\n" + strings.Replace(qpd, "~@PID.8", "~@PID.13.1^01134960000~@PID.8", 1) + "\n" + pidAnswer + "\n" + pd1Answer},
		"Q22 that wants local numbers only": {q22(strings.Replace(qpd, "^^^NHS", "^^^RXX", 1)), matched, nil,
			mshK22 + "MSA|AA|P000018\nQAK|TAG0042|NF|IHE PDQ Query|0|0|0\n" + strings.Replace(qpd, "^^^NHS", "^^^RXX", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(tt.res, tt.err))
			if diff := cmp.Diff(tt.want, r.send(t, tt.question)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got, want := r.journal.story(), "received asked answered replied"; got != want {
				t.Errorf("journal: %s; want %s", got, want)
			}
		})
	}
}

func TestALocalCopyCanBeRefused(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.Stale, NHSNumber: primroseNumber, Patient: patient()}, nil))
	r.RefuseStale = true
	if got := r.send(t, q22(qpd)); !strings.Contains(got, "MSA|AR|P000018|Cannot be dealt with now") {
		t.Errorf("answer:\n%s", got)
	}
}

func TestQueriesAskWhatTheySay(t *testing.T) {
	byName := pds.Demographics{
		Family: "HALVORSEN", Given: "PRIMROSE", BirthDate: pds.Date{Year: 1962, Month: 4, Day: 17},
		Sex: pds.SexFemale, Postcode: "LS99 1AA",
	}
	born := pds.Demographics{BirthDate: byName.BirthDate}
	named := born
	named.Family, named.Given = "HALVORSEN", "PRIMROSE"
	withMRN := byName
	withMRN.LocalID = "H000417"
	search := `@PID.5.1^HALVORSEN~@PID.5.2^PRIMROSE~@PID.7^19620417~@PID.8^2~@PID.11.5^ls991aa`
	for name, tt := range map[string]struct {
		question string
		want     pds.Want
		number   pds.NHSNumber
		who      pds.Demographics
	}{
		"A19 with a date in QRF-5":                   {a19(qrd, qrf), pds.DetailsByNumber, primroseNumber, born},
		"A19 with an unqualified number":             {a19(strings.Replace(qrd, "^^^^^^^^NHS^^^^NH", "", 1), qrf), pds.DetailsByNumber, primroseNumber, born},
		"A19 with names in QRD-8":                    {a19(strings.Replace(qrd, "18^^^", "18^HALVORSEN^PRIMROSE^", 1), qrf), pds.DetailsByNumber, primroseNumber, named},
		"A19 by name, the rest as filters":           {a19(strings.Replace(qrd, "9990000018^^^^^^^^NHS^^^^NH", "^HALVORSEN^PRIMROSE", 1), "QRF|PAS||||@PID.7^19620417~@PID.8^F~@PID.11.5^LS99 1AA"), pds.DetailsBySearch, pds.NHSNumber{}, byName},
		"Q01 that asks for demographics":             {strings.Replace(a19(qrd, qrf), "QRY^A19", "QRY^Q01", 1), pds.DetailsByNumber, primroseNumber, born},
		"Q22 by search":                              {q22("QPD|IHE PDQ Query|T|" + search), pds.DetailsBySearch, pds.NHSNumber{}, byName},
		"Q22 by ITK's name":                          {q22("QPD|Q22^Find Candidates^HL7nnnn|T|" + search), pds.DetailsBySearch, pds.NHSNumber{}, byName},
		"Q22 with fields it does not use":            {q22("QPD|IHE PDQ Query|T|@PID.13.1^01134960000~" + search), pds.DetailsBySearch, pds.NHSNumber{}, byName},
		"Q22 by number, parts combined":              {q22("QPD|IHE PDQ Query|T|@PID.3.1^999 000 0018~@PID.3.4.1^NHS~@PID.7.1^19620417"), pds.DetailsByNumber, primroseNumber, born},
		"Q22 by number, authority by OID":            {q22("QPD|IHE PDQ Query|T|@PID.3.1^9990000018~@PID.3.4.2^2.16.840.1.113883.2.1.4.1~@PID.3.5^NH~@PID.7.1^19620417"), pds.DetailsByNumber, primroseNumber, born},
		"Q22 with both numbers asks by the national": {q22("QPD|IHE PDQ Query|T|@PID.3.1^H000417~@PID.3.4^RXX~@PID.3.5^MR~@PID.3.1^9990000018~@PID.3.4^NHS~@PID.7^19620417"), pds.DetailsByNumber, primroseNumber, pds.Demographics{BirthDate: byName.BirthDate, LocalID: "H000417"}},
		"Q22 with the parts before the number":       {q22("QPD|IHE PDQ Query|T|@PID.3.4^NHS~@PID.3.1^9990000018~@PID.3.5^NH~@PID.7^19620417"), pds.DetailsByNumber, primroseNumber, born},
		"A19 by MRN, the number as a filter":         {a19(strings.Replace(qrd, "9990000018^^^^^^^^NHS^^^^NH", "H000417^^^^^^^^RXX^^^^MR", 1), "QRF|PAS||||19620417~@PID.3.1^9990000018~@PID.3.4^NHS"), pds.DetailsByNumber, primroseNumber, pds.Demographics{BirthDate: byName.BirthDate, LocalID: "H000417"}},
		"A19, authority NHS and type NHS":            {a19(strings.Replace(qrd, "^^^^NH|", "^^^^NHS|", 1), qrf), pds.DetailsByNumber, primroseNumber, born},
		"A19, authority NHS decides over type PI":    {a19(strings.Replace(qrd, "^^^^NH|", "^^^^PI|", 1), qrf), pds.DetailsByNumber, primroseNumber, born},
		"A19, type NH decides over our authority":    {a19(strings.Replace(qrd, "NHS^^^^NH|", "RXX^^^^NH|", 1), qrf), pds.DetailsByNumber, primroseNumber, born},
		"A19, another spelling of both":              {a19(strings.Replace(qrd, "NHS^^^^NH|", "NHSNBR^^^^NH|", 1), qrf), pds.DetailsByNumber, primroseNumber, born},
		"Q22 with the trust's number, by name":       {q22("QPD|IHE PDQ Query|T|@PID.3.1^H000417~@PID.3.4^RXX~" + search), pds.DetailsBySearch, pds.NHSNumber{}, withMRN},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			answer := r.send(t, tt.question)
			calls := r.service.calls()
			if len(calls) != 1 {
				t.Fatalf("asked %d times, want once; answer:\n%s", len(calls), answer)
			}
			if got := calls[0]; got.Want != tt.want || got.NHSNumber != tt.number || got.Who != tt.who {
				t.Errorf("asked %v, number %q; want %v, %q (or other demographics)", got.Want, got.NHSNumber.Digits(), tt.want, tt.number.Digits())
			}
		})
	}
}

func TestQueriesRefused(t *testing.T) {
	filter := func(s string) string { return q22("QPD|IHE PDQ Query|TAG|" + s) }
	for name, tt := range map[string]struct {
		question string
		code     string
		err      string // the ERR segment, "" when only the code matters
	}{
		"A19 without QRD":              {a19(qrf), "AE", `ERR|QRD^1^^100&Segment sequence error&HL70357&&QRD segment missing`},
		"A19 that asks for nobody":     {a19(strings.Replace(qrd, "9990000018^^^^^^^^NHS^^^^NH", "", 1)), "AE", `ERR|QRD^1^8^101&Required field missing&HL70357&&Who is asked about is missing`},
		"A19 for two":                  {a19(strings.Replace(qrd, "|DEM", "~9990000026|DEM", 1)), "AE", ""},
		"A19 for all active patients":  {a19(strings.Replace(qrd, "DEM", "APN", 1)), "AE", `ERR|QRD^1^9^103&Table value not found&HL70357&&Only DEM is served`},
		"A19, deferred":                {a19(strings.Replace(qrd, "|R|I|", "|R|D|", 1)), "AE", `ERR|QRD^1^3^103&Table value not found&HL70357&&Only immediate answers are given`},
		"A19 without a birth date":     {a19(qrd), "AE", `ERR|QRD^1^8^101&Required field missing&HL70357&&Date of birth required`},
		"A19, bad check digit":         {a19(strings.Replace(qrd, "9990000018", "9990000019", 1), qrf), "AE", `ERR|QRD^1^8^102&Data type error&HL70357&&NHS number not valid`},
		"A19 by name without sex":      {a19(strings.Replace(qrd, "9990000018^^^^^^^^NHS^^^^NH", "^HALVORSEN", 1), qrf), "AE", `ERR|QRD^1^8^101&Required field missing&HL70357&&Sex required`},
		"A19 by MRN":                   {a19(strings.Replace(qrd, "9990000018^^^^^^^^NHS^^^^NH", "H000417^^^^^^^^RXX^^^^MR", 1)), "AE", ""},
		"A19 for a page":               {a19(strings.Replace(qrd, "1^RD", "2^PG", 1), qrf), "AE", `ERR|QRD^1^7^103&Table value not found&HL70357&&Quantity is counted in records only`},
		"A19 in display format":        {a19(strings.Replace(qrd, "|R|I|", "|D|I|", 1), qrf), "AE", `ERR|QRD^1^2^103&Table value not found&HL70357&&Only record format is served`},
		"A19, continued":               {a19(qrd, qrf, "DSC|pointer|I"), "AE", `ERR|DSC^1^1^204&Unknown key identifier&HL70357&&Unknown continuation pointer`},
		"A19 of a Scottish number":     {a19(strings.Replace(qrd, "NHS^^^^NH|", "CHI^^^^NH|", 1), qrf), "AE", `ERR|QRD^1^8^204&Unknown key identifier&HL70357&&Unknown identifier domain`},
		"Q22 with two NHS numbers":     {filter("@PID.3.1^9990000018~@PID.3.4^NHS~@PID.3.1^9990000026~@PID.3.4^NHS~@PID.7^19620417"), "AE", `ERR||QPD^1^3^3|102^Data type error^HL70357|E|||Two values for one field`},
		"Q22 with two family names":    {filter("@PID.5.1^HALVORSEN~@PID.5.1.1^OTHERSEN~@PID.7^19620417~@PID.8^F"), "AE", `ERR||QPD^1^3^2|102^Data type error^HL70357|E|||Two values for one field`},
		"Q22 with a made-up parameter": {filter("@PID.HALVORSEN^X~@PID.7^19620417"), "AE", `ERR||QPD^1^3^1|102^Data type error^HL70357|E|||Parameter name not understood`},
		"Q22 without QPD":              {q22("RCP|I"), "AE", `ERR||QPD^1|100^Segment sequence error^HL70357|E|||QPD segment missing`},
		"Q22 without a name":           {q22("QPD||TAG|@PID.7^19620417"), "AE", `ERR||QPD^1^1|101^Required field missing^HL70357|E|||Query name missing`},
		"Q22 of another kind":          {q22("QPD|IHE Scheduled Worklist|TAG|@PID.7^19620417"), "AE", `ERR||QPD^1^1|103^Table value not found^HL70357|E|||Query name not served`},
		"Q22 without a tag":            {q22("QPD|IHE PDQ Query||@PID.7^19620417"), "AE", `ERR||QPD^1^2|101^Required field missing^HL70357|E|||Query tag missing`},
		"Q22 that says nothing":        {filter(""), "AE", `ERR||QPD^1^3|101^Required field missing^HL70357|E|||Who is asked about is missing`},
		"Q22 with a strange filter":    {filter("@PID.7^19620417~family^HALVORSEN"), "AE", `ERR||QPD^1^3^2|102^Data type error^HL70357|E|||Parameter name not understood`},
		"Q22 without sex":              {filter("@PID.5.1^HALVORSEN~@PID.7^19620417"), "AE", `ERR||QPD^1^3|101^Required field missing^HL70357|E|||Sex required`},
		"Q22 without family name":      {filter("@PID.8^F~@PID.7^19620417"), "AE", `ERR||QPD^1^3|101^Required field missing^HL70357|E|||Family name or NHS number required`},
		"Q22 without birth date":       {filter("@PID.8^F~@PID.5.1^HALVORSEN"), "AE", `ERR||QPD^1^3|101^Required field missing^HL70357|E|||Date of birth required`},
		"Q22 with a wildcard":          {filter("@PID.8^F~@PID.5.1^HAL*~@PID.7^19620417"), "AE", `ERR||QPD^1^3^2|102^Data type error^HL70357|E|||Wildcards are not accepted`},
		"Q22, per cent in a postcode":  {filter("@PID.8^F~@PID.5.1^HALVORSEN~@PID.7^19620417~@PID.11.5^LS%"), "AE", ""},
		"Q22, unknown sex":             {filter("@PID.8^Q~@PID.5.1^HALVORSEN~@PID.7^19620417"), "AE", `ERR||QPD^1^3^1|103^Table value not found^HL70357|E|||Sex not valid`},
		"Q22, bad date":                {filter("@PID.8^F~@PID.5.1^HALVORSEN~@PID.7^20240230"), "AE", `ERR||QPD^1^3^3|102^Data type error^HL70357|E|||Date of birth not valid`},
		"Q22, partial date":            {filter("@PID.8^F~@PID.5.1^HALVORSEN~@PID.7^1962"), "AE", `ERR||QPD^1^3^3|102^Data type error^HL70357|E|||Date of birth must be complete`},
		"Q22, bad check digit":         {filter("@PID.3.1^9990000019~@PID.3.4^NHS~@PID.7^19620417"), "AE", `ERR||QPD^1^3^1|102^Data type error^HL70357|E|||NHS number not valid`},
		"Q22, unknown source domain":   {filter("@PID.3.1^1~@PID.3.4^ELSEWHERE~@PID.7^19620417"), "AE", `ERR||QPD^1^3^2|204^Unknown key identifier^HL70357|E|||Unknown identifier domain`},
		"Q22, unknown wanted domain":   {q22(strings.Replace(qpd, "^^^NHS", "^^^NHS~^^^ELSEWHERE", 1)), "AE", `ERR||QPD^1^8^2|204^Unknown key identifier^HL70357|E|||Unknown identifier domain`},
		"Q22, deferred":                {q22(qpd, "RCP|D"), "AE", `ERR||RCP^1^1|103^Table value not found^HL70357|E|||Only immediate answers are given`},
		"Q22, quantity in lines":       {q22(qpd, "RCP|I|10^LI"), "AE", `ERR||RCP^1^2|103^Table value not found^HL70357|E|||Quantity is counted in records only`},
		"Q22, continued":               {q22(qpd, "RCP|I", "DSC|pointer|I"), "AE", `ERR||DSC^1^1|204^Unknown key identifier^HL70357|E|||Unknown continuation pointer`},
		"an event that is not served":  {strings.Replace(q22(qpd), "Q22^QBP_Q21", "Q99", 1), "AR", `ERR||MSH^1^9^1^2|201^Unsupported event code^HL70357|E|||Unsupported event code`},
		"a query that is not A19":      {strings.Replace(a19(qrd), "QRY^A19", "QRY^R02", 1), "AR", ""},
		"a query of MSH-11 T":          {strings.Replace(q22(qpd), "|P|2.5", "|T|2.5", 1), "AR", ""},
		"an old-style number as asked": {filter("@PID.3.1^ABCD123~@PID.3.4^NHS~@PID.7^19620417"), "AE", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{}, errBackEnd))
			answer := strings.Split(r.send(t, tt.question), "\n")
			if !strings.HasPrefix(answer[1], "MSA|"+tt.code+"|") || !strings.HasPrefix(answer[2], "ERR|") {
				t.Fatalf("want %s and ERR, got:\n%s", tt.code, strings.Join(answer, "\n"))
			}
			if tt.err != "" && answer[2] != tt.err {
				t.Errorf("got  %s\nwant %s", answer[2], tt.err)
			}
			if n := len(r.service.calls()); n != 0 {
				t.Errorf("the back end was asked %d times", n)
			}
			if got := r.journal.story(); got != "exchanged" {
				t.Errorf("journal: %s; want one event", got)
			}
		})
	}
}
