package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
	"spinetrace/testdata"
)

// banner is what nobody may overlook.
const banner = `********************************************************************
***                                                              ***
***   THIS IS NOT SPINE. This is a simulator. Its patients are   ***
***   invented, and its answers say nothing about anybody.       ***
***                                                              ***
********************************************************************

`

// faultRows is the flag --fault, which may be repeated.
type faultRows []simulator.Fault

func (f *faultRows) String() string { return "" }

func (f *faultRows) Set(row string) error {
	fault, err := simulator.ParseFault(row)
	if err != nil {
		return err
	}
	*f = append(*f, fault)
	return nil
}

// publicKeys is the flag --pds-key, which may be repeated: KID=FILE.pem, or off.
type publicKeys struct {
	off  bool
	keys map[string]*rsa.PublicKey
}

func (k *publicKeys) String() string { return "" }

func (k *publicKeys) Set(value string) error {
	if value == "off" {
		k.off = true
		return nil
	}
	kid, file, ok := strings.Cut(value, "=")
	if !ok || kid == "" || file == "" {
		return errors.New("write KID=FILE.pem, or off")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	key, err := parsePublicKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if k.keys == nil {
		k.keys = make(map[string]*rsa.PublicKey)
	}
	k.keys[kid] = key
	return nil
}

func parsePublicKey(text []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not in PEM form")
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("not an RSA public key")
	}
	return key, nil
}

// simulation is both simulators over one population.
type simulation struct {
	itk, pds    string // addresses, or off
	patients    string
	jitter      time.Duration
	remote      bool
	cert, key   string // files of the server's certificate
	selfSigned  string // folder to make one in
	credentials string // folder for the key pair of the application
	accepted    publicKeys
	faults      faultRows

	population *pdstest.Population
	tls        *tls.Config
	smsp       *smsptest.Server // nil if off
	fhir       *pdsfhirtest.Server
	running    []io.Closer
	settings   [][2]string // of PDS, beside its URL
}

// off is the address of a simulator that is not wanted.
const off = "off"

// simulate runs the simulators until ctx ends.
func simulate(ctx context.Context, c console, args []string) error {
	var s simulation
	fs := newFlags("simulate", "simulate [flags]\n\nAnswers as the PDS mini services and the PDS FHIR API do, about the same invented patients.\nIt is not Spine. PUT fault rows to /control of either address to change them on the way.")
	fs.StringVar(&s.itk, "itk", "127.0.0.1:8680", "`address` of the mini services, any path will do; off for none")
	fs.StringVar(&s.pds, "pds", "127.0.0.1:8681", "`address` of the PDS FHIR API and its token endpoint; off for none")
	fs.StringVar(&s.patients, "patients", "", "CSV `file` of patients; default our own invented ones")
	fs.DurationVar(&s.jitter, "jitter", 20*time.Millisecond, "the most by which an answer is delayed at random; 0 for none")
	fs.BoolVar(&s.remote, "allow-remote", false, "let other machines reach it")
	fs.StringVar(&s.cert, "tls-cert", "", "PEM `file` of a certificate: speak TLS")
	fs.StringVar(&s.key, "tls-key", "", "PEM `file` of its key")
	fs.StringVar(&s.selfSigned, "tls-self-signed", "", "speak TLS with a certificate for this machine; `folder` gets it, and the CA to trust")
	fs.Var(&s.accepted, "pds-key", "`KID=FILE` of a public key of the application, PEM; may be repeated. off: no tokens, as in the sandbox. Default: a new key pair")
	fs.StringVar(&s.credentials, "credentials", "", "`folder` for the new key pair and the API key, kept for the next time; default a temporary one")
	fs.Var(&s.faults, "fault", "`row` op=,rate=,delay=,skip=,times=,do=; may be repeated. do is an HTTP status, STATUS:RETRY-AFTER, fault:CODE, code:CODE, garbage, html, hollow, stranger, truncated, cut, flood, bomb, reset or hang")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	return s.run(ctx, c.Out)
}

