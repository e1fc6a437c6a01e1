package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// sampleA28 returns an invented ADT^A28.
func sampleA28(controlID string) string {
	return "MSH|^~\\&|PAS|X99|SPINETRACE|X99|20261122120000||ADT^A28|" + controlID + "|P|2.4\r" +
		"EVN|A28|20261122120000\r" +
		"PID|1||M1^^^X99^MR~9990000018^^^NHS^NH||HALVORSEN^PRIMROSE||19620417|F\r"
}

// receiver answers every message as ack says, or with whole, and keeps what came.
type receiver struct {
	ack   func(controlID string) string
	whole string

	mu  sync.Mutex
	got []string
}

func (r *receiver) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	id := hl7v2.Head(msg).Get(msh10)
	r.mu.Lock()
	r.got = append(r.got, string(msg))
	r.mu.Unlock()
	if r.whole != "" {
		return []byte(r.whole), nil
	}
	return []byte("MSH|^~\\&|B|B|A|A|20261122120000||ACK^A28|1|P|2.4\r" + r.ack(id) + "\r"), nil
}

func accept(id string) string { return "MSA|AA|" + id + "|Verified" }

// listen starts a receiver and returns its address.
func (r *receiver) listen(t *testing.T, config *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &mllp.Server{Handler: r, TLSConfig: config}
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, mllp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// file writes a file for a test.
func file(tb testing.TB, name, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// command runs spinetrace and returns exit code and output.
func runCommand(args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), args, console{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestSendPrintsAnswer(t *testing.T) {
	r := &receiver{ack: accept}
	code, out, errs := runCommand("send", "--addr", r.listen(t, nil), file(t, "a28.hl7", sampleA28("C1")))
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if !strings.Contains(out, "a28.hl7, message 1: AA in ") || !strings.Contains(out, "\nMSA|AA|C1|Verified\n") {
		t.Errorf("printed %s", out)
	}
	if diff := cmp.Diff([]string{sampleA28("C1")}, r.got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestSendPrintsFields(t *testing.T) {
	r := &receiver{ack: accept}
	letter := file(t, "a28.hl7", sampleA28("C1"))
	code, out, _ := runCommand("send", "--addr", r.listen(t, nil), "--fields", letter)
	if code != exitOK || !strings.Contains(out, "\n  MSA-3  Text Message         Verified\n") {
		t.Errorf("exit code %d, printed %s", code, out)
	}
	if code, _, _ := runCommand("send", "--fields", "--json", letter); code != exitUsage {
		t.Errorf("--fields --json: exit code %d", code)
	}
}

func TestSendFailsUnlessAllAreAccepted(t *testing.T) {
	for name, tt := range map[string]struct{ ack, want string }{
		"AE":             {"MSA|AE|C1|", "message 1: AE in "},
		"other id":       {"MSA|AA|C2|", "no answer: MSA-2 of the answer is not MSH-10 of the message"},
		"not an answer":  {"EVN|A28|", "MSA-2 of the answer"},
		"commit refused": {"MSA|CR|C1|", "message 1: CR in "},
	} {
		t.Run(name, func(t *testing.T) {
			r := &receiver{ack: func(string) string { return tt.ack }}
			code, out, errs := runCommand("send", "--addr", r.listen(t, nil), file(t, "a28.hl7", sampleA28("C1")))
			if code != exitFailed || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, printed %s", code, out)
			}
			if want := "spinetrace send: 1 of 1 messages were not answered AA or CA\n"; errs != want {
				t.Errorf("complained %q, want %q", errs, want)
			}
		})
	}
}

func TestSendManyOverManyConnections(t *testing.T) {
	r := &receiver{ack: accept}
	path := file(t, "two.hl7", sampleA28("C1")+sampleA28("C2"))
	code, out, errs := runCommand("send", "--addr", r.listen(t, nil), "--count", "50", "--connections", "4", "--rate", "100000", "--new-ids", path)
	if code != exitOK || errs != "" || !strings.Contains(out, "100 sent in ") || !strings.Contains(out, "100 AA or CA, 0 not") {
		t.Errorf("exit code %d, printed %s%s", code, out, errs)
	}
	ids := make(map[string]bool)
	for _, m := range r.got {
		ids[hl7v2.Head([]byte(m)).Get(msh10)] = true
	}
	if len(r.got) != 100 || len(ids) != 100 {
		t.Errorf("%d messages with %d control ids came; want 100 of each", len(r.got), len(ids))
	}
}

func TestSendRepeatsTheSameBytes(t *testing.T) {
	r := &receiver{ack: accept}
	if code, _, errs := runCommand("send", "--addr", r.listen(t, nil), "--count", "2", file(t, "a.hl7", sampleA28("C1"))); code != exitOK {
		t.Error(errs)
	}
	if diff := cmp.Diff([]string{sampleA28("C1"), sampleA28("C1")}, r.got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestSendJSON(t *testing.T) {
	r := &receiver{ack: accept}
	_, out, _ := runCommand("send", "--addr", r.listen(t, nil), "--json", file(t, "a.hl7", sampleA28("C1")))
	var got answer
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.ControlID != "C1" || got.Ack != "AA" || got.Text != "Verified" || got.Number != 1 || !strings.HasPrefix(got.Answer, `MSH|^~\&|`) {
		t.Errorf("got %+v", got)
	}
}

func TestSendByMutualTLS(t *testing.T) {
	files := newPKI(t)
	config, err := serverTLS(&config{MLLPTLS: "mutual", MLLPCert: files.cert, MLLPKey: files.key, MLLPClientCA: files.ca})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{ack: accept}
	addr, letter := r.listen(t, config), file(t, "a.hl7", sampleA28("C1"))
	code, out, errs := runCommand("send", "--addr", addr, "--tls", "--ca", files.ca, "--cert", files.cert, "--key", files.key, letter)
	if code != exitOK {
		t.Errorf("with a certificate: exit code %d, %s%s", code, out, errs)
	}
	if code, _, _ = runCommand("send", "--addr", addr, "--tls", "--ca", files.ca, letter); code != exitFailed {
		t.Errorf("without a certificate: exit code %d", code)
	}
	if code, _, errs = runCommand("send", "--addr", addr, "--ca", files.ca, letter); code != exitUsage {
		t.Errorf("--ca without --tls: exit code %d, %s", code, errs)
	}
}

// sampleBatch returns a batch of three, the second of which lacks its PID.
func sampleBatch() string {
	two, _, _ := strings.Cut(sampleA28("C2"), "PID|")
	return "FHS|^~\\&|PAS|X99|SPINETRACE|X99|20261122120000||||F1\r" +
		"BHS|^~\\&|PAS|X99|SPINETRACE|X99|20261122120000||||B1\r" +
		sampleA28("C1") + two + sampleA28("C3") + "BTS|3\rFTS|1\r"
}

func TestSendReportsEachMessageOfABatch(t *testing.T) {
	r := startService(t, nil)
	r.waitReady(t)
	path := file(t, "batch.hl7", strings.ReplaceAll(sampleBatch(), "\r", "\n"))
	addr := r.mllpPort.Addr().String()
	code, out, errs := runCommand("send", "--addr", addr, "--json", path)
	if want := "spinetrace send: 1 of 3 messages were not answered AA or CA\n"; code != exitFailed || errs != want {
		t.Errorf("exit code %d, complained %q, want %q", code, errs, want)
	}
	if diff := cmp.Diff([]string{"1 C1 AA", "2 C2 AE", "3 C3 AA"}, told(t, out)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	good := file(t, "good.hl7", "BHS|^~\\&|PAS|X99|SPINETRACE|X99|||||B2\r"+sampleA28("C4")+sampleA28("C5")+"BTS|2\r")
	code, out, errs = runCommand("send", "--addr", addr, "--new-ids", good)
	if code != exitOK || !strings.Contains(out, "good.hl7, message 2: AA in ") || !strings.Contains(out, "2 AA or CA, 0 not") {
		t.Errorf("exit code %d, printed %s%s", code, out, errs)
	}
}

// told returns number, control id and code, or error, of the answers that send printed as JSON.
func told(t *testing.T, out string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(out) {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(a.Number, " ", a.ControlID, " ", a.Ack+a.Err))
	}
	return all
}

func TestSendMatchesTheAnswerToABatch(t *testing.T) {
	acks := func(ids ...string) (s string) {
		for _, id := range ids {
			s += "MSH|^~\\&|B|B|A|A|20261122120000||ACK^A28|1|P|2.4\rMSA|AA|" + id + "\r"
		}
		return s
	}
	const header = "BHS|^~\\&|B|B|A|A|20261122120000||||R1|"
	unanswered := func(err error) []string {
		s := "mllp: send: mllp: no answer: " + err.Error()
		return []string{"1 C1 " + s, "2 C2 " + s, "3 C3 " + s}
	}
	for name, tt := range map[string]struct {
		reply string
		want  []string
	}{
		"all":           {header + "B1\r" + acks("C1", "C2", "C3") + "BTS|3\r", []string{"1 C1 AA", "2 C2 AA", "3 C3 AA"}},
		"too few":       {header + "B1\r" + acks("C1", "C2") + "BTS|2\r", []string{"1 C1 AA", "2 C2 AA", "3 C3 " + errNotInAnswer.Error()}},
		"too many":      {header + "B1\r" + acks("C1", "C2", "C3", "") + "BTS|4\r", []string{"1 C1 AA", "2 C2 AA", "3 C3 AA", "4  " + errNotInBatch.Error()}},
		"out of order":  {header + "B1\r" + acks("C1", "C3", "C2") + "BTS|3\r", []string{"1 C1 AA", "2 C2 " + errOtherID.Error(), "3 C3 " + errOtherID.Error()}},
		"one for all":   {acks("C1"), []string{"1 C1 AA", "2 C2 AA", "3 C3 AA"}},
		"one refusal":   {strings.Replace(acks("C1"), "AA", "AR", 1), []string{"1 C1 AR", "2 C2 AR", "3 C3 AR"}},
		"all but one":   {header + "B1\r" + acks("C1") + "BTS|1\r", []string{"1 C1 AA", "2 C2 " + errNotInAnswer.Error(), "3 C3 " + errNotInAnswer.Error()}},
		"other batch":   {header + "B2\r" + acks("C1", "C2", "C3") + "BTS|3\r", unanswered(errOtherBatch)},
		"other message": {acks("C9"), unanswered(errOtherID)},
		"unreadable":    {"hello", unanswered(errNotABatch)},
	} {
		t.Run(name, func(t *testing.T) {
			r := &receiver{whole: tt.reply}
			code, out, _ := runCommand("send", "--addr", r.listen(t, nil), "--json", file(t, "batch.hl7", sampleBatch()))
			if (code == exitOK) != (name == "all" || name == "one for all") {
				t.Errorf("exit code %d", code)
			}
			if diff := cmp.Diff(tt.want, told(t, out)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{sampleBatch()}, r.got); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSendGivesBatchesNewIDs(t *testing.T) {
	renewed, err := withNewID([]byte(sampleBatch()))
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`\b[A-Z2-7]{20}\b`)
	old := regexp.MustCompile(`\b[FBC][123]\b`)
	found := ids.FindAllString(string(renewed), -1)
	slices.Sort(found)
	if len(slices.Compact(found)) != 5 {
		t.Errorf("new ids %q, want 5", found)
	}
	if diff := cmp.Diff(old.ReplaceAllString(sampleBatch(), "ID"), ids.ReplaceAllString(string(renewed), "ID")); diff != "" {
		t.Errorf("changed besides the ids (-want +got):\n%s", diff)
	}
	two, err := withNewID([]byte(sampleA28("C1") + sampleA28("C2")))
	if err != nil || len(ids.FindAll(two, -1)) != 2 || old.Match(two) {
		t.Errorf("two messages without a header: %q, %v", two, err)
	}
	if _, err := withNewID([]byte("hello\r" + sampleBatch())); err == nil || !strings.Contains(err.Error(), "message 1 of the batch") {
		t.Errorf("a batch with a message that cannot be read: %v", err)
	}
}

func TestReadLettersNumbersMessages(t *testing.T) {
	var framed bytes.Buffer
	for _, m := range []string{sampleBatch(), sampleA28("C4")} {
		if err := mllp.WriteFrame(&framed, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := readLetters([]string{"-"}, &framed)
	if err != nil || len(letters) != 2 || letters[1].Number != 4 {
		t.Errorf("letters %v, %v; want two, the second with message 4", letters, err)
	}
	if _, err := readLetters([]string{"-"}, strings.NewReader("BHS|^~\\&\rBTS|0\r")); err == nil {
		t.Error("a batch without messages was taken")
	}
}

func TestSplitMessages(t *testing.T) {
	one, two := sampleA28("C1"), sampleA28("C2")
	var framed bytes.Buffer
	for _, m := range []string{one, two} {
		if err := mllp.WriteFrame(&framed, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(s, end string) string { return strings.ReplaceAll(s, "\r", end) }
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"as sent":                      {one, []string{one}},
		"Unix lines":                   {lines(one, "\n"), []string{one}},
		"Windows lines":                {lines(one+two, "\r\n"), []string{one, two}},
		"blank lines":                  {"\n" + lines(one, "\n") + "\n\n" + lines(two, "\n") + "\n", []string{one, two}},
		"byte order mark":              {"\ufeff" + one, []string{one}},
		"LF is data":                   {strings.Replace(one, "1962", "\n1962", 1), []string{strings.Replace(one, "1962", "\n1962", 1)}},
		"MSH in a text":                {one + "NTE|1\rMSH is no header\r" + two, []string{one + "NTE|1\rMSH is no header\r", two}},
		"MLLP frames":                  {framed.String(), []string{one, two}},
		"frames after blank lines":     {"\r\n" + framed.String(), []string{one, two}},
		"frames behind a mark":         {"\ufeff" + framed.String(), []string{one, two}},
		"frames without the first VT":  {framed.String()[1:], []string{one, two}},
		"what is left of frames, CRLF": {one + "\x1c\r\n\v" + two + "\x1c\r\n", []string{one, two}},
		"a batch in what is left":      {"BHS|^~\\&\r" + one + "BTS|1\r\x1c\r", []string{"BHS|^~\\&\r" + one + "BTS|1\r"}},
		"batch":                        {"BHS|^~\\&\r" + one + "BTS|1\r", []string{"BHS|^~\\&\r" + one + "BTS|1\r"}},
	} {
		t.Run(name, func(t *testing.T) {
			parts, err := splitMessages([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range parts {
				got = append(got, string(p))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, bad := range []string{"", "PID|1\r", "\x0bMSH|", "hello", "BHS\r"} {
		if _, err := splitMessages([]byte(bad)); err == nil {
			t.Errorf("%q was taken apart", bad)
		}
	}
}

func FuzzSplitMessages(f *testing.F) {
	f.Add([]byte(sampleA28("C1") + sampleA28("C2")))
	f.Add([]byte("\x0bMSH|^~\\&\x1c\r"))
	f.Fuzz(func(t *testing.T, content []byte) {
		parts, err := splitMessages(content)
		if err == nil && len(content) > 0 && content[0] != 0x0b && len(parts) == 0 {
			t.Error("a file without error and without messages")
		}
		var total int
		for _, p := range parts {
			total += len(p)
		}
		if total > len(content)+len(parts) {
			t.Errorf("%d bytes of messages in a file of %d", total, len(content))
		}
	})
}
