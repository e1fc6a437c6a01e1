package store

import (
	"context"
	"iter"
	"slices"
)

// InOrder yields the events of several chains in the order of their times, from where each query
// says on. It keeps one event of each chain.
func InOrder(ctx context.Context, a Audit, queries ...Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var chains []*pulled
		for _, q := range queries {
			next, stop := iter.Pull2(a.Events(ctx, q))
			defer stop()
			chains = append(chains, &pulled{next: next})
		}
		for {
			chains = slices.DeleteFunc(chains, func(p *pulled) bool { return !p.fill() })
			if len(chains) == 0 {
				return
			}
			first := slices.MinFunc(chains, func(a, b *pulled) int { return a.event.At.Compare(b.event.At) })
			if !yield(first.event, first.err) || first.err != nil {
				return
			}
			first.full = false
		}
	}
}

// pulled is a chain, read one event ahead.
type pulled struct {
	next  func() (Event, error, bool)
	event Event
	err   error
	full  bool
}

// fill reads the next event, and tells whether there is one.
func (p *pulled) fill() bool {
	if !p.full {
		p.event, p.err, p.full = p.next()
	}
	return p.full
}
