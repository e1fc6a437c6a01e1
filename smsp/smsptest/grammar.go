package smsptest

import (
	"encoding/xml"
	"regexp"
	"strings"
)

// Namespaces of smsp.md section 2.
const (
	nsSOAP = "http://schemas.xmlsoap.org/soap/envelope/"
	nsWSA  = "http://www.w3.org/2005/08/addressing"
	nsWSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsWSU  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	nsITK  = "urn:nhs-itk:ns:201005"
	nsHL7  = "urn:hl7-org:v3"
)

// element is a rule for one element: the strict reading of smsp.md sections 4 to 6, which
// allows less than the schemas do. What it does not name may not be there.
type element struct {
	name     xml.Name
	optional bool
	repeated int // at most so many; 0 means one
	anyOrder bool
	attrs    []attribute
	kids     []element
	text     func(string) bool // nil means white space only
}

type attribute struct {
	name     xml.Name
	optional bool
	value    func(string) bool
}

// check returns where in n the rule is first broken, and how; "" when it is not. Names of
// elements that the rules do not know are left out: they could hold anything.
func (e *element) check(n *node) string {
	if n.name != e.name {
		return "another element than " + e.name.Local
	}
	problem := e.checkAttrs(n)
	if problem == "" {
		problem = e.checkText(n.text)
	}
	if problem == "" {
		problem = e.checkKids(n.kids)
	}
	if problem == "" {
		return ""
	}
	return e.name.Local + "/" + problem
}

func (e *element) checkAttrs(n *node) string {
	found := 0
	for _, rule := range e.attrs {
		value, present := lookup(n.attrs, rule.name)
		switch {
		case present && !rule.value(value):
			return "@" + rule.name.Local + " is not as it must be"
		case !present && !rule.optional:
			return "@" + rule.name.Local + " missing"
		case present:
			found++
		}
	}
	if found != len(n.attrs) {
		return "an attribute too many"
	}
	return ""
}

func lookup(attrs []xml.Attr, name xml.Name) (string, bool) {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func (e *element) checkText(text string) string {
	switch {
	case e.text == nil && strings.TrimSpace(text) != "":
		return "text where only elements may be"
	case e.text != nil && !e.text(text):
		return "text is not as it must be"
	}
	return ""
}

func (e *element) checkKids(kids []*node) string {
	matched := 0
	for i := range e.kids {
		rule := &e.kids[i]
		count := 0
		for j, kid := range kids {
			if kid.name != rule.name || !e.anyOrder && j != matched {
				continue
			}
			if problem := rule.check(kid); problem != "" {
				return problem
			}
			matched++
			count++
		}
		if count == 0 && !rule.optional {
			return rule.name.Local + " missing or out of order"
		}
		if count > max(1, rule.repeated) {
			return rule.name.Local + " too often"
		}
	}
	if matched != len(kids) {
		return "an element too many or out of order"
	}
	return ""
}

var (
	upperUUID = regexp.MustCompile(`^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`).MatchString
	ncName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]*$`).MatchString
	oid       = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`).MatchString
	utcSecond = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`).MatchString
	digits    = regexp.MustCompile(`^[0-9]{1,14}$`).MatchString
	gender    = regexp.MustCompile(`^[0129]$`).MatchString
)

func anything(string) bool             { return true }
func nonEmpty(s string) bool           { return strings.TrimSpace(s) != "" }
func is(want string) func(string) bool { return func(s string) bool { return s == want } }

func must(local string, value func(string) bool) attribute {
	return attribute{name: xml.Name{Local: local}, value: value}
}

func may(local string, value func(string) bool) attribute {
	return attribute{name: xml.Name{Local: local}, value: value, optional: true}
}

// leaf is an element that holds text.
func leaf(space, local string, text func(string) bool) element {
	return element{name: xml.Name{Space: space, Local: local}, text: text}
}

// branch is an element that holds elements.
func branch(space, local string, attrs []attribute, kids ...element) element {
	return element{name: xml.Name{Space: space, Local: local}, attrs: attrs, kids: kids}
}

func optional(e element) element {
	e.optional = true
	return e
}
