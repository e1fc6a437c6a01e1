package exchange

import (
	"context"
	"fmt"
	"slices"
	"time"

	"spinetrace/store"
)

// recall is what the index of patients knows, as far as one message needs it. The first
// failure to read stays: what is planned without an answer must not be carried out.
type recall struct {
	index    store.Index // nil: nothing is known of anybody
	outbox   store.Outbox
	backlog  store.Backlog
	whatever bool // the message is planned although its event is not traced
	ctx      context.Context
	timeout  time.Duration
	exchange store.ID
	arrived  time.Time
	err      error
}

func (x *exchange) recall() *recall {
	return &recall{index: x.h.Index, outbox: x.h.Outbox, backlog: x.h.Backlog, ctx: context.WithoutCancel(x.ctx), timeout: x.h.CommitTimeout, exchange: x.id, arrived: x.start}
}

func (k *recall) patient(key store.PatientKey) (p store.Patient, ok bool) {
	k.read(func(ctx context.Context) (err error) {
		p, ok, err = k.index.Patient(ctx, key)
		return err
	})
	return p, ok
}

// mostNamed bounds how many patients with one number are looked at.
const mostNamed = 20

func (k *recall) named(localID string) (all []store.Patient) {
	k.read(func(ctx context.Context) (err error) {
		all, err = k.index.Named(ctx, localID, mostNamed)
		return err
	})
	return all
}

// holders returns the live entries that hold an NHS number now.
func (k *recall) holders(nhsNumber string) []store.Patient {
	return slices.DeleteFunc(k.bearers(nhsNumber), func(p store.Patient) bool {
		n, _ := p.Current()
		return n != nhsNumber
	})
}

// bearers returns the live entries that hold an NHS number now, or of which the newest message
// told one that another has replaced since.
func (k *recall) bearers(nhsNumber string) (all []store.Patient) {
	k.read(func(ctx context.Context) (err error) {
		all, err = k.index.Holders(ctx, nhsNumber, mostNamed)
		return err
	})
	return slices.DeleteFunc(all, func(p store.Patient) bool {
		n, _ := p.Current()
		return p.Gone() || n != nhsNumber && p.Told.NHSNumber != nhsNumber
	})
}

// items returns the open items about an entry.
func (k *recall) items(key store.PatientKey) (all []store.Item) {
	if k.backlog == nil {
		return nil
	}
	k.read(func(ctx context.Context) (err error) {
		all, err = k.backlog.Items(ctx, store.ItemQuery{Patient: key, Limit: mostNamed})
		return err
	})
	return all
}

// updates returns the updates about an entry since a time, newest first.
func (k *recall) updates(destination string, key store.PatientKey, since time.Time) (all []store.Letter) {
	if k.outbox == nil || key == (store.PatientKey{}) {
		return nil
	}
	k.read(func(ctx context.Context) (err error) {
		all, err = k.outbox.Told(ctx, destination, key, since, mostNamed)
		return err
	})
	return all
}

func (k *recall) read(ask func(context.Context) error) {
	if k.index == nil || k.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(k.ctx, k.timeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		k.err = fmt.Errorf("exchange: index of patients: %w", err)
	}
}
