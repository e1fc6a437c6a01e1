package smsptest

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a document that is read; a real request has 9 levels and about 40 elements.
const (
	maxDepth    = 32
	maxElements = 256
)

var (
	errNotXML  = errors.New("not well-formed XML 1.0 in UTF-8")
	errDOCTYPE = errors.New("DOCTYPE or processing instruction")
	errSize    = errors.New("too deep or too many elements")
)

// name is a qualified name with its prefix resolved.
type name struct{ space, local string }

// node is an element of a parsed document.
type node struct {
	name  name
	attrs []attr // without declarations of namespaces
	first *node  // child
	last  *node
	next  *node  // sibling
	text  string // all the character data directly inside, white space between elements aside
}

type attr struct {
	name  name
	value string
}

// at follows local names down; an empty node, never nil, stands for what is not there.
func (n *node) at(path ...string) *node {
	for _, local := range path {
		n = n.kid(local)
	}
	return n
}

func (n *node) kid(local string) *node {
	for k := n.first; k != nil; k = k.next {
		if k.name.local == local {
			return k
		}
	}
	return &node{}
}

func (n *node) add(kid *node) {
	if n.last == nil {
		n.first, n.last = kid, kid
		return
	}
	n.last.next = kid
	n.last = kid
}

func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.name.local == local {
			return a.value
		}
	}
	return ""
}

// parse reads a document. It is stricter than XML: no DOCTYPE, no processing instruction,
// names in ASCII. It exists because encoding/xml takes several times as long, which a
// simulator under load would spend at the expense of what is being measured; a fuzz test
// holds it to encoding/xml's reading.
func parse(body []byte) (*node, error) {
	if !characters(body) {
		return nil, errNotXML
	}
	in := string(body)
	if strings.Contains(in, "\r") {
		in = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(in)
	}
	r := &reader{in: in, nodes: make([]node, 0, 64), attrs: make([]attr, 0, 64)}
	if err := r.declaration(); err != nil {
		return nil, err
	}
	if err := r.comments(); err != nil {
		return nil, err
	}
	root, err := r.element(1)
	if err != nil {
		return nil, err
	}
	if err := r.comments(); err != nil {
		return nil, err
	}
	if r.pos != len(r.in) {
		return nil, errNotXML
	}
	return root, nil
}

// characters tells whether all of b may stand in a document.
func characters(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			return false
		}
	}
	return utf8.Valid(b) && !bytes.Contains(b, []byte("\ufffe")) && !bytes.Contains(b, []byte("\uffff"))
}

// reader is a place in a document.
type reader struct {
	in    string
	pos   int
	nodes []node // room for the next nodes
	attrs []attr
	scope []attr // namespaces in force: prefix in name.local, innermost last
	count int
}

func (r *reader) rest() string { return r.in[r.pos:] }

// take steps over s if it comes next.
func (r *reader) take(s string) bool {
	if !strings.HasPrefix(r.rest(), s) {
		return false
	}
	r.pos += len(s)
	return true
}

// until steps over everything up to and including end, and returns what was before it.
func (r *reader) until(end string) (string, bool) {
	before, _, found := strings.Cut(r.rest(), end)
	if found {
		r.pos += len(before) + len(end)
	}
	return before, found
}

// blank steps over white space, and tells whether there was any.
func (r *reader) blank() bool {
	start := r.pos
	for r.pos < len(r.in) && (r.in[r.pos] == ' ' || r.in[r.pos] == '\n' || r.in[r.pos] == '\t') {
		r.pos++
	}
	return r.pos > start
}

// qname steps over a name with at most one colon; "" if none comes.
func (r *reader) qname() string {
	start, colons := r.pos, 0
	for ; r.pos < len(r.in); r.pos++ {
		c := r.in[r.pos]
		first := r.pos == start || r.in[r.pos-1] == ':'
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '_':
		case ('0' <= c && c <= '9' || c == '-' || c == '.') && !first:
		case c == ':' && !first && colons == 0:
			colons++
		default:
			if first {
				return ""
			}
			return r.in[start:r.pos]
		}
	}
	return ""
}

func (r *reader) declaration() error {
	if !strings.HasPrefix(r.in, "<?xml ") {
		return nil
	}
	r.pos = len("<?xml")
	for i, known := range []string{"version", "encoding", "standalone"} {
		start := r.pos
		if !r.blank() || !r.take(known) {
			r.pos = start
			if i == 0 {
				return errNotXML
			}
			continue
		}
		value, ok := r.assigned()
		if !ok || !declared(known, value) {
			return errNotXML
		}
	}
	r.blank()
	if !r.take("?>") {
		return errNotXML
	}
	return nil
}

func declared(known, value string) bool {
	switch known {
	case "version":
		return value == "1.0"
	case "encoding":
		return strings.EqualFold(value, "utf-8")
	}
	return value == "yes" || value == "no"
}

// comments steps over what may stand before and after the root.
func (r *reader) comments() error {
	for {
		r.blank()
		switch {
		case r.take("<!--"):
			if err := r.comment(); err != nil {
				return err
			}
		case strings.HasPrefix(r.rest(), "<!"), strings.HasPrefix(r.rest(), "<?"):
			return errDOCTYPE
		default:
			return nil
		}
	}
}

// comment steps over a comment whose beginning was taken.
func (r *reader) comment() error {
	if _, ok := r.until("--"); !ok || !r.take(">") {
		return errNotXML
	}
	return nil
}

