package exchange

import (
	"errors"
	"strings"

	"spinetrace/hl7v2"
)

// The default patterns (product.md 4.6 r).
const (
	DefaultLocalID    = "MR,PI,PT"
	DefaultNHSNumbers = "NHS^NH,NHS^,^NH,NHSNBR^NHSNMBR,NHSNMBR^,NHS Number^NHS,2.16.840.1.113883.2.1.4.1^NH"
)

// Patterns recognise an identifier by its assigning authority (CX-4, name or OID) and type
// (CX-5), ignoring case.
type Patterns []pattern

type pattern struct {
	authority, kind string
	anyAuthority    bool
}

// ParsePatterns reads a comma list of TYPE (any authority), AUTHORITY^TYPE, AUTHORITY^ (no
// type) and ^TYPE (no authority).
func ParsePatterns(s string) (Patterns, error) {
	var ps Patterns
	for item := range strings.SplitSeq(s, ",") {
		authority, kind, both := strings.Cut(strings.TrimSpace(item), "^")
		p := pattern{authority: authority, kind: kind}
		if !both {
			p = pattern{kind: authority, anyAuthority: true}
		}
		if p.authority == "" && p.kind == "" || strings.Contains(p.kind, "^") {
			return nil, errors.New("exchange: identifier pattern is not TYPE, AUTHORITY^TYPE, AUTHORITY^ or ^TYPE")
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func mustPatterns(s string) Patterns {
	ps, err := ParsePatterns(s)
	if err != nil {
		panic(err)
	}
	return ps
}

// match tells whether a CX repetition is one of these identifiers.
func (ps Patterns) match(cx hl7v2.Repetition) bool {
	return ps.matchParts(cx.Component(4), cx.Sub(4, 2), cx.Component(5))
}

// matchParts is match for parts that arrived on their own. The type ends at a "{", behind
// which one sender's software writes a status.
func (ps Patterns) matchParts(name, oid, kind string) bool {
	kind, _, _ = strings.Cut(kind, "{")
	for _, p := range ps {
		if !strings.EqualFold(p.kind, kind) {
			continue
		}
		none := name == "" && oid == ""
		switch {
		case p.anyAuthority && !otherNations(name), p.authority == "" && none:
			return true
		case p.authority != "" && (strings.EqualFold(p.authority, name) || strings.EqualFold(p.authority, oid)):
			return true
		}
	}
	return false
}

// otherNations tells the authorities of Scotland's and Northern Ireland's patient numbers. They
// are ten digits that may pass Modulus 11, and are neither English nor the trust's own: only a
// pattern that names the authority matches them.
func otherNations(authority string) bool {
	return strings.EqualFold(authority, "CHI") || strings.EqualFold(authority, "HCN")
}

// hasType tells whether a type is one of the patterns'.
func (ps Patterns) hasType(kind string) bool {
	for _, p := range ps {
		if p.kind != "" && strings.EqualFold(p.kind, kind) {
			return true
		}
	}
	return false
}

// knows tells whether an authority, by name or OID, is one of the patterns'.
func (ps Patterns) knows(name, oid string) bool {
	for _, p := range ps {
		if p.authority != "" && (strings.EqualFold(p.authority, name) || strings.EqualFold(p.authority, oid)) {
			return true
		}
	}
	return false
}
