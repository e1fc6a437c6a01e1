package smsp

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// variants are requests that the five operations are made with in these tests.
func variants() map[string]pds.Request {
	all := make(map[string]pds.Request)
	add := func(kind string, change func(*pds.Request)) {
		for w := pds.Verify; w <= pds.Details; w++ {
			req := full(w)
			change(&req)
			all[w.String()+" "+kind] = req
		}
	}
	add("full", func(*pds.Request) {})
	add("minimal", func(r *pds.Request) {
		r.User, r.Who.Given, r.Who.Postcode, r.Who.LocalID = "", "", "", ""
		if r.Want == pds.Verify || r.Want == pds.DetailsByNumber {
			r.Who.Family, r.Who.Sex = "", 0
		}
	})
	add("accents", func(r *pds.Request) {
		r.Who.Given, r.Who.Family = "Zoë Łucja", "Blythe-Núñez Ó Súilleabháin 李"
	})
	add("escaping", func(r *pds.Request) {
		r.User = `o'neil&"co"<x>`
		r.Who.Given, r.Who.Family, r.Who.LocalID = `<!--`, `O'Rourke & "Sons" ]]>`, `H&<1>'"`
	})
	add("given only", func(r *pds.Request) {
		if r.Want == pds.Verify || r.Want == pds.DetailsByNumber {
			r.Who.Family = ""
		}
	})
	byName := full(pds.Details)
	byName.NHSNumber = pds.NHSNumber{}
	all["getPatientDetails without a number"] = byName
	return all
}

