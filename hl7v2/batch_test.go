package hl7v2

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	one, two := msh+"\rPID|1\r", "MSH$*:!%$X\rPID$2\r"
	const (
		fhs = "FHS|^~\\&|A\r"
		bhs = "BHS|^~\\&|PAS|RXX|ST|RXX|2025||||B1\r"
	)
	for name, tt := range map[string]struct {
		in       string
		want     []string
		header   string
		mismatch bool
	}{
		"one message":           {one, []string{one}, "", false},
		"byte-order mark":       {"\xEF\xBB\xBF" + one, []string{one}, "", false},
		"two, no header":        {one + two, []string{one, two}, "", false},
		"batch":                 {bhs + one + two + "BTS|2\r", []string{one, two}, "B1", false},
		"file and batch":        {fhs + bhs + one + two + "BTS|2\rFTS|1\r", []string{one, two}, "B1", false},
		"two batches":           {fhs + bhs + one + "BTS|1\r" + bhs + two + "BTS|1\rFTS|2\r", []string{one, two}, "B1", false},
		"file without batch":    {fhs + one + "FTS|\r", []string{one}, "", false},
		"trailer not counting":  {bhs + one + "BTS\r", []string{one}, "B1", false},
		"wrong count":           {bhs + one + "BTS|4\r", []string{one}, "B1", true},
		"count is text":         {bhs + one + "BTS|one\r", []string{one}, "B1", true},
		"wrong batches":         {fhs + bhs + one + "BTS|1\rFTS|3\r", []string{one}, "B1", true},
		"no BTS":                {bhs + one, []string{one}, "B1", true},
		"no FTS":                {fhs + bhs + one + "BTS|1\r", []string{one}, "B1", true},
		"empty batch":           {bhs + "BTS|0\r", nil, "B1", false},
		"LF":                    {strings.ReplaceAll(bhs+one+two+"BTS|2\r", "\r", "\n"), []string{strings.ReplaceAll(one, "\r", "\n"), strings.ReplaceAll(two, "\r", "\n")}, "B1", false},
		"CRLF":                  {strings.ReplaceAll(bhs+one+"BTS|1\r", "\r", "\r\n"), []string{strings.ReplaceAll(one, "\r", "\r\n")}, "B1", false},
		"MSH in a field":        {msh + "\rNTE|MSH|^~\\&|x\nMSH is here\rMSHX\r", []string{msh + "\rNTE|MSH|^~\\&|x\nMSH is here\rMSHX\r"}, "", false},
		"message in a text":     {msh + "\rNTE|1||as sent:\n" + msh + "\r", []string{msh + "\rNTE|1||as sent:\n" + msh + "\r"}, "", false},
		"CR in a text":          {msh + "\nNTE|1||a\rb\n" + msh + "\n", []string{msh + "\nNTE|1||a\rb\n", msh + "\n"}, "", false},
		"blank lines":           {"\r\n" + one + "\r\n\r\n" + two, []string{one + "\r\n\r\n", two}, "", false},
		"one segment each":      {msh + "\n" + msh, []string{msh + "\n", msh}, "", false},
		"text":                  {"hello", []string{"hello"}, "", false},
		"text before a message": {"hello\r" + one, []string{"hello\r", one}, "", false},
		"nothing":               {"", nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := Split([]byte(tt.in))
			var messages []string
			for _, m := range got.Messages {
				messages = append(messages, string(m))
			}
			if diff := cmp.Diff(tt.want, messages); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if got.Mismatch != tt.mismatch {
				t.Errorf("Mismatch = %v", got.Mismatch)
			}
			id := ""
			if got.Header != nil {
				id = got.Header.Get(MustPath("BHS-11"))
			}
			if id != tt.header {
				t.Errorf("BHS-11 = %q, want %q", id, tt.header)
			}
			if (got.Header != nil) != (strings.Contains(tt.in, "HS|^~\\&|A") || tt.header != "") {
				t.Errorf("Header = %v", got.Header)
			}
		})
	}
}

func TestBatchReply(t *testing.T) {
	in := "BHS|^~\\&|PAS|RXX|ST|RXX|20250601||||B1\r" + msh + "\r" + msh + "\rBTS|4\r"
	batch := Split([]byte(in))
	var answers [][]byte
	for i, b := range batch.Messages {
		m := parse(t, string(b))
		answers = append(answers, Reply(m, header).MSA([]AckCode{AA, AE}[i], m.Raw(pathControlID), "").Bytes())
	}
	h := header
	h.ControlID = "NT0000000999"
	golden(t, "batch", batch.Reply(h, answers))

	golden(t, "batch-empty", Split([]byte("FHS|^~\\&|PAS|RXX|ST|RXX|20250601||||F1\rFTS|0\r")).Reply(h, nil))
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]string{
		msh + "\rPID|||||Zo\xEB\x1c\nX\x1b[31m\r": msh + "\nPID|||||Zoë<1C><0A>X<1B>[31m\n",
		"hello\r\nw\x0brld\xFF":                   "hello\nw<0B>rld<FF>\n",
		msh + "\rPID|\u202Ex\u00A0y\r":            msh + "\nPID|<202E>x\u00A0y\n",
		"":                                        "\n",
	} {
		var out bytes.Buffer
		if err := Format(&out, []byte(in)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("Format(%q) (-want +got):\n%s", in, diff)
		}
	}
}
