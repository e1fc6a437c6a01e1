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

// TestExplain: what an operator can mend is said in words, with the code behind them.
func TestExplain(t *testing.T) {
	for code, want := range map[string]string{
		"53100": "the database's disk is full (SQLSTATE 53100)",
		"25006": "the database is read-only (SQLSTATE 25006)",
		"42501": "the login may not do this: it needs the role spinetrace_runtime (SQLSTATE 42501)",
		"53300": "the database takes no more connections (SQLSTATE 53300)",
		"57014": "SQLSTATE 57014",
	} {
		if got := explain(&fault{code: code}).Error(); got != want {
			t.Errorf("explain(%s) = %q, want %q", code, got, want)
		}
	}
}
