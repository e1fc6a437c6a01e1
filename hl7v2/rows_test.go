package hl7v2

import (
	"slices"
	"strings"
	"testing"
)

// TestReferenceRows holds the grammar's part of the rows of the test table that
// are about how messages are written. Each is parsed, read and answered AA.
func TestReferenceRows(t *testing.T) {
	extra := strings.Repeat("|x", 60)
	for name, tt := range map[string]struct {
		in, path, want string
		warn           []Warning
	}{
		"6 swapped MSH-2":        {strings.Replace(msh, `^~\&`, `^&~\`, 1) + "\rPID|||A~9990000018^^^NHS^NH||AIN^C\r", "PID-3[2].5", "NH", []Warning{SwappedDelimiters}},
		"6 truncation":           {strings.Replace(msh, `^~\&`, `^~\&#`, 1) + "\rPID|||1||AIN#^C\r", "PID-5", "AIN#", nil},
		"6 components alone":     {strings.Replace(msh, `^~\&`, `^`, 1) + "\rPID|||1||AIN~X^C\r", "PID-5", "AIN~X", []Warning{ShortDelimiters}},
		"16 FS in a name":        {msh + "\rPID|||||AIN\x1cDOW^C\r", "PID-5", "AINDOW", []Warning{StrayFS}},
		"23 LF":                  {msh + "\nPID|||||AINDOW\n", "PID-5", "AINDOW", []Warning{LineFeeds}},
		"23 CRLF":                {msh + "\r\nPID|||||AINDOW\r\n", "PID-5", "AINDOW", []Warning{LineFeeds}},
		"23 blank lines":         {msh + "\r\r\rPID|||||AINDOW\r\r", "PID-5", "AINDOW", nil},
		"23 no last CR":          {msh + "\rPID|||||AINDOW", "PID-5", "AINDOW", nil},
		"24 LF is data":          {msh + "\rPID|||||||||||1 TEST\nSTREET^^EPSOM\r", "PID-11", "1 TEST\nSTREET", nil},
		"25 Z segment":           {msh + "\rZPD|1|LEGACY\rPID|||||AINDOW\r", "ZPD-2", "LEGACY", nil},
		"25 extra fields":        {msh + "\rPID|||||AINDOW" + extra + "\r", "PID-65", "x", nil},
		"26 escape":              {msh + "\rPID|||||O\\T\\NEIL\r", "PID-5", "O&NEIL", nil},
		"26 stray escape":        {msh + "\rPID|||||O\\Neil\r", "PID-5", `O\Neil`, nil},
		"26 hex":                 {msh + "\rPID|||||A\\X41\\B\r", "PID-5", "AAB", nil},
		"26 byte-order mark":     {byteOrderMark + msh + "\rPID|||||AINDOW\r", "PID-5", "AINDOW", []Warning{ByteOrderMark}},
		"27 8859/1":              {msh + "||||||8859/1\rPID|||||Ren\xE9\r", "PID-5", "René", nil},
		"28 UTF-8, undeclared":   {msh + "\rPID|||||Ren\xC3\xA9\r", "PID-5", "René", nil},
		"28 Windows, undeclared": {msh + "\rPID|||||Ren\xE9\r", "PID-5", "René", nil},
		"28 Windows as UTF-8":    {msh + "||||||UNICODE UTF-8\rPID|||||Ren\xE9\r", "PID-5", "René", []Warning{InvalidUTF8}},
		"29 KLINGON":             {msh + "||||||KLINGON\rPID|||||AINDOW\r", "PID-5", "AINDOW", []Warning{UnknownCharset}},
		"30 time and zone":       {msh + "\rPID|||||||20080920000000.0000+0100\r", "PID-7", "20080920", nil},
		"31 month 13":            {msh + "\rPID|||||||196513121515\r", "PID-7", "", nil},
		"31 30 February":         {msh + "\rPID|||||||20240230\r", "PID-7", "", nil},
		"31 placeholder":         {msh + "\rPID|||||||19000101\r", "PID-7", "19000101", nil}, // a date; that it stands for none is not grammar
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, tt.in)
			p := MustPath(tt.path)
			got := m.Get(p)
			if tt.path == "PID-7" {
				d, _ := m.Date(p) // "" for what is no date
				got = d.String()
			}
			if got != tt.want {
				t.Errorf("%s = %q, want %q", tt.path, got, tt.want)
			}
			if got := m.Warnings(); !slices.Equal(got, tt.warn) {
				t.Errorf("warnings %v, want %v", got, tt.warn)
			}
			if string(m.Bytes()) != tt.in {
				t.Errorf("%q came back as %q", tt.in, m.Bytes())
			}
			answer := parse(t, string(Reply(m, header).MSA(AA, m.Raw(pathControlID), "").Bytes()))
			if answer.Get(MustPath("MSA-1")) != "AA" || answer.Get(MustPath("MSA-2")) != "C1" {
				t.Errorf("answer %q", answer.Bytes())
			}
		})
	}
}

// TestForwardedFieldsKeepTheirBytes changes what a trace changes in a message
// full of oddities: every other byte is the sender's (rows 25 and 27).
func TestForwardedFieldsKeepTheirBytes(t *testing.T) {
	in := msh + "||||||8859/1\rZPD|1|\\Zown\\|\"\"|\xE9\r" +
		"PID|1||A^^^RXX^MR||Ren\xE9\\.br\\^O\\Neil^^|\"\"||||||a\nb||||||||||||||||||||ED~NSTS02" + strings.Repeat("|x", 30) + "\rPV1\r"
	m := parse(t, in)
	for path, text := range map[string]string{"PID-3[2].1": "9990000018", "PID-32[2]": "NSTS01", "PID-5.3": "Zoë"} {
		if err := m.Set(MustPath(path), text); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.NewReplacer("^MR||", "^MR~9990000018||", "NSTS02", "NSTS01", "O\\Neil^^|", "O\\Neil^Zo\xEB^|").Replace(in)
	if got := string(m.Bytes()); got != want {
		t.Errorf("message = %q\nwant      %q", got, want)
	}
}

func TestTrailingDelimitersChangeNothing(t *testing.T) {
	const short, long = "A^B", "A^B^^"
	m := parse(t, msh+"\rPID|"+short+"|"+long+"|"+long+"~|"+short+"&|||\r")
	for field := 1; field <= 4; field++ {
		r := Segment{m, 1}.Field(field)[0]
		if got := r.Component(1) + "," + r.Component(2) + "," + r.Component(3) + "," + r.Joined(3); got != "A,B,," {
			t.Errorf("PID-%d reads %q", field, got)
		}
	}
}

func TestLineBreaksAreEscapedAgain(t *testing.T) {
	m := parse(t, msh+"\rPID|A\\X0D\\B|A\\X0A\\B|A\\X0D0A\\B|A\\.br\\B\r")
	for path, want := range map[string]string{"PID-1": `A\X0D\B`, "PID-2": `A\X0A\B`, "PID-3": `A\X0D\\X0A\B`, "PID-4": `A\X0A\B`} {
		text := m.Get(MustPath(path))
		if got := m.Escape(text); got != want {
			t.Errorf("%s read and escaped is %q, want %q", path, got, want)
		}
		answer := string(Reply(m, header).Segment("NTE").Text(3, text).Bytes())
		if !strings.HasSuffix(answer, "\rNTE|||"+want+"\r") {
			t.Errorf("%s in an answer: %q", path, answer)
		}
	}
}
