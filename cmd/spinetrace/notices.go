package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"spinetrace/exchange"
)

// checkNotices reports what is wrong with how people are told of items.
func (c *config) checkNotices(f *faults) {
	c.checkWebhook(f)
	c.checkMail(f)
	if _, ok := c.kinds(); !ok {
		f.add("NOTIFY_KINDS", "has something that is no kind of item; write those you want, with commas between, of: "+kindWords())
	}
}

func (c *config) checkWebhook(f *faults) {
	u, err := c.webhook()
	switch {
	case err != nil:
		f.add("WEBHOOK_URL", "is not a URL; write https://host/path, with a query if it needs one, without user or fragment")
	case u != nil && u.Scheme == "http" && !loopback(u.Hostname()):
		f.add("WEBHOOK_URL", "is plain http to another machine; write an https URL")
	}
	f.checkText("WEBHOOK_TOKEN", c.WebhookToken.Reveal(), secretText, "has characters that no token has; write it as its owner gave it out")
	if c.WebhookURL.Reveal() == "" && c.WebhookToken.Reveal() != "" {
		f.add("WEBHOOK_TOKEN", "is given, but WEBHOOK_URL is not; give it, or leave the token out")
	}
}

// webhook returns the parsed WEBHOOK_URL, nil if there is none. The query and the path of such a URL
// are often all that a service goes by: the error does not hold it.
func (c *config) webhook() (*url.URL, error) {
	text := c.WebhookURL.Reveal()
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errValue
	}
	return u, nil
}

func (c *config) checkMail(f *faults) {
	for _, s := range []struct{ name, value string }{{"MAIL_FROM", c.MailFrom}, {"MAIL_TO", c.MailTo.String()}} {
		switch {
		case c.MailAddr != "" && s.value == "":
			f.add(s.name, "is missing, and MAIL_ADDR is given; write an address such as spinetrace@example.nhs.uk")
		case s.value != "" && !mailAddresses(s.value):
			f.add(s.name, "has something that is no mail address; write one such as spinetrace@example.nhs.uk")
		case s.value != "" && c.MailAddr == "":
			f.add(s.name, "is given, but MAIL_ADDR is not; give it, or leave "+s.name+" out")
		}
	}
	if (c.MailUsername == "") != (c.MailPassword.Reveal() == "") {
		f.add("MAIL_USERNAME", "and MAIL_PASSWORD belong together, and one is missing; give both or neither")
	}
	f.checkText("MAIL_USERNAME", c.MailUsername, headerValue, "has characters other than printable ASCII, or more than 200; write the login")
	if c.MailAddr == "" {
		return
	}
	f.checkHost("MAIL_ADDR", c.MailAddr, "mail.example.nhs.uk:587")
	if c.MailTLS == "off" && !loopback(c.MailAddr) {
		f.add("MAIL_TLS", "is off, and MAIL_ADDR is another machine; write starttls or tls")
	}
}

// mailAddresses tells whether a list holds nothing but plain addresses.
func mailAddresses(list string) bool {
	for text := range strings.SplitSeq(list, ",") {
		a, err := mail.ParseAddress(text)
		if err != nil || a.Address != text {
			return false
		}
	}
	return true
}

// notified are the destinations that are told of items.
func (c *config) notified() exchange.Notify {
	var to []string
	if c.WebhookURL.Reveal() != "" {
		to = append(to, exchange.ToWebhook)
	}
	if c.MailAddr != "" {
		to = append(to, exchange.ToMail)
	}
	kinds, _ := c.kinds() // checkNotices has seen them
	n := make(exchange.Notify)
	for _, kind := range kinds {
		n[kind] = to
	}
	return n
}

// noticeTimeout is how long a notice may take to be taken.
const noticeTimeout = 30 * time.Second

func reachWebhook(ctx context.Context, cfg *config) (string, error) {
	u, err := cfg.webhook()
	if u == nil {
		return "none, WEBHOOK_URL is not set", err
	}
	return reach(ctx, road{"host", u, nil, &tls.Config{MinVersion: tls.VersionTLS12}, noticeTimeout})
}

// reachMail connects to the mail server. With starttls it is not greeted, so that TLS is not tried.
func reachMail(ctx context.Context, cfg *config) (string, error) {
	if cfg.MailAddr == "" {
		return "none, MAIL_ADDR is not set", nil
	}
	return reach(ctx, road{"server", hostURL(cfg.MailAddr, cfg.MailTLS == "tls"), nil, cfg.mailTLS(), noticeTimeout})
}

// mailTLS is the TLS to the mail server.
func (c *config) mailTLS() *tls.Config {
	host, _, _ := net.SplitHostPort(c.MailAddr) // checkMail has seen it
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
}
