package smsp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"spinetrace/pds"
	"spinetrace/pds/pdshttp"
)

// A Client asks one provider. Its fields are the settings of section 16 of the wire
// contract; set them before the first Trace and leave them alone after. A Client must not
// be copied once it is in use.
type Client struct {
	Endpoint string // absolute URL; https, or http to a loopback address; required

	ODS    string // organisation code of the trust; required unless all that is made from it is set
	System string // name of this system; default "SPINETRACE"

	Username string    // wsse:Username; default <ODS>-<System>
	From     string    // wsa:From address, a URI; default urn:nhs-uk:addressing:ods:<ODS>:<System>
	Sender   string    // itk:senderAddress, a URI; default as From
	AuditIDs []AuditID // at most 4; default those of section 5 for Rules.Access, such as urn:nhs-uk:identity:ods:<ODS>:SYS:<System>

	// HTTP is used in place of a client made from the next six. Redirects are not followed
	// whatever it says.
	HTTP *http.Client

	TLS *tls.Config // see TLSConfig; nil trusts the system's authorities; 1.2 is the minimum whatever it says

	// LiveTLS is asked before every call and used in place of TLS, so that certificates,
	// keys and authorities can be replaced while the service runs. It returns the same
	// value as before, unchanged, or another one: then the next call makes a connection of
	// its own with that, and those made before end with the calls that they carry.
	LiveTLS func() *tls.Config

	Proxy          *url.URL      // nil: none; the environment is not asked
	ConnectTimeout time.Duration // to connect, and again for the TLS handshake; default 5 s
	Timeout        time.Duration // for the whole call, or less if the context says so; default 10 s
	MaxIdle        int           // connections kept open; default 64: make it the number of calls at once

	MaxResponse int64 // bytes of an answer, decompressed; default 1 MiB

	Pace     *pds.Pace     // a turn of it is taken before each call; nil: no limit
	PaceWait time.Duration // longest wait for that turn; default 4 s

	UnquotedAction   bool          // send SOAPAction without the quotes that SOAP 1.1 asks for
	Validity         time.Duration // from Created to Expires; default 10 min
	LocalIDRoot      string        // OID of the trust's own numbers; default 2.16.840.1.113883.2.1.3.2.4.18.24
	LocalIDPrefix    string        // before the colon and the trust's own number; default ODS
	ShortSurnameOmit bool          // leave names with a surname of one or two letters out of lookups by number

	Rules pds.Rules        // the local checks; their clock is Now unless they have one
	Now   func() time.Time // default time.Now
	NewID func() string    // a UUID in upper case; default random

	once      sync.Once // guards the rest
	invalid   error
	client    *http.Client
	rules     pds.Rules
	auditIDs  []AuditID // but for {user} and {role}
	systemIDs []AuditID // of attended access without a user
	fixed     values
}

var _ pds.Tracer = (*Client)(nil)

// Errors of a Client's settings, beside [pdshttp.ErrEndpoint]; Trace returns them in a
// [pds.Error] of class [pds.InputInvalid].
var (
	ErrInsecure = errors.New("smsp: TLS settings skip the verification of the server")
	ErrNoODS    = errors.New("smsp: no ODS code")
	ErrText     = errors.New("smsp: a setting has characters that XML cannot carry")
)

// Trace asks the provider, once. What the local checks refuse is not asked: the outcome
// is [pds.Refused] and the Recorder hears nothing. What gets no turn of Pace ends as
// [pds.NoSlot]; a [pds.Waiter] is told before the wait. Otherwise the Recorder is told
// before the call and, whatever happens, once after it.
//
// Errors are a [*pds.Error], except that the caller's own cancellation comes back as
// [context.Canceled], wrapped. A certificate of the server that does not verify is a
// fault of configuration ([pds.InputInvalid]); the server's refusal of ours is
// [pds.AccessDenied].
func (c *Client) Trace(ctx context.Context, req pds.Request) (pds.Result, error) {
	if err := c.Check(); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.InputInvalid, Err: err}
	}
	req = tidy(req)
	if res, ok := c.check(req); !ok {
		return res, nil
	}
	rec := req.Recorder
	if rec == nil {
		rec = nobody{}
	}
	if err := c.Pace.Turn(ctx, rec, cmp.Or(c.PaceWait, 4*time.Second)); err != nil {
		return pds.Result{}, err
	}
	q := c.question(req)
	if err := rec.Asking(ctx, q.call); err != nil {
		return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
	}
	a := c.ask(ctx, q)
	rec.Answered(a.record())
	return a.result, a.err
}

