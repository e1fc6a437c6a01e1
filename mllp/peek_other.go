//go:build !unix

package mllp

import "net"

// pending reports that only reading can tell whether something came.
func pending(net.Conn) bool { return true }
