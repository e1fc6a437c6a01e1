package mllp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quirks are the inputs of the table of real peers, and then some.
var quirks = []string{
	"\vMSH|a\r\x1c\r",
	"\vMSH|a\x1c",
	"\vMSH|a\x1c\vMSH|b\x1c\r",
	"\vMSH|a\x1c\n\vMSH|b\x1c\r",
	"\vMSH|a\x1c\r\n\x00\x00\x1c \t\vMSH|b\x1c\r",
	"HELLO\vMSH|a\x1c\r",
	"\xef\xbb\xbf\vMSH|a\x1c\r",
	"\vPID\x1cx\x1c\x1c\r",
	"\vPID\vx\vM\vMS\x1c\r",
	"\v\v\vMSH|a\x1c\r",
	"\vMSH|part\vMSH|whole\x1c\r",
	"\vMSH|part\v\vMSH|whole\x1c\r",
	"\vMSH|part\vBHS|batch\vFHS|file\x1c\r",
	"\vPID\vMHS\vB\vFH\vMSB\x1c\r",
	"\vMSH|part\vBH",
	"\vMSH|part\vMS",
	"\vMSH|part\v",
	"\vMSH|par",
	"\v",
	"\v\x1c\r\v\x1c",
	"\v\x06\x1c\r\vMSH|a\x1c\r",
	"\v" + strings.Repeat("x", 40) + "\x1c\r\vMSH|b\x1c\r",
	"\v" + strings.Repeat("x", 40) + "\x1cy\vMSH|b\x1c\r",
	"\v" + strings.Repeat("x", 3000) + "\x1c\r",
	"\v" + strings.Repeat("\x1c", 2000),
	strings.Repeat("junk", 3000),
	strings.Repeat("junk", 2048) + "\vMSH|a\x1c\r",
	"MSH|a\r\x1c\r",
	"GET / HTTP/1.1\r\n\r\n",
	"GE\vMSH|a\x1c\r",
	"\x16\x03\x01\x02\x00",
	"SSH-2.0-x\r\n",
	"",
}

const smallMax = 32

// heads are the segments that begin a message or a batch.
var heads = []string{"MSH", "BHS", "FHS"}

// model is the table in the package comment, slow and obvious: it has the whole input in front of it and takes it
// byte by byte.
func model(in string, max int) (out []string) {
	say := func(what, body string) {
		if len(body) > max {
			body = fmt.Sprintf("%d bytes", len(body))
		}
		out = append(out, fmt.Sprintf("%s %q", what, body))
	}
	for i := 0; i < len(in); {
		if strings.IndexByte("\r\n\x00\x1c \t", in[i]) >= 0 {
			i++
			continue
		}
		if in[i] != '\v' {
			run, _, ended := strings.Cut(in[i:], "\v")
			i += len(run)
			switch {
			case foreign([]byte(run)) != "":
				return append(out, "foreign")
			case len(run) > 8192:
				return append(out, "junk too long")
			}
			say("junk", run)
			if !ended {
				return out
			}
		}
		i++
		for body, open := "", true; open; {
			if len(body) > 64*max {
				return append(out, "hard limit")
			}
			if i == len(in) {
				say("cut", body)
				return out
			}
			rest := in[i+1:]
			switch {
			case in[i] == '\x1c' && (rest == "" || strings.IndexByte("\r\n\v", rest[0]) >= 0):
				if body != "" {
					say("frame", body)
				}
				open = false
				if rest != "" && rest[0] != '\v' {
					i++
				}
			case in[i] == '\v' && body == "":
			case in[i] == '\v' && len(rest) < 3 && slices.ContainsFunc(heads, func(h string) bool { return strings.HasPrefix(h, rest) }):
				say("cut", body+in[i:])
				return out
			case in[i] == '\v' && len(rest) >= 3 && slices.Contains(heads, rest[:3]):
				say("abandoned", body)
				body = ""
			default:
				body += in[i : i+1]
			}
			i++
		}
	}
	return out
}

