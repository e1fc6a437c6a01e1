package auditevent

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	cpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/codes_go_proto"
	dpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/datatypes_go_proto"
	apb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/audit_event_go_proto"

	"spinetrace/store"
)

// record is an AuditEvent in the making.
type record struct {
	*act
	ods  string
	made *apb.AuditEvent
}

// begin fills in what every AuditEvent has.
func (r *record) begin(k kind) {
	r.made = &apb.AuditEvent{
		Id:       &dpb.Id{Value: hex.EncodeToString(r.Hash[:])},
		Recorded: &dpb.Instant{ValueUs: r.At.UnixMicro(), Timezone: "Z", Precision: dpb.Instant_MICROSECOND},
		Source: &apb.AuditEvent_Source{
			Site: text(r.Chain), Observer: r.us(), Type: []*dpb.Coding{server.proto()},
		},
	}
	r.classify(k.what, k.more, k.action)
	r.rate(k.outcome, "")
}

// end fills in the rows that the AuditEvent was made of.
func (r *record) end() {
	r.row(r.Event, r.left())
	if r.act.end == nil {
		return
	}
	r.row(*r.act.end, nil)
	if r.act.end.At.After(r.At) {
		r.made.Period = &dpb.Period{Start: dateTime(r.At), End: dateTime(r.act.end.At)}
	}
}

func (r *record) classify(what, more coding, action cpb.AuditEventActionCode_Value) {
	r.made.Type, r.made.Subtype = what.proto(), nil
	if more != (coding{}) {
		r.made.Subtype = append(r.made.Subtype, more.proto())
	}
	r.made.Subtype = append(r.made.Subtype, coding{ours, r.Kind.String(), ""}.proto())
	r.made.Action = &apb.AuditEvent_ActionCode{Value: action}
}

// rate says how it ended, in a code and in words.
func (r *record) rate(o cpb.AuditEventOutcomeCode_Value, words ...string) {
	r.made.Outcome = &apb.AuditEvent_OutcomeCode{Value: o}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	r.made.OutcomeDesc = text(strings.Join(words, "; "))
}

// us is this journal's organisation, as an agent and as the observer.
func (r *record) us() *dpb.Reference {
	return &dpb.Reference{Identifier: identifier(odsCodes, r.ods), Display: text("spinetrace of " + r.ods)}
}

// agent adds who took part. Of several the first that may be the requestor is.
func (r *record) agent(role coding, who *dpb.Reference, network *apb.AuditEvent_Agent_Network) *apb.AuditEvent_Agent {
	a := &apb.AuditEvent_Agent{
		Type: &dpb.CodeableConcept{Coding: []*dpb.Coding{role.proto()}}, Who: who, Network: network,
		Requestor: &dpb.Boolean{Value: len(r.made.Agent) == 0},
	}
	r.made.Agent = append(r.made.Agent, a)
	return a
}

// user adds the person, if one is known: the system itself is the next agent. It comes before all others.
func (r *record) user(name string) {
	if text(name) != nil && name != store.System {
		r.agent(person, &dpb.Reference{Identifier: identifier("", name)}, nil)
	}
}

// sender adds the system that a message came from.
func (r *record) sender() {
	name := strings.Trim(r.first.Application+"|"+r.first.Facility, "|")
	var who *dpb.Reference
	if text(name) != nil {
		who = &dpb.Reference{Identifier: identifier("", name)}
	}
	from := r.first
	if r.facts.Peer != "" { // whoever sent it again need not be who sent it first
		from = r.facts
	}
	r.agent(source, who, address(from.Peer)).AltId = text(from.Subject)
}

// message tells of a message that came, and how it was answered.
func (r *record) message() {
	t := transactionOf(r.first.Type)
	r.classify(t.what, t.more, t.action)
	r.rate(outcomeOf(r.ended.Outcome), cmp.Or(r.ended.Outcome, "unanswered so far"), r.ended.Reason)
	r.received(t)
}

