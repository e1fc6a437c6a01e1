package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Webhook posts notices to a URL, as JSON. Its zero value but for URL is ready to use.
type Webhook struct {
	URL    string       // required
	Token  string       // goes along as "Authorization: Bearer", unless it is empty
	Client *http.Client // nil means one with a time limit of 30 s. Its rule on redirects is replaced by ours
}

// maxAnswer is how much of an answer is read, so that its connection can be used again.
const maxAnswer = 64 << 10

// Send posts a notice. Every answer of 200 to 299 means that it is delivered; what it says is not
// looked at, and Send returns no answer.
//
// An answer of 400 to 499 is permanent, because the receiver will not take this notice, but for
// those that say "not now" (408, 425, 429) and those that find fault with who asks (401, 403, 407):
// credentials are an operator's to mend, and a notice is not lost meanwhile.
//
// The header Idempotency-Key is the same at every attempt. A redirect is followed only on the same
// host, by the same protocol, and if it lets the notice be posted again.
func (w *Webhook) Send(ctx context.Context, msg []byte) ([]byte, error) {
	if err := w.post(ctx, msg); err != nil {
		return nil, fmt.Errorf("notify: webhook: %w", err)
	}
	return nil, nil
}

func (w *Webhook) post(ctx context.Context, msg []byte) error {
	n, err := parse(msg)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(msg))
	if err != nil {
		return errors.New("the URL cannot be read") // the parser's own words would show it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", n.key())
	if w.Token != "" {
		req.Header.Set("Authorization", "Bearer "+w.Token)
	}
	res, err := w.client().Do(req)
	if err != nil {
		return unnamed(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // the status is here, whatever becomes of it
	return judge(res.StatusCode)
}

func (w *Webhook) client() *http.Client {
	c := http.Client{Timeout: 30 * time.Second}
	if w.Client != nil {
		c = *w.Client
	}
	c.CheckRedirect = stay
	return &c
}

// stay lets only a redirect be followed that brings the same notice to the same host. Others are
// taken as the answer: a POST that became a GET would be answered 200 and have told nobody.
func stay(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || req.Method != first.Method || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// unnamed returns err without the URL, which may hold a secret.
func unnamed(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// judge reads the status of an answer.
func judge(status int) error {
	why := fmt.Sprintf("answered %d", status)
	switch {
	case status/100 == 2:
		return nil
	case status/100 != 4:
		return errors.New(why)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return errors.New(why)
	default:
		return permanent{why}
	}
}
