package hl7v2

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"math"
	"strings"
)

// Message is one parsed message: its text, where its segments begin and, once
// they have been read, where their fields do. Values are substrings of the
// text, so reading one costs no memory unless it has to be decoded.
//
// Values can be read from a nil *Message, as [Head] may return it: it has none.
//
// Reading records what it finds, so a Message must not be used by several
// goroutines at once.
type Message struct {
	text    string // what is split: the input, or UTF-8 when the set is multi-byte
	input   string // the input as it came, while it differs from text
	delims  Delimiters
	charset Charset
	plain   bool // no value needs decoding
	hasLF   bool
	ascii   bool
	named   bool // MSH-18 names charset, or is empty
	guessed bool // delims are not the sender's own
	warn    warningSet

	segs   []segment
	starts []int32 // field starts of the segments split so far

	// Enough for nearly every ADT, so that a message is two allocations.
	segArray   [16]segment
	startArray [88]int32
}

// Parser holds the choices a feed can need. The zero value is what [Parse] uses.
type Parser struct {
	// TrustMSH2 takes an MSH-2 of `^&~\` literally. The default reads it as
	// `^~\&`, since senders that write it mostly mean that.
	TrustMSH2 bool
	// LenientSegments ignores a line that is no segment, with a warning. The
	// default is [ErrNotSegment]. The bytes are kept either way.
	LenientSegments bool
	// StrictCharset makes an MSH-18 that is not known an error,
	// [ErrUnknownCharset]. The default treats it as empty.
	StrictCharset bool
}

// Parse reads a message with the default choices: see [Parser.Parse].
func Parse(b []byte) (*Message, error) { return Parser{}.Parse(b) }

// Parse reads one message: MSH and the segments after it, without MLLP framing.
// It copies b once and keeps every byte. It tolerates what [Warning] lists, and
// segments that end in LF or CRLF, blank lines, and a missing last terminator.
// It does not look at the version: unknown segments and extra fields are kept.
//
// An error is a [*ParseError] holding ErrNoMSH, ErrDelimiters, ErrNoDelimiters,
// ErrNotSegment, ErrCharset, ErrUnknownCharset or ErrTooLarge; what can be
// answered then, [Head] tells.
func (p Parser) Parse(b []byte) (*Message, error) {
	if len(b) > math.MaxInt32 {
		return nil, &ParseError{Err: ErrTooLarge}
	}
	if looksWide(b) {
		return nil, &ParseError{Segment: "MSH", Field: 18, Err: ErrCharset}
	}
	m := &Message{text: string(b)}
	start := m.skipToHeader()
	if err := p.readHeader(m, start); err != nil {
		return nil, err
	}
	if err := m.index(start, p.LenientSegments); err != nil {
		return nil, err
	}
	if err := p.readCharset(m, start); err != nil {
		return nil, err
	}
	return m, nil
}

const byteOrderMark = "\xEF\xBB\xBF"

// skipToHeader returns the offset of MSH: after a byte-order mark and blank lines.
func (m *Message) skipToHeader() int {
	start := 0
	if strings.HasPrefix(m.text, byteOrderMark) {
		m.warn.add(ByteOrderMark)
		start = len(byteOrderMark)
	}
	for start < len(m.text) && (m.text[start] == '\r' || m.text[start] == '\n') {
		start++
	}
	return start
}

// readHeader reads MSH-1 and MSH-2 and notes what kinds of bytes occur.
func (p Parser) readHeader(m *Message, start int) error {
	field, encoding, ok := headerMarks("MSH", m.text[start:])
	if !ok {
		return &ParseError{Offset: start, Err: ErrNoMSH}
	}
	var err error
	if m.delims, err = p.parseDelimiters(field, encoding, &m.warn); err != nil {
		return &ParseError{Segment: "MSH", Field: 2, Offset: start + 4, Err: err}
	}
	m.scan(start + 4 + len(encoding))
	return nil
}

// headerMarks returns fields 1 and 2 of a header segment, MSH, BHS or FHS, as
// they stand, and whether s begins with one.
func headerMarks(name, s string) (field byte, encoding string, ok bool) {
	if len(s) < 4 || s[:3] != name || isNameByte(s[3]) || isUpper(s[3]&^0x20) || s[3] == '\r' || s[3] == '\n' {
		return 0, "", false
	}
	end := 4
	for end < len(s) && s[end] != s[3] && s[end] != '\r' && s[end] != '\n' {
		end++
	}
	return s[3], s[4:end], true
}

