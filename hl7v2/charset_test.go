package hl7v2

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestCharsetTableBothWays takes every row of table 0211 through reading,
// changing and answering. MSH-18 of the answer is the request's spelling.
func TestCharsetTableBothWays(t *testing.T) {
	for _, tt := range []struct {
		names       []string
		text, bytes string
	}{
		{[]string{"8859/1", "ISO-8859-1", "ISO8859-1", "ISO_8859-1"}, "é", "\xE9"},
		{[]string{"8859/2"}, "Ł", "\xA3"},
		{[]string{"8859/3"}, "Ħ", "\xA1"},
		{[]string{"8859/4"}, "Ą", "\xA1"},
		{[]string{"8859/5"}, "А", "\xB0"},
		{[]string{"8859/6"}, "ع", "\xD9"},
		{[]string{"8859/7"}, "Ω", "\xD9"},
		{[]string{"8859/8"}, "ש", "\xF9"},
		{[]string{"8859/9"}, "ş", "\xFE"},
		{[]string{"8859/15"}, "€", "\xA4"},
		{[]string{"UNICODE UTF-8", "UTF-8", "UTF8", "UNICODE", "unicode utf-8"}, "é", "\xC3\xA9"},
		{[]string{"GB 18030-2000"}, "你", "\xC4\xE3"},
		{[]string{"BIG-5"}, "許", "\xB3\x5C"},
		{[]string{"KS X 1001"}, "김", "\xB1\xE8"},
		{[]string{"ISO IR14", "ISO IR87", "ISO IR159"}, "山", "\x1b$B;3\x1b(B"},
		{[]string{"ASCII", "ISO IR6", "US-ASCII"}, "e", "e"},
	} {
		for _, name := range tt.names {
			t.Run(name, func(t *testing.T) {
				m := parse(t, msh+"||||||"+name+"\rPID||"+tt.bytes+"\r")
				if got := m.Get(MustPath("PID-2")); got != tt.text {
					t.Errorf("reads %q, want %q", got, tt.text)
				}
				if got := m.Warnings(); got != nil {
					t.Errorf("warnings %v", got)
				}
				if err := m.Set(MustPath("PID-3"), tt.text); err != nil {
					t.Fatal(err)
				}
				if want := "PID||" + tt.bytes + "|" + tt.bytes + "\r"; !bytes.HasSuffix(m.Bytes(), []byte(want)) {
					t.Errorf("changed to %q, want it to end %q", m.Bytes(), want)
				}
				answer := Reply(m, header).Segment("PID").Text(1, tt.text).Bytes()
				if want := "|" + name + "\rPID|" + tt.bytes + "\r"; !bytes.HasSuffix(answer, []byte(want)) {
					t.Errorf("answer %q, want it to end %q", answer, want)
				}
			})
		}
	}
}

// TestSwitchedCharsets reads text that switches to a set of a later repetition of MSH-18.
func TestSwitchedCharsets(t *testing.T) {
	const yama = "\x1b$B;3\x1b(B"
	for name, tt := range map[string]struct {
		names, in, want string
		charset         Charset
		warnings        []Warning
	}{
		"Japanese, default empty":     {"~ISO IR87", yama, "山", ISO2022JP, nil},
		"Japanese, default ASCII":     {"ASCII~ISO IR87~ISO IR159", yama, "山", ISO2022JP, nil},
		"Japanese, default ISO IR14":  {"ISO IR14~ISO IR87", yama, "山", ISO2022JP, nil},
		"delimiters in the character": {"~ISO IR87", "\x1b$B0|0~\x1b(B", "淫蔭", ISO2022JP, nil},
		"nothing switched":            {"~ISO IR87", "A", "A", ISO2022JP, nil},
		"from Latin":                  {"8859/1~ISO IR87", "\xE9" + yama, "é" + yama, Latin1, []Warning{SwitchedCharset}},
		"to Greek":                    {"8859/1~8859/7", "\xE9\x1b-F\xD9", "é\x1b-FÙ", Latin1, []Warning{SwitchedCharset}},
		"several, nothing switched":   {"8859/1~8859/7", "\xE9", "é", Latin1, nil},
		"not ASCII for all it says":   {"~ISO IR87", "\xE9" + yama, "é" + yama, Windows1252, []Warning{SwitchedCharset}},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, msh+"||||||"+tt.names+"\rPID||"+tt.in+"|x\r")
			if got := m.Get(MustPath("PID-2")); got != tt.want || m.Charset() != tt.charset || m.Get(MustPath("PID-3")) != "x" {
				t.Errorf("reads %q in %v, want %q in %v", got, m.Charset(), tt.want, tt.charset)
			}
			if got := m.Warnings(); !slices.Equal(got, tt.warnings) {
				t.Errorf("warnings %v, want %v", got, tt.warnings)
			}
			if tt.charset != ISO2022JP {
				return
			}
			answer := Reply(m, header).Segment("PID").Text(1, tt.want).Bytes()
			if want := "|" + tt.names + "\rPID|" + tt.in + "\r"; !bytes.HasSuffix(answer, []byte(want)) {
				t.Errorf("answer %q, want it to end %q", answer, want)
			}
		})
	}
}

