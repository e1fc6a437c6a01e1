package mllp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"spinetrace/mllp"
)

// sample is an admission of 0.6 KB, and sampleAck its answer.
var (
	sample = "MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20260101120000||ADT^A28^ADT_A05|M1|P|2.4\rEVN|A28|20260101120000\r" +
		"PID|1||9990000018^^^NHS^NH~123456^^^RXX^MR||TESTER^ANN^^^MS||19700101|F|||1 HIGH STREET^^TOWN^^KT17 1NA^^H\r" +
		"PV1|1|N\rNTE|1||" + strings.Repeat("x", 340) + "\r"
	sampleAck = []byte("MSH|^~\\&|SPINETRACE|RXX|PAS|RXX|20260101120000||ACK^A28^ACK|A1|P|2.4\rMSA|AA|M1\r")
)

type fixed []byte

func (f fixed) HandleMLLP(context.Context, netip.AddrPort, *tls.ConnectionState, []byte) ([]byte, error) {
	return f, nil
}

// BenchmarkServer measures one message of 0.6 KB sent and answered by an ACK of 0.1 KB over loopback, with one
// message outstanding on each connection, by a client that does nothing but write and read bytes. The client's work
// is part of the figure.
func BenchmarkServer(b *testing.B) {
	for _, conns := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			addr := startServer(b, &mllp.Server{Handler: fixed(sampleAck)})
			frame := mllp.Append(nil, []byte(sample))
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			share(b, conns, func(n int) { pingPong(b, addr, frame, len(sampleAck)+3, n) })
		})
	}
}

// BenchmarkServerPipelined is BenchmarkServer with a peer that does not wait: each writes 16 messages at a time and
// then reads as many answers.
func BenchmarkServerPipelined(b *testing.B) {
	const depth = 16
	addr := startServer(b, &mllp.Server{Handler: fixed(sampleAck)})
	frames := bytes.Repeat(mllp.Append(nil, []byte(sample)), depth)
	b.ReportAllocs()
	share(b, 64, func(n int) { pingPong(b, addr, frames, depth*(len(sampleAck)+3), n/depth) })
}

// BenchmarkClient measures Client.Send of the same message on one connection, and the Server that answers it.
func BenchmarkClient(b *testing.B) {
	c := &mllp.Client{Addr: startServer(b, &mllp.Server{Handler: fixed(sampleAck)})}
	defer c.Close()
	msg := []byte(sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Send(b.Context(), msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReader measures reading 1,000 frames of 0.6 KB from memory.
func BenchmarkReader(b *testing.B) {
	in := bytes.Repeat(mllp.Append(nil, []byte(sample)), 1000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := mllp.NewReader(bytes.NewReader(in), 0)
		for range 1000 {
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// share divides b.N among n goroutines.
func share(b *testing.B, n int, f func(n int)) {
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		wg.Go(func() { f(b.N/n + min(1, max(0, b.N%n-i))) })
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// pingPong writes frame and reads an answer of size bytes, n times.
func pingPong(tb testing.TB, addr string, frame []byte, size, n int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Error(err)
		return
	}
	defer nc.Close()
	answer := make([]byte, size)
	for range n {
		if _, err := nc.Write(frame); err != nil {
			tb.Error(err)
			return
		}
		if _, err := io.ReadFull(nc, answer); err != nil {
			tb.Error(err)
			return
		}
	}
}
