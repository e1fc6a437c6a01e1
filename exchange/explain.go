package exchange

import (
	"context"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// Explanation says how a message would be treated, and why, without asking anybody and without
// writing anything down.
type Explanation struct {
	Route     string // the message's type, or "refused"
	Ack       string // MSA-1, unless a trace decides
	Text      string // MSA-3
	Reason    string // as the journal would have it
	Warnings  []string
	LocalIDs  []store.PatientKey
	NHSNumber pds.NHSNumber // the one that is gone by; zero if there is none, or several
	Status    string        // of the number, "" if the message has none
	Recorded  time.Time     // as of when the message speaks
	Request   *pds.Request  // what would be asked; nil: nothing
	Deferred  bool          // the answer would come before the trace
}

// Explain plans a message. Without an Index nothing is known of earlier messages.
func (h *Handler) Explain(ctx context.Context, frame []byte) (Explanation, error) {
	h.defaults()
	x := &exchange{h: h, ctx: ctx, id: store.NewID(), start: h.Now(), frame: frame}
	known := x.recall()
	p := h.planFor(x, known)
	if known.err != nil {
		return Explanation{}, known.err
	}
	e := Explanation{Route: p.name, Request: p.request, Deferred: p.deferred || !p.query && h.Plain}
	if x.m != nil {
		e.about(h, x.m)
	}
	if p.request == nil {
		e.answered(p.reply(pds.Result{}, nil))
	}
	return e, nil
}

// about reads what the message says of its patient.
func (e *Explanation) about(h *Handler, m *hl7v2.Message) {
	ids := h.identifiers(m)
	e.LocalIDs = h.localKeys(m.Repetitions(pathIdentifiers))
	e.Recorded = h.recorded(m, h.Now())
	e.NHSNumber, _ = ids.number()
	e.Status = h.status(m)
	for _, w := range m.Warnings() {
		e.Warnings = append(e.Warnings, w.String())
	}
}

// answered reads the answer that would be given.
func (e *Explanation) answered(r reply) {
	e.Ack, e.Reason = string(r.ack), r.reason
	if m, err := hl7v2.Parse(r.bytes); err == nil {
		e.Text = m.Get(pathAckText)
	}
}

var pathAckText = hl7v2.MustPath("MSA-3")
