package postgres

import (
	"errors"
	"net"
	"testing"
)

// TestNetworkFaultsReadTheSame: our own port is another one each time, and who compares two
// faults should not find a difference where there is none.
func TestNetworkFaultsReadTheSame(t *testing.T) {
	to := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432}
	for _, port := range []int{40001, 40002} {
		from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: port}
		err := clean(&net.OpError{Op: "read", Net: "tcp", Source: from, Addr: to, Err: errors.New("connection reset by peer")})
		if got, want := err.Error(), "read tcp 192.0.2.1:5432: connection reset by peer"; got != want {
			t.Errorf("clean() = %q, want %q", got, want)
		}
	}
}
