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
		for i, m := range messages {
			all = append(all, letter{File: name, Number: i + 1, Message: m})
		}
	}
	return all, nil
}

func readLetter(name string, in io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(name)
}

// splitMessages takes a file apart. One that starts with a VT is a stream of MLLP frames.
// Any other is text: a message starts at each MSH segment, a file with a batch or file header
// (BHS, FHS) is one message. Line ends become CR.
func splitMessages(content []byte) ([][]byte, error) {
	const vt = 0x0b
	if len(content) > 0 && content[0] == vt {
		return readFrames(bytes.NewReader(content))
	}
	text := bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	text = carriageReturns(bytes.TrimSpace(text))
	if bytes.HasPrefix(text, []byte("FHS")) || bytes.HasPrefix(text, []byte("BHS")) {
		return [][]byte{append(text, '\r')}, nil
	}
	if !bytes.HasPrefix(text, []byte("MSH")) {
		return nil, errors.New("does not start with MSH")
	}
	var messages [][]byte
	for _, part := range hl7v2.Split(text).Messages {
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
