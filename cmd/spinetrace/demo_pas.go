package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
)

// demoPAS stands for the hospital's system in the demo: it takes every message, and keeps the newest
// about each patient.
type demoPAS struct {
	server mllp.Server
	port   net.Listener
	served chan error

	mu    sync.Mutex
	taken int
	about map[string][]byte // by the first local number
}

// startPAS serves on a free port of this machine.
func startPAS() (*demoPAS, error) {
	p := &demoPAS{served: make(chan error, 1), about: make(map[string][]byte)}
	var err error
	if p.port, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	p.server.Handler = p
	go func() { p.served <- p.server.Serve(p.port) }() // close waits for it
	return p, nil
}

func (p *demoPAS) addr() string { return p.port.Addr().String() }

func (p *demoPAS) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if served := <-p.served; !errors.Is(served, mllp.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

var patientNumber = hl7v2.MustPath("PID-3.1")

// HandleMLLP implements [mllp.Handler].
func (p *demoPAS) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	m, err := hl7v2.Parse(msg)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
	p.about[m.Get(patientNumber)] = msg
	answer := hl7v2.Reply(m, hl7v2.Header{Type: "ACK^A31^ACK", ControlID: fmt.Sprintf("PAS%04d", p.taken), Time: time.Now()})
	return answer.MSA(hl7v2.AA, m.Raw(msh10), "").Bytes(), nil
}

// update returns the newest message about a patient, nil if there was none.
func (p *demoPAS) update(localID string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.about[localID]
}