// TestDelimitersInsideCharacters finds, in each set where that can be, a
// character whose second byte looks like a delimiter.
func TestDelimitersInsideCharacters(t *testing.T) {
	for name, c := range map[string]Charset{"GB 18030-2000": GB18030, "BIG-5": Big5, "ISO IR87": ISO2022JP} {
		for _, mark := range `\^|~` {
			t.Run(name+" "+string(mark), func(t *testing.T) {
				text := characterWith(t, c, byte(mark))
				raw := string(c.encodeMulti(text))
				in := msh + "||||||" + name + "\rPID|1|" + raw + "^" + raw + "\\T\\" + raw + "|end\r"
				m := parse(t, in)
				for path, want := range map[string]string{"PID-2": text, "PID-2.2": text + "&" + text, "PID-3": "end"} {
					if got := m.Get(MustPath(path)); got != want {
						t.Errorf("%s = %q, want %q", path, got, want)
					}
				}
				if string(m.Bytes()) != in {
					t.Errorf("%q came back as %q", in, m.Bytes())
				}
				if err := m.Set(MustPath("PID-1"), text); err != nil {
					t.Fatal(err)
				}
				again := parse(t, string(m.Bytes()))
				if got := again.Get(MustPath("PID-1")) + again.Get(MustPath("PID-3")); got != text+"end" {
					t.Errorf("changed and read again: %q", got)
				}
			})
		}
	}
}

// TestCharsetIsFoundBehindSeparatorsInCharacters has senders whose names hold
// the byte of the field separator before MSH-18.
func TestCharsetIsFoundBehindSeparatorsInCharacters(t *testing.T) {
	for name, c := range map[string]Charset{"GB 18030-2000": GB18030, "BIG-5": Big5} {
		text := characterWith(t, c, '|')
		raw := string(c.encodeMulti(text))
		in := "MSH|^~\\&|" + raw + raw + "|RXX|ST|" + raw + "|||ADT^A28|C1|P|2.4||||||" + name + "\rPID|1|" + raw + "\r"
		m := parse(t, in)
		for path, want := range map[string]string{"MSH-3": text + text, "MSH-6": text, "MSH-10": "C1", "MSH-18": name, "PID-2": text} {
			if got := m.Get(MustPath(path)); got != want {
				t.Errorf("%s: %s = %q, want %q", name, path, got, want)
			}
		}
		if got := Head([]byte(in)).Get(MustPath("MSH-10")); got != "C1" {
			t.Errorf("%s: MSH-10 of the head = %q", name, got)
		}
		if string(m.Bytes()) != in {
			t.Errorf("%q came back as %q", in, m.Bytes())
		}
	}
}

// characterWith returns an ideograph whose encoding holds mark.
func characterWith(t *testing.T, c Charset, mark byte) string {
	t.Helper()
	for r := rune(0x4E00); r < 0x9FA5; r++ {
		b := c.encodeMulti(string(r))
		if i := bytes.LastIndexByte(b, mark); i > 0 && !bytes.Equal(b, []byte("?")) {
			return string(r)
		}
	}
	t.Fatal("no such character")
	return ""
}

func TestAnswerNamesTheOneCharsetItIsIn(t *testing.T) {
	for msh18, want := range map[string]string{
		"8859/1~UNICODE UTF-8": "8859/1",
		"8859/1~8859/2":        "8859/1",
		"~8859/1":              "",
		"KLINGON":              "",
		"UNICODE UTF-16":       "",
	} {
		m := parse(t, msh+"||||||"+msh18+"\rPID|1\r")
		if got := parse(t, string(Reply(m, header).Bytes())).Raw(MustPath("MSH-18")); got != want {
			t.Errorf("MSH-18 %q is answered with %q, want %q", msh18, got, want)
		}
	}
}

func TestWideCharsets(t *testing.T) {
	for _, name := range []string{"UNICODE UTF-16", "UNICODE UTF-32"} {
		m := parse(t, msh+"||||||"+name+"\rPID|Zo\xEB\r")
		if got := m.Get(MustPath("PID-1")); got != "Zoë" || !slices.Contains(m.Warnings(), WideCharset) {
			t.Errorf("%s that is 8-bit reads %q, %v", name, got, m.Warnings())
		}
	}
	utf32 := strings.Join(strings.Split(msh, ""), "\x00\x00\x00") + "\x00\x00\x00"
	for name, in := range map[string]string{
		"UTF-32 LE": utf32, "UTF-32 BE": "\x00\x00\x00" + utf32, "UTF-16 BE": "\x00" + strings.ReplaceAll(utf32, "\x00\x00\x00", "\x00"),
	} {
		_, err := Parse([]byte(in))
		if !errors.Is(err, ErrCharset) || errors.Is(err, ErrUnknownCharset) {
			t.Errorf("%s: Parse = %v, want ErrCharset", name, err)
		}
		answer := Reply(Head([]byte(in)), header).MSA(AR, "C1", "Not readable").Bytes()
		if !isASCII(string(answer)) || bytes.IndexByte(answer, 0) >= 0 || parse(t, string(answer)).Raw(MustPath("MSH-18")) != "" {
			t.Errorf("%s is answered with %q", name, answer)
		}
	}
}

func TestStrictCharsetRefusesOnlyTheUnknown(t *testing.T) {
	for _, name := range []string{"", "8859/1", "8859/15", "UNICODE", "BIG-5", "UNICODE UTF-16"} {
		if _, err := (Parser{StrictCharset: true}).Parse([]byte(msh + "||||||" + name + "\r")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"KLINGON", "CNS 11643-1992", "8859/10"} {
		var where *ParseError
		_, err := Parser{StrictCharset: true}.Parse([]byte(msh + "||||||" + name + "\r"))
		if !errors.As(err, &where) || where.Segment != "MSH" || where.Field != 18 || !errors.Is(err, ErrUnknownCharset) {
			t.Errorf("%q: %v, want ErrUnknownCharset at MSH-18", name, err)
		}
	}
}
