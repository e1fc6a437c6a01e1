//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// serverTrial is what `spinetrace send` and [mllp.Client] do to every foreign server.
type serverTrial struct {
	name    string
	charset string // MSH-18; empty for UTF-8
	tls     bool
	each    bool // a connection for each message
	forms   []form
	times   int // how often all forms are sent; 0 means once
}

// refused is a patient whom the servers answer AE.
var refused = form{
	adt("A28^ADT_A05") + "PID|1||L%[2]s^^^RXX^MR||REFUSED^NOBODY^^^^^L||19620417|F\rPV1|1|N\r",
	answer{Ack: "AE", Family: "REFUSED"},
}

var serverTrials = []serverTrial{
	{name: "one connection", forms: []form{a28, a31}, times: 10},
	{name: "a connection each", each: true, forms: []form{a28, a31}, times: 3},
	{name: "TLS", tls: true, forms: []form{a28, a31}, times: 3},
	{name: "TLS, a connection each", tls: true, each: true, forms: []form{a28, a31}},
	{name: "UTF-8", forms: []form{accents, polish}},
	{name: "ISO 8859-1", charset: latin1, forms: []form{accents}},
	{name: "500 KB", forms: []form{big, a28}},
	{name: "refused", forms: []form{refused, a28}},
}

var servers = []peer{
	{name: "HAPI", lang: &java, program: "HapiServer"},
	{name: "Camel", lang: &java, program: "CamelServer"},
	{name: "simple-hl7", lang: &node, program: "simple-hl7-server.mjs", cannot: map[string]string{
		"TLS":                    "has no TLS",
		"TLS, a connection each": "has no TLS",
	}},
	{name: "node-hl7-server", lang: &node, program: "node-hl7-server.mjs", once: true, cannot: map[string]string{
		"one connection": "takes every message of a connection for the first",
		"TLS":            "takes every message of a connection for the first",
	}},
	{name: "python-hl7", lang: &python, program: "hl7_server.py"},
}

// received is what a server's own parser reads in a message.
type received struct {
	Port   int    `json:"port"` // in the first line, which is about no message
	ID     string `json:"id"`
	Family string `json:"family"`
	Length int    `json:"length"` // in characters
	Error  string `json:"error"`
}

// TestServers sends to foreign servers, and asks their own parsers what came.
func TestServers(t *testing.T) {
	program := build(t)
	certs := newCertificates(t)
	for _, p := range servers {
		t.Run(p.name, func(t *testing.T) {
			for _, trial := range serverTrials {
				t.Run(trial.name, func(t *testing.T) {
					if reason, ok := p.cannot[trial.name]; ok {
						t.Skip(reason)
					}
					trial.run(t, p, program, certs)
				})
			}
		})
	}
}

func (s serverTrial) run(t *testing.T, p peer, program string, certs certificates) {
	j := job{Charset: utf8Name}
	if s.charset == latin1 {
		j.Charset = latin1Name
	}
	if s.tls {
		j.Cert, j.Key = certs.cert, certs.key
	} else {
		certs = certificates{}
	}
	messages, want, wantReceived := s.messages(t)
	r := p.start(t, j)
	addr := r.listens(t)
	var got []sent
	if s.each || p.once {
		got = sendEach(t, program, addr, certs, messages)
	} else {
		got = sendAll(t, program, addr, certs, messages)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	r.check(t, wantReceived)
	r.end(t)
}

// listens returns the address of a server, which is the first that it tells.
func (r *running) listens(t *testing.T) (addr string) {
	t.Helper()
	var first received
	if !r.read(t, &first) || first.Port == 0 {
		t.Fatal("the server does not listen")
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(first.Port))
}

// messages returns the trial's messages, and what both sides must make of them.
func (s serverTrial) messages(t *testing.T) (all [][]byte, want []sent, read []received) {
	for range max(s.times, 1) {
		for _, f := range s.forms {
			charset := s.charset
			if charset == "" {
				charset = utf8
			}
			text, a := f.write("SPINETRACE", fmt.Sprint("S", len(all)), charset)
			wire := text
			if charset == latin1 {
				var err error
				if wire, err = charmap.ISO8859_1.NewEncoder().String(text); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, []byte(wire))
			want = append(want, sent{ControlID: a.ID, Ack: a.Ack})
			read = append(read, received{ID: a.ID, Family: a.Family, Length: len([]rune(text))})
		}
	}
	return all, want, read
}

// sendAll sends the messages over one connection, by the command.
func sendAll(t *testing.T, program, addr string, certs certificates, messages [][]byte) []sent {
	t.Helper()
	var frames bytes.Buffer
	for _, m := range messages {
		if err := mllp.WriteFrame(&frames, m); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "messages.mllp")
	if err := os.WriteFile(file, frames.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--addr", addr, "--timeout", patience.String()}
	if certs.ca != "" {
		args = append(args, "--tls", "--ca", certs.ca)
	}
	all, code := send(t, program, append(args, file)...)
	bad := 0
	for _, s := range all {
		if s.Ack != "AA" {
			bad = 1
		}
	}
	if code != bad {
		t.Errorf("exit code %d, want %d", code, bad)
	}
	return all
}

// sendEach sends each message by a Client of its own.
func sendEach(t *testing.T, program, addr string, certs certificates, messages [][]byte) (all []sent) {
	t.Helper()
	config := clientConfig(t, certs)
	msa1, msa2 := hl7v2.MustPath("MSA-1"), hl7v2.MustPath("MSA-2")
	for _, m := range messages {
		c := mllp.Client{Addr: addr, TLSConfig: config, AnswerTimeout: patience}
		reply, err := c.Send(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		ack, err := hl7v2.Parse(reply)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sent{ControlID: ack.Get(msa2), Ack: ack.Get(msa1)})
	}
	return all
}

// check compares what the server was told by its parser. The end of the last segment may count or not.
func (r *running) check(t *testing.T, want []received) {
	t.Helper()
	for _, w := range want {
		var got received
		if !r.read(t, &got) {
			t.Errorf("the server did not tell of %s", w.ID)
			return
		}
		if got.Length == w.Length-1 {
			got.Length++
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
	}
}

// TestServerThatRepeatsItself sends to a server that answers the second message of a connection
// with the MSA-2 of the first. That must not pass for an answer, nor spoil the third.
func TestServerThatRepeatsItself(t *testing.T) {
	program := build(t)
	messages, want, _ := serverTrial{forms: []form{a28, a31, a28}}.messages(t)
	want[1] = sent{ControlID: want[1].ControlID, Err: "mllp: send: mllp: no answer: MSA-2 of the answer is not MSH-10 of the message"}
	r := peer{name: "node-hl7-server", lang: &node, program: "node-hl7-server.mjs"}.start(t, job{Charset: utf8Name})
	got := sendAll(t, program, r.listens(t), certificates{}, messages)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	r.end(t)
}
