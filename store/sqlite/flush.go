package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"spinetrace/store"
)

// A call is one commit on its way to the disk.
type call struct {
	store.Commit
	bodies   []packed        // one per entry
	mentions []string        // the ids that its calls can be found by
	patients []store.Patient // as they are stored
	settled  []store.Settlement
	work     []store.Work
	size     int
	receipt  store.Receipt
	done     chan error // holds one, so that the writer never waits for a caller

	dispatched []store.Dispatch
	letters    []store.Letter
	items      []store.Item
}

// packed is an event's bodies as they are stored; data is nil if it has none.
type packed struct {
	codec store.Codec
	key   uint16 // 0: not encrypted
	data  []byte
}

// errNoWriter is why a commit is refused when nothing else says it.
var errNoWriter = errors.New("no connection that writes")

// A batch is one transaction: what waits, but no more than this.
const (
	batchCalls = 256
	batchBytes = 8 << 20
)

// How long the store waits before it tries to mend itself.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// purgeEvery is how often claims and letters that nobody asks for any more are deleted.
const purgeEvery = time.Hour

// purgePause lets commits in between two batches of a purge.
const purgePause = 10 * time.Millisecond

// Commit implements [store.Journal].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	if err := c.Check(); err != nil {
		return store.Receipt{}, err
	}
	if err := errors.Join(s.usable(), ctx.Err()); err != nil {
		return store.Receipt{}, gone(err)
	}
	if err := s.mayWrite(c); err != nil {
		return store.Receipt{}, unavailable(err)
	}
	call := s.pack(c)
	select {
	case s.queue <- call:
	case <-s.closing:
		return store.Receipt{}, unavailable(errors.New("closing"))
	case <-ctx.Done():
		return store.Receipt{}, gone(ctx.Err())
	}
	select {
	case err := <-call.done:
		return call.receipt, err
	case <-ctx.Done():
		return store.Receipt{}, gone(ctx.Err())
	}
}

// mayWrite says why a command must not write what it has, such as the envelopes of a trace: it lacks the
// key that they are encrypted with.
func (s *Store) mayWrite(c store.Commit) error {
	if !s.o.Commands() || !c.HasBodies() {
		return nil
	}
	return s.Unkeyed()
}

// Unkeyed implements [store.Store].
func (s *Store) Unkeyed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unkeyed
}

// gone makes err one that wraps [store.ErrUnavailable], once.
func gone(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return unavailable(err)
}

func (s *Store) pack(c store.Commit) *call {
	call := &call{Commit: c, bodies: make([]packed, len(c.Entries)), mentions: c.Mentions(), done: make(chan error, 1)}
	for i, e := range c.Entries {
		if len(e.Parts) > 0 {
			call.bodies[i] = s.seal(c.Exchange, e.Parts)
			call.size += len(call.bodies[i].data)
		}
	}
	for _, p := range c.Patients {
		call.patients = append(call.patients, p.Fit())
		call.size += len(p.Told.Doc)
	}
	for _, s := range c.Settled {
		call.settled = append(call.settled, s.Fit())
	}
	for _, w := range c.Work {
		call.work = append(call.work, w.Fit())
	}
	for _, d := range c.Dispatched {
		call.dispatched = append(call.dispatched, d.Fit())
	}
	for _, l := range c.Letters {
		call.letters = append(call.letters, l.Fit())
	}
	for _, i := range c.Items {
		call.items = append(call.items, i.Fit())
		call.size += len(i.Doc)
	}
	return call
}

// seal makes of an entry's parts what is stored for them.
func (s *Store) seal(exchange store.ID, parts []store.Part) (p packed) {
	p.codec, p.data = s.packer.Pack(parts)
	if s.o.BodyKeys != nil {
		p.key, p.data = s.o.BodyKeys.Seal(p.data, store.BodyPlace(exchange, s.o.Chain))
	}
	return p
}

// run is the writing goroutine: it owns w, and puts another in its place when it breaks.
func (s *Store) run(w *writer) {
	head := w.head // as far as the chain was ever seen
	retry, wait := time.NewTimer(0), firstRetry
	retry.Stop()
	purge := time.NewTimer(0)
	for {
		var err error
		select {
		case <-s.closing:
			s.end(w)
			return
		case c := <-s.queue:
			err = s.flush(w, s.gather(c))
		case j := <-s.jobs:
			err = s.perform(w, j)
		case <-purge.C:
			err = s.purge(w, purge)
		case <-retry.C:
			if w, err = s.reopen(head); err != nil {
				wait = min(2*wait, lastRetry)
			}
		}
		switch {
		case err != nil:
			s.suspend(err)
			s.discard(w)
			w = nil
			retry.Reset(wait)
		case w != nil:
			head, wait = w.head, firstRetry
		}
	}
}

