package hl7v2

import (
	"slices"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestUnescape(t *testing.T) {
	m := parse(t, "MSH|^~\\&#|PAS\r")
	for raw, want := range map[string]string{
		"plain":                 "plain",
		`O\T\NEIL`:              "O&NEIL",
		`\F\\S\\T\\R\\E\\P\`:    `|^&~\#`,
		`O\Neil`:                `O\Neil`,
		`trailing\`:             `trailing\`,
		`\`:                     `\`,
		`\\`:                    `\\`,
		`A\X41\B`:               "AAB",
		`A\X0D0A\B`:             "A\r\nB",
		`A\X0D\\X0A\B`:          "A\r\nB",
		`\XC3A9\`:               "é",
		`\X4\`:                  `\X4\`,
		`\X4G\`:                 `\X4G\`,
		`\X\`:                   `\X\`,
		`A\.br\B`:               "A\nB",
		`A\.sp\B`:               "A\nB",
		`A\.sp 3\B`:             "A\nB",
		`A\.sp+3\B`:             "A\nB",
		`A\.ce\B`:               "A\nB",
		`A\.in 2\B\.ti-1\C`:     "A B C",
		`A\.sk 2\B`:             "A B",
		`A\.fi\B\.nf\C`:         "ABC",
		`A\.xx\B`:               `A\.xx\B`,
		`\H\bold\N\ plain`:      "bold plain",
		`\Q\`:                   `\Q\`,
		`a\Neil\T\b`:            `a\Neil&b`,
		`\C2842\A`:              `\C2842\A`,
		`\M242842\A`:            `\M242842\A`,
		`\Zlocal\A`:             `\Zlocal\A`,
		"N\x1cAME":              "NAME",
		`Zo\XEB\`:               "Zoë", // not UTF-8, so Windows-1252
		`\E\T\E\`:               `\T\`, // once only
		"C\xC3\xA9line \\T\\ B": "Céline & B",
	} {
		if got := m.Unescape(raw); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", raw, got, want)
		}
	}
	if !slices.Contains(m.Warnings(), UnsupportedEscape) {
		t.Error("no warning for a charset switch")
	}
}

func TestUnescapeFollowsTheMessage(t *testing.T) {
	m := parse(t, "MSH$*:!%$PAS\rPID$a!F!b!S!c!R!d!T!e!E!f$!X41!$\\F\\\r")
	for path, want := range map[string]string{"PID-1": "a$b*c:d%e!f", "PID-2": "A", "PID-3": `\F\`} {
		if got := m.Get(MustPath(path)); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	latin := parse(t, msh+"||||||8859/1\rPID|Zo\\XEB\\|O\\X0D0A\\P|A\\S\\B^C\r")
	for path, want := range map[string]string{"PID-1": "Zoë", "PID-2": "O\r\nP", "PID-3": "A^B", "PID-3.2": "C"} {
		if got := latin.Get(MustPath(path)); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	short := parse(t, "MSH|^~|PAS\rPID|a\\T\\b&c\r")
	if got := short.Get(MustPath("PID-1")); got != `a\T\b&c` {
		t.Errorf("without an escape character: %q", got)
	}
}

func TestEscapeRoundTrip(t *testing.T) {
	messages := []*Message{
		parse(t, msh+"\r"), parse(t, "MSH|^~\\&#|PAS\r"), parse(t, "MSH$*:!%$PAS\r"),
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(messages).Draw(t, "message")
		text := rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P, unicode.S, unicode.Z)).Draw(t, "text")
		if text == null {
			return // cannot be a value
		}
		raw := m.Escape(text)
		if got := m.Unescape(raw); got != text {
			t.Errorf("Unescape(Escape(%q)) = %q", text, got)
		}
		if err := m.Set(Path{segment: nameMSH, field: 13}, text); err != nil {
			t.Fatal(err)
		}
		if got := m.Get(Path{segment: nameMSH, field: 13}); got != text {
			t.Errorf("Set then Get of %q = %q", text, got)
		}
	})
}

func TestCharset(t *testing.T) {
	const lone = "Zo\xEB" // Windows-1252 and ISO-8859-1
	for name, tt := range map[string]struct {
		msh18, name string
		want        Charset
		text        string
		warn        []Warning
	}{
		"empty, ASCII":         {"", "Zoe", UTF8, "Zoe", nil},
		"empty, UTF-8":         {"", "Zoë", UTF8, "Zoë", nil},
		"empty, Windows":       {"", lone + "\x92s", Windows1252, "Zoë’s", nil},
		"ASCII":                {"ASCII", "Zoe", ASCII, "Zoe", nil},
		"ISO IR6, UTF-8":       {"ISO IR6", "Zoë", UTF8, "Zoë", []Warning{HighBytes}},
		"US-ASCII, Windows":    {"US-ASCII", lone, Windows1252, "Zoë", []Warning{HighBytes}},
		"8859/1":               {"8859/1", lone, Latin1, "Zoë", nil},
		"8859/1, Windows":      {"8859/1", "O\x92Neil", Latin1, "O’Neil", nil},
		"ISO-8859-1":           {"ISO-8859-1", lone, Latin1, "Zoë", nil},
		"ISO8859-1":            {"ISO8859-1", lone, Latin1, "Zoë", nil},
		"ISO_8859-1":           {"ISO_8859-1", lone, Latin1, "Zoë", nil},
		"8859/2":               {"8859/2", "\xA3ukasz", Latin2, "Łukasz", nil},
		"8859/5":               {"8859/5", "\xB0", Cyrillic, "А", nil},
		"8859/15":              {"8859/15", "\xA4", Latin9, "€", nil},
		"UNICODE UTF-8":        {"UNICODE UTF-8", "Zoë", UTF8, "Zoë", nil},
		"UNICODE":              {"UNICODE", "Zoë", UTF8, "Zoë", nil},
		"utf-8":                {"utf-8", "Zoë", UTF8, "Zoë", nil},
		"UTF-8, Windows bytes": {"UNICODE UTF-8", lone, UTF8, "Zoë", []Warning{InvalidUTF8}},
		"repeated":             {"8859/1~UNICODE UTF-8", lone, Latin1, "Zoë", nil},
		"KLINGON":              {"KLINGON", lone, Windows1252, "Zoë", []Warning{UnknownCharset}},
		"CNS":                  {"CNS 11643-1992", "Zoe", UTF8, "Zoe", []Warning{UnknownCharset}},
		"UTF-16, 8-bit":        {"UNICODE UTF-16", "Zoë", UTF8, "Zoë", []Warning{WideCharset}},
		"GB18030":              {"GB 18030-2000", "\xC4\xE3\x81\x5C", GB18030, "你乗", nil},
		"Big5, second byte |":  {"BIG-5", "\xA5\x7C", Big5, "四", nil},
		"Big5, second byte \\": {"BIG-5", "\xB3\x5C^X", Big5, "許", nil},
		"EUC-KR":               {"KS X 1001", "\xB1\xE8", EUCKR, "김", nil},
		"ISO-2022-JP":          {"ISO IR87", "\x1b$B;3ED\x1b(B", ISO2022JP, "山田", nil},
		"GB18030, broken":      {"GB 18030-2000", "A\xFF", GB18030, "A\uFFFD", []Warning{InvalidText}},
	} {
		t.Run(name, func(t *testing.T) {
			in := msh + "||||||" + tt.msh18 + "\rPID|||||" + tt.name + "\r"
			m := parse(t, in)
			if got := m.Charset(); got != tt.want {
				t.Errorf("Charset() = %v, want %v", got, tt.want)
			}
			if got := m.Get(MustPath("PID-5")); got != tt.text {
				t.Errorf("PID-5 = %q, want %q", got, tt.text)
			}
			if got := m.Warnings(); !slices.Equal(got, tt.warn) {
				t.Errorf("Warnings() = %v, want %v", got, tt.warn)
			}
			if got := string(m.Bytes()); got != in {
				t.Errorf("Bytes() = %q, want %q", got, in)
			}
		})
	}
}

func TestSetWritesTheMessagesCharset(t *testing.T) {
	for name, tt := range map[string]struct {
		msh18, text, want string
		replaced          bool
	}{
		"UTF-8":               {"UNICODE UTF-8", "Łukasz’", "Łukasz’", false},
		"8859/1":              {"8859/1", "Zoë", "Zo\xEB", false},
		"8859/1, no accent":   {"8859/1", "Łukasz Dvořák", "Lukasz Dvor\xE1k", true},
		"8859/1, apostrophe":  {"8859/1", "O’Neil", "O'Neil", true},
		"8859/1, none":        {"8859/1", "山", "?", true},
		"8859/2":              {"8859/2", "Łukasz", "\xA3ukasz", false},
		"ASCII":               {"ASCII", "Zoë Straße", "Zoe Strasse", true},
		"Big5 with delimiter": {"BIG-5", "許|四", "\xB3\x5C\\F\\\xA5\x7C", false},
		"GB18030":             {"GB 18030-2000", "你", "\xC4\xE3", false},
		"EUC-KR, none":        {"KS X 1001", "Łž", "\xA8\xA9z", true},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, msh+"||||||"+tt.msh18+"\rPID|1|old|x\r")
			if err := m.Set(MustPath("PID-2"), tt.text); err != nil {
				t.Fatal(err)
			}
			if want := msh + "||||||" + tt.msh18 + "\rPID|1|" + tt.want + "|x\r"; string(m.Bytes()) != want {
				t.Errorf("Bytes() = %q, want %q", m.Bytes(), want)
			}
			if got := slices.Contains(m.Warnings(), Replaced); got != tt.replaced {
				t.Errorf("replaced = %v, want %v", got, tt.replaced)
			}
		})
	}
}

// What stands for a character that the set lacks is text, and no delimiter.
func TestFoldedCharactersAreEscaped(t *testing.T) {
	m := parse(t, "MSH|-'\\?|PAS|||||||||||||||ASCII\rPID|1|old|x\r")
	const text = "O’Neil–Łukasz 山"
	if err := m.Set(MustPath("PID-2"), text); err != nil {
		t.Fatal(err)
	}
	again := parse(t, string(m.Bytes()))
	if got := again.Get(MustPath("PID-2")); got != "O'Neil-Lukasz ?" {
		t.Errorf("%q reads %q", m.Bytes(), got)
	}
	if !slices.Contains(m.Warnings(), Replaced) {
		t.Error("no warning")
	}
}

func TestNamesOfWarningsAndCharsets(t *testing.T) {
	for w := range warnings {
		if w.String() == "" {
			t.Errorf("warning %d has no text", w)
		}
	}
	for c := range charsets {
		if c.String() == "" {
			t.Errorf("charset %d has no name", c)
		}
	}
	if warnings.String() != "unknown warning" || charsets.String() != "unknown" || Presence(9).String() != "unknown" {
		t.Error("values outside the sets have names")
	}
}
