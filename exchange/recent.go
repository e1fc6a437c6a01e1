package exchange

import (
	"crypto/sha256"
	"sync"
)

// recentIDs remembers what the latest control ids stood for, so that one which comes again
// for another message is told of: counters that restart do that, and so does an interface
// that was set up twice. It is advice, not the record: it is bounded and forgets at a
// restart.
type recentIDs struct {
	mu          sync.Mutex
	young, aged map[recentKey]recentKey
}

// recentKey is the first half of a digest.
type recentKey [16]byte

// recentMost is how many control ids are remembered at least; twice as many at most.
const recentMost = 4096

// reused notes a message, and tells whether its sender used its control id for another one.
func (r *recentIDs) reused(application, facility, controlID string, digest [sha256.Size]byte) bool {
	if controlID == "" {
		return false
	}
	sum := sha256.Sum256([]byte(application + "\x00" + facility + "\x00" + controlID))
	sender := recentKey(sum[:16])
	body := recentKey(digest[:16])
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.young[sender]
	if !known {
		before, known = r.aged[sender]
	}
	if r.young == nil || len(r.young) >= recentMost {
		r.young, r.aged = make(map[recentKey]recentKey), r.young
	}
	r.young[sender] = body
	return known && before != body
}