// filled makes a request the slow way: etree sets every value in the whole template, and
// what has none is removed from it.
func filled(t *testing.T, c *Client, req pds.Request) []byte {
	t.Helper()
	op := operations[req.Want]
	doc := etree.NewDocument()
	if err := doc.ReadFromString(envelopeXML); err != nil {
		t.Fatal(err)
	}
	doc.FindElement("//itk:header").CreateAttr("service", op.service)
	doc.FindElement("//wsa:Action").SetText(op.service)
	doc.FindElement("//itk:manifestitem").CreateAttr("profileid", "urn:nhs-en:profile:"+op.code)
	payload := doc.FindElement("//itk:payload/*")
	payload.Tag = op.root
	payload.FindElement("code").CreateAttr("code", op.code)

	audit := doc.FindElement("//itk:auditIdentity")
	for _, id := range audit.ChildElements() {
		audit.RemoveChild(id)
	}
	for _, id := range fillAuditIDs(c.auditIDs, "{user}", cmp.Or(req.User, c.System)) {
		e := audit.CreateElement("itk:id")
		if id.Type != "" {
			e.CreateAttr("type", id.Type)
		}
		e.CreateAttr("uri", id.URI)
	}

	query := payload.FindElement("queryEvent")
	for i, e := range query.ChildElements() {
		if !slices.Contains(op.takes, parameter(i)) {
			query.RemoveChild(e)
		}
	}
	v := c.values(req)
	fillElement(doc.Root(), &v)
	for _, e := range query.ChildElements() {
		value := e.FindElement("value")
		for _, part := range value.ChildElements() {
			if part.Text() == "" {
				value.RemoveChild(part)
			}
		}
		emptyAttr := slices.ContainsFunc(value.Attr, func(a etree.Attr) bool { return a.Value == "" })
		if emptyAttr || len(value.Attr) == 0 && len(value.ChildElements()) == 0 {
			query.RemoveChild(e)
		}
	}
	doc.Unindent()
	b, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fillElement(e *etree.Element, v *values) {
	fill := func(s string) string {
		for i, name := range slotNames {
			s = string(bytes.ReplaceAll([]byte(s), []byte(name), []byte(v[i])))
		}
		return s
	}
	for i := range e.Attr {
		e.Attr[i].Value = fill(e.Attr[i].Value)
	}
	if len(e.ChildElements()) == 0 {
		e.SetText(fill(e.Text()))
	}
	for _, c := range e.ChildElements() {
		fillElement(c, v)
	}
}

func TestSplicedRequestIsTheFilledTemplate(t *testing.T) {
	for kind, req := range variants() {
		t.Run(kind, func(t *testing.T) {
			c := testClient("https://smsp.example.nhs.uk/smsp/pds/a&b")
			c.AuditIDs = []AuditID{
				{"1.2.826.0.1285.0.2.0.65", "{user}"},
				{"", "urn:nhs-uk:identity:ods:{org}:SYS:{system}"},
			}
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
			want := filled(t, c, tidy(req))
			if got := c.question(tidy(req)).call.Body; !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTemplateNamesOnlyKnownSlots(t *testing.T) {
	for w := pds.Verify; w <= pds.Details; w++ {
		e := envelopes()[w]
		all := []template{e.start, e.auditID, e.auditIDOfType, e.middle, e.end}
		for _, p := range e.question {
			all = append(all, p.template)
		}
		for i, piece := range all {
			if slices.Contains(piece.slots, -1) {
				t.Errorf("%v: piece %d has a slot without a name", w, i)
			}
		}
	}
}

func TestRequestsShareNoID(t *testing.T) {
	c := &Client{Endpoint: "https://smsp.example.nhs.uk/pds", ODS: "X99"}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for range 3 {
		v := c.values(full(pds.Verify))
		for _, s := range []slot{slotMessage, slotTimestamp, slotTracking, slotPart, slotPayload} {
			seen[v[s]]++
		}
	}
	if len(seen) != 15 {
		t.Errorf("three requests have %d different ids, want 15", len(seen))
	}
	for id := range seen {
		if bytes.ContainsAny([]byte(id), "abcdef") {
			t.Errorf("id %s is not in upper case", id)
		}
	}
}

func TestTidiesAndShortens(t *testing.T) {
	long := "Wolfeschlegelsteinhausenbergerdorffwelche"
	for name, tt := range map[string]struct {
		change func(*Client, *pds.Request)
		want   string
		absent string
		notes  []string
	}{
		"white space": {
			change: func(_ *Client, r *pds.Request) { r.Who.Family = "  Van \t der\n Berg " },
			want:   "<family>Van der Berg</family>",
		},
		"postcode": {
			change: func(_ *Client, r *pds.Request) { r.Who.Postcode = " ls999zz " },
			want:   "<postalCode>LS99 9ZZ</postalCode>",
		},
		"partial postcode": {
			change: func(_ *Client, r *pds.Request) { r.Who.Postcode = "ls99" },
			want:   "<postalCode>LS99</postalCode>",
		},
		"long name": {
			change: func(_ *Client, r *pds.Request) { r.Who.Family = long },
			want:   "<family>Wolfeschlegelsteinhausenbergerdorff</family>",
			notes:  []string{"family name cut to 35 characters"},
		},
		"long accented name": {
			change: func(_ *Client, r *pds.Request) {
				r.Who.Given = "ééééééééééééééééééééééééééééééééééééé"
			},
			want:  "<given>ééééééééééééééééééééééééééééééééééé</given>",
			notes: []string{"given name cut to 35 characters"},
		},
		"short surname": {
			change: func(_ *Client, r *pds.Request) { r.Who.Family = "Ng" },
			want:   "<given>Marigold</given><family>Ng</family>",
		},
		"short surname left out of a verify": {
			change: func(c *Client, r *pds.Request) {
				r.Want, r.Who.Family, c.ShortSurnameOmit = pds.Verify, "Ng", true
			},
			absent: "Person.Name",
			notes:  []string{"short surname left out"},
		},
		"short surname left out of a lookup by number": {
			change: func(c *Client, r *pds.Request) {
				r.Want, r.Who.Family, c.ShortSurnameOmit = pds.DetailsByNumber, "Ng", true
			},
			absent: "Person.Name",
			notes:  []string{"short surname left out"},
		},
		"short surname in a search": {
			change: func(c *Client, r *pds.Request) { r.Who.Family, c.ShortSurnameOmit = "Ng", true },
			want:   "<given>Marigold</given><family>Ng</family>",
		},
		"local identifier without a prefix": {
			change: func(c *Client, r *pds.Request) { c.ODS = "" },
			want:   `root="2.16.840.1.113883.2.1.3.2.4.18.24" extension="H000417"`,
		},
		"local identifier of another root": {
			change: func(c *Client, r *pds.Request) { c.LocalIDRoot, c.LocalIDPrefix = "1.2.3", "Y00" },
			want:   `root="1.2.3" extension="Y00:H000417"`,
		},
		"audit identity for a user": {
			change: func(c *Client, r *pds.Request) { c.AuditIDs = []AuditID{{URI: "urn:x:{org}:{user}:{system}"}} },
			want:   `<itk:id uri="urn:x:X99:jbloggs:mllp-adapter"/>`,
		},
		"audit identity without a user": {
			change: func(c *Client, r *pds.Request) {
				c.AuditIDs, r.User = []AuditID{{URI: "urn:x:{user}"}}, ""
			},
			want: `<itk:id uri="urn:x:mllp-adapter"/>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, req := testClient("https://smsp.example.nhs.uk/pds"), full(pds.DetailsBySearch)
			tt.change(c, &req)
			c.once.Do(c.prepare)
			q := c.question(tidy(req))
			if !bytes.Contains(q.call.Body, []byte(tt.want)) {
				t.Errorf("request lacks %s:\n%s", tt.want, q.call.Body)
			}
			if tt.absent != "" && bytes.Contains(q.call.Body, []byte(tt.absent)) {
				t.Errorf("request has %s:\n%s", tt.absent, q.call.Body)
			}
			if !slices.Equal(q.notes, tt.notes) {
				t.Errorf("notes %q, want %q", q.notes, tt.notes)
			}
		})
	}
}

func TestNameNeverHasAUse(t *testing.T) {
	if bytes.Contains([]byte(envelopeXML), []byte(" use=")) {
		t.Error("the template has a use attribute")
	}
}

func TestParseAuditIDs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "[]",
		" ":                                     "[]",
		"urn:nhs-uk:identity:ods:{org}:{user}":  "[{ urn:nhs-uk:identity:ods:{org}:{user}}]",
		"1.2.826.0.1285.0.2.0.107=123456789012": "[{1.2.826.0.1285.0.2.0.107 123456789012}]",
		"1.2.65={user}, 1.2.67={user} ,urn:x?a=b": "[{1.2.65 {user}} {1.2.67 {user}} { urn:x?a=b}]",
		"urn:x,":          "smsp: audit identity 2: no URI",
		"urn:x:{patient}": "smsp: audit identity 1: placeholder is not {user}, {role}, {org} or {system}",
		"urn:x:{user":     "smsp: audit identity 1: placeholder is not {user}, {role}, {org} or {system}",
		"1.02=x":          "[{ 1.02=x}]", // no OID, so it belongs to the URI
		"a,b,c,d,e":       "smsp: 5 audit identities, the envelope holds at most 4",
	} {
		ids, err := ParseAuditIDs(in)
		got := fmt.Sprint(ids)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ParseAuditIDs(%q) = %s, want %s", in, got, want)
		}
	}
}