// again tells of a message that came again, or was answered again by somebody who did not know.
func (r *record) again() {
	t := transactionOf(r.first.Type)
	r.classify(t.what, t.more, t.action)
	words := "came again; the stored answer is the answer"
	if r.facts.Peer == "" {
		words = "answered again; the stored answer is the answer"
	}
	r.rate(success, words)
	r.received(t)
}

func (r *record) received(t transaction) {
	if r.facts.User != store.System { // whoever sent it again need not be who sent it first
		r.user(cmp.Or(r.facts.User, r.first.User))
	} else {
		r.user(r.first.User)
	}
	if r.first.Peer != "" || r.facts.Peer != "" {
		r.sender()
		r.agent(destination, r.us(), nil)
	} else {
		r.agent(application, r.us(), nil) // asked on the command line
	}
	ids := details{{"MSH-10", r.first.ControlID}}
	r.patients(ids, r.ended.NHSFound)
	role := resourceRole
	if t.what == query {
		role = queryRole
	}
	typeOf := "MSH-9"
	if r.first.Peer == "" {
		typeOf = "command"
	}
	r.entity(aThing, role, identifier("", r.first.ControlID), "message", append(ids,
		detail{typeOf, r.first.Type}, detail{"MSA-1", r.ended.Ack}, detail{"PID-32", r.ended.Decision}, detail{"question", r.missing},
	)).Query = base64(r.question)
}

// broken tells of bytes that never became a message.
func (r *record) broken() {
	r.rate(serious, "not a message", r.facts.Reason)
	r.sender()
	r.agent(destination, r.us(), nil)
	r.entity(aThing, resourceRole, nil, "frame", details{{"MSH-10", r.facts.ControlID}})
}

// call tells of a call to a national service, on behalf of whom the message was that made it.
func (r *record) call() {
	if r.act.end == nil {
		r.rate(serious, "no answer is recorded")
	} else {
		r.rate(outcomeOfCall(r.ended.Status), r.ended.Code, r.ended.Reason)
	}
	if r.facts.Operation == tokenCall {
		r.login()
		return
	}
	if r.facts.Backend == "pds" {
		r.classify(query, mobilePatient, execute)
	}
	r.user(r.first.User)
	r.callee()
	r.patients(nil, r.ended.NHSFound)
	r.entity(aThing, queryRole, identifier("", r.facts.MessageID), "question", r.callIDs()).Query = base64(r.question)
}

// tokenCall is the operation of a call for a token.
const tokenCall = "token"

// login tells of a call for a token: it is about nobody, and its body is a credential.
func (r *record) login() {
	r.classify(authentication, login, execute)
	r.callee()
	r.entity(aThing, securityRole, identifier("", r.facts.MessageID), "token", r.callIDs())
}

// callee adds us, and the service that is called.
func (r *record) callee() {
	r.agent(source, r.us(), nil)
	r.agent(destination, &dpb.Reference{Display: text(cmp.Or(r.facts.Backend, "unknown"))}, uri(r.facts.Endpoint))
}

func (r *record) callIDs() details {
	ids := details{
		{"operation", r.facts.Operation}, {"attempt", number(int64(r.facts.Attempt))},
		{"message id", r.facts.MessageID}, {"tracking id", r.facts.TrackingID}, {"payload id", r.facts.PayloadID},
	}
	if r.act.end != nil {
		ids = append(ids, details{
			{"answer message id", r.ended.AnswerID}, {"HTTP status", number(int64(r.ended.Status))}, {"code", r.ended.Code},
		}...)
	}
	return append(ids, detail{"question", r.missing})
}

// attempt tells of an attempt to deliver a letter.
func (r *record) attempt() {
	if r.facts.Type == store.Update.String() {
		r.classify(patientRecord, updateNotice, read)
	}
	r.rate(outcomeOfLetter(r.facts.Outcome), r.facts.Outcome, r.facts.Reason)
	r.agent(source, r.us(), nil)
	r.agent(destination, &dpb.Reference{Display: text(r.facts.Destination)}, nil)
	ids := details{{"MSH-10", r.facts.ControlID}}
	r.patients(ids, r.ended.NHSFound)
	r.letter(append(ids, detail{"kind", r.facts.Type}, detail{"MSA-1", r.facts.Ack}, detail{"attempt", number(int64(r.facts.Attempt))}))
}

