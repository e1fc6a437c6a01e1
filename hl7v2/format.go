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
// of w.
func Format(w io.Writer, b []byte) error {
	out := bufio.NewWriter(w)
	for _, line := range lines(b) {
		formatLine(out, line)
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
		text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b))
		return strings.Split(strings.TrimRight(text, "\n"), "\n")
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

// formatLine writes one line. bufio keeps its first error until Flush.
func formatLine(out *bufio.Writer, line string) {
	for len(line) > 0 {
		r, size := utf8.DecodeRuneInString(line)
		switch {
		case r == utf8.RuneError && size == 1:
			_, _ = fmt.Fprintf(out, "<%02X>", line[0])
		case unicode.IsPrint(r) || r == '\u00A0':
			_, _ = out.WriteRune(r)
		default:
			_, _ = fmt.Fprintf(out, "<%02X>", r)
		}
		line = line[size:]
	}
	_ = out.WriteByte('\n')
}
