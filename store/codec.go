package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Codec says how a stored body is packed. The numbers are stored: they never change.
type Codec uint8

// The codecs.
const (
	Plain Codec = 0
	Zstd  Codec = 1
)

// compressFrom is the size from which packing pays: SOAP bodies shrink to 40 %, ADT
// messages and ACKs are too small to be worth the time.
const compressFrom = 1024

// maxUnpacked bounds what a damaged or forged body can make a reader allocate.
const maxUnpacked = 256 << 20

// A Packer compresses and expands bodies. It is safe for concurrent use.
type Packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewPacker makes a Packer.
func NewPacker() (*Packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10))
	if err != nil {
		return nil, fmt.Errorf("store: zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("store: zstd: %w", err)
	}
	return &Packer{enc, dec}, nil
}

// Pack joins and compresses an event's bodies.
func (p *Packer) Pack(parts []Part) (Codec, []byte) {
	b := PackParts(parts)
	if len(b) < compressFrom {
		return Plain, b
	}
	return Zstd, p.enc.EncodeAll(b, make([]byte, 0, len(b)/2))
}

// Unpack undoes Pack. The error is [ErrParts].
func (p *Packer) Unpack(c Codec, b []byte) ([]Part, error) {
	switch c {
	case Plain:
		return UnpackParts(b)
	case Zstd:
		plain, err := p.dec.DecodeAll(b, nil)
		if err != nil {
			return nil, ErrParts
		}
		return UnpackParts(plain)
	}
	return nil, ErrParts
}
