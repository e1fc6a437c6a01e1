package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"spinetrace/exchange"
	"spinetrace/hl7v2"
	"spinetrace/notify"
	"spinetrace/store"
)

// messages returns what came, oldest first.
func (r *receiver) messages(t *testing.T) []*hl7v2.Message {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*hl7v2.Message
	for _, got := range r.got {
		m, err := hl7v2.Parse([]byte(got))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// waitFor waits until so many messages have come.
func (r *receiver) waitFor(t *testing.T, what string, n int) []*hl7v2.Message {
	t.Helper()
	waitUntil(t, what, func() bool { return len(r.messages(t)) == n })
	return r.messages(t)
}

// waitMetric waits until a sample is on /metrics.
func (r *running) waitMetric(t *testing.T, sample string) {
	t.Helper()
	waitUntil(t, sample, func() bool {
		_, body := r.ask(t, "/metrics")
		return strings.Contains(body, "\n"+sample+"\n")
	})
}

func TestServeSendsResultsHome(t *testing.T) {
	pas, engine := &receiver{ack: accept}, &receiver{ack: accept}
	r := startService(t, map[string]string{
		"PAS_ADDR": pas.listen(t, nil), "FORWARD_ADDR": engine.listen(t, nil), "RETURN": "a31,forward", "FORWARD_CONNECTION": "message",
	})
	r.waitReady(t)
	if _, err := r.send(t, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}
	pid32 := hl7v2.MustPath("PID-32")
	a31 := pas.waitFor(t, "the A31", 1)[0]
	if got := a31.Get(hl7v2.MustPath("MSH-9.2")) + " " + a31.Get(pid32); got != "A31 NSTS01" {
		t.Errorf("the PAS got %s, want A31 NSTS01", got)
	}
	forwarded := engine.waitFor(t, "the forwarded message", 1)[0]
	if got := forwarded.Get(msh10) + " " + forwarded.Get(pid32); got != "C1 NSTS01" {
		t.Errorf("forwarded was %s, want C1 NSTS01", got)
	}
	r.waitMetric(t, `spinetrace_deliveries_total{destination="pas",result="delivered"} 1`)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	kinds := kindsOf(r.events(t))
	if !slices.Contains(kinds, "queued") || !slices.Contains(kinds, "tried") || kinds[len(kinds)-1] != "stopped" {
		t.Errorf("journal: %q; want queued and tried before stopped", kinds)
	}
}

// TestServeDeliversWhatAnEarlierRunLeft: the outbox outlives the process.
func TestServeDeliversWhatAnEarlierRunLeft(t *testing.T) {
	pas := &receiver{ack: accept}
	addr := pas.listen(t, nil)
	first := startService(t, map[string]string{"PAS_ADDR": "127.0.0.1:1"}) // nobody listens there
	first.waitReady(t)
	if _, err := first.send(t, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}
	first.waitMetric(t, `spinetrace_deliveries_total{destination="pas",result="waiting"} 1`)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCommand("outbox", "retry", "1", "--reason", "another address")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	second := startService(t, map[string]string{"PAS_ADDR": addr, "STORE": first.cfg.Store.Reveal()})
	second.waitReady(t)
	pas.waitFor(t, "the A31", 1)
}

// TestServeTellsOfItems: whoever is told learns where to look, and nothing of the patient.
func TestServeTellsOfItems(t *testing.T) {
	for name, tt := range map[string]struct {
		more map[string]string
		want string // of the local number
	}{
		"as few as can be":      {nil, ""},
		"with the local number": {map[string]string{"NOTIFY_LOCAL_ID": "true"}, "D100004"},
	} {
		t.Run(name, func(t *testing.T) {
			posted := make(chan string, 10)
			hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				posted <- req.Header.Get("Authorization") + "\n" + string(body)
			}))
			t.Cleanup(hook.Close)
			settings := map[string]string{"WEBHOOK_URL": hook.URL, "WEBHOOK_TOKEN": "open-sesame", "NOTIFY_KINDS": "replaced number"}
			for name, value := range tt.more {
				settings[name] = value
			}
			r := startService(t, settings)
			r.waitReady(t)
			if _, err := r.send(t, supersededA31); err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(<-posted, "\n")
			var n notify.Notice
			if err := json.Unmarshal([]byte(body), &n); err != nil || head != "Bearer open-sesame" {
				t.Fatalf("posted by %q: %v in %s", head, err, body)
			}
			if n.Item != 1 || n.Kind != "replaced number" || n.Chain != "main" || n.Opened.IsZero() || n.LocalID != tt.want {
				t.Errorf("told was %+v", n)
			}
			if strings.Contains(body, "KETTLEWELL") || strings.Contains(body, "999") {
				t.Errorf("the notice knows the patient: %s", body)
			}
			r.hasMetric(t, `spinetrace_items_open{kind="replaced number"} 1`)
		})
	}
}

