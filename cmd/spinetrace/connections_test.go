package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"spinetrace/mllp"
)

// dialMLLP connects to the listener.
func (r *running) dialMLLP(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", r.mllpPort.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() }) // the test has looked at it
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// TestRelease2CommitsBeforeItAnswers is row 22 of the test table.
func TestRelease2CommitsBeforeItAnswers(t *testing.T) {
	r := startService(t, map[string]string{"MLLP_RELEASE": "2"})
	r.waitReady(t)
	started := len(r.log.String()) // a slow start is complained of
	nc := r.dialMLLP(t)
	for _, id := range []string{"C1", "C2"} { // the second finds the first's commit block consumed
		if err := mllp.WriteFrame(nc, []byte(sampleA28(id))); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 4)
		if _, err := io.ReadFull(nc, block); err != nil || !bytes.Equal(block, []byte{0x0b, 0x06, 0x1c, 0x0d}) {
			t.Fatalf("first came % X, %v; want a commit block", block, err)
		}
		answer, err := mllp.NewReader(nc, 0).Next()
		if err != nil || !strings.Contains(string(answer), "MSA|AA|"+id+"|") {
			t.Fatalf("then came %q, %v; want the ACK", answer, err)
		}
		if _, err := nc.Write([]byte{0x0b, 0x06, 0x1c, 0x0d}); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := runCommand("send", "--release", "2", "--addr", r.mllpPort.Addr().String(), file(t, "a.hl7", sampleA28("C3")))
	if code != exitOK || !strings.Contains(out, "MSA|AA|C3|") {
		t.Errorf("send --release 2: exit code %d, %s%s", code, out, errs)
	}
	if code, _, errs = runCommand("send", "--release", "3", "a.hl7"); code != exitUsage || !strings.Contains(errs, "--release must be 1 or 2") {
		t.Errorf("send --release 3: exit code %d, %s", code, errs)
	}
	if log := r.log.String()[started:]; strings.Contains(log, `"level":"WARN"`) {
		t.Errorf("the log complains:\n%s", log)
	}
}

// With the store down nothing is taken: the commit block says so.
func TestRelease2RefusesWhatIsNotStored(t *testing.T) {
	r := startService(t, map[string]string{
		"MLLP_RELEASE": "2", "STORE": "postgres://nobody@" + closedPort(t) + "/x?sslmode=disable",
	})
	nc := r.dialMLLP(t)
	if err := mllp.WriteFrame(nc, []byte(sampleA28("C1"))); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, []byte{0x0b, 0x15, 0x1c, 0x0d}) {
		t.Errorf("got % X, %v; want a negative commit block and the end", got, err)
	}
}

// refusedConn waits until a connection is closed on which nothing was ever said.
func refusedConn(t *testing.T, nc net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(nc); len(b) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %q, %v; want the connection closed", b, err)
	}
}

func TestConnectionsOverTheLimitAreRefused(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"in all":           {"MLLP_MAX_CONNS": "1"},
		"from one address": {"MLLP_MAX_CONNS_PER_ADDR": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startService(t, settings)
			r.waitReady(t)
			first := r.dialMLLP(t)
			if err := mllp.WriteFrame(first, []byte(sampleA28("C1"))); err != nil {
				t.Fatal(err)
			}
			if _, err := mllp.NewReader(first, 0).Next(); err != nil {
				t.Fatal(err)
			}
			refusedConn(t, r.dialMLLP(t))
			r.logged(t, "too many connections "+name)
			r.hasMetric(t, `spinetrace_connections_refused_total{reason="limit"} 1`)
			r.hasMetric(t, `spinetrace_connections_total{state="refused"} 1`)
			r.hasMetric(t, `spinetrace_connections 1`)
			if err := mllp.WriteFrame(first, []byte(sampleA28("C2"))); err != nil {
				t.Fatal(err)
			}
			if _, err := mllp.NewReader(first, 0).Next(); err != nil {
				t.Errorf("who was there first: %v", err)
			}
		})
	}
}

func TestStrangeAddressIsRefused(t *testing.T) {
	r := startService(t, map[string]string{"MLLP_ALLOW": "192.0.2.0/24"})
	r.waitReady(t)
	refusedConn(t, r.dialMLLP(t))
	r.logged(t, "address not allowed", `"peer":"127.0.0.1:`)
	r.hasMetric(t, `spinetrace_connections_refused_total{reason="address"} 1`)
	r.hasMetric(t, `spinetrace_connections 0`)
}
