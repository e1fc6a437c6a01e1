package smsptest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/beevik/etree"
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
	name     name
	optional bool
	repeated int // at most so many; 0 means one
	anyOrder bool
	attrs    []attribute
	kids     []element
	text     func(string) bool // nil means white space only
}

type attribute struct {
	name     name
	optional bool
	value    func(string) bool
}

// check returns where in n the rule is first broken, and how; "" when it is not. Names of
// elements that the rules do not know are left out: they could hold anything.
func (e *element) check(n *etree.Element) string {
	if !e.name.of(n) {
		return "another element than " + e.name.local
	}
	problem := e.checkAttrs(n.Attr)
	if problem == "" {
		problem = e.checkText(n)
	}
	if problem == "" {
		problem = e.checkKids(n)
	}
	if problem == "" {
		return ""
	}
	return e.name.local + "/" + problem
}

func (e *element) checkAttrs(attrs []etree.Attr) string {
	found := 0
	for _, rule := range e.attrs {
		i := slices.IndexFunc(attrs, rule.name.ofAttr)
		switch {
		case i >= 0 && !rule.value(attrs[i].Value):
			return "@" + rule.name.local + " is not as it must be"
		case i < 0 && !rule.optional:
			return "@" + rule.name.local + " missing"
		case i >= 0:
			found++
		}
	}
	for _, a := range attrs {
		if declares(a) {
			found++
		}
	}
	if found != len(attrs) {
		return "an attribute too many"
	}
	return ""
}

func (e *element) checkText(n *etree.Element) string {
	switch {
	case e.text == nil && !onlySpace(n):
		return "text where only elements may be"
	case e.text != nil && !e.text(n.Text()):
		return "text is not as it must be"
	}
	return ""
}

func (e *element) checkKids(n *etree.Element) string {
	kids := n.ChildElements()
	if e.anyOrder {
		return e.checkInAnyOrder(kids)
	}
	for i := range e.kids {
		rule := &e.kids[i]
		count := 0
		for ; len(kids) > 0 && rule.name.of(kids[0]); kids = kids[1:] {
			if problem := rule.checkNth(kids[0], &count); problem != "" {
				return problem
			}
		}
		if count == 0 && !rule.optional {
			return rule.name.local + " missing or out of order"
		}
	}
	if len(kids) > 0 {
		return "an element too many or out of order"
	}
	return ""
}

func (e *element) checkInAnyOrder(kids []*etree.Element) string {
	counts := make([]int, len(e.kids))
	for _, kid := range kids {
		i := slices.IndexFunc(e.kids, func(rule element) bool { return rule.name.of(kid) })
		if i < 0 {
			return "an element too many"
		}
		if problem := e.kids[i].checkNth(kid, &counts[i]); problem != "" {
			return problem
		}
	}
	for i, count := range counts {
		if count == 0 && !e.kids[i].optional {
			return e.kids[i].name.local + " missing"
		}
	}
	return ""
}

// checkNth checks one more element of the rule's name.
func (e *element) checkNth(n *etree.Element, count *int) string {
	if *count++; *count > max(1, e.repeated) {
		return e.name.local + " too often"
	}
	return e.check(n)
}

var (
	ncName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]*$`).MatchString
	oid       = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`).MatchString
	utcSecond = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`).MatchString
	digits    = regexp.MustCompile(`^[0-9]{1,14}$`).MatchString
	gender    = regexp.MustCompile(`^[0129]$`).MatchString
)

// upperUUID is written out because it is asked most.
func upperUUID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(s) == 36
}

func anything(string) bool             { return true }
func nonEmpty(s string) bool           { return strings.TrimSpace(s) != "" }
func is(want string) func(string) bool { return func(s string) bool { return s == want } }

func must(local string, value func(string) bool) attribute {
	return attribute{name: name{local: local}, value: value}
}

func may(local string, value func(string) bool) attribute {
	return attribute{name: name{local: local}, value: value, optional: true}
}

// leaf is an element that holds text.
func leaf(space, local string, text func(string) bool) element {
	return element{name: name{space, local}, text: text}
}

// branch is an element that holds elements.
func branch(space, local string, attrs []attribute, kids ...element) element {
	return element{name: name{space, local}, attrs: attrs, kids: kids}
}

func optional(e element) element {
	e.optional = true
	return e
}
