package hl7v2

import (
	"bytes"
	"strconv"
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
		"batch by the grammar":  {fhs + one + two + "FTS|1\r", []string{one, two}, "", false},
		"two by the grammar":    {fhs + one + "BTS|1\r" + two + "BTS|1\rFTS|2\r", []string{one, two}, "", false},
		"file without a count":  {fhs + one + "FTS|2\r", []string{one}, "", true},
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
		"LF before a batch":     {"\n\n" + bhs + one + "BTS|1\r", []string{one}, "B1", false},
		"LF before a message":   {"\n" + one, []string{one}, "", false},
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
	numbered := func() Header { return h }
	golden(t, "batch", batch.Reply(numbered, answers))

	golden(t, "batch-empty", Split([]byte("FHS|^~\\&|PAS|RXX|ST|RXX|20250601||||F1\rFTS|0\r")).Reply(numbered, nil))
}

// Each case is a frame, without the fields that only name its sender, and the headers and
// trailers of the answer to it; an M stands for the answer to a message.
func TestBatchReplyOfOddFrames(t *testing.T) {
	const m = "MSH|^~\\&|PAS\r"
	fhs, bhs := "FHS|^~\\&|||||||||F1\r", func(id string) string { return "BHS|^~\\&|||||||||" + id + "\r" }
	for name, tt := range map[string]struct{ in, want string }{
		"two batches of a file":      {fhs + bhs("B1") + m + "BTS|1\r" + bhs("B2") + m + m + "BTS|2\rFTS|2\r", "FHS F1, BHS B1, M, BTS|1, BHS B2, M, M, BTS|2, FTS|2"},
		"two batches, no file":       {bhs("B1") + m + "BTS|1\r" + bhs("B2") + m + "BTS|1\r", "BHS B1, M, BTS|1, BHS B2, M, BTS|1"},
		"one batch of a file":        {fhs + bhs("B1") + m + "BTS|1\rFTS|1\r", "BHS B1, M, BTS|1"},
		"a file without batches":     {fhs + m + "FTS|0\r", "BHS F1, M, BTS|1"},
		"the second counts wrong":    {fhs + bhs("B1") + m + "BTS|1\r" + bhs("B2") + m + "BTS|3\rFTS|2\r", "FHS F1, BHS B1, M, BTS|1, BHS B2, M, BTS|1|count mismatch, FTS|2"},
		"the file counts wrong":      {fhs + bhs("B1") + m + "BTS|1\r" + bhs("B2") + m + "BTS|1\rFTS|3\r", "FHS F1, BHS B1, M, BTS|1, BHS B2, M, BTS|1, FTS|2|count mismatch"},
		"no trailer for the file":    {fhs + bhs("B1") + m + "BTS|1\r", "BHS B1, M, BTS|1|count mismatch"},
		"no trailer for the first":   {bhs("B1") + m + bhs("B2") + m + "BTS|1\r", "BHS B1, M, BTS|1|count mismatch, BHS B2, M, BTS|1"},
		"one message outside":        {bhs("B1") + m + "BTS|1\r" + m, "BHS B1, M, BTS|1, BHS , M, BTS|1"},
		"one outside, in a file":     {fhs + m + bhs("B1") + m + "BTS|1\rFTS|1\r", "FHS F1, BHS F1, M, BTS|1, BHS B1, M, BTS|1, FTS|2"},
		"two trailers":               {bhs("B1") + m + "BTS|1\rBTS|1\r", "BHS B1, M, BTS|1"},
		"repeated delimiters":        {"BHS|^^~\\|||||||||B1\r" + m + "BTS|1\r", "BHS B1, M, BTS|1|encoding characters not usable"},
		"letters for delimiters":     {"BHS|ABCD|||||||||B1\r" + m + "BTS|1\r", "BHS B1, M, BTS|1|encoding characters not usable"},
		"no delimiters":              {"BHS||||||||||B1\r" + m + "BTS|1\r", "BHS B1, M, BTS|1|encoding characters not usable"},
		"short delimiters":           {"BHS|^~|||||||||B1\r" + m + "BTS|1\r", "BHS B1, M, BTS|1"},
		"messages of all delimiters": {bhs("B1") + m + "MSH|^~|PAS\rMSH|^|PAS\rMSH||PAS\rMSH|^^~\\|PAS\rMSH|ABCDE|PAS\rBTS|6\r", "BHS B1, M, M, M, M, M, M, BTS|6"},
		"what is no header":          {bhs("B1") + m + "MSH is here\rMSH|too long to be one|\rMSHX|^~|\rBTS|1\r", "BHS B1, M, BTS|1"},
	} {
		t.Run(name, func(t *testing.T) {
			batch := Split([]byte(tt.in))
			answers := make([][]byte, len(batch.Messages))
			for i := range answers {
				answers[i] = []byte("MSH|^~\\&|\r")
			}
			ids := 0
			reply := batch.Reply(func() Header { ids++; return Header{ControlID: strconv.Itoa(ids)} }, answers)
			var got []string
			for line := range strings.Lines(strings.ReplaceAll(string(reply), "\r", "\n")) {
				line = strings.TrimSuffix(line, "\n")
				if name := line[:3]; name == "MSH" {
					line = "M"
				} else if name == "BHS" || name == "FHS" {
					fields := append(strings.Split(line, "|"), "")
					line = name + " " + fields[11]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if heads := strings.Count(string(reply), "HS|"); ids != heads {
				t.Errorf("%d control ids for %d headers", ids, heads)
			}
		})
	}
}

// Where there is no batch, what looks like half a header is part of the message.
func TestShortHeadersOutsideOfBatchesCutNothing(t *testing.T) {
	for _, in := range []string{
		msh + "\rNTE|1||x\rMSH|^~|PAS\r",
		msh + "\rBHS|^^|PAS\r",
	} {
		if got := Split([]byte(in)); len(got.Messages) != 1 || got.Header != nil {
			t.Errorf("%q: %d messages", in, len(got.Messages))
		}
	}
}

func TestWhatBelongsToNoMessage(t *testing.T) {
	const bhs = "BHS|^~\\&|A\r"
	for name, tt := range map[string]struct {
		in, rest string
		stray    bool
	}{
		"a message":           {msh + "\r", "", false},
		"headers alone":       {bhs + msh + "\rBTS|1\r\r\n", bhs + "BTS|1\r\r\n", false},
		"behind the header":   {bhs + "PID|1\r" + msh + "\rBTS|1\r", bhs + "PID|1\rBTS|1\r", true},
		"behind the trailer":  {bhs + msh + "\rBTS|1\rPID|1\r", bhs + "BTS|1\rPID|1\r", true},
		"before the header":   {"PID|1\r" + bhs + msh + "\rBTS|1\r", bhs + "BTS|1\r", false}, // a message, to be refused
		"nothing but patient": {bhs + "PID|1\r", bhs + "PID|1\r", true},
	} {
		if got := Split([]byte(tt.in)); string(got.Rest) != tt.rest || got.Stray != tt.stray {
			t.Errorf("%s: %q, %v", name, got.Rest, got.Stray)
		}
	}
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
