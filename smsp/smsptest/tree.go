package smsptest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Limits of a document that is read; a real request has 9 levels and about 40 elements.
const (
	maxDepth    = 32
	maxElements = 256
)

var (
	errNotXML  = errors.New("not well-formed XML in UTF-8")
	errDOCTYPE = errors.New("DOCTYPE or processing instruction")
	errSize    = errors.New("too deep or too many elements")
)

// node is an element of a parsed document.
type node struct {
	name  xml.Name
	attrs []xml.Attr // without declarations of namespaces
	kids  []*node
	text  string // all the character data directly inside
}

// parse reads a document with one root. It refuses DOCTYPE and processing instructions.
func parse(body []byte) (*node, error) {
	top := &node{}
	open := []*node{top}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for count := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errNotXML
		}
		inner := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			kid := &node{name: t.Name, attrs: withoutNamespaces(t.Attr)}
			inner.kids = append(inner.kids, kid)
			open = append(open, kid)
			if count++; count > maxElements || len(open) > maxDepth {
				return nil, errSize
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			inner.text += string(t)
		case xml.Directive:
			return nil, errDOCTYPE
		case xml.ProcInst:
			if t.Target != "xml" || len(top.kids) > 0 {
				return nil, errDOCTYPE
			}
		}
	}
	if len(top.kids) != 1 || strings.TrimSpace(top.text) != "" {
		return nil, errNotXML
	}
	return top.kids[0], nil
}

func withoutNamespaces(attrs []xml.Attr) []xml.Attr {
	kept := attrs[:0]
	for _, a := range attrs {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			kept = append(kept, a)
		}
	}
	return kept
}

// at follows local names down; an empty node, never nil, stands for what is not there.
func (n *node) at(path ...string) *node {
	for _, local := range path {
		n = n.kid(local)
	}
	return n
}

func (n *node) kid(local string) *node {
	for _, k := range n.kids {
		if k.name.Local == local {
			return k
		}
	}
	return &node{}
}

func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}