// supersededA31 has an NHS number that another took the place of.
const supersededA31 = "MSH|^~\\&|PAS|X99|SPINETRACE|X99|20261122120000||ADT^A31|S1|P|2.4\r" +
	"EVN|A31|20261122120000\r" +
	"PID|1||D100004^^^X99^MR~9990600147^^^NHS^NH||KETTLEWELL^ROSALIND||19830921|F|||||||||||||||||||||||||NSTS03\r"

// TestNotifiedOfSomeKinds: who is told depends on the kind of item, and on who is there to be told.
func TestNotifiedOfSomeKinds(t *testing.T) {
	cfg := config{NotifyKinds: List{"discrepancy"}, MailAddr: "mail:25"}
	n := cfg.notified()
	if got := n[store.Discrepancy]; !slices.Equal(got, []string{exchange.ToMail}) || n[store.Untraceable] != nil {
		t.Errorf("told: %v of a discrepancy, %v of no match", got, n[store.Untraceable])
	}
	if all := (&config{}).notified(); all[store.Discrepancy] != nil {
		t.Errorf("told: %v", all)
	}
}

func TestServeNoticeOfAClosedItemIsOvertaken(t *testing.T) {
	j := backlogStore(t)
	runCommand("items", "close", "1", "--reason", "done")
	db := j.open(t, "reading")
	defer closeStore(t, db)
	n := notices{db, &config{Chain: "main"}}
	for id, want := range map[string]string{
		"item 1": "the item is closed", "item 2": "", "item 99": "the letter names no item", "ST0001": "the letter names no item",
	} {
		reason, again, err := n.overtaken(t.Context(), store.Letter{ControlID: id, Kind: store.Notice})
		if reason != want || again != nil || err != nil {
			t.Errorf("%s: %q, %v, %v; want %q", id, reason, again, err, want)
		}
	}
}

// TestServeShowsTheReceiverOurCertificate, the new one once there is one.
func TestServeShowsTheReceiverOurCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	pool.AddCert(other.cert)
	shown := make(chan string, 10)
	pas := &receiver{ack: accept}
	addr := pas.listen(t, &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "pas.test", later)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			shown <- s.PeerCertificates[0].Subject.CommonName
			return nil
		},
	})
	own := newPairFiles(t, ca.issue(t, "before", later))
	p := peer{"pas", "PAS", &destination{
		Addr: addr, TLS: "mutual", CA: ca.file, Cert: own.cert, Key: own.key, ServerName: "pas.test", Connection: "keep",
	}}
	w, err := p.open(new(certificates))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.hangUp)
	for _, want := range []string{"before", "after"} {
		for range 2 { // the second time by the same connection
			if _, err := w.Send(t.Context(), []byte(sampleA28("C1"))); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-shown; got != want {
			t.Errorf("the PAS was shown %q, want %q", got, want)
		}
		own.replace(t, other.issue(t, "after", later))
	}
	if len(shown) > 0 {
		t.Error("a connection was made for nothing")
	}
}

func TestServeConnectsOncePerMessage(t *testing.T) {
	shown := make(chan struct{}, 10)
	ca := newAuthority(t)
	pas := &receiver{ack: accept}
	addr := pas.listen(t, &tls.Config{
		Certificates:     []tls.Certificate{ca.issue(t, "pas.test", time.Now().Add(time.Hour))},
		VerifyConnection: func(tls.ConnectionState) error { shown <- struct{}{}; return nil },
	})
	for connection, want := range map[string]int{"keep": 1, "message": 3} {
		p := peer{"pas", "PAS", &destination{Addr: addr, TLS: "server", CA: ca.file, Connection: connection}}
		w, err := p.open(new(certificates))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := w.Send(t.Context(), []byte(sampleA28("C1"))); err != nil {
				t.Fatal(err)
			}
		}
		w.hangUp()
		if got := len(shown); got != want {
			t.Errorf("%s: %d connections for 3 messages, want %d", connection, got, want)
		}
		for range len(shown) {
			<-shown
		}
	}
}

func TestServeWarnsOfAPASInTheClear(t *testing.T) {
	for addr, want := range map[string]string{
		"":                         "",
		"127.0.0.1:2576":           "",
		"pas.example.nhs.uk:2576":  "PAS_ADDR is another machine, and messages go there without TLS",
		"pas.example.nhs.uk:2576!": "",
	} {
		d := &destination{Addr: strings.TrimSuffix(addr, "!"), TLS: "off"}
		if strings.HasSuffix(addr, "!") {
			d.TLS = "server"
		}
		if got := (peer{exchange.ToPAS, "PAS", d}).exposed(); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}