func (r *record) letter(more details) {
	if r.facts.Letter != 0 {
		r.entity(aThing, jobRole, identifier(letters, number(r.facts.Letter)), "letter", more)
	}
}

// decision tells of what a person saw or did. Some of it the service does, too.
func (r *record) decision() {
	r.rate(success, r.facts.Reason)
	r.user(r.facts.User)
	r.agent(application, r.us(), address(r.facts.Peer))
	if r.Exchange != (store.ID{}) {
		r.patients(nil, "")
	}
	r.letter(details{{"MSH-10", r.facts.ControlID}, {"destination", r.facts.Destination}})
	if r.facts.Item != 0 {
		r.entity(aThing, jobRole, identifier(items, number(r.facts.Item)), "item", nil)
	}
	if r.Kind == store.Looked || r.Kind == store.BodiesDropped {
		if r.facts.Filters["nhs_number"] != "" || r.facts.Filters["local_id"] != "" {
			r.label()
		}
		r.entity(aThing, securityRole, nil, "audit log", append(mapped("", r.facts.Filters), detail{"rows", number(int64(r.facts.Rows))}))
	}
}

// finished tells how a trace ended whose sender had been answered before.
func (r *record) finished() {
	r.rate(outcomeOf(r.facts.Outcome), r.facts.Outcome, r.facts.Reason)
	r.agent(application, r.us(), nil)
	r.patients(details{{"MSH-10", r.first.ControlID}, {"PID-32", r.facts.Decision}}, r.facts.NHSFound)
}

// service tells of what the service did by itself.
func (r *record) service() {
	r.rate(r.made.Outcome.Value, r.facts.Reason)
	r.agent(application, r.us(), machine(r.facts.Host))
	if r.Exchange != (store.ID{}) {
		r.patients(details{{"MSH-10", r.first.ControlID}}, "")
	}
}

// noticed is service for what is amiss only if a reason says so.
func (r *record) noticed() {
	if r.facts.Reason != "" {
		r.made.Outcome.Value = minor
	}
	r.service()
}

// patients adds an entity for each number that the patient is known by.
func (r *record) patients(ids details, found string) {
	sent := cmp.Or(r.facts.NHSSent, r.first.NHSSent)
	if sent != "" {
		r.entity(aPerson, patientRole, identifier(nhsNumbers, sent), "NHS number sent", ids)
	}
	if found != "" && found != sent {
		r.entity(aPerson, patientRole, identifier(nhsNumbers, found), "NHS number found", ids)
	}
	if local := cmp.Or(r.facts.LocalID, r.first.LocalID); text(local) != nil {
		r.entity(aPerson, patientRole, identifier("", local), "local number", ids)
	}
}

// label marks what holds a patient's data, in FHIR's words and in the NHS's.
func (r *record) label() {
	r.made.Meta = &dpb.Meta{
		Security: []*dpb.Coding{restricted.proto()},
		Tag:      []*dpb.Coding{{Display: text("NHS Confidential: Personal Data about a patient")}},
	}
}

// row adds the place in the journal, by which the AuditEvent can be traced back and proved.
func (r *record) row(e store.Event, more details) {
	ids := details{{"SHA-256", e.Hash.String()}, {"event", e.Kind.String()}}
	if e.Exchange != (store.ID{}) {
		ids = append(ids, detail{"exchange", e.Exchange.String()})
	}
	r.entity(aThing, securityRole, identifier(rows, fmt.Sprintf("%s:%d", e.Chain, e.Seq)), "journal row", append(ids, more...))
}

