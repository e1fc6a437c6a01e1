//go:build unix

package mllp

import (
	"net"
	"syscall"
)

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
	// Control rather than Read, which fails once the deadline of the last answer has passed.
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		waiting = err != syscall.EAGAIN && err != syscall.EINTR
	})
	return waiting || err != nil
}
