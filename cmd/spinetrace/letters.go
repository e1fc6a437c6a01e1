package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// maxLetter is the longest message that `send` sends, on purpose more than a listener takes.
const maxLetter = 256 << 20

// readLetters reads the messages of all files. The file - is in.
func readLetters(files []string, in io.Reader) ([]letter, error) {
	var all []letter
	for _, name := range files {
		content, err := readLetter(name, in)
		if err != nil {
			return nil, err
		}
		messages, err := splitMessages(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		number := 1
		for _, m := range messages {
			n := messagesIn(m)
			if n == 0 {
				return nil, fmt.Errorf("%s: batch without messages", name)
			}
			all = append(all, letter{File: name, Number: number, Message: m})
			number += n
		}
	}
	return all, nil
}

// messagesIn counts the messages that a frame is answered for.
func messagesIn(frame []byte) int {
	if batch := hl7v2.Split(frame); batch.Header != nil {
		return len(batch.Messages)
	}
	return 1
}

func readLetter(name string, in io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(name)
}

// splitMessages takes a file apart. One that starts with a VT is a stream of MLLP frames.
// Any other is text: a message starts at each MSH segment, a file with a batch or file header
// (BHS, FHS) is one frame. Line ends become CR.
func splitMessages(content []byte) ([][]byte, error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(bytes.TrimLeft(content, "\r\n\t "), []byte("\v")) {
		return readFrames(bytes.NewReader(content))
	}
	text := bytes.TrimSpace(unframed(carriageReturns(bytes.TrimSpace(content))))
	batch := hl7v2.Split(text)
	switch start := string(text[:min(3, len(text))]); {
	case start != "MSH" && start != "BHS" && start != "FHS":
		return nil, errors.New("does not start with MSH, BHS or FHS")
	case batch.Header != nil:
		return [][]byte{append(text, '\r')}, nil
	case start != "MSH":
		return nil, errors.New("starts with a batch header that cannot be read")
	}
	var messages [][]byte
	for _, part := range batch.Messages {
		part = bytes.TrimRight(part, "\r\n \t")
		messages = append(messages, append(part[:len(part):len(part)], '\r'))
	}
	return messages, nil
}

// carriageReturns ends the lines of text in CR. Where they do already, an LF is data.
func carriageReturns(text []byte) []byte {
	if bytes.Count(text, []byte("\r")) > bytes.Count(text, []byte("\r\n")) {
		return text
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\r"))
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r"))
}

// unframed leaves out what is left of MLLP frames around the lines of text: within a message
// it would end its frame, and what is behind it would be sent and never told of.
func unframed(text []byte) []byte {
	lines := bytes.Split(text, []byte("\r"))
	for i, line := range lines {
		lines[i] = bytes.TrimRight(bytes.TrimLeft(line, "\n\v\x1c"), "\x1c")
	}
	return bytes.Join(lines, []byte("\r"))
}

func readFrames(r io.Reader) ([][]byte, error) {
	frames := mllp.NewReader(r, maxLetter)
	var messages [][]byte
	for {
		m, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
}

// withNewIDs returns the batch, whose messages these are, with new control ids throughout.
func withNewIDs(batch []byte, messages [][]byte) ([]byte, error) {
	var out []byte
	for i, message := range messages {
		before, after, _ := bytes.Cut(batch, message)
		out, batch = appendBetween(out, before), after
		renewed, err := withNewID(message)
		if err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", i+1, err)
		}
		out = append(out, renewed...)
	}
	return appendBetween(out, batch), nil
}

// appendBetween appends what stands between the messages of a batch, its headers with new
// control ids.
func appendBetween(out, between []byte) []byte {
	for len(between) > 0 {
		end := bytes.IndexAny(between, "\r\n") + 1
		if end == 0 {
			end = len(between)
		}
		line := bytes.TrimRight(between[:end], "\r\n")
		out = append(out, withNewHeaderID(line)...)
		out = append(out, between[len(line):end]...)
		between = between[end:]
	}
	return out
}

// withNewHeaderID returns a BHS or FHS with a new control id, and any other line as it is.
func withNewHeaderID(line []byte) []byte {
	header := hl7v2.Split(line).Header
	if header == nil {
		return line
	}
	if header.Set(bhs11, newID()) != nil && header.Set(fhs11, newID()) != nil {
		return line
	}
	return header.Bytes()
}
