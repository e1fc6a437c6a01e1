package mllp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"spinetrace/mllp"
)

// polite answers every message with the same words.
type polite struct{}

func (polite) HandleMLLP(_ context.Context, _ netip.AddrPort, _ *tls.ConnectionState, msg []byte) ([]byte, error) {
	return fmt.Appendf(nil, "thank you for %d bytes", len(msg)), nil
}

func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &mllp.Server{Handler: polite{}}
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := &mllp.Client{Addr: ln.Addr().String()}
	answer, err := client.Send(ctx, []byte("MSH|^~\\&|...\r"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)

	_ = client.Close()
	fmt.Println(srv.Shutdown(ctx))
	fmt.Println(<-served)
	// Output:
	// thank you for 13 bytes
	// <nil>
	// mllp: server closed
}

func ExampleReader() {
	r := mllp.NewReader(strings.NewReader("\x0bfirst\x1c\r\r\n\x0bsecond\x1c"), 0)
	for {
		msg, err := r.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", msg)
	}
	// Output:
	// first
	// second
	// EOF
}

func ExampleWriteFrame() {
	var buf bytes.Buffer
	if err := mllp.WriteFrame(&buf, []byte("MSA|AA|T1\r")); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "%q\n", buf.String())
	// Output: "\vMSA|AA|T1\r\x1c\r"
}
