package notify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"spinetrace/notify"
)

// postOffice is an SMTP server that keeps what it is sent, or refuses it where a test says.
type postOffice struct {
	addr  string
	roots *x509.CertPool
	login bool          // is offered, and asked for
	block chan struct{} // closes when the test ends
	stuck chan struct{} // closes when a mail is not answered

	mu     sync.Mutex
	refuse map[string]*smtp.SMTPError // by command
	mails  []string
	rcpts  []string
	logins int
	secure bool // the last mail came over TLS
}

// newPostOffice starts one: with STARTTLS, with TLS from the first byte, or without any.
func newPostOffice(t *testing.T, mode notify.TLSMode) *postOffice {
	t.Helper()
	p := &postOffice{refuse: make(map[string]*smtp.SMTPError), block: make(chan struct{}), stuck: make(chan struct{})}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secure := c.TLSConnectionState()
		return &session{p: p, secure: secure}, p.says("GREETING")
	}))
	s.Domain, s.ErrorLog, s.AllowInsecureAuth = "127.0.0.1", log.New(io.Discard, "", 0), true
	cert, roots := selfSigned(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr, p.roots = ln.Addr().String(), roots
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	switch mode {
	case notify.StartTLS:
		s.TLSConfig = config
	case notify.Implicit:
		ln = tls.NewListener(ln, config)
	case notify.PlainText:
	}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ln) })
	t.Cleanup(func() {
		close(p.block)
		s.Close()
		served.Wait()
	})
	return p
}

// selfSigned makes a certificate for 127.0.0.1 that only this test trusts.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "post office"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"post.example"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (p *postOffice) says(command string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.refuse[command]; e != nil {
		return e
	}
	return nil
}

func (p *postOffice) mail(mode notify.TLSMode) *notify.Mail {
	m := &notify.Mail{
		Addr: p.addr, From: "Spinetrace <spinetrace@trust.example>", To: []string{"clerk@trust.example", "night@trust.example"},
		TLS: mode, RootCAs: p.roots,
	}
	if p.login {
		m.Username, m.Password = "spinetrace", "hush"
	}
	return m
}

// session is one connection to the post office.
type session struct {
	p      *postOffice
	secure bool
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.p.login && s.p.logins == 0 {
		return &smtp.SMTPError{Code: 530, Message: "said in confidence: log in first"}
	}
	return s.p.says("MAIL")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.p.mu.Lock()
	s.p.rcpts = append(s.p.rcpts, to)
	s.p.mu.Unlock()
	return s.p.says("RCPT")
}

func (s *session) Data(r io.Reader) error {
	if err := s.p.says("DATA"); err != nil {
		if e, ok := errors.AsType[*smtp.SMTPError](err); ok && e.Code == 0 { // it never answers
			close(s.p.stuck)
			<-s.p.block
		}
		return err
	}
	b, err := io.ReadAll(r)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.mails, s.p.secure = append(s.p.mails, string(b)), s.secure
	return err
}

func (s *session) AuthMechanisms() []string {
	if !s.p.login {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if err := s.p.says("AUTH"); err != nil || username != "spinetrace" || password != "hush" {
			return err
		}
		s.p.logins++
		return nil
	}), nil
}

func TestMailSends(t *testing.T) {
	for name, tt := range map[string]struct {
		mode  notify.TLSMode
		login bool
	}{
		"STARTTLS":                    {notify.StartTLS, false},
		"STARTTLS and a login":        {notify.StartTLS, true},
		"TLS from the first byte":     {notify.Implicit, true},
		"plain text on the same host": {notify.PlainText, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPostOffice(t, tt.mode)
			p.login = tt.login
			if answer, err := p.mail(tt.mode).Send(t.Context(), encode(t, notice())); answer != nil || err != nil {
				t.Fatalf("got %q, %v", answer, err)
			}
			if p.secure != (tt.mode != notify.PlainText) || p.logins > 0 != tt.login {
				t.Errorf("TLS %v, %d logins", p.secure, p.logins)
			}
			if diff := cmp.Diff([]string{"clerk@trust.example", "night@trust.example"}, p.rcpts); diff != "" {
				t.Errorf("recipients (-want +got):\n%s", diff)
			}
		})
	}
}

// read takes a mail apart.
func read(t *testing.T, text string) (h mail.Header, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(b), "\r\n", "\n")
}

func TestMailText(t *testing.T) {
	p := newPostOffice(t, notify.StartTLS)
	n := notice()
	n.Times = 3
	bare := notice()
	bare.LocalID, bare.Authority = "", ""
	for _, one := range []notify.Notice{n, n, bare} {
		if _, err := p.mail(notify.StartTLS).Send(t.Context(), encode(t, one)); err != nil {
			t.Fatal(err)
		}
	}
	h, body := read(t, p.mails[0])
	want := "Item 17 was opened: invalid number.\n\nOpened:   2026-11-22 12:00:00 UTC\nRaised:   3 times\nInstance: main\n" +
		"Record:   RXX RXX1234567\n\nTo look at it:\n\n    spinetrace items show 17\n"
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Subject": "spinetrace: item 17, invalid number", "From": `"Spinetrace" <spinetrace@trust.example>`,
		"To": "<clerk@trust.example>, <night@trust.example>", "Auto-Submitted": "auto-generated",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	again, _ := read(t, p.mails[1])
	id := h.Get("Message-ID")
	if again.Get("Message-ID") != id || !strings.HasSuffix(id, "@trust.example>") || h.Get("Date") == "" {
		t.Errorf("Message-ID %q, then %q; Date %q", id, again.Get("Message-ID"), h.Get("Date"))
	}
	if strings.Contains(p.mails[2], "RXX") {
		t.Errorf("a local number that nobody put in:\n%s", p.mails[2])
	}
}

