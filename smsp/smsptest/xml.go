package smsptest

import (
	"bytes"
	"errors"
	"io"

	"github.com/beevik/etree"
)

// Limits of a document that is read; a real request has 9 levels and some 80 tags.
const (
	maxDepth = 32
	maxTags  = 512
	maxAttrs = 64 // of one element
)

var (
	errNotXML  = errors.New("not well-formed XML 1.0 in UTF-8")
	errDOCTYPE = errors.New("DOCTYPE or processing instruction")
	errSize    = errors.New("too deep or too many elements")
)

// parse reads a document and returns its root. A DOCTYPE and processing instructions are
// refused wherever they stand; an XML declaration may only come first.
func parse(body []byte) (*etree.Element, error) {
	if bytes.Count(body, []byte("<")) > maxTags {
		return nil, errSize
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{
		CharsetReader:          noCharset,
		PreserveDuplicateAttrs: true,
		MaxDepth:               maxDepth,
	}
	switch err := doc.ReadFromBytes(body); {
	case errors.Is(err, etree.ErrMaxDepth):
		return nil, errSize
	case err != nil: // its text may quote the document
		return nil, errNotXML
	}
	if len(doc.Child) > 0 && isDeclaration(doc.Child[0]) {
		doc.RemoveChildAt(0)
	}
	if err := wellFormed(&doc.Element); err != nil {
		return nil, err
	}
	if roots := doc.ChildElements(); len(roots) == 1 && onlySpace(&doc.Element) {
		return roots[0], nil
	}
	return nil, errNotXML
}

// noCharset is asked for encodings other than UTF-8.
func noCharset(string, io.Reader) (io.Reader, error) { return nil, errNotXML }

func isDeclaration(t etree.Token) bool {
	p, ok := t.(*etree.ProcInst)
	return ok && p.Target == "xml"
}

// wellFormed finds what etree lets pass.
func wellFormed(e *etree.Element) error {
	if e.Space != "" && e.NamespaceURI() == "" {
		return errNotXML
	}
	if err := checkNames(e.Attr); err != nil {
		return err
	}
	for _, t := range e.Child {
		switch t := t.(type) {
		case *etree.Directive, *etree.ProcInst:
			return errDOCTYPE
		case *etree.Element:
			if err := wellFormed(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNames refuses attributes of one name and prefixes without a namespace.
func checkNames(attrs []etree.Attr) error {
	if len(attrs) > maxAttrs {
		return errSize
	}
	for i, a := range attrs {
		if prefixed(a) && a.NamespaceURI() == "" {
			return errNotXML
		}
		for _, b := range attrs[:i] {
			if a.Key == b.Key && (a.Space == b.Space || prefixed(a) && a.NamespaceURI() == b.NamespaceURI()) {
				return errNotXML
			}
		}
	}
	return nil
}

// prefixed tells whether an attribute has a prefix that must be declared.
func prefixed(a etree.Attr) bool {
	return a.Space != "" && a.Space != "xmlns" && a.Space != "xml"
}

// declares tells whether an attribute is the declaration of a namespace.
func declares(a etree.Attr) bool { return a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" }

// onlySpace tells whether there is no text but white space directly inside e.
func onlySpace(e *etree.Element) bool {
	for _, t := range e.Child {
		if text, ok := t.(*etree.CharData); ok && !text.IsWhitespace() {
			return false
		}
	}
	return true
}

// at follows local names down; an empty element, never nil, stands for what is not there.
func at(e *etree.Element, path ...string) *etree.Element {
	for _, local := range path {
		e = e.SelectElement(local).NotNil()
	}
	return e
}

// attr returns the value of an attribute without a prefix, "" if there is none.
func attr(e *etree.Element, local string) string {
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == local {
			return a.Value
		}
	}
	return ""
}

// name is a qualified name with its prefix resolved.
type name struct{ space, local string }

func (n name) of(e *etree.Element) bool { return e.Tag == n.local && e.NamespaceURI() == n.space }

func (n name) ofAttr(a etree.Attr) bool {
	return a.Key == n.local && (a.Space == "") == (n.space == "") && a.NamespaceURI() == n.space
}
