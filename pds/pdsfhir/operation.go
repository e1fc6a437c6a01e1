package pdsfhir

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"spinetrace/pds"
)

// A trace is one question on its way through its calls (section 9.1).
type trace struct {
	*Client
	req      pds.Request
	rec      pds.Recorder
	exchange string   // what the ids of its calls are made of
	id       string   // X-Correlation-ID
	notes    []string // that belong to the answer whatever its last call says
}

// errSigning stands for errors about the private key.
var errSigning = errors.New("pdsfhir: assertion not signed")

// nobody is the Recorder of a request that has none.
type nobody struct{}

func (nobody) Asking(context.Context, pds.Call) error { return nil }
func (nobody) Answered(pds.Answer)                    {}

func (c *Client) begin(req pds.Request) *trace {
	t := &trace{Client: c, req: req, rec: req.Recorder, exchange: req.ID}
	if t.rec == nil {
		t.rec = nobody{}
	}
	if t.exchange == "" {
		t.exchange = c.newID() // the calls of another question must not have the same ids
	}
	t.id = correlation(t.exchange)
	t.notes = shorten(&t.req.Who)
	return t
}

// correlation returns an id as X-Correlation-ID takes it: the API refuses full stops.
func correlation(id string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '.' {
			return '-'
		}
		return r
	}, id[:min(len(id), 128)])
}

func (t *trace) run(ctx context.Context) (pds.Result, error) {
	if byNumber(t.req) {
		return t.verify(ctx)
	}
	all := t.searches()
	return t.find(ctx, all[0], all[1:])
}

// verify reads the record of a number and cross-checks it.
func (t *trace) verify(ctx context.Context) (pds.Result, error) {
	a, err := t.ask(ctx, read(t.req.NHSNumber))
	if err != nil {
		return pds.Result{}, err
	}
	if a.end != nil {
		return t.close(a, *a.end)
	}
	if a.record.number != t.req.NHSNumber {
		a.notes = append(a.notes, "number differs from the one asked about")
	}
	return t.settle(a, t.crossCheck(a.record))
}

func read(number pds.NHSNumber) interaction {
	return interaction{step: "read", path: "/Patient/" + number.Digits(), number: number}
}

// find makes one search after the other until somebody is found, and looks into the full
// record where the hit does not say enough.
func (t *trace) find(ctx context.Context, s search, others []search) (pds.Result, error) {
	a, err := t.ask(ctx, interaction{step: s.step, path: "/Patient", query: s.query})
	if err != nil {
		return pds.Result{}, err
	}
	none := negative(pds.NoMatch, "DEMOG-0001", "nobody found by "+s.step)
	switch {
	case a.end != nil:
		return t.close(a, *a.end)
	case a.found.several():
		return t.close(a, negative(pds.ManyMatches, "DEMOG-0007", "several found by "+s.step))
	case a.found.hits == 1:
		return t.judge(ctx, s, a)
	case len(others) == 0:
		return t.close(a, none)
	}
	t.note(a, none)
	return t.find(ctx, others[0], others[1:])
}

// judge decides about the one hit of a search (section 9.4). The full record is read for
// its details, or for the former names that a hit never has.
func (t *trace) judge(ctx context.Context, s search, a *answer) (pds.Result, error) {
	f := a.found
	if f.scored {
		t.notes = append(t.notes, "score "+strconv.FormatFloat(f.score, 'g', 6, 64))
	}
	fault := t.objection(s, f.record)
	if fault == "" {
		fault = t.scoreObjection(s, f)
	}
	if fault != "" {
		return t.close(a, rejected(fault))
	}
	same := t.postCheck(s, f.record)
	if t.req.Want == pds.Number && same.agrees() {
		return t.settle(a, t.accepted(s, f.record, same))
	}
	t.note(a, verdict{reason: "one found by " + s.step + "; " + same.String() + "; its record is read"})
	return t.confirm(ctx, s, f.record.number)
}

// confirm reads the record of a hit and decides about it.
func (t *trace) confirm(ctx context.Context, s search, hit pds.NHSNumber) (pds.Result, error) {
	a, err := t.ask(ctx, read(hit))
	if err != nil {
		return pds.Result{}, err
	}
	if a.end != nil {
		v := *a.end
		if v.result.Outcome != 0 && v.result.Outcome != pds.Refused {
			v = rejected("record of the hit: " + v.reason) // what is said of a number nobody asked about
		}
		return t.close(a, v)
	}
	if a.record.number != hit {
		a.notes = append(a.notes, "number differs from the hit's")
	}
	fault := t.objection(s, a.record)
	same := t.postCheck(s, a.record)
	if fault == "" && !same.agrees() {
		fault = same.String()
	}
	if fault != "" {
		return t.close(a, rejected(fault))
	}
	return t.settle(a, t.accepted(s, a.record, same))
}

// rejected is a hit that is not the person who was meant: nobody was found.
func rejected(reason string) verdict {
	return negative(pds.NoMatch, "DEMOG-0001", "hit rejected: "+reason)
}

func (t *trace) accepted(s search, r *record, same namesake) verdict {
	v := verdict{code: "SMSP-0000", reason: "found by " + s.step + "; " + same.String()}
	v.result.Outcome = pds.Matched
	if opposite(t.req.Who.Sex, r.sex) {
		v.reason += "; sex differs"
	}
	return v
}

// settle reports a verdict about a record, with what was asked of it and no more.
func (t *trace) settle(a *answer, v verdict) (pds.Result, error) {
	r := a.record
	if r == nil {
		r = a.found.record
	}
	if v.result.Outcome == pds.Matched || v.result.Outcome == pds.Superseded {
		v.result.NHSNumber = r.number
		if t.req.Want >= pds.DetailsByNumber {
			var notes []string
			v.result.Patient, notes = r.patient(t.now())
			a.notes = append(a.notes, notes...)
		}
	}
	return t.close(a, v)
}

// close notes the last call of a question and reports how the question ended.
func (t *trace) close(a *answer, v verdict) (pds.Result, error) {
	a.notes = append(t.notes, a.notes...)
	t.note(a, v)
	if v.err != nil {
		return pds.Result{}, v.err
	}
	v.result.Code = v.code
	v.result.Reason = strings.Join(append([]string{v.reason}, a.notes...), "; ")
	return v.result, nil
}
