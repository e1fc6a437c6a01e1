package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func same(a, b []Part) bool {
	return slices.EqualFunc(a, b, func(a, b Part) bool { return a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) })
}

func noise(size int) []byte {
	b := make([]byte, 0, size+32)
	for sum := sha256.Sum256(nil); len(b) < size; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:size]
}

var packs = map[string][]Part{
	"nothing":       nil,
	"one empty":     {{Frame, []byte{}}},
	"two empty":     {{Frame, []byte{}}, {Reply, []byte{}}},
	"frame, reply":  {{Frame, []byte("MSH|^~\\&|PAS\r")}, {Reply, []byte("MSH|^~\\&|SPINETRACE\r")}},
	"same kind":     {{Response, []byte("1")}, {Response, []byte("2")}},
	"at the border": {{Frame, noise(compressFrom - 3)}},
	"repeating":     {{Request, bytes.Repeat([]byte("<soap/>"), 10_000)}},
	"noise":         {{Request, noise(100_000)}},
}

func TestPackerGivesBackWhatItPacked(t *testing.T) {
	p := newPacker(t)
	for name, parts := range packs {
		codec, b := p.Pack(parts)
		got, err := p.Unpack(codec, b)
		if err != nil {
			t.Errorf("%s: Unpack() error = %v", name, err)
		}
		if !same(parts, got) {
			t.Errorf("%s: parts differ after packing", name)
		}
		if size := len(PackParts(parts)); (codec == Zstd) != (size >= compressFrom) {
			t.Errorf("%s: codec = %d for %d bytes", name, codec, size)
		}
	}
	if _, b := p.Pack(packs["repeating"]); len(b) > 1000 {
		t.Errorf("70,000 bytes that repeat were packed into %d", len(b))
	}
}

func TestPackerServesManyAtOnce(t *testing.T) {
	p := newPacker(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				codec, b := p.Pack(packs["repeating"])
				if got, err := p.Unpack(codec, b); err != nil || !same(packs["repeating"], got) {
					t.Errorf("parts differ after packing, error %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestUnpackRejects(t *testing.T) {
	p := newPacker(t)
	for name, tt := range map[string]struct {
		codec Codec
		in    string
	}{
		"no length":              {Plain, "\x01"},
		"length without an end":  {Plain, "\x01\x80\x80"},
		"length too long":        {Plain, "\x01" + strings.Repeat("\xff", 10) + "\x01"},
		"length beyond the end":  {Plain, "\x01\x05abcd"},
		"largest length":         {Plain, "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc"},
		"second part cut":        {Plain, "\x01\x01a\x02\x02b"},
		"not compressed":         {Zstd, "\x01\x01a"},
		"codec from the future":  {7, ""},
		"frame that never ends":  {Zstd, "\x28\xb5\x2f\xfd"},
		"announces a terabyte":   {Zstd, "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00"},
		"compressed rubbish":     {Zstd, string(newPackerEncode(t, []byte("\x01\xff")))},
		"nothing, compressed up": {Zstd, "\x00"},
	} {
		if _, err := p.Unpack(tt.codec, []byte(tt.in)); !errors.Is(err, ErrParts) {
			t.Errorf("%s: Unpack() error = %v, want ErrParts", name, err)
		}
	}
}

func newPacker(t testing.TB) *Packer {
	t.Helper()
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newPackerEncode(t testing.TB, b []byte) []byte { return newPacker(t).enc.EncodeAll(b, nil) }

func TestFindPart(t *testing.T) {
	parts := packs["same kind"]
	if got, ok := FindPart(parts, Response); !ok || string(got) != "1" {
		t.Errorf("FindPart() = %q, %t; want the first", got, ok)
	}
	if _, ok := FindPart(parts, Reply); ok {
		t.Error("FindPart() found a kind that is not there")
	}
}

func FuzzUnpackParts(f *testing.F) {
	for _, parts := range packs {
		if b := PackParts(parts); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add([]byte("\x01\x80\x00a")) // a length longer than it need be
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := UnpackParts(b)
		if err != nil {
			if !errors.Is(err, ErrParts) {
				t.Errorf("UnpackParts() error = %v, want ErrParts", err)
			}
			return
		}
		again, err := UnpackParts(PackParts(parts))
		if err != nil || !same(parts, again) {
			t.Errorf("parts differ after packing them again, error %v", err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	p := newPacker(f)
	for _, parts := range packs {
		if codec, b := p.Pack(parts); len(b) < 1000 {
			f.Add(byte(codec), b)
		}
	}
	f.Fuzz(func(t *testing.T, codec byte, b []byte) {
		if _, err := p.Unpack(Codec(codec), b); err != nil && !errors.Is(err, ErrParts) {
			t.Errorf("Unpack() error = %v, want ErrParts", err)
		}
	})
}
