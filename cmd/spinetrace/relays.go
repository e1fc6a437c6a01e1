package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"spinetrace/exchange"
	"spinetrace/notify"
	"spinetrace/store"
)

// wayBack sets how results come back beside the answer, and who is told of items.
func (s *service) wayBack() {
	h, cfg := s.handler, &s.cfg
	h.Outbox, h.Backlog = s.store, s.store
	h.Updates, h.Forwards = cfg.returns(returnA31), cfg.returns(returnForward)
	h.AppAcks = cfg.AckMode == "enhanced" && cfg.PAS.Addr != ""
	h.Notify = cfg.notified()
	h.Posted = func() {
		for _, r := range s.relays {
			r.Wake()
		}
	}
}

// newRelays returns a relay for every destination that the settings name.
func (s *service) newRelays(m *metrics) error {
	for _, p := range s.cfg.peers() {
		if p.Addr == "" {
			continue
		}
		sender, err := p.open(&s.certs)
		if err != nil {
			return err
		}
		r := s.newRelay(p.name, sender, m)
		r.AcceptCA, r.Notify, r.Overtaken = p.AcceptCA, s.cfg.notified(), s.handler.Overtaken
	}
	n := notices{s.store, &s.cfg}
	for name, sender := range s.cfg.notifiers() {
		// An item about a notice that was refused makes no notice: that would be refused as well.
		r := s.newRelay(name, sender, m)
		r.Write, r.Overtaken = n.write, n.overtaken
	}
	return nil
}

// destinations are the names of those that the settings name.
func (c *config) destinations() []string {
	names := slices.Sorted(maps.Keys(c.notifiers()))
	for _, p := range c.peers() {
		if p.Addr != "" {
			names = append(names, p.name)
		}
	}
	return names
}

// stranded says which letters wait for a destination that is not configured: nobody delivers them, and
// those who set the service up may not know of them.
func stranded(ctx context.Context, db store.Piles, destinations []string) ([]string, error) {
	piles, err := db.Piles(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range piles {
		if p.State == store.Waiting && !slices.Contains(destinations, p.Destination) {
			all = append(all, fmt.Sprintf("%s for %s, which is not configured: configure it, or drop what `spinetrace outbox list` shows",
				count(p.Letters, "letter waits", "letters wait"), p.Destination))
		}
	}
	return all, nil
}

// warnOfStranded tells the log of letters that nobody delivers.
func (s *service) warnOfStranded(ctx context.Context) {
	all, err := stranded(ctx, s.store, s.cfg.destinations())
	if err != nil {
		s.log.Warn("the outbox cannot be counted", "err", err)
	}
	for _, what := range all {
		s.log.Warn("letters have nowhere to go", "what", what)
	}
}

func (s *service) newRelay(to string, sender exchange.Sender, m *metrics) *exchange.Relay {
	r := &exchange.Relay{
		Destination: to, Sender: sender, Outbox: s.store, Journal: s.store, Audit: s.store,
		AlertAfter: s.cfg.OutboxAlertAfter, CommitTimeout: s.cfg.CommitTimeout,
		Log: s.log, Done: m.delivered,
	}
	s.relays = append(s.relays, r)
	return r
}

// deliver runs a relay once there is a store, until ctx ends.
func (s *service) deliver(ctx context.Context, r *exchange.Relay) {
	if !s.awaitStart(ctx) {
		return
	}
	r.Run(ctx)
	if l, ok := r.Sender.(*wire); ok {
		l.hangUp()
	}
}

// notifiers returns what tells people of items, by the destinations' names.
func (c *config) notifiers() map[string]exchange.Sender {
	senders := make(map[string]exchange.Sender)
	if c.WebhookURL.Reveal() != "" {
		senders[exchange.ToWebhook] = &notify.Webhook{
			URL: c.WebhookURL.Reveal(), Token: c.WebhookToken.Reveal(),
			Client: &http.Client{Timeout: noticeTimeout, Transport: &http.Transport{
				TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
				DisableKeepAlives: true, // there are minutes between two notices
			}},
		}
	}
	if c.MailAddr != "" {
		senders[exchange.ToMail] = &notify.Mail{
			Addr: c.MailAddr, From: c.MailFrom, To: c.MailTo, TLS: mailModes[c.MailTLS],
			Username: c.MailUsername, Password: c.MailPassword.Reveal(), Timeout: noticeTimeout,
		}
	}
	return senders
}

// mailModes are the values of MAIL_TLS.
var mailModes = map[string]notify.TLSMode{"starttls": notify.StartTLS, "tls": notify.Implicit, "off": notify.PlainText}

// notices writes the letters that tell of items.
type notices struct {
	items store.Backlog
	cfg   *config
}

var errNoItem = errors.New("the letter names no item")

// item reads the item that a letter tells of.
func (n notices) item(ctx context.Context, l store.Letter) (store.Item, error) {
	number, err := strconv.ParseInt(strings.TrimPrefix(l.ControlID, "item "), 10, 64)
	if err != nil {
		return store.Item{}, errNoItem
	}
	i, ok, err := n.items.Item(ctx, number)
	switch {
	case err != nil:
		return store.Item{}, fmt.Errorf("item %d: %w", number, err)
	case !ok:
		return store.Item{}, errNoItem
	}
	return i, nil
}

// write is an [exchange.Relay]'s Write.
func (n notices) write(ctx context.Context, l store.Letter) ([]byte, error) {
	i, err := n.item(ctx, l)
	if err != nil {
		return nil, err
	}
	notice := notify.Notice{Item: i.Number, Kind: i.Kind.String(), Opened: i.Opened, Times: i.Times, Chain: n.cfg.Chain}
	if n.cfg.NotifyLocalID {
		notice.LocalID, notice.Authority = i.Patient.LocalID, i.Patient.Authority
	}
	return json.Marshal(notice)
}

// overtaken is an [exchange.Relay]'s Overtaken: nobody has to hear of what is done.
func (n notices) overtaken(ctx context.Context, l store.Letter) (string, *store.Work, error) {
	i, err := n.item(ctx, l)
	switch {
	case errors.Is(err, errNoItem):
		return errNoItem.Error(), nil, nil
	case err != nil:
		return "", nil, err
	case !i.Closed.IsZero():
		return "the item is closed", nil, nil
	}
	return "", nil, nil
}
