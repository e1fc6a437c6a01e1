package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Part is one body: the very bytes that came or went.
type Part struct {
	Kind PartKind
	Data []byte
}

// PartKind says what a body is. The numbers are stored: they never change.
type PartKind uint8

// The kinds of bodies.
const (
	Frame    PartKind = 1 // an HL7 message as it came in, without the frame's marks
	Reply    PartKind = 2 // an HL7 message as it went out
	Request  PartKind = 3 // what a national endpoint was asked
	Response PartKind = 4 // what it said

	Sent         PartKind = 5 // a message of ours to a destination
	Acknowledged PartKind = 6 // what the destination answered
)

var partKinds = map[PartKind]string{
	Frame: "frame", Reply: "reply", Request: "request", Response: "response", Sent: "sent", Acknowledged: "acknowledged",
}

// String returns the kind in one word.
func (k PartKind) String() string {
	if s, ok := partKinds[k]; ok {
		return s
	}
	return fmt.Sprintf("body %d", uint8(k))
}

// ErrParts says that a stored body cannot be taken apart.
var ErrParts = errors.New("store: body damaged")

// PackParts joins an event's bodies into the one value that is stored for it: for each its
// kind in one byte, its length as an unsigned varint, its bytes.
func PackParts(parts []Part) []byte {
	size := 0
	for _, p := range parts {
		size += 1 + binary.MaxVarintLen32 + len(p.Data)
	}
	b := make([]byte, 0, size)
	for _, p := range parts {
		b = append(b, byte(p.Kind))
		b = binary.AppendUvarint(b, uint64(len(p.Data)))
		b = append(b, p.Data...)
	}
	return b
}

// UnpackParts takes a stored value apart. The error is [ErrParts].
func UnpackParts(b []byte) ([]Part, error) {
	var parts []Part
	for len(b) > 0 {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return nil, ErrParts
		}
		data := b[1+n : 1+n+int(size)]
		parts = append(parts, Part{Kind: PartKind(b[0]), Data: data})
		b = b[1+n+int(size):]
	}
	return parts, nil
}

// FindPart returns the first body of a kind.
func FindPart(parts []Part, kind PartKind) ([]byte, bool) {
	for _, p := range parts {
		if p.Kind == kind {
			return p.Data, true
		}
	}
	return nil, false
}