// scan looks for the bytes that make reading a value more than a substring.
func (m *Message) scan(body int) {
	rest := m.text[body:]
	m.hasLF = strings.IndexByte(m.text, '\n') >= 0
	m.ascii = isASCII(rest)
	hasFS := strings.IndexByte(rest, fs) >= 0
	if hasFS {
		m.warn.add(StrayFS)
	}
	m.plain = m.ascii && !hasFS && (m.delims.Escape == 0 || strings.IndexByte(rest, m.delims.Escape) < 0)
}

// readCharset settles the character set from MSH-18 and transcodes the message
// when the set's characters can contain delimiters.
func (p Parser) readCharset(m *Message, start int) error {
	declared, further := m.charsetField(18)
	if declared == "" && further == "" && m.ascii { // the ordinary message
		m.named = true
		return nil
	}
	if further != "" {
		declared = m.switchedCharset(declared, further)
	}
	if !m.ascii {
		declared = m.declaredCharset(declared)
	}
	m.charset, m.named = resolveCharset(declared, m.text, m.ascii, &m.warn)
	if !m.named && p.StrictCharset && m.warn&(1<<UnknownCharset) != 0 {
		return &ParseError{Segment: "MSH", Field: 18, Offset: start, Err: ErrUnknownCharset}
	}
	if !m.charset.multi() {
		return nil
	}
	m.input, m.text = m.text, m.charset.decodeMulti(m.text)
	if strings.ContainsRune(m.text, '\uFFFD') {
		m.warn.add(InvalidText)
	}
	m.plain = false
	return m.index(start, p.LenientSegments)
}

// charsetField returns the first repetition of field n of MSH, as it stands, and
// the others with the marks before them.
func (m *Message) charsetField(n int) (name, further string) {
	from, to, ok := m.field(0, n)
	if !ok {
		return "", ""
	}
	name, _ = nth(m.text[from:to], m.delims.Repetition, 1)
	return name, m.text[from+len(name) : to]
}

// switchedCharset returns the name to read text by when MSH-18 names further
// sets, which text switches to by the escape sequences of ISO 2022. Japanese
// feeds do so from ASCII, and ISO-2022-JP is exactly that. Switches from or to
// other sets are not known from any feed: the text is read in the default set,
// where an escape sequence does no harm.
func (m *Message) switchedCharset(name, further string) string {
	if c, known := charsetNames[foldCharset(name)]; m.ascii && (name == "" || known && c == ASCII) {
		for _, other := range strings.Split(further[1:], string(rune(m.delims.Repetition))) {
			if charsetNames[foldCharset(other)] == ISO2022JP {
				return other
			}
		}
	}
	if strings.IndexByte(m.text, esc) >= 0 && charsetNames[foldCharset(name)] != ISO2022JP {
		m.warn.add(SwitchedCharset)
	}
	return name
}

const esc = 0x1B // begins an escape sequence of ISO 2022

// declaredCharset returns the name in MSH-18, which seems to stand further on
// when characters of a multi-byte set before it hold bytes like the separator.
func (m *Message) declaredCharset(msh18 string) string {
	if _, known := charsetNames[foldCharset(msh18)]; known {
		return msh18
	}
	for n := 19; n <= m.fields(0); n++ {
		name, _ := m.charsetField(n)
		if c, known := charsetNames[foldCharset(name)]; known && c.multi() {
			return name
		}
	}
	return msh18
}

// Head reads whatever can be read of the MSH segment that b begins with, so
// that a broken, oversized or truncated message can be answered by [Reply]. It
// returns nil when there is none. Unusable delimiters are replaced by the
// standard ones after the field separator; the rest of b is ignored.
func Head(b []byte) *Message { return head("MSH", b) }

// headLimit is far more than any header segment holds.
const headLimit = 1 << 16

