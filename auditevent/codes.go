package auditevent

import (
	"strings"

	cpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/codes_go_proto"

	"spinetrace/store"
)

// Systems of codes and identifiers.
const (
	dicom       = "http://dicom.nema.org/resources/ontology/DCM"
	ihe         = "urn:ihe:event-type-code"
	entityTypes = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	objectRoles = "http://terminology.hl7.org/CodeSystem/object-role"
	sourceTypes = "http://terminology.hl7.org/CodeSystem/security-source-type"
	taking      = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	nhsNumbers  = "https://fhir.nhs.uk/Id/nhs-number"
	odsCodes    = "https://fhir.nhs.uk/Id/ods-organization-code"

	// ours are the kinds of events, in the journal's words; rows are places in it, CHAIN:N.
	ours    = "urn:spinetrace:event"
	rows    = "urn:spinetrace:journal"
	letters = "urn:spinetrace:letter"
	items   = "urn:spinetrace:item"
)

// coding is a code, the system that it is from, and how people call it.
type coding struct{ system, code, display string }

// Types of events, as ATNA has them from DICOM.
var (
	applicationActivity = coding{dicom, "110100", "Application Activity"}
	auditLogUsed        = coding{dicom, "110101", "Audit Log Used"}
	exported            = coding{dicom, "110106", "Export"}
	imported            = coding{dicom, "110107", "Import"}
	patientRecord       = coding{dicom, "110110", "Patient Record"}
	query               = coding{dicom, "110112", "Query"}
	securityAlert       = coding{dicom, "110113", "Security Alert"}
	authentication      = coding{dicom, "110114", "User Authentication"}

	applicationStart = coding{dicom, "110120", "Application Start"}
	applicationStop  = coding{dicom, "110121", "Application Stop"}
	login            = coding{dicom, "110122", "Login"}
	securityConfig   = coding{dicom, "110129", "Security Configuration"}
	softwareConfig   = coding{dicom, "110131", "Software Configuration"}
)