// prepare checks the flags and reads the files that they name.
func (s *simulation) prepare() (err error) {
	if err := s.checkFlags(); err != nil {
		return err
	}
	if s.population, err = readPopulation(s.patients); err != nil {
		return err
	}
	for flag, addr := range map[string]string{"--itk": s.itk, "--pds": s.pds} {
		if err := s.checkAddress(flag, addr); err != nil {
			return err
		}
	}
	s.tls, err = s.serverTLS()
	return err
}

// checkFlags checks the flags against each other, and makes the names of folders absolute:
// the settings that name them are for a service started elsewhere.
func (s *simulation) checkFlags() (err error) {
	switch {
	case s.itk == off && s.pds == off:
		return usageError("both simulators are off")
	case (s.cert == "") != (s.key == ""):
		return usageError("--tls-cert and --tls-key belong together")
	case s.cert != "" && s.selfSigned != "":
		return usageError("--tls-self-signed and --tls-cert exclude each other")
	case s.accepted.off && s.accepted.keys != nil:
		return usageError("--pds-key is off and a key at once")
	}
	for _, dir := range []*string{&s.selfSigned, &s.credentials} {
		if *dir == "" {
			continue
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	return nil
}

// checkAddress keeps simulators on this machine unless somebody insists, and people who may
// exist always.
func (s *simulation) checkAddress(flag, addr string) error {
	switch {
	case addr == off || loopback(addr):
		return nil
	case !s.remote:
		return usageError(flag + " is not loopback; --allow-remote lets other machines reach a simulator")
	case !s.population.Invented():
		return usageError("patients with NHS numbers outside 999 are simulated on loopback only")
	}
	return nil
}

// serverTLS is nil if TLS was not asked for.
func (s *simulation) serverTLS() (*tls.Config, error) {
	if s.selfSigned != "" {
		s.cert, s.key = filepath.Join(s.selfSigned, "server.pem"), filepath.Join(s.selfSigned, "server-key.pem")
		if err := s.issue(); err != nil {
			return nil, err
		}
	}
	if s.cert == "" {
		return nil, nil
	}
	own, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}, nil
}

func (s *simulation) caFile() string {
	if s.selfSigned == "" {
		return ""
	}
	return filepath.Join(s.selfSigned, "ca.pem")
}

// issue makes certificates, unless the folder has some of an earlier run that still hold.
func (s *simulation) issue() error {
	if stillGood(s.cert) {
		return nil
	}
	made, err := simulator.NewCertificates(30 * 24 * time.Hour)
	if err != nil {
		return err
	}
	return writeFiles(s.selfSigned, map[string][]byte{
		"ca.pem": made.CA, "server.pem": made.ServerCert, "server-key.pem": made.ServerPriv,
	})
}

// stillGood tells whether a file has a certificate that is good for another day.
func stillGood(file string) bool {
	text, err := os.ReadFile(file)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && time.Now().Add(24*time.Hour).Before(cert.NotAfter)
}

// writeFiles writes files that only their owner may read.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run starts what was asked for, says so, and waits for the end.
func (s *simulation) run(ctx context.Context, w io.Writer) error {
	err := s.start()
	if err == nil {
		_, err = io.WriteString(w, s.announcement())
	}
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, s.close())
}

func (s *simulation) close() (err error) {
	for _, r := range s.running {
		err = errors.Join(err, r.Close())
	}
	return err
}

func (s *simulation) start() error {
	if s.itk != off {
		s.smsp = smsptest.New(s.population, s.faults...)
		s.smsp.Jitter = s.jitter
		if err := s.listen("--itk", s.itk, s.smsp); err != nil {
			return err
		}
	}
	if s.pds == off {
		return nil
	}
	s.fhir = pdsfhirtest.New(s.population, s.faults...)
	s.fhir.Jitter = s.jitter
	if err := s.register(); err != nil {
		return err
	}
	return s.listen("--pds", s.pds, s.fhir)
}

func (s *simulation) listen(flag, addr string, server interface {
	io.Closer
	Start(ln net.Listener, config *tls.Config) error
}) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w; stop what uses the port, or choose another", flag, err)
	}
	s.running = append(s.running, server)
	return server.Start(ln, s.tls)
}

const (
	simulatedKey = "simulated-app" // API key
	simulatedKid = "simulated-1"
)

