package pdsfhir

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// An interaction is what is asked of the API, as often as it is asked.
type interaction struct {
	step   string // which of a question's calls this is
	path   string // below the base
	query  string // encoded
	number pds.NHSNumber
}

// requestIDs is the name space of the ids that are made of a question.
var requestIDs = uuid.MustParse("6f0f4f5c-6a0c-4c0b-9a70-0f5f7cbe3a1d")

// requestID is the same for every attempt at one interaction of one exchange (section 3).
// Without the API key nobody can try out which patient it was made of.
func (t *trace) requestID(i interaction) string {
	name := strings.Join([]string{t.APIKey, t.exchange, t.req.Want.String(), i.step, i.path, i.query}, "\n")
	return uuid.NewSHA1(requestIDs, []byte(name)).String()
}

// An answer is how one HTTP call ended. Either end is set or document says something.
type answer struct {
	status int // 0: nothing came
	header http.Header
	body   []byte
	took   time.Duration

	document
	end    *verdict
	number pds.NHSNumber // whom it is about
	notes  []string
}

// ask puts an interaction to the API, with a token if it takes one, and once more with
// another token if it was refused. An error means that nothing is left to be noted.
func (t *trace) ask(ctx context.Context, i interaction) (*answer, error) {
	tok, err := t.token(ctx)
	if err != nil {
		return nil, err
	}
	a, err := t.attempt(ctx, i, tok)
	if err != nil || a.status != http.StatusUnauthorized || tok == "" {
		return a, err
	}
	a.notes = append(a.notes, "token discarded")
	t.note(a, *a.end)
	t.tokens.discard(tok)
	if tok, err = t.token(ctx); err != nil {
		return nil, err
	}
	return t.attempt(ctx, i, tok)
}

// token returns the token to go in with, "" where none is wanted.
func (t *trace) token(ctx context.Context) (string, error) {
	if t.tokenURL() == "" {
		return "", nil
	}
	return t.tokens.get(ctx, t.now, t.fetchToken)
}

// attempt makes one call and reads what comes back.
func (t *trace) attempt(ctx context.Context, i interaction, tok string) (*answer, error) {
	id := t.requestID(i)
	line := t.base.Path + i.path
	if i.query != "" {
		line += "?" + i.query
	}
	err := t.announce(ctx, pds.Call{
		Backend:    "pds",
		Operation:  t.req.Want.String(),
		Endpoint:   t.base.String() + "/Patient", // the path of a read has the number in it
		MessageID:  id,
		TrackingID: t.id,
		NHSNumber:  i.number,
		Body:       []byte("GET " + line),
	})
	if err != nil {
		return nil, err
	}
	a := t.send(ctx, t.req.Want.String(), func(ctx context.Context) (*http.Request, error) {
		return t.request(ctx, t.base.Scheme+"://"+t.base.Host+line, id, tok)
	})
	switch {
	case a.end == nil:
		a.read(i, id, t.now())
	case a.statusSays(meanings):
		a.notes = append(a.notes, a.end.reason)
		a.end = a.said(anyCode, t.now())
	}
	if tok != "" {
		a.body = withhold(a.body, tok, t.APIKey)
	}
	return a, nil
}

// announce takes the call's turn and has it written down.
func (t *trace) announce(ctx context.Context, c pds.Call) error {
	if err := t.Pace.Turn(ctx, t.rec, cmp.Or(t.PaceWait, 4*time.Second)); err != nil {
		return err
	}
	if err := t.rec.Asking(ctx, c); err != nil {
		return &pds.Error{Class: pds.Unrecorded, Err: err}
	}
	return nil
}

// once is an empty body. Of a GET with a body net/http cannot tell whether it may be sent
// again, so it does not repeat one on its own when a connection that was kept open breaks:
// any other attempt needs a record of its own. Nothing of it goes on the wire.
type once struct{}

func (once) Read([]byte) (int, error) { return 0, io.EOF }
func (once) Close() error             { return nil }

func (t *trace) request(ctx context.Context, url, id, tok string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Body = once{}
	h := req.Header
	h.Set("Accept", "application/fhir+json")
	h.Set("X-Request-ID", id)
	h.Set("X-Correlation-ID", t.id)
	h.Set("NHSD-End-User-Organisation-ODS", t.ODS)
	if tok != "" {
		h.Set("Authorization", "Bearer "+tok)
	}
	return req, nil
}

