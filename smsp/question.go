package smsp

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"spinetrace/pds"
)

// maxName is what PDS holds of a name, in characters.
const maxName = 35

// A question is one HTTP call: what it sends, and what its answer must agree with.
type question struct {
	op     *operation
	want   pds.Want
	number pds.NHSNumber // as sent; zero when it was not
	born   pds.Date
	notes  []string // what was cut or left out
	call   pds.Call
}

// byNumber tells whether the provider looks the patient up by number.
func (q *question) byNumber() bool { return !q.number.IsZero() }

// check applies the input rules to a tidy request: the contract's, then those that only
// XML and the schema make. The result says what is wrong when ok is false.
func (c *Client) check(req pds.Request) (res pds.Result, ok bool) {
	if res, ok := c.rules.Check(req); !ok {
		return res, false
	}
	who := req.Who
	switch {
	case who.Sex != 0 && !strings.Contains("0129", who.Sex.Code()):
		return refused("sex"), false
	case !printable(who.Family):
		return refused("family name has control characters"), false
	case !printable(who.Given):
		return refused("given name has control characters"), false
	case !printable(who.LocalID):
		return refused("local identifier has control characters"), false
	case !printable(req.User):
		return refused("user has control characters"), false
	case !printable(req.Role):
		return refused("role profile has control characters"), false
	}
	return pds.Result{}, true
}

func refused(field string) pds.Result {
	return pds.Result{Outcome: pds.Refused, Code: "SMSP-0001", Reason: "local check: " + field}
}

// printable tells whether XML can carry the text as it is.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF'
	})
}

// tidy removes white space that means nothing and writes the postcode the way it is
// printed. Names keep their accents, hyphens and apostrophes.
func tidy(req pds.Request) pds.Request {
	who := &req.Who
	who.Family = collapse(who.Family)
	who.Given = collapse(who.Given)
	who.LocalID = collapse(who.LocalID)
	who.Postcode = printedPostcode(collapse(who.Postcode))
	return req
}

func collapse(s string) string {
	if !strings.ContainsFunc(s, unicode.IsSpace) {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// printedPostcode writes upper case, with the space before the last three characters of
// a postcode that is whole: they are a digit and two letters.
func printedPostcode(s string) string {
	s = strings.ToUpper(s)
	if len(s) < 5 || len(s) > 7 || strings.Contains(s, " ") {
		return s
	}
	inward := s[len(s)-3:]
	if !digit(inward[0]) || digit(inward[1]) || digit(inward[2]) || strings.Contains(s, "*") {
		return s
	}
	return s[:len(s)-3] + " " + inward
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// shorten cuts names to what PDS holds and, where the provider refuses short surnames,
// leaves such a name out of a lookup by number. The notes say what was done.
func (c *Client) shorten(req pds.Request) (_ pds.Request, notes []string) {
	who := &req.Who
	short := who.Family != "" && utf8.RuneCountInString(who.Family) < 3
	if c.ShortSurnameOmit && short && (req.Want == pds.Verify || req.Want == pds.DetailsByNumber) {
		who.Family, who.Given = "", ""
		notes = append(notes, "short surname left out")
	}
	if cut(&who.Family) {
		notes = append(notes, "family name cut to 35 characters")
	}
	if cut(&who.Given) {
		notes = append(notes, "given name cut to 35 characters")
	}
	return req, notes
}

func cut(s *string) bool {
	if utf8.RuneCountInString(*s) <= maxName {
		return false
	}
	*s = strings.TrimRight(string([]rune(*s)[:maxName]), " ")
	return true
}

// question writes down a request that has passed check, with ids that no other has.
func (c *Client) question(req pds.Request) *question {
	req, notes := c.shorten(req)
	q := &question{op: &operations[req.Want], want: req.Want, born: req.Who.BirthDate, notes: notes}
	if slices.Contains(q.op.takes, nhsNumber) {
		q.number = req.NHSNumber
	}
	v := c.values(req)
	q.call = pds.Call{
		Backend:    "smsp",
		Operation:  q.op.name,
		Endpoint:   c.Endpoint,
		MessageID:  v[slotMessage],
		TrackingID: v[slotTracking],
		PayloadID:  v[slotPayload],
		NHSNumber:  q.number,
		Body:       envelopes()[req.Want].request(&v, c.idsFor(req)),
	}
	return q
}

// values fills every slot that has a value of its own.
func (c *Client) values(req pds.Request) values {
	v := c.fixed
	for _, s := range []slot{slotMessage, slotTimestamp, slotTracking, slotPart, slotPayload} {
		v[s] = c.newID()
	}
	const xsdUTC = "2006-01-02T15:04:05Z"
	now := c.now().UTC()
	v[slotCreated] = now.Format(xsdUTC)
	v[slotExpires] = now.Add(cmp.Or(c.Validity, 10*time.Minute)).Format(xsdUTC)

	who := req.Who
	v[slotBirthDate] = who.BirthDate.Digits()
	v[slotGender] = who.Sex.Code()
	v[slotNHSNumber] = req.NHSNumber.Digits()
	v[slotGiven] = who.Given
	v[slotFamily] = who.Family
	v[slotPostcode] = who.Postcode
	if who.LocalID != "" {
		v[slotLocalID] = strings.TrimPrefix(c.localIDPrefix()+":"+who.LocalID, ":")
	}
	return v
}
