package smsp

import (
	"net/http"
	"strings"
	"testing"

	"spinetrace/pds"
)

// TestTPDS00AuditIdentities: what an envelope says about who asks, for a system on its own, a
// local user, the holder of a smartcard, and a provider that wants an ASID (section 5).
func TestTPDS00AuditIdentities(t *testing.T) {
	for name, tt := range map[string]struct{ setting, want string }{
		"unattended": {"", `<itk:id uri="urn:nhs-uk:identity:ods:X99:SYS:mllp-adapter"/>`},
		"local user": {"urn:nhs-uk:identity:ods:{org}:{user}", `<itk:id uri="urn:nhs-uk:identity:ods:X99:jbloggs"/>`},
		"smartcard": {"1.2.826.0.1285.0.2.0.65={user},1.2.826.0.1285.0.2.0.67=555012345678",
			`<itk:id type="1.2.826.0.1285.0.2.0.65" uri="jbloggs"/><itk:id type="1.2.826.0.1285.0.2.0.67" uri="555012345678"/>`},
		"ASID": {"1.2.826.0.1285.0.2.0.107=123456789012", `<itk:id type="1.2.826.0.1285.0.2.0.107" uri="123456789012"/>`},
	} {
		ids, err := ParseAuditIDs(tt.setting)
		if err != nil {
			t.Fatal(err)
		}
		c := testClient("https://smsp.example.nhs.uk/smsp/pds")
		c.AuditIDs = ids
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		body := string(c.question(tidy(full(pds.Verify))).call.Body)
		if !strings.Contains(body, "<itk:auditIdentity>"+tt.want+"</itk:auditIdentity>") {
			t.Errorf("%s: the envelope lacks %s", name, tt.want)
		}
	}
}

// TestTPDS03InputRules: each rule of section 6.1 of the wire contract has an input that breaks
// it, is refused here, and makes no call.
func TestTPDS03InputRules(t *testing.T) {
	c := newClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	wild := func(field func(*pds.Demographics) *string, s string) func(*pds.Request) {
		return func(r *pds.Request) { *field(&r.Who) = s }
	}
	family := func(d *pds.Demographics) *string { return &d.Family }
	given := func(d *pds.Demographics) *string { return &d.Given }
	postcode := func(d *pds.Demographics) *string { return &d.Postcode }
	byNumber := []pds.Want{pds.Verify, pds.DetailsByNumber}
	searches := []pds.Want{pds.Number, pds.DetailsBySearch}
	every := []pds.Want{pds.Verify, pds.Number, pds.DetailsByNumber, pds.DetailsBySearch, pds.Details}
	for name, rule := range map[string]struct {
		wants  []pds.Want
		breaks func(*pds.Request)
		reason string
	}{
		"a number to look up":          {byNumber, func(r *pds.Request) { r.NHSNumber = pds.NHSNumber{} }, "NHS number missing"},
		"a birth date":                 {every, func(r *pds.Request) { r.Who.BirthDate = pds.Date{} }, "birth date missing"},
		"a full birth date":            {every, func(r *pds.Request) { r.Who.BirthDate.Day = 0 }, "birth date partial"},
		"a date of the calendar":       {every, func(r *pds.Request) { r.Who.BirthDate.Day = 30 }, "birth date out of range"},
		"a date not to come":           {every, func(r *pds.Request) { r.Who.BirthDate.Year = 2999 }, "birth date out of range"},
		"a date of the living":         {every, func(r *pds.Request) { r.Who.BirthDate.Year = 1849 }, "birth date out of range"},
		"a family name":                {searches, func(r *pds.Request) { r.Who.Family = "" }, "family name missing"},
		"a family name or a number":    {[]pds.Want{pds.Details}, func(r *pds.Request) { r.NHSNumber, r.Who.Family = pds.NHSNumber{}, "" }, "family name missing"},
		"a sex":                        {searches, func(r *pds.Request) { r.Who.Sex = 0 }, "sex missing"},
		"a sex or a number":            {[]pds.Want{pds.Details}, func(r *pds.Request) { r.NHSNumber, r.Who.Sex = pds.NHSNumber{}, 0 }, "sex missing"},
		"a sex of the table":           {every, func(r *pds.Request) { r.Who.Sex = 'X' }, "sex"},
		"no wildcard in family":        {every, wild(family, "Quill*"), "family name has a wildcard"},
		"no question mark in family":   {every, wild(family, "Quill?"), "family name has a wildcard"},
		"no wildcard in given":         {every, wild(given, "Mari*"), "given name has a wildcard"},
		"no wildcard in the postcode":  {searches, wild(postcode, "LS9*"), "postcode has a wildcard"},
		"a postcode of eight":          {searches, wild(postcode, "LS99 9ZZZ"), "postcode"},
		"letters and digits":           {searches, wild(postcode, "LS99-9Z"), "postcode"},
		"one space in the postcode":    {searches, wild(postcode, "L 9 9Z"), "postcode"},
		"names that XML can hold":      {every, wild(family, "Quill\x00"), "family name has control characters"},
		"forenames that XML can hold":  {every, wild(given, "\xff"), "given name has control characters"},
		"identifiers XML can hold":     {every, func(r *pds.Request) { r.Who.LocalID = "\x1f" }, "local identifier has control characters"},
		"an operation of the services": {[]pds.Want{0, pds.Details + 1}, func(*pds.Request) {}, "operation"},
	} {
		for _, want := range rule.wants {
			rec := &memo{}
			req := full(want)
			req.Recorder = rec
			rule.breaks(&req)
			res, err := c.Trace(t.Context(), req)
			if err != nil || res.Outcome != pds.Refused || res.Code != "SMSP-0001" || res.Reason != "local check: "+rule.reason || len(rec.calls) > 0 {
				t.Errorf("%v without %s: %v, %s, %q, %v after %d announced calls", want, name, res.Outcome, res.Code, res.Reason, err, len(rec.calls))
			}
		}
	}
	for _, s := range []string{"9990000019", "1111111111", "999000001", "A990000018", strings.Repeat("9", 11)} {
		if _, err := pds.ParseNHSNumber(s); err == nil {
			t.Error("a text that is no NHS number can be asked about")
		}
	}
}
