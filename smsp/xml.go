package smsp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/beevik/etree"
	"golang.org/x/text/encoding/charmap"
)

// Bounds on the XML of an answer. A real one has some 150 tags in 14 levels.
const (
	maxTags  = 20_000
	maxDepth = 64
	maxAttrs = 64 // of one element
)

var (
	errNotXML   = errors.New("not XML")
	errTooMuch  = errors.New("too much XML")
	errDoctype  = errors.New("DOCTYPE refused")
	errCharset  = errors.New("character set not supported")
	errTwoRoots = errors.New("not one XML document")
)

// parse reads one XML document and returns its root. It refuses what could make reading
// unsafe or ambiguous: a DOCTYPE, repeated attributes, more than one root, sheer size.
func parse(b []byte) (*etree.Element, error) {
	if bytes.Count(b, []byte("<")) > 2*maxTags {
		return nil, errTooMuch
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{
		CharsetReader:          charset,
		PreserveDuplicateAttrs: true,
		MaxDepth:               maxDepth,
	}
	switch err := doc.ReadFromBytes(b); {
	case errors.Is(err, errCharset):
		return nil, errCharset
	case errors.Is(err, etree.ErrMaxDepth):
		return nil, errTooMuch
	case err != nil: // its text may quote the document
		return nil, errNotXML
	}
	if err := wellFormed(&doc.Element); err != nil {
		return nil, err
	}
	switch roots := doc.ChildElements(); len(roots) {
	case 0:
		return nil, errNotXML
	case 1:
		return roots[0], nil
	}
	return nil, errTwoRoots
}

// wellFormed finds what etree lets pass.
func wellFormed(e *etree.Element) error {
	if len(e.Attr) > maxAttrs {
		return errTooMuch
	}
	for i, a := range e.Attr {
		for _, b := range e.Attr[:i] {
			if a.Key == b.Key && a.Space == b.Space {
				return errNotXML
			}
		}
	}
	for _, t := range e.Child {
		switch t := t.(type) {
		case *etree.Directive:
			return errDoctype
		case *etree.Element:
			if err := wellFormed(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// charset reads the encodings that Western systems are known to declare.
func charset(label string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "us-ascii", "ascii":
		return input, nil
	case "iso-8859-1":
		return charmap.ISO8859_1.NewDecoder().Reader(input), nil
	case "windows-1252":
		return charmap.Windows1252.NewDecoder().Reader(input), nil
	}
	return nil, fmt.Errorf("smsp: %w", errCharset)
}

// The walkers below take nil for an absent element and return nil, "" or nothing for what
// is below it. An element with xsi:nil is as good as absent (section 7.3).

func is(e *etree.Element, ns, name string) bool {
	return e != nil && e.Tag == name && e.NamespaceURI() == ns
}

func isNil(e *etree.Element) bool {
	for _, a := range e.Attr {
		if a.Key == "nil" && a.NamespaceURI() == nsXSI {
			v := strings.TrimSpace(a.Value)
			return v == "true" || v == "1"
		}
	}
	return false
}

func children(e *etree.Element, ns, name string) (found []*etree.Element) {
	if e == nil {
		return nil
	}
	for c := range e.ChildElementsSeq() {
		if is(c, ns, name) && !isNil(c) {
			found = append(found, c)
		}
	}
	return found
}

func child(e *etree.Element, ns, name string) *etree.Element {
	if e == nil {
		return nil
	}
	for c := range e.ChildElementsSeq() {
		if is(c, ns, name) && !isNil(c) {
			return c
		}
	}
	return nil
}

// only returns the one child of that name, nil if there is none or another.
func only(e *etree.Element, ns, name string) *etree.Element {
	if all := children(e, ns, name); len(all) == 1 {
		return all[0]
	}
	return nil
}

// content returns the one child element, nil if there is none or another.
func content(e *etree.Element) *etree.Element {
	if e == nil {
		return nil
	}
	if all := e.ChildElements(); len(all) == 1 {
		return all[0]
	}
	return nil
}

// find returns the first descendant of that name.
func find(e *etree.Element, ns, name string) *etree.Element {
	if e == nil {
		return nil
	}
	for c := range e.ChildElementsSeq() {
		if is(c, ns, name) {
			return c
		}
		if d := find(c, ns, name); d != nil {
			return d
		}
	}
	return nil
}

func text(e *etree.Element) string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.Text())
}

func attr(e *etree.Element, key string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == key {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}