// head is Head for any header segment.
func head(name string, b []byte) *Message {
	b = b[:min(len(b), headLimit)]
	wide := looksWide(b)
	if wide {
		b = narrow(b)
	}
	m := &Message{text: string(b)}
	start := m.skipToHeader()
	if end := strings.IndexAny(m.text[start:], "\r\n"); end >= 0 {
		m.text = m.text[:start+end]
	}
	field, encoding, ok := headerMarks(name, m.text[start:])
	if !ok || !legalDelimiter(field) {
		return nil
	}
	var p Parser
	var err error
	if m.delims, err = p.parseDelimiters(field, encoding, &m.warn); err != nil {
		m.delims, m.guessed = guessDelimiters(field), true
	}
	m.scan(start + 4 + len(encoding))
	m.starts = m.startArray[:0]
	m.segs = append(m.segArray[:0], segment{name: packName(name), start: int32(start), end: int32(len(m.text)), first: -1})
	if p.readCharset(m, start) != nil {
		return nil
	}
	if wide {
		m.charset = ASCII
	}
	return m
}

// narrow leaves the ASCII of UTF-16 or UTF-32 text.
func narrow(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == 0 || r > 0x7E {
			return -1
		}
		return r
	}, b)
}

// Bytes returns the message as it is written. What came in comes back byte for
// byte; after [Message.Set] only the changed fields differ. A changed message
// of a multi-byte character set is encoded anew as a whole.
func (m *Message) Bytes() []byte {
	switch {
	case m.input != "":
		return []byte(m.input)
	case m.charset.multi():
		return m.charset.encodeMulti(m.text)
	}
	return []byte(m.text)
}

// Delimiters returns the characters that structure the message.
func (m *Message) Delimiters() Delimiters { return m.delims }

// Charset returns the character set that text is decoded from and encoded in.
func (m *Message) Charset() Charset { return m.charset }

// Warnings returns what was tolerated so far, in the order of the constants.
// Reading a value can add to it.
func (m *Message) Warnings() []Warning { return m.warn.list() }

func (m *Message) codec() codec { return codec{m.delims, m.charset} }

// Escape returns text as a leaf value of this message: escaped in its
// delimiters and encoded in its character set. A character that the set lacks
// is written without its accent or as '?', with a warning.
func (m *Message) Escape(text string) string {
	out, exact := m.codec().appendText(make([]byte, 0, len(text)+8), text)
	if !exact {
		m.warn.add(Replaced)
	}
	return string(out)
}

// Unescape returns the text of a raw leaf value of this message, as UTF-8.
// Line breaks of formatted text become "\n"; a reader of names and addresses
// treats them as spaces.
func (m *Message) Unescape(raw string) string {
	text, unsupported := m.codec().unescape(raw)
	if unsupported {
		m.warn.add(UnsupportedEscape)
	}
	return text
}

// text of a leaf; null reads as nothing.
func (m *Message) leafText(raw string) string {
	switch {
	case raw == null:
		return ""
	case m.plain:
		return raw
	}
	return m.Unescape(raw)
}

// Segments returns the segments in order, MSH first.
func (m *Message) Segments() iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		for i := range m.segs {
			if !yield(Segment{m, i}) {
				return
			}
		}
	}
}

// Segment returns the first segment of that name and whether there is one.
func (m *Message) Segment(name string) (Segment, bool) {
	if len(name) != 3 {
		return Segment{}, false
	}
	i := m.find(packName(name))
	if i < 0 {
		return Segment{}, false
	}
	return Segment{m, i}, true
}

// Count returns how many segments have that name.
func (m *Message) Count(name string) int {
	n := 0
	for i := range m.segs {
		if len(name) == 3 && m.segs[i].name == packName(name) {
			n++
		}
	}
	return n
}

// Fingerprint returns the SHA-256 of the message without the content of MSH-7.
// Two copies of a message that differ only in when they were sent share it.
func (m *Message) Fingerprint() [sha256.Size]byte {
	text := m.text
	if m.input != "" {
		text = m.input
	}
	start := max(strings.Index(text, "MSH"), 0)
	for range 6 { // to the separator before MSH-7
		i := strings.IndexByte(text[start:], m.delims.Field)
		if i < 0 {
			return sha256.Sum256([]byte(text))
		}
		start += i + 1
	}
	end := len(text)
	if i := strings.IndexAny(text[start:], string([]byte{m.delims.Field, '\r', '\n'})); i >= 0 {
		end = start + i
	}
	return sha256.Sum256(append(append(make([]byte, 0, len(text)), text[:start]...), text[end:]...))
}
