package postgres

import (
	"encoding/binary"
	"time"
)

// The object ids of the element types, fixed in every PostgreSQL.
const (
	oidBytea     = 17
	oidBigint    = 20
	oidSmallint  = 21
	oidText      = 25
	oidTimestamp = 1184 // with time zone
	oidUUID      = 2950
)

// epoch is the zero of PostgreSQL's timestamps, in microseconds since 1970.
const epoch = 946_684_800_000_000

// array is a one-dimensional array in PostgreSQL's binary form: the values of one column of
// many rows, sent as one parameter. Its element type is decided when it is made.
type array struct {
	n   uint32
	buf []byte
}

// reset empties the array and keeps its memory. What precedes the elements is four bytes
// each of: dimensions, has-null flag, element type, length, lower bound.
func (a *array) reset(oid uint32) {
	a.n = 0
	a.buf = binary.BigEndian.AppendUint32(a.buf[:0], 1)
	a.buf = binary.BigEndian.AppendUint32(a.buf, 0)
	a.buf = binary.BigEndian.AppendUint32(a.buf, oid)
	a.buf = append(a.buf, 0, 0, 0, 0, 0, 0, 0, 1)
}

// bytes returns the finished array, which the next reset overwrites.
func (a *array) bytes() []byte {
	binary.BigEndian.PutUint32(a.buf[12:], a.n)
	return a.buf
}

func (a *array) size(n int) {
	a.n++
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(n))
}

func (a *array) null() {
	a.size(-1)
	a.buf[7] = 1
}

func (a *array) smallint(v int16) {
	a.size(2)
	a.buf = binary.BigEndian.AppendUint16(a.buf, uint16(v))
}

func (a *array) bigint(v int64) {
	a.size(8)
	a.buf = binary.BigEndian.AppendUint64(a.buf, uint64(v))
}

func (a *array) time(t time.Time) { a.bigint(t.UnixMicro() - epoch) }

func (a *array) uuid(v [16]byte) { a.bytea(v[:]) }

func (a *array) text(s string) {
	a.size(len(s))
	a.buf = append(a.buf, s...)
}

func (a *array) bytea(b []byte) {
	a.size(len(b))
	a.buf = append(a.buf, b...)
}