// events reads r and returns what it came upon, in the words of model.
func events(r io.Reader, max int) (out []string) {
	rd := NewReader(r, max)
	for {
		ev, err := rd.step()
		if err != nil {
			p := rd.sc.rest()
			switch {
			case rd.sc.state == stJunk:
				out = append(out, describe("junk", p, max))
			case rd.sc.state.inFrame():
				out = append(out, describe("cut", p, max))
			}
			return out
		}
		p := rd.sc.take()
		switch ev {
		case evForeign:
			return append(out, "foreign")
		case evJunkTooLong:
			return append(out, "junk too long")
		case evHardLimit:
			return append(out, "hard limit")
		case evJunk:
			out = append(out, describe("junk", p, max))
		case evAbandoned:
			out = append(out, describe("abandoned", p, max))
		default:
			out = append(out, describe("frame", p, max))
		}
	}
}

func describe(what string, p part, max int) string {
	if p.size > int64(max) {
		return fmt.Sprintf("%s %q", what, fmt.Sprintf("%d bytes", p.size))
	}
	return fmt.Sprintf("%s %q", what, p.body)
}

// pieces returns its bytes in reads of the sizes that next returns.
type pieces struct {
	in   string
	next func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.in == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(1, p.next()))], p.in)
	p.in = p.in[n:]
	return n, nil
}

func TestReaderDoesNotSeePackets(t *testing.T) {
	for _, in := range quirks {
		want := model(in, smallMax)
		for cut := range len(in) + 1 {
			first := true
			got := events(&pieces{in, func() int {
				if first {
					first = false
					return cut
				}
				return len(in)
			}}, smallMax)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%.60q cut at %d (-want +got):\n%s", in, cut, d)
			}
		}
		one := events(&pieces{in, func() int { return 1 }}, smallMax)
		if d := cmp.Diff(want, one); d != "" {
			t.Errorf("%.60q byte by byte (-want +got):\n%s", in, d)
		}
	}
}

// FuzzReader holds the Reader against the model, with the input cut into pieces at random.
func FuzzReader(f *testing.F) {
	for i, in := range quirks {
		if len(in) > 100 {
			continue // slow to work on; TestReaderDoesNotSeePackets has them
		}
		f.Add([]byte(in), uint64(i), uint8(8))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, size uint8) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		got := events(&pieces{string(in), func() int { return rnd.IntN(int(size) + 1) }}, smallMax)
		if d := cmp.Diff(model(string(in), smallMax), got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// FuzzFrame holds that what was framed is read back, if it holds nothing that frames.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("MSH|a\r"), []byte("x"))
	f.Add([]byte("\x1c"), []byte("MSH|b\x1c"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, msg := range [][]byte{a, b} {
			if len(msg) == 0 || bytes.ContainsAny(msg, "\v\x1c") {
				t.Skip()
			}
		}
		r := NewReader(bytes.NewReader(Append(Append(nil, a), b)), max(len(a), len(b)))
		for _, want := range [][]byte{a, b} {
			if got, err := r.Next(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Next() = %q, %v, want %q", got, err, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("Next() at the end: %v, want EOF", err)
		}
	})
}

func TestReaderKeepsHeadOfOversize(t *testing.T) {
	const size = 3 * headSize
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	for _, max := range []int{200, headSize, headSize + 1, 2 * headSize, size - 1} {
		r := NewReader(bytes.NewReader(Append(nil, body)), max)
		ev, err := r.step()
		p := r.sc.take()
		if ev != evOversize || err != nil || p.size != size || !bytes.Equal(p.body, body[:headSize]) {
			t.Errorf("limit %d: event %d, %v, %d of %d bytes kept", max, ev, err, len(p.body), p.size)
		}
	}
	r := NewReader(bytes.NewReader(Append(nil, body)), size)
	if got, err := r.Next(); err != nil || !bytes.Equal(got, body) {
		t.Errorf("a message of exactly the limit: %d bytes, %v", len(got), err)
	}
}

// endless is a frame without an end.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	if e.n == 0 {
		p[0] = vt
	}
	e.n += int64(len(p))
	return len(p), nil
}