// element reads an element that begins here.
func (r *reader) element(depth int) (*node, error) {
	if !r.take("<") {
		return nil, errNotXML
	}
	tag := r.qname()
	if tag == "" {
		return nil, errNotXML
	}
	n := r.newNode()
	if r.count > maxElements || depth > maxDepth {
		return nil, errSize
	}
	outer := len(r.scope)
	empty, ok := r.attributes(n)
	if !ok || !r.resolve(n, tag) {
		return nil, errNotXML
	}
	if !empty {
		if err := r.content(n, tag, depth); err != nil {
			return nil, err
		}
	}
	r.scope = r.scope[:outer]
	return n, nil
}

// newNode takes a node from a block, so that most documents need one allocation for all.
func (r *reader) newNode() *node {
	if len(r.nodes) == cap(r.nodes) {
		r.nodes = make([]node, 0, 64)
	}
	r.nodes = append(r.nodes, node{})
	r.count++
	return &r.nodes[len(r.nodes)-1]
}

// attributes reads up to the end of the start tag. Names are not resolved yet.
func (r *reader) attributes(n *node) (empty, ok bool) {
	start := len(r.attrs)
	for {
		spaced := r.blank()
		if empty = r.take("/>"); empty || r.take(">") {
			n.attrs = r.attrs[start:len(r.attrs):len(r.attrs)]
			return empty, true
		}
		local := r.qname()
		value, ok := r.assigned()
		if !spaced || local == "" || !ok {
			return false, false
		}
		prefix, declares := strings.CutPrefix(local, "xmlns:")
		switch {
		case local == "xmlns":
			r.scope = append(r.scope, attr{name{}, value})
		case declares && value == "":
			return false, false
		case declares:
			r.scope = append(r.scope, attr{name{local: prefix}, value})
		default:
			r.attrs = append(r.attrs, attr{name{local: local}, value})
		}
	}
}

// assigned reads an equals sign and a quoted value.
func (r *reader) assigned() (string, bool) {
	r.blank()
	if !r.take("=") {
		return "", false
	}
	r.blank()
	quote := `"`
	if !r.take(quote) {
		if quote = "'"; !r.take(quote) {
			return "", false
		}
	}
	raw, ok := r.until(quote)
	if !ok || strings.Contains(raw, "<") {
		return "", false
	}
	if strings.ContainsAny(raw, "\n\t") {
		raw = strings.NewReplacer("\n", " ", "\t", " ").Replace(raw)
	}
	return unescape(raw)
}

// resolve puts namespaces in the place of prefixes, and refuses an attribute given twice.
func (r *reader) resolve(n *node, tag string) (ok bool) {
	if n.name, ok = r.lookup(tag, true); !ok {
		return false
	}
	for i := range n.attrs {
		if n.attrs[i].name, ok = r.lookup(n.attrs[i].name.local, false); !ok {
			return false
		}
		for _, earlier := range n.attrs[:i] {
			if earlier.name == n.attrs[i].name {
				return false
			}
		}
	}
	return true
}

// lookup resolves a name; the default namespace is for elements only.
func (r *reader) lookup(qname string, element bool) (name, bool) {
	prefix, local, prefixed := strings.Cut(qname, ":")
	if !prefixed {
		prefix, local = "", qname
		if !element {
			return name{local: local}, true
		}
	}
	for i := len(r.scope) - 1; i >= 0; i-- {
		if r.scope[i].name.local == prefix {
			return name{r.scope[i].value, local}, true
		}
	}
	if prefix == "xml" {
		return name{"http://www.w3.org/XML/1998/namespace", local}, true
	}
	return name{local: local}, !prefixed
}

// content reads what is inside n, and its end tag.
func (r *reader) content(n *node, tag string, depth int) error {
	for {
		raw, found := r.until("<")
		text, ok := unescape(raw)
		if !found || !ok || strings.Contains(raw, "]]>") {
			return errNotXML
		}
		n.addText(text)
		switch {
		case r.take("/"):
			if !r.take(tag) {
				return errNotXML
			}
			if r.blank(); !r.take(">") {
				return errNotXML
			}
			return nil
		case r.take("!--"):
			if err := r.comment(); err != nil {
				return err
			}
		case r.take("![CDATA["):
			data, ok := r.until("]]>")
			if !ok {
				return errNotXML
			}
			n.addText(data)
		case r.take("!"), r.take("?"):
			return errDOCTYPE
		default:
			r.pos--
			kid, err := r.element(depth + 1)
			if err != nil {
				return err
			}
			n.add(kid)
		}
	}
}

func (n *node) addText(text string) {
	if n.first == nil || strings.Trim(text, " \n\t") != "" {
		n.text += text
	}
}

var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}

// unescape replaces references to characters and to the five entities there are.
func unescape(s string) (string, bool) {
	before, after, found := strings.Cut(s, "&")
	if !found {
		return s, true
	}
	var b strings.Builder
	for found {
		b.WriteString(before)
		reference, rest, ended := strings.Cut(after, ";")
		c, known := entities[reference]
		if !known {
			c, known = character(reference)
		}
		if !ended || !known {
			return "", false
		}
		b.WriteRune(c)
		before, after, found = strings.Cut(rest, "&")
	}
	b.WriteString(before)
	return b.String(), true
}

// character reads #38 or #x26.
func character(reference string) (rune, bool) {
	digits, numeric := strings.CutPrefix(reference, "#")
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	code, err := strconv.ParseUint(digits, base, 32)
	c := rune(code)
	if !numeric || err != nil || code > utf8.MaxRune || !utf8.ValidRune(c) {
		return 0, false
	}
	return c, characters([]byte(string(c)))
}
