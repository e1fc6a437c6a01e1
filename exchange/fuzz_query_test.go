package exchange

import (
	"context"
	"strings"
	"testing"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// someone is a patient of whom the index and the national service know.
type someone struct {
	number                       pds.NHSNumber
	family, given, born, address string
	keys                         []store.PatientKey
}

var population = []someone{
	{pds.MustNHSNumber("9990000018"), "HALVORSEN", "PRIMROSE", "19620417", "1 MADEUP TERRACE", []store.PatientKey{{Authority: "RXX", LocalID: "A100"}, {Authority: "RXX", LocalID: "A101"}}},
	{pds.MustNHSNumber("9990000026"), "OTTERBOURNE", "AMARYLLIS", "19620417", "2 INVENTED ROW", []store.PatientKey{{Authority: "RXX", LocalID: "B200"}, {Authority: "RYY", LocalID: "B201"}}},
	{pds.MustNHSNumber("9990000034"), "WINTERSHALL", "BARNABY", "19700101", "3 FICTION LANE", []store.PatientKey{{Authority: "RXX", LocalID: "C300"}, {Authority: "RYY", LocalID: "A100"}}},
}

// national answers as Spine would, cross-check and all.
func national(_ context.Context, req pds.Request) (pds.Result, error) {
	for _, p := range population {
		who := req.Who
		same := who.BirthDate.Digits() == p.born && (who.Family == "" || strings.EqualFold(who.Family, p.family))
		switch req.Want {
		case pds.Verify, pds.DetailsByNumber:
			if req.NHSNumber != p.number {
				continue
			}
			if !same {
				return pds.Result{Outcome: pds.NotVerified}, nil
			}
		default:
			if !same || who.Family == "" || who.Sex != pds.SexFemale {
				continue
			}
		}
		born, _ := pds.ParseDate(p.born)
		return pds.Result{Outcome: pds.Matched, NHSNumber: p.number, Patient: &pds.Patient{
			NHSNumber: p.number, Family: p.family, Given: []string{p.given}, BirthDate: born, Sex: pds.SexFemale,
			Home: pds.Address{Lines: [5]string{p.address}},
		}}, nil
	}
	return pds.Result{Outcome: pds.NoMatch}, nil
}

// told is an index that was told of the population. Of the second patient the number is not
// verified, and a number of the first was merged into the other.
func told() *derived {
	d := newDerived()
	for i, p := range population {
		who := person{Family: p.family, Given: p.given, Born: p.born, Sex: "2"}
		at := noon().AddDate(0, 0, -1)
		for _, key := range p.keys {
			t := store.Told{At: at, Exchange: store.NewID(), NHSNumber: p.number.Digits(), Doc: who.doc(), Print: who.print(p.number.Digits())}
			if i != 1 {
				t.Status = "01"
			}
			d.learn([]store.Patient{{Key: key, Told: t}})
		}
	}
	first := population[0].keys
	d.learn([]store.Patient{{Key: first[1], Moved: store.Moved{At: noon(), Exchange: store.NewID(), Into: first[0]}}})
	return d
}

// FuzzQuery holds for whatever stands where a query says whom it is about: there is one answer, it
// is to this query, and it shows one patient at most, whom the query named by a number, or by name
// and birth date.
func FuzzQuery(f *testing.F) {
	for kind, seeds := range [][]string{
		{"9990000018^^^^^^^^NHS^^^^NH", "A100^^^^^^^^RXX^^^^MR", "A101", "A100", "^HALVORSEN^PRIMROSE", "B201^^^^^^^^RYY^^^^PI~9990000018"},
		{"9990000026^^^NHS^NH|^^^RXX", "A101^^^RXX^MR", "A100^^^RYY", "@PID.3.1^A100~@PID.3.4^RXX"},
		{"@PID.5.1.1^HALVORSEN~@PID.7^19620417~@PID.8^F|||||^^^RXX~^^^NHS", "@PID.3.1^999 000 0018~@PID.3.4^NHS~@PID.3.1^B200~@PID.3.4^RXX", "@PID.3.1^A100"},
		{"A100^^^RXX^MR|^^^NHS", "9990000034^^^NHS^NH|^^^RXX~^^^RYY", "B200^^^RXX&1.2&ISO"},
	} {
		for _, s := range seeds {
			f.Add(uint8(kind), s, "19620417")
			f.Add(uint8(kind), s, "")
		}
	}
	f.Add(uint8(0), "A100^^^^^^^^RXX^^^^MR", "@PID.3.1^9990000026~@PID.3.4^NHS")
	f.Fuzz(func(t *testing.T, kind uint8, who, filter string) {
		clean := strings.NewReplacer("\r", " ", "\n", " ")
		who, filter = clean.Replace(who), clean.Replace(filter)
		question := [...]string{
			"QRY^A19|Q1|P|2.4\rQRD|20261122|R|I|Q1|||1^RD|" + who + "|DEM\rQRF|PAS||||" + filter + "\r",
			"QBP^Q21|Q1|P|2.5\rQPD|Q21|T|" + who + "\rRCP|I\r",
			"QBP^Q22|Q1|P|2.5\rQPD|IHE PDQ Query|T|" + who + "~" + filter + "\rRCP|I\r",
			"QBP^Q23|Q1|P|2.5\rQPD|IHE PIX Query|T|" + who + "\rRCP|I\r",
		}[kind%4]
		frame := []byte(`MSH|^~\&|PORTAL|RXX|NHSTRACE|RXX|20261122||` + question)
		h := &Handler{
			Tracer: &service{say: national}, Journal: newMemory(), Index: told(), ODS: "RXX", Now: noon,
			Domains: []Domain{{Namespace: "RXX"}, {Namespace: "RYY"}},
		}
		reply, err := h.HandleMLLP(context.Background(), peer, nil, frame)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := hl7v2.Parse(reply)
		if err != nil || answer.Count("MSH") != 1 || answer.Count("MSA") != 1 || answer.Raw(hl7v2.MustPath("MSA-2")) != "Q1" {
			t.Fatalf("answered %q, %v", reply, err)
		}
		asked, err := hl7v2.Parse(frame)
		if err != nil {
			t.Fatal(err)
		}
		checkShown(t, asked, answer, reply)
	})
}

// checkShown looks for patients in what an answer does not just echo.
func checkShown(t *testing.T, asked, answer *hl7v2.Message, reply []byte) {
	var shown strings.Builder
	for s := range answer.Segments() {
		switch s.Name() {
		case "QPD", "QRD", "QRF", "QAK", "MSH":
		default:
			shown.WriteString(s.Raw() + "\r")
		}
	}
	said := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(asked.Unescape(string(asked.Bytes()))))
	who := -1
	for i, p := range population {
		secrets := []string{p.number.Digits(), p.family, p.given, p.address}
		for _, key := range p.keys {
			secrets = append(secrets, key.LocalID+"^^^"+key.Authority)
		}
		for _, secret := range secrets {
			if !strings.Contains(shown.String(), secret) {
				continue
			}
			if who >= 0 && who != i {
				t.Fatalf("two patients in %q", reply)
			}
			who = i
		}
	}
	if who < 0 {
		return
	}
	p := population[who]
	named := strings.Contains(said, p.number.Digits()) || strings.Contains(said, p.family) && strings.Contains(said, p.born)
	for _, key := range p.keys {
		named = named || strings.Contains(said, key.LocalID)
	}
	if !named || answer.Count("PID") != 1 {
		t.Fatalf("%q: nobody asked for the patient in %q", asked.Bytes(), reply)
	}
}
