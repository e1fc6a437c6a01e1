package postgres

import (
	"sync"
	"sync/atomic"
	"time"

	"spinetrace/store"
)

const (
	maxBatch      = 256     // commits
	maxBatchBytes = 8 << 20 //
	// What may wait while the database is away: only commits whose exchange has begun.
	maxWaiting      = 4096
	maxWaitingBytes = 64 << 20
)

// pending is a commit on its way to disk.
type pending struct {
	commit store.Commit
	bodies []body // one for each entry
	// patients are the commit's, as they are stored.
	patients []store.Patient
	// acts are what it does to the queue, in order.
	acts   []act
	outbox outboxRows
	items  itemRows
	// mentions are the ids that its calls can be found by.
	mentions []string
	key      store.ClaimKey
	size     int
	// follows marks a commit of an exchange that has begun. Spine may have been asked: it
	// is written even when its caller has gone.
	follows bool
	gone    atomic.Bool // the caller waits no longer

	// The rest belongs to the flusher.
	first    store.ID // who claimed the message before; zero: nobody
	answered bool     // the exchange had its reply before
	control  string   // the control id that the exchange was opened with
	receipt  store.Receipt
	finished bool
	done     chan result // one slot
}

type result struct {
	receipt store.Receipt
	err     error
}

// body is an entry's parts as they are stored.
type body struct {
	codec store.Codec
	key   uint16 // 0: not encrypted
	data  []byte
}

// finish tells the caller, once.
func (p *pending) finish(err error) {
	if p.finished {
		return
	}
	p.finished = true
	p.done <- result{p.receipt, err}
}

// dropped says whether nobody minds that the commit is not written.
func (p *pending) dropped() bool { return !p.follows && (p.finished || p.gone.Load()) }

// inbox is where callers leave their commits for the flusher.
type inbox struct {
	mu     sync.Mutex
	items  []*pending
	bytes  int
	down   error // why new commits are refused; nil: they are not
	closed bool
	want   int           // the flusher waits for so many items; 0: it does not wait
	wake   chan struct{} // one slot
}

// put leaves a commit, or says why it is refused.
func (b *inbox) put(p *pending) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return unavailable(errClosed)
	}
	if b.down != nil && (!p.follows || len(b.items) >= maxWaiting || b.bytes+p.size > maxWaitingBytes) {
		return unavailable(b.down)
	}
	b.items = append(b.items, p)
	b.bytes += p.size
	if b.want > 0 && len(b.items) >= b.want {
		b.signal()
	}
	return nil
}

func (b *inbox) signal() {
	b.want = 0
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// unshift puts a commit before all others.
func (b *inbox) unshift(p *pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append([]*pending{p}, b.items...)
	b.bytes += p.size
}

// take removes the oldest commits, as many as make a batch.
func (b *inbox) take() []*pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for n < len(b.items) && n < maxBatch && (n == 0 || bytes+b.items[n].size <= maxBatchBytes) {
		bytes += b.items[n].size
		n++
	}
	batch := b.items[:n:n]
	b.items = b.items[n:]
	if len(b.items) == 0 {
		b.items = nil // the array goes with the batch
	}
	b.bytes -= bytes
	return batch
}

// wait returns when n commits are waiting, or at a tick, or when the inbox is closed.
func (b *inbox) wait(n int, tick <-chan time.Time) (ticked bool) {
	b.mu.Lock()
	select {
	case <-b.wake: // left over from a wait that ended by its tick
	default:
	}
	enough := b.closed || len(b.items) >= n
	if !enough {
		b.want = n
	}
	b.mu.Unlock()
	if enough {
		return false
	}
	select {
	case <-b.wake:
		return false
	case <-tick:
		return true
	}
}

// refuse makes put refuse commits that begin an exchange, and hands out those that wait.
func (b *inbox) refuse(why error) (refused []*pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = why
	kept, bytes := []*pending(nil), 0
	for _, p := range b.items {
		if p.follows {
			kept = append(kept, p)
			bytes += p.size
		} else {
			refused = append(refused, p)
		}
	}
	b.items, b.bytes = kept, bytes
	return refused
}

// accept ends refuse.
func (b *inbox) accept() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = nil
}

// close makes put refuse everything.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.signal()
}

// ended says that the inbox is closed and empty.
func (b *inbox) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.items) == 0
}
