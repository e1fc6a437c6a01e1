package simulator

import "testing"

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8680": true, "127.9.9.9:1": true, "[::1]:8680": true, "localhost:8680": true,
		"[::ffff:127.0.0.1]:1": true, ":8680": false, "0.0.0.0:8680": false, "[::]:1": false,
		"10.0.0.1:8680": false, "example.org:1": false, "127.0.0.1": false,
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("Loopback(%s) = %v, want %v", addr, got, want)
		}
	}
}
