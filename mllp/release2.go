package mllp

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// In release 2 a frame is followed by a commit block in the other direction, VT ACK FS CR for one that was taken and
// VT NAK FS CR for one that was not. An answer is a frame like any other, and is committed by whoever asked.

const (
	ack = 0x06 // the body of a commit block
	nak = 0x15 // the same, negative
)

func isCommitBlock(msg []byte) bool {
	return len(msg) == 1 && (msg[0] == ack || msg[0] == nak)
}

// commit commits the message in hand and writes its answer, if there is one, which the peer then has to commit.
func (c *conn) commit(answer []byte) error {
	if len(answer) == 0 {
		return c.write([]byte{ack})
	}
	if err := c.write([]byte{ack}, answer); err != nil {
		return err
	}
	c.owed, c.commitBy = true, time.Now().Add(c.writeTimeout())
	return nil
}

// notTaken tells a peer of release 2 that the frame in hand was not taken: a negative commit block, and behind it the
// answer that says why, if there is one, for who reads on. Then the connection ends: to a peer that goes by the commit
// block alone the message is over, and it would take an answer that it finds later for the commit block of what it
// sends next.
func (c *conn) notTaken(answer []byte) {
	bodies := [][]byte{{nak}}
	if len(answer) > 0 {
		bodies = append(bodies, answer)
	}
	if err := c.write(bodies...); err != nil {
		c.log(fmt.Errorf("%w: %w", ErrAnswerLost, err))
		return
	}
	linger(c.nc)
}

// commitBlock deals with a commit block from the peer.
func (c *conn) commitBlock(positive bool) {
	switch {
	case c.owed && positive:
		c.owed = false
	case c.owed:
		c.notCommitted(ErrRefused)
	default: // a late one, or a peer that takes us for release 2
		c.srv.count(EventRelease2)
		if c.srv.Release != 2 {
			c.sayOnce(ErrRelease2)
		}
	}
}

// notCommitted ends the wait for a commit block, if there is one, without it. What was answered stays answered: the
// handler has kept it, and a peer that missed it will send its message again.
func (c *conn) notCommitted(why error) {
	if !c.owed {
		return
	}
	c.owed = false
	c.srv.count(EventNoCommit)
	c.sayOnce(why)
}

// commitLate reports whether err only says that a commit block did not come in time.
func (c *conn) commitLate(err error) bool {
	if !c.owed || c.in.sc.state != stIdle || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.notCommitted(ErrNoCommit)
	return true
}

// sayOnce logs that the peer is of another release, or not as good as its own: it would be so for every message.
func (c *conn) sayOnce(err error) {
	if !c.saidRelease2 {
		c.saidRelease2 = true
		c.log(err)
	}
}
