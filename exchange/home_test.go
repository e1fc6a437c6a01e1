package exchange_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/store"
)

// homeSite is a plainSite with a way back: to a PAS that takes what it is sent.
type homeSite struct {
	*plainSite
	pas   *takingPAS
	relay *exchange.Relay
}

// takingPAS is a receiver on a socket of its own. It answers AA unless a test says otherwise.
type takingPAS struct {
	answer func(n int, msg string) string // of the nth message, from 1; nil or "": AA

	mu  sync.Mutex
	got []string
}

func (p *takingPAS) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	p.mu.Lock()
	p.got = append(p.got, string(msg))
	n := len(p.got)
	p.mu.Unlock()
	if p.answer != nil {
		if answer := p.answer(n, string(msg)); answer != "" {
			return []byte(answer), nil
		}
	}
	return []byte(pasAck("AA", string(msg))), nil
}

// pasAck is the PAS's acknowledgement of a message.
func pasAck(code, msg string) string {
	return "MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122120001||ACK|A1|P|2.4\rMSA|" + code + "|" + headerField(msg, 10) + "\r"
}

// headerField returns a field of MSH.
func headerField(msg string, n int) string {
	header, _, _ := strings.Cut(msg, "\r")
	return strings.Split(header, "|")[n-1]
}

func (p *takingPAS) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// newHome is a site that sends results home by A31.
func newHome(t *testing.T) *homeSite {
	t.Helper()
	f := &homeSite{plainSite: newPlain(t), pas: &takingPAS{}}
	f.handler.Outbox, f.handler.Backlog, f.handler.Updates = f.disk, f.disk, true
	f.relay = &exchange.Relay{
		Destination: exchange.ToPAS, Outbox: f.disk, Journal: f.disk, Audit: f.disk, Overtaken: f.handler.Overtaken,
		CommitTimeout: patience, Now: f.time, Log: f.handler.Log,
	}
	f.handler.Posted = f.relay.Wake
	return f
}

// open serves, with a PAS and a relay to it.
func (f *homeSite) open(t *testing.T) *homeSite {
	t.Helper()
	if f.relay.Sender == nil {
		f.relay.Sender = connect(t, f.pas)
	}
	f.plainSite.open(t)
	run(t, f.relay)
	return f
}

// connect serves a receiver on loopback, and returns a client of it.
func connect(t *testing.T, h mllp.Handler) *mllp.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &mllp.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	client := &mllp.Client{Addr: ln.Addr().String(), Match: exchange.Answers}
	t.Cleanup(func() {
		client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, mllp.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return client
}

// run runs a relay until the test ends.
func run(t *testing.T, r *exchange.Relay) {
	ctx, stop := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		stop()
		ran.Wait()
	})
}

// settle waits until no trace is due and no letter could be sent.
func (f *homeSite) settle(t *testing.T) {
	t.Helper()
	f.work(t)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); f.sendable(t); {
		f.relay.Wake()
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("waited in vain for letters to be sent; the log:\n%s", f.logged())
		}
	}
	f.work(t) // what a letter was given up for may be traced again
}

// sendable tells whether the first letter that waits for the PAS may be sent now.
func (f *homeSite) sendable(t *testing.T) bool {
	t.Helper()
	waiting := f.letters(t, store.Waiting)
	return len(waiting) > 0 && (!waiting[0].Due.After(f.time()) || !waiting[0].Until.IsZero())
}

func (f *homeSite) letters(t *testing.T, state store.LetterState) []store.Letter {
	t.Helper()
	all, err := f.disk.Letters(context.Background(), state, 100)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(l store.Letter) bool { return l.Destination != f.relay.Destination })
}

// elapse moves the clock, and waits until everything that is due then has been tried.
func (f *homeSite) elapse(t *testing.T, d time.Duration) {
	t.Helper()
	f.clock.Lock()
	f.now = f.now.Add(d)
	f.clock.Unlock()
	f.settle(t)
}

// wantUpdates waits, and checks PID-3 and PID-32 of every update that the PAS was sent so far.
func (f *homeSite) wantUpdates(t *testing.T, want ...string) {
	t.Helper()
	f.settle(t)
	got := []string{}
	for _, msg := range f.pas.received() {
		got = append(got, identifiersAndStatus(msg))
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("updates (-want +got):\n%s", diff)
	}
}

// identifiersAndStatus are PID-3 and PID-32 of a message.
func identifiersAndStatus(msg string) string {
	fields := append(strings.Split(pidOf(msg), "|"), make([]string, 32)...)
	return fields[2] + " " + fields[31]
}

// items returns what is open, as "kind: local number; NHS number".
func (f *homeSite) items(t *testing.T) []store.Item {
	t.Helper()
	all, err := f.disk.Items(context.Background(), store.ItemQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantItems checks the kinds and numbers of the open items.
func (f *homeSite) wantItems(t *testing.T, want ...string) {
	t.Helper()
	got := []string{}
	for _, i := range f.items(t) {
		got = append(got, strings.TrimSpace(i.Kind.String()+" "+i.NHSNumber))
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("open items (-want +got):\n%s", diff)
	}
}

// closeItem closes an item, as a clerk would.
func (f *homeSite) closeItem(t *testing.T, i store.Item) {
	t.Helper()
	_, err := f.disk.Commit(context.Background(), store.Commit{
		Exchange: i.Exchange,
		Entries:  []store.Entry{{Kind: store.ItemClosed, Facts: store.Facts{User: "clerk", Item: i.Number, Reason: "solved"}}},
		Closures: []store.Closure{{Number: i.Number, By: "clerk", Why: "solved"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
