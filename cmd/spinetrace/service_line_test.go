package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// answered is a message that a sender wrote and the answer that it saw.
type answered struct {
	message
	answer []byte
	code   string // MSA-1
	text   string // MSA-3
}

// line is one connection of a sender.
type line struct {
	conn *net.TCPConn
	in   *mllp.Reader
}

func dialLine(addr string) (*line, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &line{conn.(*net.TCPConn), mllp.NewReader(conn, 0)}, nil
}

// talk sends messages without waiting in between and reads one answer for each. What was
// answered before an error is returned with it.
func (l *line) talk(messages ...message) ([]answered, error) {
	var frames []byte
	for _, m := range messages {
		frames = mllp.Append(frames, m.bytes)
	}
	if _, err := l.conn.Write(frames); err != nil {
		return nil, err
	}
	var all []answered
	for _, m := range messages {
		reply, err := l.in.Next()
		if err != nil {
			return all, fmt.Errorf("%s %s: %w", m.kind, m.controlID, err)
		}
		a, err := read(m, reply)
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
	return all, nil
}

// errWrongAnswer says that an answer is not what it must be: trying again would hide a fault.
var errWrongAnswer = errors.New("wrong answer")

// read checks that an answer is the answer to m, and of the code that m must get.
func read(m message, reply []byte) (answered, error) {
	r, err := hl7v2.Parse(reply)
	if err != nil {
		return answered{}, fmt.Errorf("%w to %s: no HL7: %w", errWrongAnswer, m.kind, err)
	}
	a := answered{message: m, answer: reply, code: r.Get(msa1), text: r.Get(msa3)}
	switch {
	case r.Get(msa2) != m.controlID:
		return a, fmt.Errorf("%w to %s %s: it is for %q", errWrongAnswer, m.kind, m.controlID, r.Get(msa2))
	case m.ack != "" && a.code != m.ack:
		return a, fmt.Errorf("%w to %s %s: %s %q, want %s", errWrongAnswer, m.kind, m.controlID, a.code, a.text, m.ack)
	}
	return a, nil
}

// hangUp ends the connection in good order, and fails if there is more than what was asked
// for.
func (l *line) hangUp() error {
	defer l.conn.Close()
	if err := l.conn.CloseWrite(); err != nil {
		return err
	}
	switch more, err := l.in.Next(); {
	case err == nil:
		return fmt.Errorf("%w: %d bytes that nobody asked for", errWrongAnswer, len(more))
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("end of the connection: %w", err)
	}
	return nil
}

// breakOff sends the first half of a message and leaves.
func (l *line) breakOff(m message) error {
	frame := mllp.Append(nil, m.bytes)
	_, err := l.conn.Write(frame[:len(frame)/2])
	return errors.Join(err, l.conn.Close())
}

// book is what all senders of a test saw.
type book struct {
	mu   sync.Mutex
	all  []answered
	half []message // never sent whole
}

func (b *book) add(a ...answered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a...)
}

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

func (b *book) addHalf(m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.half = append(b.half, m)
}

// pick returns some message that was answered before.
func (b *book) pick(n int) (message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) == 0 {
		return message{}, false
	}
	return b.all[n%len(b.all)].message, true
}

// firsts returns the first positive answer to every message, resends left out.
func (b *book) firsts() []answered {
	b.mu.Lock()
	defer b.mu.Unlock()
	var firsts []answered
	seen := make(map[string]bool)
	for _, a := range b.all {
		if a.code == "AA" && !seen[string(a.bytes)] {
			seen[string(a.bytes)] = true
			firsts = append(firsts, a)
		}
	}
	return firsts
}

// kept tells whether an answer is kept for a resend. Refusals of what was not for us, or not
// now, or that BACKEND_ALLOW_PARTIAL_DOB could lift, are not.
func (a answered) kept() bool {
	return a.code != "AR" && a.text != "Date of birth must be complete"
}

// differing returns a message that was answered in two ways although its first answer is
// kept for a resend.
func (b *book) differing() (answered, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make(map[string][]byte)
	for _, a := range b.all {
		if !a.kept() {
			continue
		}
		earlier, again := kept[string(a.bytes)]
		if again && !bytes.Equal(earlier, a.answer) {
			return a, true
		}
		kept[string(a.bytes)] = a.answer
	}
	return answered{}, false
}
