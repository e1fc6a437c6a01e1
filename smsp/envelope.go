package smsp

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/beevik/etree"
)

// envelopeXML is a request that says everything any operation may say, with {{slots}} for
// what changes from one call to the next.
//
//go:embed envelope.xml
var envelopeXML string

// A slot is a place in the envelope for a value.
type slot int

const (
	slotMessage slot = iota
	slotTo
	slotFrom
	slotTimestamp
	slotCreated
	slotExpires
	slotUsername
	slotTracking
	slotAuditType
	slotAuditURI
	slotPart
	slotSender
	slotPayload
	slotBirthDate
	slotGender
	slotLocalRoot
	slotLocalID
	slotNHSNumber
	slotGiven
	slotFamily
	slotPostcode
	slots
)

var slotNames = [slots]string{
	slotMessage:   "{{message}}",
	slotTo:        "{{to}}",
	slotFrom:      "{{from}}",
	slotTimestamp: "{{timestamp}}",
	slotCreated:   "{{created}}",
	slotExpires:   "{{expires}}",
	slotUsername:  "{{username}}",
	slotTracking:  "{{tracking}}",
	slotAuditType: "{{audit-type}}",
	slotAuditURI:  "{{audit-uri}}",
	slotPart:      "{{part}}",
	slotSender:    "{{sender}}",
	slotPayload:   "{{payload}}",
	slotBirthDate: "{{birth-date}}",
	slotGender:    "{{gender}}",
	slotLocalRoot: "{{local-root}}",
	slotLocalID:   "{{local-id}}",
	slotNHSNumber: "{{nhs-number}}",
	slotGiven:     "{{given}}",
	slotFamily:    "{{family}}",
	slotPostcode:  "{{postcode}}",
}

// values are what goes into the slots.
type values [slots]string

// escaper writes text and attribute values as etree does.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;")

// A template is XML cut at its slots: a text, a slot, a text, and so on to a last text.
type template struct {
	texts []string
	slots []slot
}

func newTemplate(xml string) template {
	var t template
	for {
		before, rest, found := strings.Cut(xml, "{{")
		t.texts = append(t.texts, before)
		if !found {
			return t
		}
		name, after, _ := strings.Cut(rest, "}}")
		t.slots = append(t.slots, slot(slices.Index(slotNames[:], "{{"+name+"}}")))
		xml = after
	}
}

// appendTo appends the template with its slots filled.
func (t template) appendTo(b []byte, v *values) []byte {
	for i, s := range t.slots {
		b = append(b, t.texts[i]...)
		b = append(b, escaper.Replace(v[s])...)
	}
	return append(b, t.texts[len(t.slots)]...)
}

// A part is a piece of the question that is left out when the slots it needs are all empty.
type part struct {
	template
	needs []slot
}

func (p *part) needed(v *values) bool {
	return slices.ContainsFunc(p.needs, func(s slot) bool { return v[s] != "" })
}

// parameterSlots are the slots whose emptiness leaves a parameter out.
var parameterSlots = [parameters][]slot{
	birthDate: {slotBirthDate},
	gender:    {slotGender},
	localID:   {slotLocalID},
	nhsNumber: {slotNHSNumber},
	name:      {slotGiven, slotFamily},
	postcode:  {slotPostcode},
}

// An envelope is the request of one operation in the order in which its pieces are put
// together anew for every call.
type envelope struct {
	start         template
	auditID       template // one of these two for each audit identity
	auditIDOfType template
	middle        template
	question      []part
	end           template
	estimated     int // bytes
}

// envelopes has one envelope for each operation, made when the first is needed.
var envelopes = sync.OnceValue(func() []*envelope {
	all := make([]*envelope, len(operations))
	for want, op := range operations {
		if op.name != "" {
			all[want] = newEnvelope(op)
		}
	}
	return all
})

// newEnvelope names the operation in the template and takes it apart. The template is a
// constant that the tests read, so it has every element that is looked for.
func newEnvelope(op operation) *envelope {
	e := new(envelope)
	doc := etree.NewDocument()
	_ = doc.ReadFromString(envelopeXML)
	doc.Unindent()
	doc.FindElement("//wsa:Action").SetText(op.service)
	doc.FindElement("//itk:header").CreateAttr("service", op.service)
	doc.FindElement("//itk:manifestitem").CreateAttr("profileid", profilePrefix+op.code)
	payload := doc.FindElement("//itk:payload/*")
	payload.Tag = op.root
	payload.SelectElement("code").CreateAttr("code", op.code)

	audit := detach(doc.FindElement("//itk:auditIdentity"))
	e.auditIDOfType, e.auditID = newTemplate(audit[0]), newTemplate(audit[1])
	names := detach(payload.FindElement("queryEvent/Person.Name/value"))
	all := detach(payload.SelectElement("queryEvent"))
	for _, p := range op.takes {
		e.question = append(e.question, newParts(p, all[p], names)...)
	}
	whole, _ := doc.WriteToString() // to memory
	around := strings.Split(whole, detached)
	e.start, e.middle, e.end = newTemplate(around[0]), newTemplate(around[1]), newTemplate(around[2])
	e.estimated = len(whole) + 2048
	return e
}

// newParts takes a parameter apart: only a name has something in it that may be left out.
func newParts(p parameter, xml string, names []string) []part {
	before, after, found := strings.Cut(xml, detached)
	if !found {
		return []part{{newTemplate(xml), parameterSlots[p]}}
	}
	return []part{
		{newTemplate(before), parameterSlots[p]},
		{newTemplate(names[0]), []slot{slotGiven}},
		{newTemplate(names[1]), []slot{slotFamily}},
		{newTemplate(after), parameterSlots[p]},
	}
}

// detached marks where elements were.
const detached = "{{detached}}"

// detach replaces the children of e by a mark and returns them as they would be written.
func detach(e *etree.Element) (xml []string) {
	for _, child := range e.ChildElements() {
		e.RemoveChild(child)
		x, _ := etree.NewDocumentWithRoot(child).WriteToString() // to memory
		xml = append(xml, x)
	}
	e.SetText(detached)
	return xml
}

// request puts the pieces together for whom the audit identities name.
func (e *envelope) request(v *values, ids []AuditID) []byte {
	b := e.start.appendTo(make([]byte, 0, e.estimated), v)
	for _, id := range ids {
		v[slotAuditType], v[slotAuditURI] = id.Type, id.URI
		if id.Type == "" {
			b = e.auditID.appendTo(b, v)
		} else {
			b = e.auditIDOfType.appendTo(b, v)
		}
	}
	b = e.middle.appendTo(b, v)
	for i := range e.question {
		if p := &e.question[i]; p.needed(v) {
			b = p.appendTo(b, v)
		}
	}
	return e.end.appendTo(b, v)
}
