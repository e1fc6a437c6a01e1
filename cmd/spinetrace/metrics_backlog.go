package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spinetrace/store"
)

// backlog counts letters and items when somebody looks, at most once in countEvery: that reads
// them all.
type backlog struct {
	outbox store.Piles
	items  store.Backlog
	known  []string // destinations that are shown even if nothing waits

	letters, oldest, open *prometheus.Desc

	mu    sync.Mutex
	taken time.Time
	last  []prometheus.Metric
}

// How often letters and items are counted, and how many items: more is a number that nobody needs
// exactly.
const (
	countEvery = 30 * time.Second
	countMost  = 10_000
)

// watchBacklog adds the letters that wait or are parked, and the open items.
func (m *metrics) watchBacklog(outbox store.Piles, items store.Backlog, destinations ...string) {
	m.registry.MustRegister(&backlog{
		outbox: outbox, items: items, known: destinations,
		letters: prometheus.NewDesc("spinetrace_outbox_letters", "Letters that wait or are parked, by destination.", []string{"destination", "state"}, nil),
		oldest:  prometheus.NewDesc("spinetrace_outbox_oldest_seconds", "For how long the oldest waiting letter of a destination has been waiting; 0 when none is. Alert when it grows.", []string{"destination"}, nil),
		open:    prometheus.NewDesc("spinetrace_items_open", "Items that a person has to look at, by kind; counted up to 10000.", []string{"kind"}, nil),
	})
}

// Describe implements [prometheus.Collector].
func (b *backlog) Describe(to chan<- *prometheus.Desc) {
	to <- b.letters
	to <- b.oldest
	to <- b.open
}

// Collect implements [prometheus.Collector]. While the store cannot be read it has nothing to tell.
func (b *backlog) Collect(to chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.taken) >= countEvery {
		b.taken, b.last = now, b.count(now)
	}
	for _, m := range b.last {
		to <- m
	}
}

func (b *backlog) count(now time.Time) []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return append(b.countLetters(ctx, now), b.countItems(ctx)...)
}

func (b *backlog) countLetters(ctx context.Context, now time.Time) []prometheus.Metric {
	piles, err := b.outbox.Piles(ctx)
	if err != nil {
		return nil
	}
	type place struct {
		destination string
		state       store.LetterState
	}
	counts, oldest := make(map[place]int), make(map[string]time.Time)
	for _, destination := range b.known {
		counts[place{destination, store.Waiting}], counts[place{destination, store.Parked}] = 0, 0
		oldest[destination] = now
	}
	for _, p := range piles {
		counts[place{p.Destination, p.State}] = p.Letters
		if p.State == store.Waiting {
			oldest[p.Destination] = p.Oldest
		}
	}
	var all []prometheus.Metric
	for p, n := range counts {
		all = append(all, gaugeOf(b.letters, float64(n), p.destination, p.state.String()))
	}
	for destination, at := range oldest {
		all = append(all, gaugeOf(b.oldest, now.Sub(at).Seconds(), destination))
	}
	return all
}

func (b *backlog) countItems(ctx context.Context) []prometheus.Metric {
	counts, seen := make(map[store.ItemKind]int), 0
	err := eachItem(ctx, b.items, store.ItemQuery{Limit: pageSize}, func(i store.Item) bool {
		counts[i.Kind]++
		seen++
		return seen < countMost
	})
	if err != nil {
		return nil
	}
	var all []prometheus.Metric
	for _, kind := range store.ItemKinds() {
		all = append(all, gaugeOf(b.open, float64(counts[kind]), kind.String()))
	}
	return all
}

func gaugeOf(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
