//go:build unix

package mllp

import (
	"net"
	"syscall"
	"time"
)

// peekTime is how long to read a connection on which something is known to have come. Over TLS it may be nothing
// but a record of the protocol's own, which leaves the connection as good as it was.
const peekTime = time.Millisecond

// pending reports, without waiting, whether there is something to read on nc, be it its end.
func pending(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	waiting := true
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		waiting = err != syscall.EAGAIN && err != syscall.EINTR
		return true
	})
	return waiting || err != nil
}
