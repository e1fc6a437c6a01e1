package smsptest

import (
	"errors"
	"strings"
	"testing"
)

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
		"DOCTYPE":                  {"<!DOCTYPE a><a/>", errDOCTYPE},
		"DOCTYPE inside":           {"<a><!DOCTYPE a></a>", errDOCTYPE},
		"instruction inside":       {"<a><?b?></a>", errDOCTYPE},
		"prefix not declared":      {"<p:a/>", errNotXML},
		"prefix out of scope":      {"<a><b xmlns:p='u'/><p:c/></a>", errNotXML},
		"prefix undeclared":        {"<p:a xmlns:p=''/>", errNotXML},
		"two colons":               {"<a:b:c xmlns:a='u'/>", errNotXML},
		"attribute twice":          {"<a b='1' b='2'/>", errNotXML},
		"attribute twice by URI":   {"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", errNotXML},
		"attribute without quotes": {"<a b=1/>", errNotXML},
		"less-than in attribute":   {"<a b='<'/>", errNotXML},
		"name begins with digit":   {"<1a/>", errNotXML},
		"unknown entity":           {"<a>&nbsp;</a>", errNotXML},
		"bare ampersand":           {"<a>&</a>", errNotXML},
		"reference to NUL":         {"<a>&#0;</a>", errNotXML},
		"signed reference":         {"<a>&#+38;</a>", errNotXML},
		"NUL":                      {"<a>\x00</a>", errNotXML},
		"not UTF-8":                {"<a>\xe9</a>", errNotXML},
		"byte order mark":          {"\ufeff<a/>", errNotXML},
		"end of CDATA in text":     {"<a>]]></a>", errNotXML},
		"two hyphens in comment":   {"<a><!-- -- --></a>", errNotXML},
		"deep":                     {strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40), errSize},
		"wide":                     {"<a>" + strings.Repeat("<b/>", 600) + "</a>", errSize},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse([]byte(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("parse() error = %v, want %v", err, tt.want)
			}
		})
	}
}
