//go:build !unix

package mllp

import (
	"net"
	"time"
)

// peekTime is how long to wait for the end of a connection before it is written to.
const peekTime = time.Millisecond

// pending reports that only reading can tell whether something came.
func pending(net.Conn) bool { return true }