// What agents and entities are.
var (
	application   = coding{dicom, "110150", "Application"}
	destination   = coding{dicom, "110152", "Destination Role ID"}
	source        = coding{dicom, "110153", "Source Role ID"}
	person        = coding{taking, "IRCP", "information recipient"}
	server        = coding{sourceTypes, "4", "Application Server"}
	restricted    = coding{"http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "R", "restricted"}
	aPerson       = coding{entityTypes, "1", "Person"}
	aThing        = coding{entityTypes, "2", "System Object"}
	patientRole   = coding{objectRoles, "1", "Patient"}
	resourceRole  = coding{objectRoles, "4", "Domain Resource"}
	securityRole  = coding{objectRoles, "13", "Security Resource"}
	jobRole       = coding{objectRoles, "20", "Job"}
	queryRole     = coding{objectRoles, "24", "Query"}
	updateNotice  = coding{ihe, "ITI-10", "PIX Update Notification"}
	mobilePatient = coding{ihe, "ITI-78", "Mobile Patient Demographics Query"}
)

// Actions and outcomes, by short names.
const (
	create  = cpb.AuditEventActionCode_C
	read    = cpb.AuditEventActionCode_R
	update  = cpb.AuditEventActionCode_U
	remove  = cpb.AuditEventActionCode_D
	execute = cpb.AuditEventActionCode_E

	success = cpb.AuditEventOutcomeCode_SUCCESS
	minor   = cpb.AuditEventOutcomeCode_MINOR_FAILURE
	serious = cpb.AuditEventOutcomeCode_SERIOUS_FAILURE
)

// kind is what AuditEvents that begin with one kind of event have in common.
type kind struct {
	what    coding
	more    coding // the zero coding: nothing
	action  cpb.AuditEventActionCode_Value
	outcome cpb.AuditEventOutcomeCode_Value
	tell    func(*record) // the rest
}

// kinds are those that AuditEvents begin with. The others are told of with them: Answered with
// Asked, Replied with Received, Queued with Tried.
var kinds = map[store.Kind]kind{
	store.Received:  {patientRecord, coding{}, update, success, (*record).message},
	store.Exchanged: {patientRecord, coding{}, update, success, (*record).message},
	store.Resumed:   {patientRecord, coding{}, update, success, (*record).message},
	store.Resent:    {patientRecord, coding{}, update, success, (*record).again},
	store.Broken:    {imported, coding{}, create, serious, (*record).broken},
	store.Asked:     {query, coding{}, execute, success, (*record).call},
	store.Tried:     {exported, coding{}, read, success, (*record).attempt},

	store.Looked:        {auditLogUsed, coding{}, read, success, (*record).decision},
	store.BodiesDropped: {auditLogUsed, coding{}, remove, success, (*record).decision},
	store.ItemClosed:    {patientRecord, coding{}, update, success, (*record).decision},
	store.Withdrawn:     {exported, coding{}, remove, success, (*record).decision},
	store.Requeued:      {exported, coding{}, execute, success, (*record).decision},

	store.Finished:     {patientRecord, coding{}, update, success, (*record).finished},
	store.Interrupted:  {applicationActivity, coding{}, execute, serious, (*record).service},
	store.Started:      {applicationActivity, applicationStart, execute, success, (*record).service},
	store.Stopped:      {applicationActivity, applicationStop, execute, success, (*record).service},
	store.Anchored:     {applicationActivity, coding{}, execute, success, (*record).service},
	store.Clocked:      {applicationActivity, coding{}, execute, success, (*record).noticed},
	store.Warned:       {securityAlert, coding{}, execute, minor, (*record).service},
	store.Rewound:      {securityAlert, coding{}, execute, serious, (*record).service},
	store.Reconfigured: {securityAlert, softwareConfig, update, success, (*record).service},
	store.Renewed:      {securityAlert, securityConfig, update, success, (*record).service},
}

// transaction is what a message is to IHE.
type transaction struct {
	what, more coding
	action     cpb.AuditEventActionCode_Value
}

var (
	feed       = coding{ihe, "ITI-8", "Patient Identity Feed"}
	management = coding{ihe, "ITI-30", "Patient Identity Management"}
	askPerson  = transaction{query, coding{ihe, "ITI-21", "Patient Demographics Query"}, execute}
	askNumbers = transaction{query, coding{ihe, "ITI-9", "PIX Query"}, execute}
)

// transactions are by message code and trigger event. A19 and Q21 are older than IHE's profile,
// or beside it, and ask what its ITI-21 asks.
var transactions = map[string]transaction{
	"QRY^A19": askPerson, "QRY^Q01": askPerson, "QBP^Q21": askPerson, "QBP^Q22": askPerson,
	"QBP^Q23": askNumbers,
	"QCN^J01": {query, coding{}, execute},
	"trace":   {query, coding{}, execute}, // from the command line
	"ADT^A01": {patientRecord, feed, create}, "ADT^A04": {patientRecord, feed, create}, "ADT^A05": {patientRecord, feed, create},
	"ADT^A08": {patientRecord, feed, update}, "ADT^A40": {patientRecord, feed, update},
	"ADT^A28": {patientRecord, management, create}, "ADT^A31": {patientRecord, management, update},
	"ADT^A24": {patientRecord, management, update}, "ADT^A37": {patientRecord, management, update},
	"ADT^A47": {patientRecord, management, update},
	"ADT^A14": {patientRecord, coding{}, create}, "ADT^A29": {patientRecord, coding{}, remove},
}

// transactionOf returns what a message of a type (MSH-9) is; of an ADT at least that it changes a
// record, of anything else that it came.
func transactionOf(messageType string) transaction {
	code, rest, _ := strings.Cut(messageType, "^")
	event, _, _ := strings.Cut(rest, "^")
	if t, ok := transactions[strings.TrimSuffix(code+"^"+event, "^")]; ok {
		return t
	}
	switch code {
	case "ADT":
		return transaction{patientRecord, coding{}, update}
	case "QRY", "QBP", "QCN":
		return transaction{query, coding{}, execute}
	}
	return transaction{imported, coding{}, create}
}

func isQuery(messageType string) bool { return transactionOf(messageType).what == query }

// outcomeOf rates how an exchange ended. That nobody was found, or that nobody had to be asked, is
// no failure.
func outcomeOf(words string) cpb.AuditEventOutcomeCode_Value {
	switch o, known := store.ParseOutcome(words); {
	case !known, o == store.Failed:
		return serious
	case o == store.Rejected, o == store.Refused, o == store.Stale:
		return minor
	}
	return success
}

// outcomeOfCall rates how a call ended by its HTTP status; 404 is how PDS says that there is none.
func outcomeOfCall(status int) cpb.AuditEventOutcomeCode_Value {
	switch {
	case status == 0 || status >= 500:
		return serious
	case status >= 400 && status != 404:
		return minor
	}
	return success
}

// outcomeOfLetter rates how an attempt ended.
func outcomeOfLetter(state string) cpb.AuditEventOutcomeCode_Value {
	switch state {
	case store.Delivered.String():
		return success
	case store.Parked.String():
		return serious
	}
	return minor // it is tried again
}
