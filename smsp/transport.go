package smsp

import (
	"bytes"
	"cmp"
	"context"
	"net/http"

	"spinetrace/pds/pdshttp"
)

// A response is what came back of a call, as far as it came.
type response struct {
	status int // 0: nothing came
	header http.Header
	body   []byte
}

// post makes the call. The request has no Idempotency-Key and POST is not idempotent, so
// net/http repeats it only if not a byte of it was written: any other repetition needs
// ids and an audit row of its own.
func (c *Client) post(ctx context.Context, q *question) (r response, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(q.call.Body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	// Asking for gzip would make net/http decode it unbounded by MaxResponse.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header["SOAPAction"] = []string{c.action(q)} // Set would spell it Soapaction

	resp, err := c.client.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, err = pdshttp.ReadBody(resp, cmp.Or(c.MaxResponse, 1<<20))
	return r, err
}

func (c *Client) action(q *question) string {
	if c.UnquotedAction {
		return q.op.service
	}
	return `"` + q.op.service + `"`
}
