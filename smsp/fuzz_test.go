package smsp

import (
	"strings"
	"testing"

	"spinetrace/pds"
)

// FuzzRead reads any bytes as the response to each operation. A success must hold what
// makes it one, and nothing of the bytes may reach an error.
func FuzzRead(f *testing.F) {
	for _, name := range []string{success11, success21, success31, stale37, prefixes39, fault42} {
		f.Add(200, []byte(example(f, name)))
	}
	f.Add(500, []byte(example(f, fault42)))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for w := pds.Verify; w <= pds.Details; w++ {
			q := &question{
				op: &operations[w], want: w, number: marigold,
				born: pds.Date{Year: 1978, Month: 2, Day: 14},
				call: pds.Call{MessageID: testID},
			}
			if w == pds.Number || w == pds.DetailsBySearch {
				q.number = pds.NHSNumber{}
			}
			a := &answer{response: response{status: status, body: body}}
			fault := a.read(q, testNow)
			checkRead(t, q, a, fault)
		}
	})
}

func checkRead(t *testing.T, q *question, a *answer, fault *pds.Error) {
	t.Helper()
	res := a.result
	switch {
	case fault != nil:
		if res.Outcome != 0 || !res.NHSNumber.IsZero() || res.Patient != nil {
			t.Errorf("a result beside an error")
		}
		if fault.Class == 0 || fault.Err == nil {
			t.Errorf("error without class or cause: %v", fault)
		}
		if fault.Code != presentable(fault.Code) || strings.ContainsAny(fault.Error(), "<>&") {
			t.Errorf("error repeats the response: %v", fault)
		}
	case a.status != 200:
		t.Errorf("a result from status %d", a.status)
	case success(res.Outcome):
		if res.NHSNumber.IsZero() {
			t.Errorf("%v without a number", res.Outcome)
		}
		if !q.number.IsZero() && (res.NHSNumber == q.number) != (res.Outcome != pds.Superseded) {
			t.Errorf("%v with the wrong number", res.Outcome)
		}
		if (res.Patient != nil) != (q.want >= pds.DetailsByNumber) {
			t.Errorf("%v: details %v", q.want, res.Patient != nil)
		}
		if p := res.Patient; p != nil && !p.BirthDate.IsZero() && !p.BirthDate.Agrees(q.born) {
			t.Errorf("somebody of another birth date")
		}
	default:
		if res.Outcome == 0 || !res.NHSNumber.IsZero() || res.Patient != nil {
			t.Errorf("%v with a number or details", res.Outcome)
		}
	}
}

// FuzzRequest puts any text into every field and reads the request back: what was asked
// is what arrives.
func FuzzRequest(f *testing.F) {
	f.Add("Marigold", "Quillfeather", "H000417", "jbloggs")
	f.Add("<!--", "O'Rourke & \"Sons\" ]]>", "{{family}}", "&amp;")
	c := testClient("https://smsp.example.nhs.uk/pds")
	c.AuditIDs = []AuditID{{"1.2.3", "{user}"}}
	f.Fuzz(func(t *testing.T, given, family, local, user string) {
		req := full(pds.Details)
		req.User = user
		req.Who.Given, req.Who.Family, req.Who.LocalID = given, family, local
		req = tidy(req)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.check(req); !ok {
			return
		}
		root, err := parse(c.question(req).call.Body)
		if err != nil {
			t.Fatal(err)
		}
		req, _ = c.shorten(req)
		for path, want := range map[string]string{
			"//given":  req.Who.Given,
			"//family": req.Who.Family,
		} {
			e := root.FindElement(path)
			if want == "" && e == nil {
				continue
			}
			if e == nil || e.Text() != want {
				t.Errorf("%s is not what was asked", path)
			}
		}
		if req.Who.LocalID != "" {
			if got := root.FindElement("//Person.LocalIdentifier/value").SelectAttrValue("extension", ""); got != "X99:"+req.Who.LocalID {
				t.Errorf("local identifier %q, want %q", got, req.Who.LocalID)
			}
		}
		if user != "" && root.FindElement("//itk:auditIdentity/itk:id").SelectAttrValue("uri", "") != user {
			t.Error("the user is not the one given")
		}
	})
}