// register makes the application known that may ask for tokens.
func (s *simulation) register() error {
	s.fhir.APIKey, s.fhir.Keys = simulatedKey, s.accepted.keys
	switch {
	case s.accepted.off:
		s.settings = [][2]string{{"PDS_TOKEN_URL", pdsfhir.NoTokens}}
		return nil
	case s.accepted.keys != nil:
		s.settings = [][2]string{
			{"PDS_API_KEY", simulatedKey},
			{"PDS_KEY_FILE", "the private key's file"},
			{"PDS_KEY_ID", slices.Min(slices.Collect(maps.Keys(s.accepted.keys)))},
		}
		return nil
	}
	if s.credentials == "" {
		dir, err := os.MkdirTemp("", "spinetrace-simulate-")
		if err != nil {
			return err
		}
		s.credentials = dir
		s.running = append(s.running, temporary(dir))
	}
	key, err := s.keyPair(filepath.Join(s.credentials, "private-key.pem"))
	if err != nil {
		return err
	}
	s.fhir.Keys = map[string]*rsa.PublicKey{simulatedKid: &key.PublicKey}
	s.settings = [][2]string{
		{"PDS_API_KEY_FILE", filepath.Join(s.credentials, "api-key")},
		{"PDS_KEY_FILE", filepath.Join(s.credentials, "private-key.pem")},
		{"PDS_KEY_ID", simulatedKid},
	}
	return nil
}

// temporary is a folder that goes when it is closed.
type temporary string

func (dir temporary) Close() error { return os.RemoveAll(string(dir)) }

// keyPair reads the key of an earlier run, or makes one. It has 2048 bits, for which nobody
// has to wait: it guards invented patients.
func (s *simulation) keyPair(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return pdsfhir.ParseKey(text)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, err := pdsfhirtest.GenerateKey(2048)
	if err != nil {
		return nil, err
	}
	return key, writeFiles(s.credentials, map[string][]byte{
		"private-key.pem": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"api-key":         []byte(simulatedKey + "\n"),
	})
}

// announcement says where everything is, and how a service is pointed at it.
func (s *simulation) announcement() string {
	var b strings.Builder
	b.WriteString(banner)
	if s.smsp != nil {
		fmt.Fprintf(&b, "Simulated mini services: %s\n\n", s.smsp.URL)
		s.writeSettings(&b, [][2]string{{"BACKEND", "smsp"}, {"SMSP_URL", s.smsp.URL}, {"SMSP_CA", s.caFile()}})
	}
	if s.fhir != nil {
		fmt.Fprintf(&b, "Simulated PDS FHIR API: %s\n%s\n\n", s.fhir.URL, cmp.Or(s.tokens(), "It wants no tokens."))
		s.writeSettings(&b, append([][2]string{{"BACKEND", "pds"}, {"PDS_URL", s.fhir.URL}, {"PDS_CA", s.caFile()}}, s.settings...))
	}
	who := "invented patients"
	if !s.population.Invented() {
		who = "test patients"
	}
	fmt.Fprintf(&b, "%d %s; everything is forgotten at the end. Stop with Ctrl-C.\n", s.population.Len(), who)
	return b.String()
}

func (s *simulation) tokens() string {
	if s.accepted.off {
		return ""
	}
	return "Tokens: " + s.fhir.TokenURL
}

// writeSettings writes those that have a value.
func (s *simulation) writeSettings(b *strings.Builder, settings [][2]string) {
	format := "  export %s%s='%s'\n"
	if runtime.GOOS == "windows" {
		format = "  $env:%s%s = '%s'\n"
	}
	for _, setting := range settings {
		if setting[1] != "" {
			fmt.Fprintf(b, format, prefix, setting[0], setting[1])
		}
	}
	b.WriteString("\n")
}

func readPopulation(file string) (*pdstest.Population, error) {
	people, err := readPeople(file)
	if err != nil {
		return nil, err
	}
	return pdstest.NewPopulation(people)
}

// readPeople reads a file of people; "" means those that the program comes with.
func readPeople(file string) ([]pdstest.Person, error) {
	var in io.Reader = bytes.NewReader(testdata.People)
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return pdstest.ReadPeople(in)
}
