package smsptest

import (
	"bytes"
	"crypto/rand"
	_ "embed" // for the templates
	"encoding/hex"
	"strings"
)

//go:embed answer.xml
var answerXML string

//go:embed fault.xml
var faultXML string

// template is XML text with holes: text before the hole, name of the hole, and so on.
type template []string

// compile cuts text at its {holes}, with what is known for good filled in first and the
// indentation taken out.
func compile(text string, known ...string) template {
	var flat strings.Builder
	for line := range strings.Lines(text) {
		flat.WriteString(strings.TrimSpace(line))
	}
	return strings.FieldsFunc(strings.NewReplacer(known...).Replace(flat.String()), func(r rune) bool {
		return r == '{' || r == '}'
	})
}

func answerTemplate(op *operation) template {
	return compile(answerXML, "{action}", op.action, "{root}", op.response)
}

var faultTemplate = compile(faultXML)

// fill appends the template to b; hole appends what belongs into a hole.
func (t template) fill(b []byte, hole func(b []byte, name string) []byte) []byte {
	for i, part := range t {
		if i%2 == 0 {
			b = append(b, part...)
		} else {
			b = hole(b, part)
		}
	}
	return b
}

// ids are the identifiers of one answer, all new.
type ids map[string]string

func newIDs(names ...string) ids {
	random := make([]byte, 16*len(names))
	_, _ = rand.Read(random) // never fails
	fresh := make(ids, len(names))
	for i, name := range names {
		fresh[name] = upperUUIDOf([16]byte(random[16*i:]))
	}
	return fresh
}

// upperUUIDOf writes a version 4 UUID in the upper case that the ITK schema asks for.
func upperUUIDOf(r [16]byte) string {
	r[6], r[8] = r[6]&0x0f|0x40, r[8]&0x3f|0x80
	b := make([]byte, 0, 36)
	for i, end := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, r[[]int{0, 4, 6, 8, 10}[i]:end])
	}
	return string(bytes.ToUpper(b))
}