// nobody is the Recorder of a request that has none.
type nobody struct{}

func (nobody) Asking(context.Context, pds.Call) error { return nil }
func (nobody) Answered(pds.Answer)                    {}

// Check tells what is wrong with the settings, nil if nothing is: [pdshttp.ErrEndpoint],
// [ErrInsecure], [ErrNoODS], [ErrText], [ErrAccess], faults of the audit identities, several
// of them joined.
func (c *Client) Check() error {
	c.once.Do(c.prepare)
	return c.invalid
}

// CloseIdleConnections closes the connections that wait for the next question.
func (c *Client) CloseIdleConnections() {
	if c.Check() == nil {
		c.client.CloseIdleConnections()
	}
}

func (c *Client) prepare() {
	c.rules = c.Rules
	if c.rules.Now == nil {
		c.rules.Now = c.now
	}
	system := c.system()
	address := "urn:nhs-uk:addressing:ods:" + c.ODS + ":" + system
	ids := c.AuditIDs
	if len(ids) == 0 {
		ids = defaultAuditIDs(c.Rules.Access)
	}
	c.auditIDs, c.systemIDs = c.filled(ids), c.filled(defaultAuditIDs(pds.Unattended))
	c.fixed[slotTo] = c.Endpoint
	c.fixed[slotUsername] = cmp.Or(c.Username, c.ODS+"-"+system)
	c.fixed[slotFrom] = cmp.Or(c.From, address)
	c.fixed[slotSender] = cmp.Or(c.Sender, address)
	c.fixed[slotLocalRoot] = cmp.Or(c.LocalIDRoot, oidLocalID)
	c.client = c.connections().Client()

	c.invalid = errors.Join(pdshttp.CheckEndpoint(c.Endpoint), c.checkTLS(), c.checkODS(), c.checkText(), checkAuditIDs(ids), CheckAccess(ids, c.Rules.Access))
}

// filled returns audit identities with what is the same in every question.
func (c *Client) filled(ids []AuditID) []AuditID {
	return fillAuditIDs(fillAuditIDs(ids, "{org}", c.ODS), "{system}", c.system())
}

// idsFor returns the audit identities of a question.
func (c *Client) idsFor(req pds.Request) []AuditID {
	ids := c.auditIDs
	if req.User == "" && c.Rules.Access == pds.AttendedOrSystem {
		ids = c.systemIDs
	}
	fill := strings.NewReplacer("{user}", cmp.Or(req.User, c.system()), "{role}", req.Role)
	ids = slices.Clone(ids)
	for i := range ids {
		ids[i].URI = fill.Replace(ids[i].URI)
	}
	return ids
}

func (c *Client) checkODS() error {
	complete := c.Username != "" && c.From != "" && c.Sender != "" && len(c.AuditIDs) > 0
	if c.ODS == "" && !complete {
		return ErrNoODS
	}
	return nil
}

func (c *Client) checkText() error {
	for _, id := range c.auditIDs {
		if !printable(id.URI) {
			return ErrText
		}
	}
	if slices.ContainsFunc(c.fixed[:], func(v string) bool { return !printable(v) }) || !printable(c.localIDPrefix()) {
		return ErrText
	}
	return nil
}

// connections says how the provider is reached.
func (c *Client) connections() pdshttp.Settings {
	return pdshttp.Settings{
		HTTP: c.HTTP, TLS: c.TLS, LiveTLS: c.LiveTLS, Proxy: c.Proxy,
		ConnectTimeout: c.ConnectTimeout, MaxIdle: c.MaxIdle,
	}
}

func (c *Client) checkTLS() error {
	if c.connections().Insecure() {
		return ErrInsecure
	}
	return nil
}

func (c *Client) localIDPrefix() string { return cmp.Or(c.LocalIDPrefix, c.ODS) }

func (c *Client) system() string { return cmp.Or(c.System, "SPINETRACE") }

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) newID() string {
	if c.NewID != nil {
		return c.NewID()
	}
	return randomUUID()
}

// randomUUID returns a UUID of version 4 in upper case: the envelope's schema has no
// lower-case hexadecimals.
func randomUUID() string {
	var id uuid.UUID
	_, _ = rand.Read(id[:])                         // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version and variant (RFC 9562)
	text := make([]byte, 0, 36)
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, upperHex[b>>4], upperHex[b&0xf])
	}
	return string(text)
}

const upperHex = "0123456789ABCDEF"
