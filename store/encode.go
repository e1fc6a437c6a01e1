package store

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendDocument writes the canonical document of an event: what encoding/json makes of a
// document, but in ASCII alone, so that no database and no terminal can change it.
func appendDocument(b []byte, e Event, entry Entry) []byte {
	b = appendPlace(b, e)
	b = appendFacts(b, &entry.Facts)
	b = appendDigests(b, entry.Parts)
	return append(b, '}')
}

// appendPlace writes the document's beginning, which repeats the event's columns.
func appendPlace(b []byte, e Event) []byte {
	b = appendString(append(b, `{"chain":`...), e.Chain)
	b = strconv.AppendInt(append(b, `,"seq":`...), e.Seq, 10)
	b = append(e.At.UTC().AppendFormat(append(b, `,"at":"`...), timeLayout), '"')
	b = appendString(append(b, `,"kind":`...), e.Kind.String())
	if e.Exchange != (ID{}) {
		b = append(appendID(append(b, exchangeKey...), e.Exchange), '"')
	}
	return b
}

const exchangeKey = `,"exchange":"`

// appendID writes an ID as its String method does.
func appendID(b []byte, id ID) []byte {
	b = hex.AppendEncode(b, id[:4])
	for i := 4; i < 10; i += 2 {
		b = hex.AppendEncode(append(b, '-'), id[i:i+2])
	}
	return hex.AppendEncode(append(b, '-'), id[10:])
}

// appendDigests writes size and digest of every body, the last member of the document.
func appendDigests(b []byte, parts []Part) []byte {
	if len(parts) == 0 {
		return b
	}
	next := digestsKey
	for _, p := range parts {
		b = appendString(append(append(b, next...), `{"kind":`...), p.Kind.String())
		b = strconv.AppendInt(append(b, `,"size":`...), int64(len(p.Data)), 10)
		sum := sha256.Sum256(p.Data)
		b = append(hex.AppendEncode(append(b, `,"sha256":"`...), sum[:]), `"}`...)
		next = ","
	}
	return append(b, ']')
}

// digestsKey begins the digests. It is nowhere else in a document: a quotation mark inside a
// text has a backslash before it.
const digestsKey = `,"bodies":[`

func appendFacts(b []byte, f *Facts) []byte {
	b = appendText(b, `,"peer":`, f.Peer)
	b = appendText(b, `,"tls_subject":`, f.Subject)
	b = appendText(b, `,"application":`, f.Application)
	b = appendText(b, `,"facility":`, f.Facility)
	b = appendText(b, `,"control_id":`, f.ControlID)
	b = appendText(b, `,"type":`, f.Type)
	b = appendText(b, `,"user":`, f.User)
	b = appendText(b, `,"role":`, f.Role)
	b = appendText(b, `,"local_id":`, f.LocalID)
	b = appendText(b, `,"nhs_number_sent":`, f.NHSSent)
	b = appendText(b, `,"nhs_number_found":`, f.NHSFound)
	b = appendNumber(b, `,"attempt":`, int64(f.Attempt))
	b = appendText(b, `,"backend":`, f.Backend)
	b = appendText(b, `,"operation":`, f.Operation)
	b = appendText(b, `,"endpoint":`, f.Endpoint)
	b = appendText(b, `,"message_id":`, f.MessageID)
	b = appendText(b, `,"tracking_id":`, f.TrackingID)
	b = appendText(b, `,"payload_id":`, f.PayloadID)
	b = appendText(b, `,"answer_message_id":`, f.AnswerID)
	b = appendNumber(b, `,"http_status":`, int64(f.Status))
	b = appendText(b, `,"code":`, f.Code)
	b = appendNumber(b, `,"took_us":`, f.TookMicros)
	b = appendText(b, `,"ack":`, f.Ack)
	b = appendText(b, `,"outcome":`, f.Outcome)
	b = appendText(b, `,"nhs_number_status":`, f.Decision)
	b = appendText(b, `,"reason":`, f.Reason)
	b = appendText(b, `,"software":`, f.Version)
	b = appendText(b, `,"configuration":`, f.Config)
	b = appendText(b, `,"host":`, f.Host)
	b = appendText(b, `,"login":`, f.Login)
	b = appendText(b, `,"database_login":`, f.DBLogin)
	b = appendMap(b, `,"filters":`, f.Filters)
	b = appendNumber(b, `,"rows":`, int64(f.Rows))
	b = appendNumber(b, `,"from":`, f.From)
	b = appendNumber(b, `,"to":`, f.To)
	b = appendText(b, `,"destination":`, f.Destination)
	b = appendNumber(b, `,"letter":`, f.Letter)
	b = appendText(b, `,"items":`, f.Items)
	b = appendNumber(b, `,"item":`, f.Item)
	b = appendText(b, `,"differences":`, f.Differences)
	b = appendMap(b, `,"heads":`, f.Heads)
	return appendMap(b, `,"details":`, f.Details)
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, key...), value)
}

func appendNumber(b []byte, key string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(append(b, key...), value, 10)
}

func appendMap(b []byte, key string, m map[string]string) []byte {
	if len(m) == 0 {
		return b
	}
	b = append(b, key...)
	next := byte('{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendString(append(b, next), k)
		b = appendString(append(b, ':'), m[k])
		next = ','
	}
	return append(b, '}')
}

// appendString writes a JSON string in ASCII. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0 // of the run that needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		if c < utf8.RuneSelf {
			b = appendEscape(b, c)
			i++
		} else {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = appendRune(b, r)
			i += n
		}
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// plain are the bytes that stand for themselves: printable ASCII and DEL without what JSON
// escapes, or HTML.
var plain = func() (p [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		p[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return p
}()

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return appendUnit(b, uint16(c))
}

func appendRune(b []byte, r rune) []byte {
	if r > 0xFFFF {
		hi, lo := utf16.EncodeRune(r)
		return appendUnit(appendUnit(b, uint16(hi)), uint16(lo))
	}
	return appendUnit(b, uint16(r))
}

// appendUnit writes one UTF-16 unit.
func appendUnit(b []byte, u uint16) []byte {
	b = append(b, `\u`...)
	return hex.AppendEncode(b, []byte{byte(u >> 8), byte(u)})
}