// send makes an HTTP call that has been announced. A response that came whole leaves end nil.
func (t *trace) send(ctx context.Context, op string, request func(context.Context) (*http.Request, error)) *answer {
	start := t.now()
	limited, cancel := context.WithTimeout(ctx, cmp.Or(t.Timeout, 10*time.Second))
	defer cancel()
	a := &answer{}
	req, err := request(limited)
	if err == nil {
		req.Header.Set("User-Agent", cmp.Or(t.UserAgent, "spinetrace"))
		// Asking for gzip would make net/http decode it unbounded by MaxResponse.
		req.Header.Set("Accept-Encoding", "identity")
		err = t.roundTrip(req, a)
	}
	if err != nil {
		a.end = failed(ctx, op, a.status, err)
	}
	a.took = t.now().Sub(start)
	return a
}

// roundTrip puts into a what comes back, as far as it comes.
func (t *trace) roundTrip(req *http.Request, a *answer) error {
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = pdshttp.ReadBody(resp, cmp.Or(t.MaxResponse, 1<<20))
	return err
}

// failed is the verdict of a call without a response that can be read.
func failed(ctx context.Context, op string, status int, err error) *verdict {
	reason, err := pdshttp.Failure(ctx, "pdsfhir: "+op, status, err)
	v := verdict{reason: reason, err: err}
	if fault, ok := errors.AsType[*pds.Error](err); ok && status != 0 {
		v.code = codes[fault.Class]
		fault.Code = v.code
	}
	return &v
}

// statusSays tells whether a response that could not be read is known by its status all the
// same: a body that broke off had no code that would make a difference, one of another kind
// will have none that can be read.
func (a *answer) statusSays(table map[said]meaning) bool {
	if a.status == 0 || a.status == http.StatusOK || pds.ClassOf(a.end.err) == 0 {
		return false
	}
	if !pds.Retryable(a.end.err) {
		return true
	}
	for row := range table {
		if row.status == a.status && row.code != anyCode {
			return false
		}
	}
	return true
}

// codes has what a mini service would say of the ways in which a response can break off.
var codes = map[pds.Class]string{
	pds.ResponseInvalid:  "SMSP-0002",
	pds.SpineUnavailable: "SMSP-0004",
}

// read goes by the HTTP status first (section 7).
func (a *answer) read(i interaction, id string, now time.Time) {
	if a.status == http.StatusOK {
		a.end = a.readOK(i, id, now)
		return
	}
	d, _ := decode(a.body) // what cannot be read is judged by its status
	a.end = a.said(d.code, now)
}

// said is the verdict of a status and the code that came with it.
func (a *answer) said(code string, now time.Time) *verdict {
	v := meaningOf(meanings, a.status, code).verdict(a.status, cmp.Or(code, "no code"), a.header, now)
	return &v
}

// readOK reads what a good answer is about, nil if it can be.
func (a *answer) readOK(i interaction, id string, now time.Time) *verdict {
	refuse := func(reason string) *verdict {
		v := invalid(reason)
		return &v
	}
	if to := a.header.Get("X-Request-ID"); to != "" && !strings.EqualFold(to, id) {
		return refuse("answer to another request")
	}
	if !isJSON(a.header) {
		return refuse("content is not JSON")
	}
	d, err := decode(a.body)
	switch reading := i.query == ""; {
	case err != nil:
		return refuse(err.Error())
	case d.failed:
		return a.said(d.code, now)
	case reading != (d.record != nil):
		return refuse(errResource.Error())
	}
	a.document = d
	a.about(d)
	return nil
}

// about notes whom the answer is about.
func (a *answer) about(d document) {
	r := d.record
	if r == nil {
		r = d.found.record
	}
	if r == nil {
		return
	}
	a.number = r.number
	if r.version != "" {
		a.notes = append(a.notes, "record version "+r.version)
	}
}

func isJSON(h http.Header) bool {
	v := h.Get("Content-Type")
	t, _, err := mime.ParseMediaType(v)
	return v == "" || err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// note tells the Recorder how a call ended.
func (t *trace) note(a *answer, v verdict) {
	t.rec.Answered(pds.Answer{
		Status:    a.status,
		Code:      v.code,
		MessageID: mirrored(a.header),
		Reason:    strings.Join(append([]string{v.reason}, a.notes...), "; "),
		NHSNumber: a.number,
		Took:      a.took,
		Body:      a.body,
	})
}

// mirrored returns the id that came back with an answer, if it has a reasonable length.
func mirrored(h http.Header) string {
	id := h.Get("X-Request-ID")
	if len(id) > 128 {
		return ""
	}
	return id
}
