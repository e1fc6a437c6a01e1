package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Mail sends notices as plain text through an SMTP server.
type Mail struct {
	Addr     string   // host:port of the server; required
	From     string   // one address; required
	To       []string // at least one; if the server refuses one of them nobody is sent anything
	Username string   // empty: the server asks for none
	Password string

	TLS        TLSMode
	ServerName string         // that the certificate is for; default: the host of Addr
	RootCAs    *x509.CertPool // who may have signed it; default: the system's
	Timeout    time.Duration  // to connect and log in, and again to send; default 30 s
}

// TLSMode is how the way to the server is kept private.
type TLSMode uint8

// The modes.
const (
	StartTLS TLSMode = iota // the connection begins in plain text and must change to TLS
	Implicit                // TLS from the first byte, as on port 465
	// PlainText is no TLS. It is for a server on the same machine: whoever sets it must check
	// that. A password is sent only to a server on the same machine.
	PlainText
)

// Send mails a notice, and returns no answer.
//
// A reply of 500 to 599 to the mail itself is permanent; but not one to the login, nor one that
// asks for a login or for TLS, which are an operator's to mend. Message-ID is the same at every
// attempt, so that a mail that was taken although Send failed and was repeated shows as one.
func (m *Mail) Send(ctx context.Context, msg []byte) ([]byte, error) {
	if err := m.mail(ctx, msg); err != nil {
		return nil, fmt.Errorf("notify: mail: %w", err)
	}
	return nil, nil
}

func (m *Mail) mail(ctx context.Context, msg []byte) error {
	n, err := parse(msg)
	if err != nil {
		return err
	}
	letter, err := m.write(n)
	if err != nil {
		return err
	}
	l := &line{mail: m, ctx: ctx}
	defer l.hangUp()
	client, err := m.client(l.dial)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, letter)
	switch {
	case err == nil || letter.IsDelivered(): // what fails after the server took it is of no account
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return explain(err)
	}
}

// write makes the mail.
func (m *Mail) write(n Notice) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if letter.From(m.From) != nil || letter.To(m.To...) != nil || len(m.To) == 0 {
		return nil, errors.New("an address cannot be read")
	}
	from := letter.GetFromString()[0]
	domain := strings.Trim(from[strings.LastIndexByte(from, '@')+1:], "<> ")
	letter.SetMessageIDWithValue(n.key() + "@" + domain)
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence is to be told of
	letter.Subject(n.subject())
	letter.SetBodyString(mail.TypeTextPlain, n.text())
	return letter, nil
}

func (m *Mail) client(dial mail.DialContextFunc) (*mail.Client, error) {
	host, text, err := net.SplitHostPort(m.Addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, errors.New("the port is not a number")
	}
	options := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(m.timeout()),
		mail.WithDialContextFunc(dial), mail.WithTLSConfig(m.tlsConfig(host)), mail.WithTLSPolicy(mail.TLSMandatory),
	}
	switch m.TLS {
	case Implicit:
		options = append(options, mail.WithSSL())
	case PlainText:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case StartTLS:
	}
	if m.Username != "" {
		options = append(options, mail.WithUsername(m.Username), mail.WithPassword(m.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return mail.NewClient(host, options...)
}

func (m *Mail) timeout() time.Duration { return cmp.Or(m.Timeout, 30*time.Second) }

func (m *Mail) tlsConfig(host string) *tls.Config {
	return &tls.Config{ServerName: cmp.Or(m.ServerName, host), RootCAs: m.RootCAs, MinVersion: tls.VersionTLS12}
}

// line is the connection of one attempt. The library would leave it open after a failure before
// the mail, and does not look at ctx once it is connected.
type line struct {
	mail *Mail
	ctx  context.Context // of Send
	raw  net.Conn
	stop func() bool
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.raw, l.stop = raw, context.AfterFunc(l.ctx, func() { _ = raw.Close() })
	if l.mail.TLS != Implicit {
		return raw, nil
	}
	host, _, _ := net.SplitHostPort(l.mail.Addr) // was read before
	secured := tls.Client(raw, l.mail.tlsConfig(host))
	return secured, secured.HandshakeContext(ctx)
}

func (l *line) hangUp() {
	if l.raw != nil {
		l.stop()
		_ = l.raw.Close() // it may be closed already
	}
}

// explain says what went wrong without the words of the server or of the mail, and whether it would
// again.
func explain(err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("answered %d before the mail", reply.Code)
	}
	s, ok := errors.AsType[*mail.SendError](err)
	switch {
	case !ok:
		return err
	case s.ErrorCode() == 0:
		return fmt.Errorf("the connection broke while %s", s.Reason)
	}
	why := fmt.Sprintf("answered %d while %s", s.ErrorCode(), s.Reason)
	if s.ErrorCode()/100 == 5 && !wantsLogin(s.ErrorCode()) && aboutTheMail(s.Reason) {
		return permanent{why}
	}
	return errors.New(why)
}

// wantsLogin tells a reply that finds fault with who sends (RFC 4954, 3207): no login, no TLS.
func wantsLogin(code int) bool {
	switch code {
	case 530, 534, 535, 538:
		return true
	default:
		return false
	}
}

func aboutTheMail(at mail.SendErrReason) bool {
	switch at {
	case mail.ErrSMTPMailFrom, mail.ErrSMTPRcptTo, mail.ErrSMTPData, mail.ErrSMTPDataClose:
		return true
	default:
		return false
	}
}