// gather takes what waits behind the first call.
func (s *Store) gather(first *call) []*call {
	// The callers of the batch before have just been released: those that are back by now
	// share this one, instead of waiting for it.
	runtime.Gosched()
	batch, size := append(make([]*call, 0, batchCalls), first), first.size
	for len(batch) < batchCalls && size < batchBytes {
		select {
		case c := <-s.queue:
			batch, size = append(batch, c), size+c.size
		default:
			return batch
		}
	}
	return batch
}

// flush writes the batch and releases its callers. The error says that w is of no more use.
func (s *Store) flush(w *writer, batch []*call) error {
	if w == nil {
		// Nobody is told "committed" without a writer, whatever the store thinks of itself.
		release(batch, cmp.Or(s.usable(), unavailable(errNoWriter)))
		return nil
	}
	for len(batch) > 0 {
		culprit, err := w.write(batch)
		if culprit == nil {
			if err != nil {
				s.suspend(err) // before anybody is told, who may ask whether the store is ready
				release(batch, unavailable(err))
				return err
			}
			release(batch, nil)
			return nil
		}
		culprit.done <- fmt.Errorf("%w: %w", store.ErrRejected, err)
		batch = slices.DeleteFunc(batch, func(c *call) bool { return c == culprit })
	}
	return nil
}

func release(batch []*call, err error) {
	for _, c := range batch {
		c.done <- err
	}
}

// purge deletes some of the claims and letters that are too old to count, and sets the timer for more.
func (s *Store) purge(w *writer, timer *time.Timer) error {
	if w == nil {
		timer.Reset(purgeEvery)
		return nil
	}
	now := s.o.Now()
	more, err := w.purge(now.Add(-s.o.ClaimWindow), now.Add(-store.LetterMemory))
	if more {
		timer.Reset(purgePause)
	} else {
		timer.Reset(purgeEvery)
	}
	return err
}

// suspend refuses commits from now on, because of err.
func (s *Store) suspend(err error) {
	if s.usable() == nil {
		s.o.Log.Error("store unavailable", "err", err)
	}
	s.unusable(err)
}

// discard gives up a connection that broke: what the file holds is read again, by another.
func (s *Store) discard(w *writer) {
	if w == nil {
		return
	}
	if err := w.shut(); err != nil {
		s.o.Log.Warn("store not closed cleanly", "err", err)
	}
}

// reopen opens the file again, and proves that it can be written. last is how far the chain
// had got; if the file does not hold that event any more, the chain says so.
func (s *Store) reopen(last store.Head) (*writer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), busyTimeout)
	defer cancel()
	w, r, err := openAll(ctx, s.path, s.o, false)
	if err != nil {
		return nil, err
	}
	still, err := w.still(ctx, last)
	if err == nil && !still {
		err = s.rewound(w, last)
	}
	if err != nil {
		return nil, errors.Join(err, r.shut(), w.shut())
	}
	s.mu.Lock()
	old := s.readers
	s.readers, s.down = r, nil
	s.mu.Unlock()
	s.o.Log.Info("store available again")
	if err := old.shut(); err != nil {
		s.o.Log.Warn("store not closed cleanly", "err", err)
	}
	return w, nil
}

// rewound writes down that the file lost events: somebody put an older copy in its place.
func (s *Store) rewound(w *writer, last store.Head) error {
	from := min(w.head.Seq+1, last.Seq)
	lost := store.Entry{Kind: store.Rewound, Facts: store.Facts{From: from, To: last.Seq}}
	note := s.pack(store.Commit{Entries: []store.Entry{lost}})
	if _, err := w.write([]*call{note}); err != nil {
		return err
	}
	alarm := fmt.Errorf("sqlite: %s lost the events %d to %d of the chain %s, which had been committed; find the file they are in",
		s.path, from, last.Seq, s.o.Chain)
	s.o.Log.Error("store lost events", "err", alarm)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm = alarm
	return nil
}

// end closes what the goroutine owns. The writing connection is the last, because it may
// write the log back into the file.
func (s *Store) end(w *writer) {
	s.mu.Lock()
	readers := s.readers
	s.readers = nil
	s.down = errors.New("closing")
	s.mu.Unlock()
	err := readers.shut()
	if w != nil {
		err = errors.Join(err, w.shut())
	}
	if err != nil {
		s.o.Log.Warn("store not closed cleanly", "err", err)
	}
}