// left are the facts that have no place of their own.
func (r *record) left() details {
	f := r.facts
	all := details{
		{"software", f.Version}, {"configuration", f.Config}, {"from", number(f.From)}, {"to", number(f.To)},
		{"items", cmp.Or(r.ended.Items, f.Items)}, {"differences", cmp.Or(r.ended.Differences, f.Differences)},
		{"role profile", f.Role}, {"host", f.Host}, {"login", f.Login}, {"database login", f.DBLogin},
		{"microseconds", number(cmp.Or(r.ended.TookMicros, f.TookMicros))},
	}
	return slices.Concat(all, mapped("head of ", f.Heads), mapped("", f.Details))
}

// details are names and values; those without a value are left out.
type details []detail

type detail struct{ name, value string }

// mapped returns the entries of m in the order of their names.
func mapped(prefix string, m map[string]string) details {
	var all details
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, detail{prefix + name, m[name]})
	}
	return all
}

// entity adds a person or a thing that it was about.
func (r *record) entity(what, role coding, id *dpb.Identifier, description string, more details) *apb.AuditEvent_Entity {
	e := &apb.AuditEvent_Entity{Type: what.proto(), Role: role.proto(), Description: text(description)}
	if id != nil {
		e.What = &dpb.Reference{Identifier: id}
	}
	for _, d := range more {
		name, value := text(d.name), text(d.value)
		if name == nil || value == nil {
			continue
		}
		e.Detail = append(e.Detail, &apb.AuditEvent_Entity_Detail{Type: name, Value: &apb.AuditEvent_Entity_Detail_ValueX{
			Choice: &apb.AuditEvent_Entity_Detail_ValueX_StringValue{StringValue: value},
		}})
	}
	r.made.Entity = append(r.made.Entity, e)
	if role == patientRole {
		r.label()
	}
	return e
}

func (c coding) proto() *dpb.Coding {
	return &dpb.Coding{System: &dpb.Uri{Value: c.system}, Code: &dpb.Code{Value: c.code}, Display: text(c.display)}
}

// identifier returns nil if there is no value.
func identifier(system, value string) *dpb.Identifier {
	id := &dpb.Identifier{Value: text(value)}
	if id.Value == nil {
		return nil
	}
	if system != "" {
		id.System = &dpb.Uri{Value: system}
	}
	return id
}

// text makes of what a sender wrote a FHIR string, nil if nothing is left: no control characters,
// no spaces around it.
func text(s string) *dpb.String {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s))
	if s == "" {
		return nil
	}
	return &dpb.String{Value: s}
}

// base64 returns nil for no bytes: how they are written is the marshaller's business.
func base64(b []byte) *dpb.Base64Binary {
	if len(b) == 0 {
		return nil
	}
	return &dpb.Base64Binary{Value: b}
}

func dateTime(t time.Time) *dpb.DateTime {
	return &dpb.DateTime{ValueUs: t.UnixMicro(), Timezone: "Z", Precision: dpb.DateTime_MICROSECOND}
}

// address is that of a peer, without its port, which says nothing of who it is.
func address(peer string) *apb.AuditEvent_Agent_Network {
	if p, err := netip.ParseAddrPort(peer); err == nil {
		return network(p.Addr().String(), cpb.AuditEventAgentNetworkTypeCode_IP_ADDRESS)
	}
	if _, err := netip.ParseAddr(peer); err == nil {
		return network(peer, cpb.AuditEventAgentNetworkTypeCode_IP_ADDRESS)
	}
	return machine(peer)
}

func machine(name string) *apb.AuditEvent_Agent_Network {
	return network(name, cpb.AuditEventAgentNetworkTypeCode_MACHINE_NAME)
}

func uri(endpoint string) *apb.AuditEvent_Agent_Network {
	return network(endpoint, cpb.AuditEventAgentNetworkTypeCode_URI)
}

func network(where string, kind cpb.AuditEventAgentNetworkTypeCode_Value) *apb.AuditEvent_Agent_Network {
	if text(where) == nil {
		return nil
	}
	return &apb.AuditEvent_Agent_Network{
		Address: text(where), Type: &apb.AuditEvent_Agent_Network_TypeCode{Value: kind},
	}
}

// number writes n, "" for 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
