package hl7v2

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format prints a message for people: one segment a line, as UTF-8, with bytes
// that a terminal would obey shown as their code in angle brackets. It prints
// anything; what cannot be parsed is cut at its line ends. The error is that
// of w. [Describe] prints it with the names of its fields.
func Format(w io.Writer, b []byte) error {
	out := bufio.NewWriter(w)
	for _, line := range lines(b) {
		_, _ = out.Write(append(appendVisible(nil, line), '\n')) // Flush has its error
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("hl7v2: format: %w", err)
	}
	return nil
}

// lines returns the segments of b as UTF-8 where that is possible.
func lines(b []byte) []string {
	var list []string
	m, err := Parse(b)
	if err != nil {
		return textLines(string(b))
	}
	for s := range m.Segments() {
		line := s.Raw()
		if !m.charset.multi() {
			line = m.charset.decode(line)
		}
		list = append(list, line)
	}
	return list
}

// textLines cuts what is no message at its line ends.
func textLines(text string) []string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// appendVisible appends a line with everything in it that does not print as
// its code.
func appendVisible(dst []byte, line string) []byte {
	for len(line) > 0 {
		r, size := utf8.DecodeRuneInString(line)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, "<%02X>", line[0])
		case unicode.IsPrint(r) || r == '\u00A0':
			dst = append(dst, line[:size]...)
		default:
			dst = fmt.Appendf(dst, "<%02X>", r)
		}
		line = line[size:]
	}
	return dst
}
