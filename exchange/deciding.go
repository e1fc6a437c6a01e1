package exchange

import (
	"hash/maphash"
	"sync"

	"spinetrace/pds"
)

// numberLocks let one exchange at a time decide who has an NHS number, from the look into the index
// to the commit: two records that are registered at once must not both get it. Of several instances
// the later one finds out before its update leaves ([Handler.Overtaken]).
type numberLocks [256]sync.Mutex

var numberSeed = maphash.MakeSeed()

// about waits for whoever decides about a number, and returns what ends the turn. The zero number is
// nobody's.
func (l *numberLocks) about(n pds.NHSNumber) (end func()) {
	if n.IsZero() {
		return func() {}
	}
	lock := &l[maphash.String(numberSeed, n.Digits())%uint64(len(l))]
	lock.Lock()
	return lock.Unlock
}
