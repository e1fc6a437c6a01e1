package exchange_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// These measure what bad peers cost the process and its other senders. They take minutes and
// thousands of sockets, so they run with SPINETRACE_TEST_LARGE=1 alone:
//
//	SPINETRACE_TEST_LARGE=1 go test -count=1 -v -run Beside ./exchange
//
// Memory is held to its budget, as are the answers of the healthy. Times are told and not
// judged: that is for whoever knows what else the machine did.

// process is a site in a process of its own, so that its memory is its own.
type process struct {
	site
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
}

const serveForMeasures = "SPINETRACE_TEST_SERVE"

// TestServeForMeasures is that process.
func TestServeForMeasures(t *testing.T) {
	if os.Getenv(serveForMeasures) == "" {
		t.Skip("started by the tests of what happens beside bad peers")
	}
	s := newSite(newDisk(t))
	s.handler.Log, s.handler.Done = nil, nil
	s.server.ConnState, s.server.ErrorLog, s.server.Count = nil, nil, nil
	s.server.MaxConns, s.server.MaxConnsPerAddr = 20_000, 20_000
	s.server.FrameTimeout = time.Hour
	s.provider.say = traced
	s.open(t)
	fmt.Println("listening", s.addr)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

// startProcess starts a site that has been warmed up.
func startProcess(t *testing.T) *process {
	t.Helper()
	if !large() {
		t.Skip("takes minutes: set SPINETRACE_TEST_LARGE=1")
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0], "-test.run=^TestServeForMeasures$")}
	p.cmd.Env = append(os.Environ(), serveForMeasures+"=1")
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	out := bufio.NewReader(stdout)
	first, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p.addr = strings.TrimPrefix(strings.TrimSpace(first), "listening ")
	t.Cleanup(func() { p.end(out) })
	p.healthy("W")
	return p
}

func (p *process) end(out io.Reader) {
	p.stdin.Close()
	rest, err := io.ReadAll(out)
	if err = errors.Join(err, p.cmd.Wait()); err != nil {
		p.t.Errorf("the process: %v\n%s", err, rest)
	}
}

// memory returns the resident memory in MiB, now and at most so far.
func (p *process) memory() (now, most int) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skip("needs /proc")
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			now = n >> 10
		case "VmHWM":
			most = n >> 10
		}
	}
	return now, most
}

// healthy has eight senders send 500 messages each, one at a time, and returns a sentence
// about how long the answers took.
func (p *process) healthy(name string) string {
	p.t.Helper()
	const senders, each = 8, 500
	took := make([]time.Duration, senders*each)
	var group errgroup.Group
	for n := range senders {
		s := p.dial(p.t)
		group.Go(func() error {
			defer s.Close()
			for i := range each {
				id := fmt.Sprintf("%s%dM%d", name, n, i)
				start := time.Now()
				if _, err := io.WriteString(s, frame(a03(id))); err != nil {
					return err
				}
				got, err := s.next()
				if err != nil {
					return err
				}
				took[n*each+i] = time.Since(start)
				if !strings.Contains(got, "\rMSA|AA|"+id+"|") {
					return fmt.Errorf("%s is answered %q", id, got)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		p.t.Error(err)
	}
	slices.Sort(took)
	return fmt.Sprintf("p50 %v, p99 %v", took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond))
}

// compare tells of the healthy before, beside and after the bad.
func (p *process) compare(before, beside string, budget int) {
	p.t.Helper()
	now, most := p.memory()
	p.t.Logf("others before: %s", before)
	p.t.Logf("others beside: %s", beside)
	p.t.Logf("memory %d MiB, at most %d MiB", now, most)
	if most > budget {
		p.t.Errorf("%d MiB of memory, over the budget of %d", most, budget)
	}
}

// TestBesideHalfSentFrames: 10,000 peers have sent half a message and wait.
func TestBesideHalfSentFrames(t *testing.T) {
	p := startProcess(t)
	before := p.healthy("A")
	half := a28("HALF")
	for range 10_000 {
		p.dial(t).send("\v" + half[:len(half)/2])
	}
	p.compare(before, p.healthy("B"), 250)
}

// TestBesideAFrameWithoutEnd: a peer sends a gigabyte that begins like a message. Each time
// that it is hung up on at the hard limit, it dials again.
func TestBesideAFrameWithoutEnd(t *testing.T) {
	p := startProcess(t)
	before := p.healthy("A")
	poured := make(chan error, 1)
	go func() { poured <- p.pour(1 << 30) }()
	beside := p.healthy("B")
	if err := <-poured; err != nil {
		t.Error(err)
	}
	p.compare(before, beside, 120)
}

// pour sends size bytes in frames without an end.
func (p *process) pour(size int) error {
	block := bytes.Repeat([]byte("x"), 64<<10)
	for sent := 0; sent < size; {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "\v"+a03("ENDLESS")); err == nil {
			sent += pour(conn, block)
		}
		conn.Close()
	}
	return nil
}

// TestBesideSendersThatNeverRead: ten peers are owed answers longer than any socket's buffer.
func TestBesideSendersThatNeverRead(t *testing.T) {
	p := startProcess(t)
	before := p.healthy("A")
	for n := range 10 {
		deaf := p.dial(t)
		if err := deaf.SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		deaf.send(frame(a28(fmt.Sprint("DEAF", n), "^^L||", "^^L~"+strings.Repeat("X", 900<<10)+"^^^^^^A||")))
	}
	p.compare(before, p.healthy("B"), 250)
}
