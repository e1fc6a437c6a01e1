//go:build interop

package interop

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Charsets as MSH-18 and as programs spell them.
const (
	utf8, utf8Name     = "UNICODE UTF-8", "utf-8"
	latin1, latin1Name = "8859/1", "iso-8859-1"
)

// clientTrial is what every foreign client does to `spinetrace serve`.
type clientTrial struct {
	name    string
	job     job
	charset string // MSH-18; empty for UTF-8
	tls     bool
	forms   []form
	times   int // how often all forms are sent; 0 means once
}

var clientTrials = []clientTrial{
	{name: "one connection", job: job{Keep: true}, forms: []form{a28, a31, a19, q22}, times: 5},
	{name: "a connection each", forms: []form{a28, a31, a19, q22}, times: 2},
	{name: "pipelined", job: job{Keep: true, Pipeline: true}, forms: []form{a28, a31, a19, q22}, times: 10},
	{name: "queries", job: job{Keep: true}, forms: []form{a28, a19Local, q21, q23, q23Unknown, q22Older, q22Nobody}, times: 2},
	{name: "TLS", job: job{Keep: true}, tls: true, forms: []form{a28, a31, a19, q22}, times: 2},
	{name: "TLS, a connection each", tls: true, forms: []form{a28, q22}},
	{name: "UTF-8", job: job{Keep: true}, forms: []form{accents, accentsFound, polish}},
	{name: "ISO 8859-1", job: job{Keep: true, Charset: latin1Name}, charset: latin1, forms: []form{accents, accentsFound}},
	{name: "500 KB", job: job{Keep: true}, forms: []form{big, a28, big}},
	{name: "refused", job: job{Keep: true}, forms: []form{noPatient, notOurs, noBirthDate, a28}},
}

var clients = []peer{
	{name: "HAPI", lang: &java, program: "HapiClient"},
	{name: "Camel", lang: &java, program: "CamelClient", cannot: map[string]string{
		"pipelined": "sends one message at a time",
	}},
	{name: "simple-hl7", lang: &node, program: "simple-hl7-client.mjs", cannot: map[string]string{
		"pipelined":              "sends one message at a time",
		"TLS":                    "has no TLS",
		"TLS, a connection each": "has no TLS",
		"ISO 8859-1":             "writes UTF-8 whatever MSH-18 says",
	}},
	{name: "node-hl7-client", lang: &node, program: "node-hl7-client.mjs", cannot: map[string]string{
		"pipelined":  "runs answers together that come in one packet",
		"ISO 8859-1": "writes it, but reads every answer as UTF-8",
	}},
	{name: "python-hl7", lang: &python, program: "hl7_client.py"},
	{name: "mllp_send", lang: &python, program: "mllp_send.py", cannot: map[string]string{
		"pipelined":              "sends one message at a time",
		"TLS":                    "has no TLS",
		"TLS, a connection each": "has no TLS",
	}},
}

// TestClients lets foreign clients talk to the service, and asks their own parsers what it answered.
func TestClients(t *testing.T) {
	program := build(t)
	provider := simulate(t, program)
	certs := newCertificates(t)
	plain := serve(t, program, provider, nil)
	secure := serve(t, program, provider, map[string]string{
		"MLLP_TLS": "server", "MLLP_CERT": certs.cert, "MLLP_KEY": certs.key,
	})
	for _, p := range clients {
		t.Run(p.name, func(t *testing.T) {
			for n, trial := range clientTrials {
				to := plain
				if trial.tls {
					to, trial.job.CA = secure, certs.ca
				}
				t.Run(trial.name, func(t *testing.T) {
					if reason, ok := p.cannot[trial.name]; ok {
						t.Skip(reason)
					}
					trial.run(t, p, to, fmt.Sprint("T", n))
				})
			}
		})
	}
}