func TestReaderMemoryIsFlat(t *testing.T) {
	src := &endless{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := NewReader(src, 0).Next()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("Next() = %v, want %v", err, ErrFrameTooLarge)
	}
	if limit := int64(HardFactor*defaultMaxFrame + 2*readSize); src.n > limit {
		t.Errorf("read %d bytes, want at most %d", src.n, limit)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*defaultMaxFrame {
		t.Errorf("allocated %d bytes in all", got)
	}
}

func TestHalfSentFramesAreCheap(t *testing.T) {
	const readers = 10_000
	half := "\vMSH|^~\\&|PAS|RXX" + strings.Repeat("x", 300)
	held := make([]*Reader, readers)
	before := heapInUse()
	for i := range held {
		held[i] = NewReader(strings.NewReader(half), 0)
		if _, err := held[i].Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	if got := (heapInUse() - before) / readers; got > 6<<10 {
		t.Errorf("%d bytes for each half-sent frame", got)
	}
	runtime.KeepAlive(held)
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestReaderNext(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []any // messages and errors
	}{
		"nothing":                 {"", []any{io.EOF}},
		"two frames":              {"\va\x1c\r\vb\x1c\r", []any{"a", "b", io.EOF}},
		"missing end block":       {"\vMSH|\r", []any{io.ErrUnexpectedEOF}},
		"frame over limit":        {"\v" + strings.Repeat("x", 65) + "\x1c\r\vb\x1c\r", []any{ErrFrameTooLarge, "b", io.EOF}},
		"frame over hard limit":   {"\v" + strings.Repeat("x", 65*64), []any{ErrFrameTooLarge}},
		"frame at the limit":      {"\v" + strings.Repeat("x", 64) + "\x1c\r", []any{strings.Repeat("x", 64), io.EOF}},
		"no CR at the end":        {"\va\x1c", []any{"a", io.EOF}},
		"empty frames":            {"\v\x1c\r\v\x1c", []any{io.EOF}},
		"junk between":            {"\va\x1c\rjunk\vb\x1c\r", []any{"a", "b", io.EOF}},
		"junk at the end":         {"\va\x1c\rjunk", []any{"a", ErrJunk, io.EOF}},
		"too much junk":           {strings.Repeat("j", 9000), []any{ErrJunk}},
		"a browser":               {"GET / HTTP/1.1\r\n", []any{ErrJunk}},
		"a message given up":      {"\vMSH|a\vMSH|b\x1c\r", []any{"MSH|b", io.EOF}},
		"commit blocks are bytes": {"\v\x06\x1c\r", []any{"\x06", io.EOF}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tt.in), 64)
			for i, want := range tt.want {
				msg, err := r.Next()
				if s, ok := want.(string); ok && (err != nil || string(msg) != s) {
					t.Errorf("%d: Next() = %.80q, %v, want %.80q", i, msg, err, s)
				}
				if e, ok := want.(error); ok && !errors.Is(err, e) {
					t.Errorf("%d: Next() = %.80q, %v, want %v", i, msg, err, e)
				}
			}
		})
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	boom := errors.New("boom")
	r := NewReader(io.MultiReader(strings.NewReader("\va\x1c\r\vb"), failing{boom}), 0)
	if msg, err := r.Next(); string(msg) != "a" || err != nil {
		t.Errorf("Next() = %q, %v, want a", msg, err)
	}
	if _, err := r.Next(); !errors.Is(err, boom) {
		t.Errorf("Next() = %v, want %v", err, boom)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// writes records what it is given, one string for each Write.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestWriteFrame(t *testing.T) {
	var w writes
	if err := WriteFrame(&w, []byte("MSA|AA|T1\r")); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(writes{"\x0bMSA|AA|T1\r\x1c\r"}, w); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	boom := errors.New("boom")
	if err := WriteFrame(failing{boom}, nil); !errors.Is(err, boom) {
		t.Errorf("WriteFrame() = %v, want %v", err, boom)
	}
}
