package smsp

import (
	"errors"
	"strings"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// faultCodes is the table of section 9.
var faultCodes = map[string]ending{
	"1000": {class: pds.InputInvalid},
	"2100": {class: pds.ProviderError, retry: true},
	"2200": {class: pds.ProviderError},
	"3000": {class: pds.AccessDenied},
}

// faultKinds is what a fault without a code of that table means, by the local part of
// its faultcode. The last two blame the question as Client does.
var faultKinds = map[string]ending{
	"Server":          {class: pds.ProviderError, retry: true},
	"Client":          {class: pds.InputInvalid},
	"VersionMismatch": {class: pds.InputInvalid},
	"MustUnderstand":  {class: pds.InputInvalid},
}

// readFault classes a soap:Fault. Its texts stay where they are: providers repeat the
// question in them. One that relates to another message is noted only: whoever could not
// read the question does not know its id.
func (a *answer) readFault(q *question, header, fault *etree.Element) *pds.Error {
	if !relates(header, q.call.MessageID) {
		a.note(otherMessage)
	}
	code := toolkitCode(fault)
	a.code = whole(code)
	e, known := faultCodes[code]
	if !known {
		e, known = faultKinds[faultKind(fault)]
	}
	if !known {
		e = faultKinds["Server"]
	}
	return &pds.Error{
		Class: e.class,
		Retry: e.retry,
		Err:   errors.New(strings.TrimSpace("SOAP fault " + presentable(code))),
	}
}

// toolkitCode returns the ErrorCode of an ITK ToolkitErrorInfo at any depth below detail.
func toolkitCode(fault *etree.Element) string {
	info := find(local(fault, "detail"), nsITK, "ToolkitErrorInfo")
	return text(child(info, nsITK, "ErrorCode"))
}

// faultKind returns the local part of faultcode without the refinement that SOAP 1.1
// allows after a dot.
func faultKind(fault *etree.Element) string {
	kind := text(local(fault, "faultcode"))
	kind = kind[strings.LastIndexAny(kind, ":}")+1:]
	kind, _, _ = strings.Cut(kind, ".")
	return kind
}

// local returns the first child with a local name in any namespace: some providers
// qualify the children of a fault, SOAP 1.1 does not.
func local(e *etree.Element, name string) *etree.Element {
	for c := range e.ChildElementsSeq() {
		if c.Tag == name {
			return c
		}
	}
	return nil
}
