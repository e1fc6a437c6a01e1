package exchange

import (
	"cmp"
	"errors"
	"slices"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// A plan is what to do with one message: whom to ask, if anybody, and how to answer.
type plan struct {
	name    string       // the route, for metrics and the log
	request *pds.Request // nil: nobody is asked
	refused *pds.Request // what would have been asked, had the message said on whose behalf
	// reply makes the answer of a result; of the zero Result when nobody was asked, of an
	// error when nobody could find out or nothing could be written down. It may read the index
	// of patients, and does nothing else.
	reply     func(pds.Result, error) reply
	subject   subject           // the patient, if the index is to learn of one
	nack      func(fault) reply // refuses a query; nil for what is none
	asks      asked             // the numbers in a question
	notice    string            // what the record says of the message beside, such as that it lacks a user
	known     *recall           // what the index knew
	query     bool              // it is answered even when it cannot be written down
	unclaimed bool              // the same message, sent again, is a new one
	deferred  bool              // it is answered before the trace, not after
}

// reply is an answer and what the record says of it.
type reply struct {
	bytes   []byte // nil: nothing is sent
	ack     hl7v2.AckCode
	outcome store.Outcome
	found   pds.NHSNumber
	status  string      // NSTS value decided, if any
	reason  string      // without patient data
	forget  bool        // the answer says "not now": it is not kept for a resend
	work    *store.Work // what is still to be done after it

	says        string        // MSA-3, in its default words
	number      numberRule    // what becomes of the NHS number that the message has
	fresh       bool          // Spine was asked, just now
	echo        bool          // the message repeats what we sent
	named       pds.NHSNumber // the number that Spine named, to be used or not
	record      *pds.Patient  // what Spine knows of the patient; nil if it did not say
	differences []string      // the fields in which that differs from the message
}

// learned adds to a reply what an answer brought.
func (r reply) learned(d decision, res pds.Result) reply {
	r.number, r.named, r.record, r.fresh = d.number, res.NHSNumber, res.Patient, d.status != ""
	return r
}

// inAnswer returns the result as an answer tells it: there a number is replaced, but never taken
// away.
func (r reply) inAnswer() reply {
	if r.number != numberFound {
		r.number = numberKept
	}
	return r
}

// A route makes the plan for messages of one kind.
type route struct {
	code, event string
	plan        func(*Handler, *hl7v2.Message, *recall) plan
}

// routes are the message types that are served, first match first. An empty event matches
// every one.
var routes = []route{
	{"ADT", "", (*Handler).planADT},
	{"QRY", "A19", (*Handler).planA19},
	{"QRY", "Q01", (*Handler).planA19},
	{"QBP", "Q21", (*Handler).planQ21},
	{"QBP", "Q22", (*Handler).planQ22},
	{"QBP", "Q23", (*Handler).planQ23},
	{"QCN", "J01", (*Handler).planCancel},
}

var (
	pathApplication  = hl7v2.MustPath("MSH-3")
	pathFacility     = hl7v2.MustPath("MSH-4")
	pathType         = hl7v2.MustPath("MSH-9")
	pathRecipient    = hl7v2.MustPath("MSH-5.1")
	pathControlID    = hl7v2.MustPath("MSH-10")
	pathProcessingID = hl7v2.MustPath("MSH-11.1")
	pathVersion      = hl7v2.MustPath("MSH-12.1")
)

// planFor reads the message and finds its route, or the reason to refuse it.
func (h *Handler) planFor(x *exchange, known *recall) (p plan) {
	defer func() { p.known = known }()
	m, err := h.Parser.Parse(x.frame)
	if err != nil {
		head := hl7v2.Head(x.frame)
		x.noHL7 = head == nil
		x.name(head)
		return h.refuse(head, unreadable(err))
	}
	x.m, x.digest = m, m.Fingerprint()
	x.name(m)
	p = h.planMessage(m, known)
	p.deferred = h.accepts(m) && !p.query
	x.keys(p)
	x.facts.User, x.facts.Role = h.user(m), said(m, h.RoleFields)
	x.facts.Reason = join(x.oddities(), p.notice) // some show only when a value is read
	return p
}

func (h *Handler) planMessage(m *hl7v2.Message, known *recall) plan {
	if isAnswer(m) {
		return silent()
	}
	if c, bad := h.headerFault(m); bad {
		return h.refuse(m, c)
	}
	return h.attended(m, h.route(m, known))
}

// unreadable says what a message that cannot be parsed is refused for.
func unreadable(err error) condition {
	switch {
	case errors.Is(err, hl7v2.ErrNoDelimiters):
		return noDelimiters
	case errors.Is(err, hl7v2.ErrDelimiters):
		return badDelimiters
	case errors.Is(err, hl7v2.ErrNotSegment):
		return notSegment
	case errors.Is(err, hl7v2.ErrUnknownCharset):
		return unknownCharset
	case errors.Is(err, hl7v2.ErrCharset):
		return wideCharset
	}
	return noMSH
}

// isAnswer tells an acknowledgement or a query's answer from a message: answering one
// could start a loop.
func isAnswer(m *hl7v2.Message) bool {
	code, _, _ := m.Type()
	return code == "ACK" || m.Count("MSA") > 0
}

// unanswered is the reply to a message that is an answer itself: none.
func unanswered() reply {
	return reply{outcome: store.Unanswered, reason: "an answer, sent to us by mistake"}
}

// silent is the plan for a message that is recorded and never answered.
func silent() plan {
	return plan{name: "answer", unclaimed: true, reply: func(pds.Result, error) reply { return unanswered() }}
}

// headerFault checks MSH in the order of the condition table (spec/hl7v2.md 3.5).
func (h *Handler) headerFault(m *hl7v2.Message) (condition, bool) {
	code, _, _ := m.Type()
	version := m.Get(pathVersion)
	switch {
	case code == "":
		return noType, true
	case m.Get(pathControlID) == "":
		return noControlID, true
	case version != "" && !known(version):
		return otherVersion, true
	case !slices.Contains(h.ProcessingIDs, m.Get(pathProcessingID)):
		return otherProcessing, true
	case h.CheckRecipient && !h.ours(m.Get(pathRecipient)):
		return otherRecipient, true
	}
	return 0, false
}

// known accepts every 2.x; what a flow needs is read by position, not by version.
func known(version string) bool {
	return len(version) >= 3 && version[:2] == "2." && version[2] >= '1' && version[2] <= '9'
}

// ours tells whether a message is for us, by MSH-5.
func (h *Handler) ours(recipient string) bool {
	return recipient == "" || recipient == "ROUTE" || recipient == h.Application
}

// oddities names what was tolerated in a message, and a control id that came before with
// another content; "" when there is nothing to tell.
func (x *exchange) oddities() string {
	var odd string
	for _, w := range x.m.Warnings() {
		odd = join(odd, w.String())
	}
	if unknownStatus(x.m) {
		odd = join(odd, "NHS number status of PID-32 is in no table")
	}
	if x.h.recent.reused(x.facts.Application, x.facts.Facility, x.facts.ControlID, x.digest) {
		const text = "control id came before with another message"
		odd = join(odd, text)
		if skipped, ok := x.h.reused.allow(x.peer.Addr(), x.h.Now()); ok {
			x.h.Log.WarnContext(x.ctx, text, "exchange", x.id, "peer", x.facts.Peer, "left_out", skipped)
		}
	}
	return odd
}

func (h *Handler) route(m *hl7v2.Message, known *recall) plan {
	code, event, _ := m.Type()
	if slices.Contains(h.AcceptAndIgnore, code) || slices.Contains(h.AcceptAndIgnore, code+"^"+event) {
		return plan{name: "ignored", reply: func(pds.Result, error) reply {
			return h.adtPlain(m, store.NotTraced, eventNotUsed, eventNotUsed)
		}}
	}
	refusal := otherMessage
	for _, r := range routes {
		if r.code != code {
			continue
		}
		if r.event == "" || r.event == event {
			return r.plan(h, m, known)
		}
		refusal = otherEvent
	}
	return h.refuse(m, refusal)
}

// asked are the numbers in a question, whether they can be asked about or not.
type asked struct {
	local string
	form  []string // the ten digits of what is an NHS number by form
}

// keys notes what the exchange will be found by: the trust's own number and the NHS number that is
// asked about, then whatever else the message has as either.
func (x *exchange) keys(p plan) {
	ids := p.subject.ids
	if !p.subject.read {
		ids = x.h.identifiers(x.m)
	}
	n, _ := ids.number()
	x.facts.LocalID, x.facts.NHSSent = ids.local, n.Digits()
	if req := cmp.Or(p.request, p.refused); req != nil {
		x.facts.LocalID, x.facts.NHSSent = req.Who.LocalID, req.NHSNumber.Digits()
	}
	x.numbers = slices.Concat(ids.form, p.asks.form)
	if p.asks.local != "" {
		x.locals = append(x.locals, p.asks.local)
	}
	for _, moved := range p.subject.moves {
		x.locals = append(x.locals, moved.from.LocalID, moved.into.LocalID)
	}
}
