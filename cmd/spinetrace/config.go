package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// config is every setting. A field's tags are the whole of its documentation: envconfig is
// the variable, default what it is when the variable is missing, shown what the table
// of settings says instead of a default that is worked out, oneof, min and max what
// is accepted, desc the meaning. The names are written out in full, because envconfig would
// otherwise accept the variable without its prefix as well: LOG_LEVEL, STORE. A field with the
// tag family is a struct of settings that share a beginning: in their tags %FAMILY% stands for it,
// %PEER% for the tag peer.
type config struct {
	ODS         string `envconfig:"SPINETRACE_ODS" shown:"required by serve and trace" desc:"the trust's ODS code; MSH-4 of what we originate"`
	Application string `envconfig:"SPINETRACE_APPLICATION" default:"SPINETRACE" desc:"MSH-3 of what we originate"`

	MLLPAddr         string        `envconfig:"SPINETRACE_MLLP_ADDR" default:"127.0.0.1:2575" desc:"address of the listener"`
	MLLPTLS          string        `envconfig:"SPINETRACE_MLLP_TLS" shown:"off" oneof:"off,server,mutual" desc:"TLS of the listener; must be given, even as off, when the address is not loopback"`
	MLLPCert         string        `envconfig:"SPINETRACE_MLLP_CERT" desc:"PEM file: the listener's certificate and its chain"`
	MLLPKey          string        `envconfig:"SPINETRACE_MLLP_KEY" desc:"PEM file: the key of MLLP_CERT"`
	MLLPClientCA     string        `envconfig:"SPINETRACE_MLLP_CLIENT_CA" desc:"PEM file: who may have signed a client's certificate, for mutual"`
	MLLPClientNames  List          `envconfig:"SPINETRACE_MLLP_CLIENT_NAMES" shown:"every name" desc:"names that may connect, for mutual: a client certificate's subject CN or one of its alternative names (DNS, IP, URI, e-mail) must be here"`
	MLLPRelease      int           `envconfig:"SPINETRACE_MLLP_RELEASE" default:"1" min:"1" max:"2" desc:"release of MLLP that the senders speak; in release 2 every message is answered by a commit block first"`
	MLLPAllow        Networks      `envconfig:"SPINETRACE_MLLP_ALLOW" default:"127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7" desc:"networks that may connect"`
	MLLPMaxFrame     Size          `envconfig:"SPINETRACE_MLLP_MAX_FRAME" default:"1MiB" min:"1KiB" max:"64MiB" desc:"longest message"`
	MLLPMaxConns     int           `envconfig:"SPINETRACE_MLLP_MAX_CONNS" default:"1000" min:"1" max:"100000" desc:"connections at a time"`
	MLLPMaxPerAddr   int           `envconfig:"SPINETRACE_MLLP_MAX_CONNS_PER_ADDR" default:"200" min:"1" max:"100000" desc:"connections at a time from one address"`
	MLLPIdleTimeout  time.Duration `envconfig:"SPINETRACE_MLLP_IDLE_TIMEOUT" default:"0s" min:"0s" max:"720h" desc:"how long a connection may be silent between messages; 0 means for ever, TCP keep-alive finds the dead ones"`
	MLLPFrameTimeout time.Duration `envconfig:"SPINETRACE_MLLP_FRAME_TIMEOUT" default:"30s" min:"100ms" max:"1h" desc:"longest gap between two bytes of a message; a whole message may take ten times that"`
	MLLPWriteTimeout time.Duration `envconfig:"SPINETRACE_MLLP_WRITE_TIMEOUT" default:"10s" min:"100ms" max:"1h" desc:"longest time to write an answer"`

	AckMode          string        `envconfig:"SPINETRACE_ACK_MODE" default:"original" oneof:"original,enhanced" desc:"original answers every message AA, AE or AR; enhanced commits a message whose MSH-15 or MSH-16 is filled, CA, CE or CR, as MSH-15 asks, and traces it afterwards"`
	AckProfile       string        `envconfig:"SPINETRACE_ACK_PROFILE" default:"hl7" oneof:"hl7,park,ar_validation" desc:"how the senders read AE and AR: hl7 as the standard says, park AR only for what may succeed later, ar_validation AR for every permanent fault"`
	AckIdentity      string        `envconfig:"SPINETRACE_ACK_IDENTITY" default:"mirrored" oneof:"mirrored,configured" desc:"who answers: mirrored is whom the message was sent to, MSH-5 and MSH-6; configured is always APPLICATION and ODS"`
	AckType          string        `envconfig:"SPINETRACE_ACK_TYPE" default:"version" oneof:"version,ACK,ACK^event,ACK^event^ACK" desc:"MSH-9 of an acknowledgement: version is ACK below HL7 2.4 and ACK^event^ACK from then on"`
	BatchAnswer      string        `envconfig:"SPINETRACE_BATCH_ANSWER" default:"each" oneof:"each,single" desc:"what answers a batch: each is one acknowledgement for every message, under a BHS; single is one for all, with the worst code"`
	StoreDown        string        `envconfig:"SPINETRACE_STORE_DOWN" default:"close" oneof:"close,nack" desc:"an ADT that cannot be stored: close answers nothing and closes the connection, so that every sender with a queue tries again; nack answers AR 207 (CE in enhanced mode) before it closes"`
	TimeFormat       string        `envconfig:"SPINETRACE_TIME_FORMAT" default:"seconds" oneof:"seconds,milliseconds,offset,milliseconds+offset" desc:"MSH-7 of what we send: local time to the second, with milliseconds, with the offset from UTC"`
	AcceptAndIgnore  List          `envconfig:"SPINETRACE_ACCEPT_AND_IGNORE" shown:"none" desc:"message types, such as ORU or SIU^S12, that are stored and answered AA instead of AR 200"`
	CheckRecipient   bool          `envconfig:"SPINETRACE_CHECK_RECIPIENT" default:"false" desc:"refuse a message whose MSH-5 is neither empty, ROUTE nor APPLICATION"`
	TrustMSH2        bool          `envconfig:"SPINETRACE_TRUST_MSH2" default:"false" desc:"take an MSH-2 of ^&~\\ literally; otherwise it is read as ^~\\&, which its senders mean"`
	LenientSegments  bool          `envconfig:"SPINETRACE_LENIENT_SEGMENTS" default:"false" desc:"ignore a line that is no segment instead of refusing the message"`
	StrictCharset    bool          `envconfig:"SPINETRACE_STRICT_CHARSET" default:"false" desc:"refuse a character set in MSH-18 that is not known, instead of reading the message as if none were named"`
	ProcessingIDs    List          `envconfig:"SPINETRACE_PROCESSING_IDS" default:"P" desc:"values of MSH-11 that are ours; others are refused with AR 202"`
	ADTAnswer        string        `envconfig:"SPINETRACE_ADT_ANSWER" default:"traced" oneof:"traced,plain" desc:"what answers an ADT: traced carries the result; plain is AA as soon as the message is stored, and every trace is made afterwards"`
	WorkDeadline     time.Duration `envconfig:"SPINETRACE_WORK_DEADLINE" default:"168h" min:"1m" max:"8760h" desc:"how long a trace that fails is tried again after its answer; then it is parked for an operator"`
	ReplyBudget      time.Duration `envconfig:"SPINETRACE_REPLY_BUDGET" default:"4s" min:"100ms" max:"10m" desc:"longest time to an answer, back end included"`
	TraceEvents      List          `envconfig:"SPINETRACE_TRACE_EVENTS" default:"A01,A04,A05,A08,A14,A28,A31" desc:"ADT events that may trace"`
	LocalID          string        `envconfig:"SPINETRACE_LOCAL_ID" default:"MR,PI,PT" desc:"how to recognise the local patient number: list of TYPE, AUTHORITY^TYPE, AUTHORITY^ or ^TYPE"`
	NHSNumbers       string        `envconfig:"SPINETRACE_NHS_NUMBER_PATTERNS" default:"NHS^NH,NHS^,^NH,NHSNBR^NHSNMBR,NHSNMBR^,NHS Number^NHS,2.16.840.1.113883.2.1.4.1^NH" desc:"how to recognise the NHS number; written like LOCAL_ID"`
	LegacyNumbers    string        `envconfig:"SPINETRACE_LEGACY_NUMBERS" shown:"none" desc:"older fields that may hold the NHS number, beside PID-3: list of PID-2, PID-19"`
	StatusInCX2      bool          `envconfig:"SPINETRACE_STATUS_IN_CX2" default:"false" desc:"two digits in CX-2 of an NHS number are its status when PID-32 has none, as Welsh systems write it; these also need ^NI in NHS_NUMBER_PATTERNS"`
	Refuse999        bool          `envconfig:"SPINETRACE_REFUSE_999" default:"false" desc:"NHS numbers that begin with 999, which are for tests, are not valid"`
	UnknownNames     List          `envconfig:"SPINETRACE_UNKNOWN_NAMES" default:"UNKNOWN,UNK,NOT KNOWN,TEST,XXTEST*,ZZTEST*,ZZZ*" desc:"family names that stand for nobody; a * at the end marks a beginning"`
	PlaceholderDates List          `envconfig:"SPINETRACE_PLACEHOLDER_DATES" default:"19000101,18000101" desc:"birth dates that stand for none, YYYYMMDD"`
	LocalDomains     string        `envconfig:"SPINETRACE_LOCAL_DOMAINS" shown:"ODS" desc:"authorities of the local patient numbers, as queries name them: list of NAMESPACE, NAMESPACE&OID or &OID"`
	RetraceAfter     time.Duration `envconfig:"SPINETRACE_RETRACE_AFTER" default:"168h" min:"0s" max:"8760h" desc:"how long a finished trace answers for a patient whose identity fields stay as they are; 0 asks every time"`
	DuplicateWindow  time.Duration `envconfig:"SPINETRACE_DUPLICATE_WINDOW" default:"168h" min:"1m" max:"8760h" desc:"how long the same message counts as a resend"`
	DuplicateQueries time.Duration `envconfig:"SPINETRACE_DUPLICATE_WINDOW_QUERY" default:"60s" min:"1s" max:"8760h" desc:"the same for queries"`

	QueryMultiple  string `envconfig:"SPINETRACE_QUERY_MULTIPLE" default:"nf" oneof:"nf,ae" desc:"a query that several patients fit: nf is AA with nobody found, ae is AE 204; who they are is never told"`
	QueryQAK       bool   `envconfig:"SPINETRACE_QUERY_QAK" default:"true" desc:"answers to queries have a QAK segment"`
	QueryPlainNACK bool   `envconfig:"SPINETRACE_QUERY_PLAIN_NACK" default:"false" desc:"refuse a query that has no QPD or QRD with a plain ACK"`
	QueryTelephone bool   `envconfig:"SPINETRACE_QUERY_TELEPHONE" default:"false" desc:"answers to queries carry the home telephone number, PID-13"`
	QuerySexCodes  string `envconfig:"SPINETRACE_QUERY_SEX_CODES" default:"hl7" oneof:"hl7,nhs" desc:"PID-8 of answers to queries: hl7 is M, F, A and U; nhs is 1, 2, 9 and 0"`

	Backend            string        `envconfig:"SPINETRACE_BACKEND" shown:"required by serve and trace" oneof:"smsp,pds" desc:"who is asked: a Spine Mini Service Provider, or the PDS FHIR API"`
	BackendTimeout     time.Duration `envconfig:"SPINETRACE_BACKEND_TIMEOUT" default:"10s" min:"100ms" max:"30s" desc:"longest time of one call"`
	BackendAttempts    int           `envconfig:"SPINETRACE_BACKEND_ATTEMPTS" default:"3" min:"1" max:"10" desc:"calls for one question, if asking again may help"`
	BackendConcurrency int           `envconfig:"SPINETRACE_BACKEND_CONCURRENCY" default:"64" min:"1" max:"10000" desc:"calls at a time"`
	BackendRate        Rate          `envconfig:"SPINETRACE_BACKEND_RATE" shown:"none for smsp, 4 for pds" desc:"calls a second; 0 for no limit"`
	Access             string        `envconfig:"SPINETRACE_ACCESS" default:"unattended" oneof:"unattended,attended,smartcard,session" desc:"on whose behalf is asked: the system's, a local user's, or that of a smartcard's holder with a role profile; session, which passes on a session authenticated with a smartcard, is not supported"`
	AccessUserFields   string        `envconfig:"SPINETRACE_ACCESS_USER_FIELDS" default:"EVN-5.1" desc:"where a message says which user it is from: list of fields, the first that has a value"`
	AccessRoleFields   string        `envconfig:"SPINETRACE_ACCESS_ROLE_FIELDS" shown:"none; required by smartcard" desc:"where it says the role profile of the user's smartcard, written like ACCESS_USER_FIELDS"`
	AccessNoUser       string        `envconfig:"SPINETRACE_ACCESS_NO_USER" shown:"refuse" oneof:"refuse,system" desc:"an attended message without a user: refuse asks nobody, system asks as the system and records that"`
	AllowWildcards     bool          `envconfig:"SPINETRACE_BACKEND_ALLOW_WILDCARDS" default:"false" desc:"let a * in a name or postcode through to a search"`
	AllowPartialDOB    bool          `envconfig:"SPINETRACE_BACKEND_ALLOW_PARTIAL_DOB" default:"false" desc:"let a search go without the day or month of birth"`
	ADTDetails         bool          `envconfig:"SPINETRACE_ADT_DETAILS" default:"false" desc:"ask for the details of an ADT's patient, not only for the number"`

	SMSPURL            URL           `envconfig:"SPINETRACE_SMSP_URL" shown:"required by smsp" desc:"https URL of the mini services; plain http to loopback only"`
	SMSPCert           string        `envconfig:"SPINETRACE_SMSP_CERT" desc:"PEM file: our client certificate"`
	SMSPKey            string        `envconfig:"SPINETRACE_SMSP_KEY" desc:"PEM file: the key of SMSP_CERT"`
	SMSPCA             string        `envconfig:"SPINETRACE_SMSP_CA" shown:"the system's" desc:"PEM file: who signed the provider's certificate"`
	SMSPServerName     string        `envconfig:"SPINETRACE_SMSP_SERVER_NAME" shown:"the URL's host" desc:"name in the provider's certificate"`
	SMSPUsername       string        `envconfig:"SPINETRACE_SMSP_USERNAME" shown:"ODS-APPLICATION" desc:"wsse:Username"`
	SMSPFrom           string        `envconfig:"SPINETRACE_SMSP_FROM" shown:"urn:nhs-uk:addressing:ods:ODS:APPLICATION" desc:"wsa:From"`
	SMSPSender         string        `envconfig:"SPINETRACE_SMSP_SENDER" shown:"urn:nhs-uk:addressing:ods:ODS:APPLICATION" desc:"itk:senderAddress"`
	SMSPAuditIDs       string        `envconfig:"SPINETRACE_SMSP_AUDIT_IDS" shown:"as ACCESS asks; unattended urn:nhs-uk:identity:ods:ODS:SYS:APPLICATION" desc:"audit identities: list of [TYPE=]URI with {user}, {role}, {org}, {system}"`
	SMSPActionQuoted   bool          `envconfig:"SPINETRACE_SMSP_SOAP_ACTION_QUOTED" default:"true" desc:"write the SOAPAction header in quotes"`
	SMSPConnectTimeout time.Duration `envconfig:"SPINETRACE_SMSP_CONNECT_TIMEOUT" default:"5s" min:"100ms" max:"1m" desc:"longest time to connect, TLS included"`
	SMSPValidity       time.Duration `envconfig:"SPINETRACE_SMSP_TIMESTAMP_VALIDITY" default:"10m" min:"10s" max:"24h" desc:"from Created to Expires of a question"`
	SMSPLocalIDRoot    string        `envconfig:"SPINETRACE_SMSP_LOCAL_ID_ROOT" shown:"the generic one" desc:"OID of the local patient number"`
	SMSPLocalIDPrefix  string        `envconfig:"SPINETRACE_SMSP_LOCAL_ID_PREFIX" shown:"ODS" desc:"what stands before the local patient number"`
	SMSPShortSurname   string        `envconfig:"SPINETRACE_SMSP_SHORT_SURNAME" default:"send" oneof:"send,omit" desc:"a surname of one or two letters in a verify or a lookup by number; omit leaves the name out"`
	SMSPAcceptStale    bool          `envconfig:"SPINETRACE_SMSP_ACCEPT_STALE" default:"true" desc:"answer a query from the provider's local copy (SMSP-0003); false answers AR 207"`
	SMSPMaxResponse    Size          `envconfig:"SPINETRACE_SMSP_MAX_RESPONSE_BYTES" default:"1MiB" min:"16KiB" max:"64MiB" desc:"longest answer that is read"`
	SMSPProxy          Secret        `envconfig:"SPINETRACE_SMSP_PROXY" shown:"none" desc:"http or https URL of the proxy to go through"`

	PDSURL              URL           `envconfig:"SPINETRACE_PDS_URL" shown:"required by pds" desc:"https URL of the PDS FHIR API, up to and with /FHIR/R4; plain http to loopback only"`
	PDSTokenURL         string        `envconfig:"SPINETRACE_PDS_TOKEN_URL" shown:"/oauth2/token on the host of PDS_URL" desc:"where access tokens come from; off for the sandbox, which needs none"`
	PDSAPIKey           Secret        `envconfig:"SPINETRACE_PDS_API_KEY" shown:"required by pds" desc:"API key of the registered application"`
	PDSKeyFile          string        `envconfig:"SPINETRACE_PDS_KEY_FILE" shown:"required by pds" desc:"PEM file: the application's RSA private key"`
	PDSKeyID            string        `envconfig:"SPINETRACE_PDS_KEY_ID" shown:"required by pds" desc:"key id (kid) of PDS_KEY_FILE in the registered JWKS"`
	PDSCA               string        `envconfig:"SPINETRACE_PDS_CA" shown:"the system's" desc:"PEM file: who signed the API's certificate"`
	PDSServerName       string        `envconfig:"SPINETRACE_PDS_SERVER_NAME" shown:"the URL's host" desc:"name in the API's certificate"`
	PDSProxy            Secret        `envconfig:"SPINETRACE_PDS_PROXY" shown:"none" desc:"http or https URL of the proxy to go through"`
	PDSConnectTimeout   time.Duration `envconfig:"SPINETRACE_PDS_CONNECT_TIMEOUT" default:"5s" min:"100ms" max:"1m" desc:"longest time to connect, TLS included"`
	PDSMaxResponse      Size          `envconfig:"SPINETRACE_PDS_MAX_RESPONSE_BYTES" default:"1MiB" min:"16KiB" max:"64MiB" desc:"longest answer that is read"`
	PDSFamilyPart       bool          `envconfig:"SPINETRACE_PDS_FAMILY_PART" default:"false" desc:"a family name agrees with one part of a hyphenated or spaced one in PDS"`
	PDSGivenInitial     bool          `envconfig:"SPINETRACE_PDS_GIVEN_INITIAL" default:"false" desc:"an initial agrees with a given name that begins with it"`
	PDSAcceptPartialDOB bool          `envconfig:"SPINETRACE_PDS_ACCEPT_PARTIAL_PDS_DOB" default:"false" desc:"a birth date of which PDS holds the year, or year and month, agrees with a full one that begins so"`
	PDSRestrictedSearch bool          `envconfig:"SPINETRACE_PDS_RESTRICTED_SEARCH" default:"false" desc:"search again without the postcode, which hides restricted records, and take a restricted one"`
	PDSFuzzyFallback    bool          `envconfig:"SPINETRACE_PDS_FUZZY_FALLBACK" default:"false" desc:"search again with PDS's own fuzzy matching; what it finds must still agree"`
	PDSGenderCheck      string        `envconfig:"SPINETRACE_PDS_GENDER_CHECK" default:"reject" oneof:"reject,warn" desc:"a search that finds the opposite sex"`
	PDSMinScore         Share         `envconfig:"SPINETRACE_PDS_MIN_SCORE" default:"0.85" desc:"least score of a search hit"`

	Return             List          `envconfig:"SPINETRACE_RETURN" shown:"a31 if PAS_ADDR is set, else none" desc:"how results come back, beside the answer: list of a31 (to PAS_ADDR) and forward (every ADT to FORWARD_ADDR), or none alone"`
	PAS                destination   `family:"PAS" peer:"the PAS that A31 are sent to"`
	Forward            destination   `family:"FORWARD" peer:"the system that ADT are forwarded to"`
	A31Profile         string        `envconfig:"SPINETRACE_A31_PROFILE" default:"minimal" oneof:"minimal,copy" desc:"what an A31 holds: minimal is the identifiers and what Spine was asked with; copy is the message that it follows from, with PID-3 and PID-32 changed"`
	A31Receiver        string        `envconfig:"SPINETRACE_A31_RECEIVER" shown:"whoever sent the message" desc:"MSH-5 and MSH-6 of an A31: APPLICATION^FACILITY, or ROUTE"`
	A31NumberFirst     bool          `envconfig:"SPINETRACE_A31_NUMBER_FIRST" default:"false" desc:"the NHS number is the first repetition of an A31's PID-3"`
	ResultsFile        string        `envconfig:"SPINETRACE_RESULTS_FILE" shown:"none" desc:"file: a table that replaces rows of the table of results"`
	ReferAllSuperseded bool          `envconfig:"SPINETRACE_REFER_ALL_SUPERSEDED" default:"false" desc:"a superseded number stays in PID-3 with NSTS05, and the clerks decide; not beside a row of RESULTS_FILE for it"`
	OutboxAlertAfter   time.Duration `envconfig:"SPINETRACE_OUTBOX_ALERT_AFTER" default:"15m" min:"1m" max:"168h" desc:"a letter that waits longer for its destination is told of in the log"`

	WebhookURL    Secret `envconfig:"SPINETRACE_WEBHOOK_URL" shown:"none" desc:"https URL that is told of every new item, by a POST of JSON; plain http to loopback only. It may have a query, and is a secret"`
	WebhookToken  Secret `envconfig:"SPINETRACE_WEBHOOK_TOKEN" shown:"none" desc:"bearer token for WEBHOOK_URL"`
	MailAddr      string `envconfig:"SPINETRACE_MAIL_ADDR" shown:"none" desc:"host:port of the mail server, by which MAIL_TO is told of every new item"`
	MailTLS       string `envconfig:"SPINETRACE_MAIL_TLS" default:"starttls" oneof:"starttls,tls,off" desc:"TLS of the mail server; off to loopback only"`
	MailFrom      string `envconfig:"SPINETRACE_MAIL_FROM" desc:"who the mail is from; goes with MAIL_ADDR"`
	MailTo        List   `envconfig:"SPINETRACE_MAIL_TO" desc:"who it goes to; goes with MAIL_ADDR"`
	MailUsername  string `envconfig:"SPINETRACE_MAIL_USERNAME" shown:"none" desc:"login at the mail server"`
	MailPassword  Secret `envconfig:"SPINETRACE_MAIL_PASSWORD" shown:"none" desc:"its password"`
	NotifyKinds   List   `envconfig:"SPINETRACE_NOTIFY_KINDS" shown:"all" desc:"kinds of items that are told of"`
	NotifyLocalID bool   `envconfig:"SPINETRACE_NOTIFY_LOCAL_ID" default:"false" desc:"what is told of an item holds the local patient number; nothing else in it is a patient's"`

	Store         Secret        `envconfig:"SPINETRACE_STORE" default:"sqlite:spinetrace.db" desc:"postgres://... or sqlite:PATH"`
	Chain         string        `envconfig:"SPINETRACE_CHAIN" default:"main" desc:"this instance's audit chain; a second instance must have its own"`
	BodyKey       Secret        `envconfig:"SPINETRACE_BODY_KEY" shown:"none: bodies are not encrypted" desc:"keys that messages and envelopes are encrypted with in the store: one a line, NUMBER:64 hexadecimal digits; the highest number encrypts, all decrypt"`
	CommitTimeout time.Duration `envconfig:"SPINETRACE_COMMIT_TIMEOUT" default:"900ms" min:"50ms" max:"1m" desc:"longest wait for a commit; then nothing positive is said"`

	ClockLimit time.Duration `envconfig:"SPINETRACE_CLOCK_LIMIT" default:"250ms" min:"1ms" max:"1h" desc:"how far the clock of this machine may be off before it is an alarm in the journal, the log and the metrics"`
	NoticeFile string        `envconfig:"SPINETRACE_NOTICE_FILE" shown:"a text of its own" desc:"text file: what a person at a terminal is shown before a command that shows patients' data (Computer Misuse Act 1990)"`

	DrainTimeout time.Duration `envconfig:"SPINETRACE_DRAIN_TIMEOUT" default:"10s" min:"0s" max:"10m" desc:"from the stop signal to the end of exchanges in hand"`
	AdminAddr    string        `envconfig:"SPINETRACE_ADMIN_ADDR" default:"127.0.0.1:8575" desc:"address of /-/healthy, /-/ready and /metrics"`
	LogLevel     slog.Level    `envconfig:"SPINETRACE_LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
}

// validate reports what no type and no tag can: settings that do not fit together. What only
// some commands need is checked by require.
func (c *config) validate(f *faults) {
	c.checkNames(f)
	c.checkListener(f)
	c.checkMessages(f)
	c.checkBackend(f)
	c.checkAccess(f)
	c.checkReturn(f)
	c.checkNotices(f)
	c.checkStore(f)
	c.checkBodyKeys(f)
	c.checkTimes(f)
	c.checkNotice(f)
}

var (
	odsCode     = regexp.MustCompile(`^[A-Z0-9]{1,12}$`)
	systemName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$`)
	oid         = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`)
	messageType = regexp.MustCompile(`^[A-Z][A-Z0-9]{2}(\^[A-Z][A-Z0-9]{2})?$`)
	eventCode   = regexp.MustCompile(`^A[0-9]{2}$`)
	dnsName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)
	headerValue = regexp.MustCompile(`^[!-~]([ -~]{0,198}[!-~])?$`)
	secretText  = regexp.MustCompile(`^[!-~]+$`)
	chainName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
)

// checkText reports a value, if there is one, that the pattern does not match.
func (f *faults) checkText(name, value string, pattern *regexp.Regexp, text string) {
	if value != "" && !pattern.MatchString(value) {
		f.add(name, text)
	}
}

func (c *config) checkNames(f *faults) {
	f.checkText("ODS", c.ODS, odsCode, "is not an ODS code; write its capital letters and digits")
	f.checkText("APPLICATION", c.Application, systemName, "is not a name; write up to 40 letters, digits, dots, hyphens and underscores")
	f.checkText("CHAIN", c.Chain, chainName, "is not a chain's name; write up to 40 small letters, digits, hyphens and underscores")
}

func (c *config) checkListener(f *faults) {
	f.checkAddr("MLLP_ADDR", c.MLLPAddr, "127.0.0.1:2575")
	f.checkAddr("ADMIN_ADDR", c.AdminAddr, "127.0.0.1:8575")
	for _, name := range c.MLLPClientNames {
		f.checkText("MLLP_CLIENT_NAMES", name, headerValue, "has characters other than printable ASCII, or more than 200; write names as they stand in the certificates")
	}
	if len(c.MLLPClientNames) > 0 && c.MLLPTLS != "mutual" {
		f.add("MLLP_CLIENT_NAMES", "is given, but MLLP_TLS is not mutual, so no client would show a certificate; write mutual there")
	}
	if c.MLLPTLS == "" && !loopback(c.MLLPAddr) && !f.has("MLLP_ADDR") {
		f.add("MLLP_TLS", "is missing, and MLLP_ADDR is not loopback; write server or mutual, or off to accept patients' data in the clear")
	}
	if c.MLLPTLS != "server" && c.MLLPTLS != "mutual" {
		return
	}
	f.checkGiven("MLLP_CERT", c.MLLPCert, "MLLP_TLS asks for TLS")
	f.checkGiven("MLLP_KEY", c.MLLPKey, "MLLP_TLS asks for TLS")
	if c.MLLPTLS == "mutual" {
		f.checkGiven("MLLP_CLIENT_CA", c.MLLPClientCA, "MLLP_TLS is mutual")
	}
}

// listenerTLS is MLLP_TLS with its default.
func (c *config) listenerTLS() string { return cmp.Or(c.MLLPTLS, "off") }

func (f *faults) checkGiven(name, value, why string) {
	if value == "" {
		f.add(name, "is missing, and "+why+"; write the path of a PEM file")
	}
}

func (f *faults) checkAddr(name, addr, example string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		f.add(name, "is not an address; write host:port, for example "+example)
	}
}

// checkHost is checkAddr for an address that is connected to: it names a host.
func (f *faults) checkHost(name, addr, example string) {
	f.checkAddr(name, addr, example)
	if host, _, err := net.SplitHostPort(addr); err == nil && host == "" {
		f.add(name, "names no host; write host:port, for example "+example)
	}
}

// loopback tells whether an address of the form host:port can be reached from this machine
// only. A name other than localhost counts as reachable: who knows what it resolves to.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

func (c *config) checkMessages(f *faults) {
	for _, id := range c.ProcessingIDs {
		if !slices.Contains([]string{"P", "T", "D"}, id) {
			f.add("PROCESSING_IDS", "has something else than P, T and D; write those of the three that are ours")
		}
	}
	for _, kind := range c.AcceptAndIgnore {
		if !messageType.MatchString(kind) {
			f.add("ACCEPT_AND_IGNORE", "has something that is no message type; write types such as ORU or SIU^S12, with commas between")
		}
	}
	for _, event := range c.TraceEvents {
		if !eventCode.MatchString(event) {
			f.add("TRACE_EVENTS", "has something that is no ADT event; write codes such as A28, with commas between")
		}
	}
	c.checkPatterns(f)
}

// checkPatterns reports what only the parsers of package exchange can tell.
func (c *config) checkPatterns(f *faults) {
	const text = "is not a list of patterns; write TYPE, AUTHORITY^TYPE, AUTHORITY^ or ^TYPE, commas between"
	if _, err := exchange.ParsePatterns(c.LocalID); err != nil {
		f.add("LOCAL_ID", text)
	}
	if _, err := exchange.ParsePatterns(c.NHSNumbers); err != nil {
		f.add("NHS_NUMBER_PATTERNS", text)
	}
	if _, err := exchange.ParseLegacyFields(c.LegacyNumbers); c.LegacyNumbers != "" && err != nil {
		f.add("LEGACY_NUMBERS", "is not a list of PID-2 and PID-19; write either or both, with a comma between")
	}
	for _, name := range c.UnknownNames {
		if strings.Trim(name, "* ") == "" {
			f.add("UNKNOWN_NAMES", "has an entry that stands for every name; write names, with a * at most at their end")
		}
	}
	for _, date := range c.PlaceholderDates {
		if d, err := pds.ParseDate(date); err != nil || !d.Full() {
			f.add("PLACEHOLDER_DATES", "has something that is no date; write YYYYMMDD, with commas between")
		}
	}
	if c.LocalDomains == "" {
		return
	}
	if _, err := exchange.ParseDomains(c.LocalDomains); err != nil {
		f.add("LOCAL_DOMAINS", "is not a list of domains; write NAMESPACE, NAMESPACE&OID or &OID, commas between")
	}
}

func (c *config) checkBackend(f *faults) {
	for _, b := range backends {
		b.check(c, f) // what was given for one that is not chosen was meant all the same
	}
}

func (c *config) checkStore(f *faults) {
	if f.has("STORE_FILE") {
		return // there is no value to look at
	}
	scheme, rest, _ := strings.Cut(c.Store.Reveal(), ":")
	d, ok := stores[scheme]
	switch {
	case !ok || rest == "":
		f.add("STORE", "is neither postgres://... nor sqlite:PATH; write one of them")
	case d.check != nil:
		if fault := d.check(c.Store.Reveal()); fault != "" {
			f.add("STORE", fault)
		}
	}
}

// checkBodyKeys says which line is wrong, and nothing of what is in it.
func (c *config) checkBodyKeys(f *faults) {
	if _, err := c.bodyKeys(); err != nil {
		f.add("BODY_KEY", "cannot be used: "+strings.TrimPrefix(err.Error(), "store: body keys: ")+
			"; write one key a line, such as 1: and what `openssl rand -hex 32` prints")
	}
}

// bodyKeys returns the keys of BODY_KEY, nil if there are none.
func (c *config) bodyKeys() (*store.BodyKeys, error) {
	if c.BodyKey.Reveal() == "" {
		return nil, nil
	}
	return store.ParseBodyKeys(c.BodyKey.Reveal())
}

func (c *config) checkTimes(f *faults) {
	if c.CommitTimeout >= c.ReplyBudget && c.ReplyBudget > 0 {
		f.add("COMMIT_TIMEOUT", "is not shorter than REPLY_BUDGET; write less")
	}
}

// require reports what serve and trace cannot do without.
func (c *config) require(f *faults) {
	if c.ODS == "" {
		f.add("ODS", "is missing; write the trust's ODS code")
	}
	if c.Backend == "" {
		f.add("BACKEND", "is missing; write smsp or pds")
	}
	if b, ok := backends[c.Backend]; ok {
		b.require(c, f)
	}
	c.checkKeyFiles(f)
	c.checkResults(f)
}

// checkFiles reports the files that the settings name and that cannot be opened.
func (c *config) checkFiles(f *faults) {
	for _, s := range append(c.keyFiles(),
		namedFile{"MLLP_CERT", c.MLLPCert}, namedFile{"MLLP_CLIENT_CA", c.MLLPClientCA},
		namedFile{"SMSP_CERT", c.SMSPCert}, namedFile{"SMSP_CA", c.SMSPCA}, namedFile{"PDS_CA", c.PDSCA},
		namedFile{"PAS_CA", c.PAS.CA}, namedFile{"PAS_CERT", c.PAS.Cert},
		namedFile{"FORWARD_CA", c.Forward.CA}, namedFile{"FORWARD_CERT", c.Forward.Cert},
	) {
		if s.path == "" {
			continue
		}
		file, err := os.Open(s.path)
		if err != nil {
			f.add(s.name, "names a file that cannot be read; write the path of a PEM file that this process may read")
			continue
		}
		_ = file.Close() // nothing was written
	}
}

// digest identifies the settings in the journal. Secrets do not take part: a digest of a
// short password could be guessed.
func (c *config) digest() string {
	h := sha256.New()
	for s := range settings(c) {
		if _, secret := s.value.Interface().(Secret); !secret {
			fmt.Fprintf(h, "%s=%v\n", s.name, s.value.Interface())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