// TestMailTextIsOurs: what a message brought adds no header and no line.
func TestMailTextIsOurs(t *testing.T) {
	p := newPostOffice(t, notify.StartTLS)
	n := notice()
	n.Kind, n.LocalID = "invalid\r\nBcc: x@else.example\r\n\r\nnumber", "1\n.\nQUIT"
	if _, err := p.mail(notify.StartTLS).Send(t.Context(), encode(t, n)); err != nil {
		t.Fatal(err)
	}
	h, body := read(t, p.mails[0])
	if h.Get("Bcc") != "" || h.Get("Subject") != "spinetrace: item 17, invalid Bcc: x@else.example number" || !strings.Contains(body, "RXX 1 . QUIT\n") {
		t.Errorf("got %v\n%s", h, body)
	}
	if len(p.rcpts) != 2 {
		t.Errorf("recipients %v", p.rcpts)
	}
}

func TestMailRefusals(t *testing.T) {
	for _, tt := range []struct {
		command string
		code    int
		lasting bool
		ends    string
	}{
		{"GREETING", 421, false, "answered 421 before the mail"},
		{"GREETING", 554, false, "answered 554 before the mail"},
		{"AUTH", 535, false, "answered 535 before the mail"},
		{"MAIL", 451, false, "answered 451 while sending SMTP MAIL FROM command"},
		{"MAIL", 530, false, "answered 530 while sending SMTP MAIL FROM command"},
		{"MAIL", 553, true, "answered 553 while sending SMTP MAIL FROM command"},
		{"RCPT", 450, false, "answered 450 while sending SMTP RCPT TO command"},
		{"RCPT", 550, true, "answered 550 while sending SMTP RCPT TO command"},
		{"DATA", 452, false, "answered 452 while closing SMTP DATA writer"},
		{"DATA", 554, true, "answered 554 while closing SMTP DATA writer"},
	} {
		t.Run(tt.ends, func(t *testing.T) {
			p := newPostOffice(t, notify.StartTLS)
			p.login = true
			p.refuse[tt.command] = &smtp.SMTPError{Code: tt.code, Message: "said in confidence to <clerk@trust.example>"}
			_, err := p.mail(notify.StartTLS).Send(t.Context(), encode(t, notice()))
			wantFailure(t, err, tt.lasting, tt.ends)
			if len(p.mails) != 0 {
				t.Error("it was sent all the same")
			}
		})
	}
}

// TestMailInPrivate: nothing is told, and no password said, to a server without TLS, or with a
// certificate that is not its own.
func TestMailInPrivate(t *testing.T) {
	for name, tt := range map[string]struct {
		server, client notify.TLSMode
		change         func(*notify.Mail)
	}{
		"no STARTTLS":       {notify.PlainText, notify.StartTLS, func(*notify.Mail) {}},
		"nobody vouches":    {notify.StartTLS, notify.StartTLS, func(m *notify.Mail) { m.RootCAs = x509.NewCertPool() }},
		"nobody, implicit":  {notify.Implicit, notify.Implicit, func(m *notify.Mail) { m.RootCAs = x509.NewCertPool() }},
		"another's":         {notify.StartTLS, notify.StartTLS, func(m *notify.Mail) { m.ServerName = "other.example" }},
		"another, implicit": {notify.Implicit, notify.Implicit, func(m *notify.Mail) { m.ServerName = "other.example" }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPostOffice(t, tt.server)
			p.login = true
			m := p.mail(tt.client)
			tt.change(m)
			_, err := m.Send(t.Context(), encode(t, notice()))
			wantFailure(t, err, false, "")
			if p.logins > 0 || len(p.mails) > 0 {
				t.Errorf("%d logins, %d mails", p.logins, len(p.mails))
			}
		})
	}
	p := newPostOffice(t, notify.StartTLS)
	m := p.mail(notify.StartTLS)
	m.ServerName = "post.example" // is on the certificate, too
	if _, err := m.Send(t.Context(), encode(t, notice())); err != nil {
		t.Errorf("by its other name: %v", err)
	}
}

// TestMailUnreachable: no server, settings that are none, a server that falls silent while the
// caller goes.
func TestMailUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for name, m := range map[string]*notify.Mail{
		"no server":    {Addr: ln.Addr().String(), From: "a@trust.example", To: []string{"b@trust.example"}},
		"no port":      {Addr: "127.0.0.1", From: "a@trust.example", To: []string{"b@trust.example"}},
		"no number":    {Addr: "127.0.0.1:smtp", From: "a@trust.example", To: []string{"b@trust.example"}},
		"no sender":    {Addr: "127.0.0.1:1", From: "clerk@", To: []string{"b@trust.example"}},
		"no recipient": {Addr: "127.0.0.1:1", From: "a@trust.example"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.Send(t.Context(), encode(t, notice()))
			wantFailure(t, err, false, "")
		})
	}
	p := newPostOffice(t, notify.StartTLS)
	p.refuse["DATA"] = &smtp.SMTPError{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan error)
	go func() {
		_, err := p.mail(notify.StartTLS).Send(ctx, encode(t, notice()))
		sent <- err
	}()
	<-p.stuck
	cancel()
	wantFailure(t, <-sent, false, context.Canceled.Error())
}
