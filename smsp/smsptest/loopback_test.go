package smsptest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkLoopback: one verify after the other on one kept connection, by a client that
// writes bytes prepared before; so nearly all of the time is the server's.
func BenchmarkLoopback(b *testing.B) {
	s := newServer(b)
	body := example(b, "01")
	host := strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/smsp/pds")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := fmt.Appendf(nil, "POST /smsp/pds HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\nSOAPAction: %s\r\nContent-Length: %d\r\n\r\n%s",
		host, action.FindString(string(body)), len(body), body)
	answers := bufio.NewReader(conn)
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%v, %v", resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
