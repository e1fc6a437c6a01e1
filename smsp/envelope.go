package smsp

import (
	"bytes"
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
	// What goes into the slots from here on is XML already.
	slotAuditIDs
	slotParameters
	slotNameParts
	slots
)

var slotNames = [slots]string{
	slotMessage:    "{{message}}",
	slotTo:         "{{to}}",
	slotFrom:       "{{from}}",
	slotTimestamp:  "{{timestamp}}",
	slotCreated:    "{{created}}",
	slotExpires:    "{{expires}}",
	slotUsername:   "{{username}}",
	slotTracking:   "{{tracking}}",
	slotAuditType:  "{{audit-type}}",
	slotAuditURI:   "{{audit-uri}}",
	slotPart:       "{{part}}",
	slotSender:     "{{sender}}",
	slotPayload:    "{{payload}}",
	slotBirthDate:  "{{birth-date}}",
	slotGender:     "{{gender}}",
	slotLocalRoot:  "{{local-root}}",
	slotLocalID:    "{{local-id}}",
	slotNHSNumber:  "{{nhs-number}}",
	slotGiven:      "{{given}}",
	slotFamily:     "{{family}}",
	slotPostcode:   "{{postcode}}",
	slotAuditIDs:   "{{audit-ids}}",
	slotParameters: "{{parameters}}",
	slotNameParts:  "{{name-parts}}",
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

// writeTo appends the template with its slots filled. A bytes.Buffer never fails.
func (t template) writeTo(b *bytes.Buffer, v *values) {
	for i, s := range t.slots {
		b.WriteString(t.texts[i])
		if s < slotAuditIDs {
			_, _ = escaper.WriteString(b, v[s])
		} else {
			b.WriteString(v[s])
		}
	}
	b.WriteString(t.texts[len(t.slots)])
}

func (t template) fill(v *values) string {
	var b bytes.Buffer
	t.writeTo(&b, v)
	return b.String()
}

// An envelope is the request of one operation in parts that are put together anew for
// every call.
type envelope struct {
	whole          template
	parameters     [parameters]template
	given, family  template
	auditID        template
	auditIDOfType  template
	estimatedBytes int
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

	nameValue := payload.FindElement("queryEvent/Person.Name/value")
	e.given, e.family = two(detach(nameValue, slotNameParts))
	for i, x := range detach(payload.SelectElement("queryEvent"), slotParameters) {
		e.parameters[i] = newTemplate(x)
	}
	e.auditIDOfType, e.auditID = two(detach(doc.FindElement("//itk:auditIdentity"), slotAuditIDs))
	whole, _ := doc.WriteToString() // to memory
	e.whole = newTemplate(whole)
	e.estimatedBytes = len(whole) + 2048
	return e
}

func two(xml []string) (first, second template) {
	return newTemplate(xml[0]), newTemplate(xml[1])
}

// detach replaces the children of e by a slot and returns them as they would be written.
func detach(e *etree.Element, s slot) (xml []string) {
	for _, child := range e.ChildElements() {
		e.RemoveChild(child)
		x, _ := etree.NewDocumentWithRoot(child).WriteToString() // to memory
		xml = append(xml, x)
	}
	e.SetText(slotNames[s])
	return xml
}

// request puts the parts together: the audit identities, and those of the parameters in
// takes that have a value.
func (e *envelope) request(v *values, ids []AuditID, takes []parameter) []byte {
	var b bytes.Buffer
	for _, id := range ids {
		v[slotAuditType], v[slotAuditURI] = id.Type, id.URI
		if id.Type == "" {
			e.auditID.writeTo(&b, v)
		} else {
			e.auditIDOfType.writeTo(&b, v)
		}
	}
	v[slotAuditIDs] = b.String()

	b.Reset()
	if v[slotGiven] != "" {
		v[slotNameParts] = e.given.fill(v)
	}
	if v[slotFamily] != "" {
		v[slotNameParts] += e.family.fill(v)
	}
	for _, p := range takes {
		if v[parameterSlots[p]] != "" {
			e.parameters[p].writeTo(&b, v)
		}
	}
	v[slotParameters] = b.String()

	whole := bytes.NewBuffer(make([]byte, 0, e.estimatedBytes))
	e.whole.writeTo(whole, v)
	return whole.Bytes()
}

// parameterSlots are the slots whose emptiness leaves a parameter out.
var parameterSlots = [parameters]slot{
	birthDate: slotBirthDate,
	gender:    slotGender,
	localID:   slotLocalID,
	nhsNumber: slotNHSNumber,
	name:      slotNameParts,
	postcode:  slotPostcode,
}