// run sends the trial's messages by a client. Their control ids start with prefix.
func (c clientTrial) run(t *testing.T, p peer, to service, prefix string) {
	j, charset := c.job, c.charset
	j.Host, j.Port = to.host, to.port
	if charset == "" {
		j.Charset, charset = utf8Name, utf8
	}
	var want []answer
	for range max(c.times, 1) {
		for _, f := range c.forms {
			text, a := f.write(p.name, fmt.Sprintf("%sN%d", prefix, len(want)), charset)
			j.Messages, want = append(j.Messages, text), append(want, a)
		}
	}
	before := to.counters(t)
	r := p.start(t, j)
	var got []answer
	for {
		var a answer
		if !r.read(t, &a) {
			break
		}
		if a.Class == "" && len(got) < len(want) {
			a.Class = want[len(got)].Class // only HAPI has classes
		}
		got = append(got, a)
	}
	r.end(t)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	checkConnections(t, before, to.counters(t), j)
}

// checkConnections compares the service's counters with how the client was to connect. What
// else it did is told, but is no failure.
func checkConnections(t *testing.T, before, after map[string]int, j job) {
	t.Helper()
	for name, n := range after {
		n -= before[name]
		switch {
		case name != opened && n > 0:
			t.Logf("%d times %s", n, name)
		case name == opened && j.Keep && n != 1:
			t.Errorf("%d connections, want one", n)
		case name == opened && n < len(j.Messages) && !j.Keep:
			t.Errorf("%d connections for %d messages", n, len(j.Messages))
		}
	}
}

// typedAnswer is what HAPI's typed classes read in an answer to a query.
type typedAnswer struct {
	Class  string   `json:"class"`
	Ack    string   `json:"ack"`
	ID     string   `json:"id"`
	Place  string   `json:"place"` // segment and field of ERR-2, and ERR-3
	Tag    string   `json:"tag"`
	Status string   `json:"status"`
	Hits   string   `json:"hits"`
	IDs    []string `json:"ids"`   // number, authority, type
	Names  []string `json:"names"` // family, type
	Born   string   `json:"born"`
	Sex    string   `json:"sex"`
}

// TestTypedQueries lets a consumer of IHE PDQ and PIX that is written with HAPI's typed classes ask,
// and read what it is answered.
func TestTypedQueries(t *testing.T) {
	program := build(t)
	to := serve(t, program, simulate(t, program), nil)
	text, _ := a28.write("CONSUMER", "TOLD", utf8)
	j := job{Host: to.host, Port: to.port, Charset: utf8Name, Messages: []string{text}}
	found := func(id string, ids ...string) typedAnswer {
		return typedAnswer{"RSP_K21", "AA", id, ". ", "TAG", "OK", "1", ids, []string{"HALVORSEN L"}, "19620417", "F"}
	}
	want := []typedAnswer{
		found("TYPED0", "9990000018 NHS NH"),
		{Class: "RSP_K21", Ack: "AA", ID: "TYPED1", Place: ". ", Tag: "TAG", Status: "NF", Hits: "0"},
		{Class: "RSP_K21", Ack: "AE", ID: "TYPED2", Place: "QPD.3 101", Tag: "TAG", Status: "AE"},
		found("TYPED3", "9990000018 NHS NH", "LA RXX MR"),
		{Class: "RSP_K23", Ack: "AA", ID: "TYPED4", Place: ". ", Tag: "TAG", Status: "OK", Hits: "1", IDs: []string{"9990000018 NHS NH"}, Names: []string{" ", " S"}},
		{Class: "RSP_K23", Ack: "AE", ID: "TYPED5", Place: "QPD.3 204", Tag: "TAG", Status: "AE"},
	}
	r := peer{name: "HAPI", lang: &java, program: "HapiQueries"}.start(t, j)
	var got []typedAnswer
	for {
		var a typedAnswer
		if !r.read(t, &a) {
			break
		}
		got = append(got, a)
	}
	r.end(t)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}
