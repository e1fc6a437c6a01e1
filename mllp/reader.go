package mllp

import (
	"errors"
	"fmt"
	"io"
)

// Reader reads messages from a stream of frames. It is not safe for concurrent use.
type Reader struct {
	sc       scanner
	src      io.Reader
	err      error // of src, to be returned behind the bytes that came with it
	pos, end int   // of what is unread in buf
	buf      [readSize]byte
}

// NewReader returns a Reader of the frames in r. A message may have up to max bytes; zero or less means 1 MiB.
func NewReader(r io.Reader, max int) *Reader {
	rd := &Reader{src: r}
	rd.sc.init(max, nil)
	return rd
}

// Next returns the next message, which is the caller's to keep. What stands between frames, frames without a byte in
// them and frames given up for a new one are passed over.
//
// It returns io.EOF at the end, io.ErrUnexpectedEOF if the stream ends in a frame, [ErrFrameTooLarge] for a frame
// over the limit, [ErrJunk] for 8 KiB without a frame, for another protocol's greeting and for junk at the end,
// and otherwise the error of the stream. After ErrFrameTooLarge and ErrJunk reading may go on.
//
// The byte behind an FS says whether the frame ended, so Next waits for it as long as the stream's Read does. A Read
// that fails instead, as one with a deadline may, ends the frame.
func (r *Reader) Next() ([]byte, error) {
	for {
		ev, err := r.step()
		if err != nil {
			return nil, r.ended(err)
		}
		p := r.sc.take()
		switch ev {
		case evFrame:
			return p.body, nil
		case evOversize, evHardLimit:
			return nil, ErrFrameTooLarge
		case evJunkTooLong, evForeign:
			return nil, ErrJunk
		case evNone, evAbandoned, evJunk: // the next frame may be whole
		}
	}
}

// ended turns the error that ended the stream into one that says where in it.
func (r *Reader) ended(err error) error {
	st := r.sc.state
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("mllp: read: %w", err)
	case st.inFrame():
		return io.ErrUnexpectedEOF
	case st == stJunk:
		r.sc.begin(stIdle)
		return ErrJunk
	}
	return io.EOF
}

// step returns the next event, or the error of src once the bytes before it are used up.
func (r *Reader) step() (event, error) {
	for {
		n, ev := r.sc.scan(r.buf[r.pos:r.end])
		r.pos += n
		if ev == evNone && r.err != nil {
			err := r.err
			r.err = nil
			if r.sc.state != stFS {
				return evNone, err
			}
			ev = r.sc.finish()
		}
		if ev != evNone {
			return ev, nil
		}
		r.pos = 0
		r.end, r.err = r.src.Read(r.buf[:])
	}
}
