package smsptest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reference reads a document with encoding/xml into the same tree.
func reference(body []byte) (*node, error) {
	top := &node{}
	open := []*node{top}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return top.first, nil
		}
		if err != nil {
			return nil, err
		}
		inner := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			kid := &node{name: name{t.Name.Space, t.Name.Local}}
			for _, a := range t.Attr {
				if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
					kid.attrs = append(kid.attrs, attr{name{a.Name.Space, a.Name.Local}, a.Value})
				}
			}
			inner.add(kid)
			open = append(open, kid)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			inner.text += string(t)
		}
	}
}

// flat writes a tree down for comparison, without what the two readings may differ in:
// white space around text, and which white space in an attribute or a namespace.
func flat(n *node, b *strings.Builder) {
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	b.WriteString("<" + plain(n.name.space) + " " + n.name.local)
	for _, a := range n.attrs {
		b.WriteString(" " + plain(a.name.space) + " " + a.name.local + "=" + plain(a.value))
	}
	b.WriteString(">" + plain(n.text))
	for k := n.first; k != nil; k = k.next {
		flat(k, b)
	}
	b.WriteString("</>")
}

func flatten(n *node) string {
	var b strings.Builder
	flat(n, &b)
	return b.String()
}

// FuzzParse: what is accepted, encoding/xml accepts too and reads alike.
func FuzzParse(f *testing.F) {
	for _, body := range examples(f) {
		f.Add(body)
	}
	for _, body := range []string{
		`<a b='1' c="&lt;&#x41;&#66;"><!-- x --><![CDATA[<&]]>&amp;<b/></a>`,
		`<?xml version='1.0' encoding="utf-8" standalone='yes' ?><p:a xmlns:p="u" p:b="" xml:lang="cy"/>`,
		"<a xmlns='u'>\r\n<b xmlns=''\tc='\n'>x\ry</b\n></a><!---->\n",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parse(body)
		if err != nil {
			return
		}
		want, err := reference(body)
		if err != nil {
			t.Fatalf("accepted what encoding/xml refuses: %v", err)
		}
		if diff := cmp.Diff(flatten(want), flatten(got)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestParseRejects(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want error
	}{
		"nothing":                  {"", errNotXML},
		"text":                     {"x", errNotXML},
		"open end":                 {"<a>", errNotXML},
		"other end":                {"<a></b>", errNotXML},
		"end with more":            {"<a></ab>", errNotXML},
		"crossed":                  {"<a><b></a></b>", errNotXML},
		"two roots":                {"<a/><b/>", errNotXML},
		"text after the root":      {"<a/>x", errNotXML},
		"declaration not first":    {" <?xml version='1.0'?><a/>", errDOCTYPE},
		"XML 1.1":                  {"<?xml version='1.1'?><a/>", errNotXML},
		"declaration disordered":   {"<?xml encoding='utf-8' version='1.0'?><a/>", errNotXML},
		"DOCTYPE":                  {"<!DOCTYPE a><a/>", errDOCTYPE},
		"DOCTYPE inside":           {"<a><!DOCTYPE a></a>", errDOCTYPE},
		"instruction inside":       {"<a><?b?></a>", errDOCTYPE},
		"prefix not declared":      {"<p:a/>", errNotXML},
		"prefix out of scope":      {"<a><b xmlns:p='u'/><p:c/></a>", errNotXML},
		"prefix undeclared":        {"<a xmlns:p=''/>", errNotXML},
		"two colons":               {"<a:b:c xmlns:a='u'/>", errNotXML},
		"attribute twice":          {"<a b='1' b='2'/>", errNotXML},
		"attribute twice by URI":   {"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", errNotXML},
		"attribute without quotes": {"<a b=1/>", errNotXML},
		"attributes run together":  {"<a b='1'c='2'/>", errNotXML},
		"less-than in attribute":   {"<a b='<'/>", errNotXML},
		"name begins with digit":   {"<1a/>", errNotXML},
		"unknown entity":           {"<a>&nbsp;</a>", errNotXML},
		"bare ampersand":           {"<a>&</a>", errNotXML},
		"reference to NUL":         {"<a>&#0;</a>", errNotXML},
		"reference to surrogate":   {"<a>&#xD800;</a>", errNotXML},
		"signed reference":         {"<a>&#+38;</a>", errNotXML},
		"NUL":                      {"<a>\x00</a>", errNotXML},
		"not UTF-8":                {"<a>\xe9</a>", errNotXML},
		"byte order mark":          {"\ufeff<a/>", errNotXML},
		"end of CDATA in text":     {"<a>]]></a>", errNotXML},
		"two hyphens in comment":   {"<a><!-- -- --></a>", errNotXML},
		"deep":                     {strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40), errSize},
		"wide":                     {"<a>" + strings.Repeat("<b/>", 300) + "</a>", errSize},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse([]byte(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("parse() error = %v, want %v", err, tt.want)
			}
		})
	}
}

func examples(tb testing.TB) [][]byte {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.xml"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("%d examples, %v", len(files), err)
	}
	var bodies [][]byte
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// BenchmarkParse: one request of 3 KiB, by the reader of this package and by encoding/xml.
func BenchmarkParse(b *testing.B) {
	body := examples(b)[0]
	for name, read := range map[string]func([]byte) (*node, error){"ours": parse, "encoding-xml": reference} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := read(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
