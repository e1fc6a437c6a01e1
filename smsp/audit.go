package smsp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"spinetrace/pds"
)

// AuditID is one itk:auditIdentity/itk:id: on whose authority the question is asked
// (section 5 of the wire contract).
type AuditID struct {
	Type string // an OID; "" is the schema's default, 2.16.840.1.113883.2.1.3.2.4.18.27
	URI  string // may hold {user}, {role}, {org} and {system}
}

// maxAuditIDs is what the schema of the envelope allows.
const maxAuditIDs = 4

var (
	oid         = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`)
	placeholder = regexp.MustCompile(`\{[^}]*\}?`)

	placeholders = []string{"{user}", "{role}", "{org}", "{system}"}
)

// Types of the audit identities of a smartcard.
const (
	smartcardUser = "1.2.826.0.1285.0.2.0.65"
	smartcardRole = "1.2.826.0.1285.0.2.0.67"
)

// ErrAccess says that audit identities do not tell the provider what the access method asks for.
var ErrAccess = errors.New("smsp: audit identities lack the user of attended access, or user and role profile of a smartcard")

// defaultAuditIDs are those of section 5 for an access method.
func defaultAuditIDs(a pds.Access) []AuditID {
	switch a {
	case pds.Smartcard:
		return []AuditID{{smartcardUser, "{user}"}, {smartcardRole, "{role}"}}
	case pds.Attended, pds.AttendedOrSystem:
		return []AuditID{{URI: "urn:nhs-uk:identity:ods:{org}:{user}"}}
	default:
		return []AuditID{{URI: "urn:nhs-uk:identity:ods:{org}:SYS:{system}"}}
	}
}

// CheckAccess returns [ErrAccess] for audit identities that do not suit an access method. None are
// the default, which does.
func CheckAccess(ids []AuditID, a pds.Access) error {
	has := func(typ, part string) bool {
		return slices.ContainsFunc(ids, func(id AuditID) bool {
			return (typ == "" || id.Type == typ) && strings.Contains(id.URI, part)
		})
	}
	fit := true
	switch a {
	case pds.Smartcard:
		fit = has(smartcardUser, "{user}") && has(smartcardRole, "{role}")
	case pds.Attended, pds.AttendedOrSystem:
		fit = has("", "{user}")
	default:
	}
	if !fit && len(ids) > 0 {
		return ErrAccess
	}
	return nil
}

// ParseAuditIDs reads a comma-separated list of [TYPE=]URI, where TYPE is an OID and URI
// may hold the placeholders {user}, {role}, {org} and {system}. An empty text is an empty list.
// Errors name the entry by its position.
func ParseAuditIDs(s string) ([]AuditID, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var ids []AuditID
	for entry := range strings.SplitSeq(s, ",") {
		id := AuditID{URI: strings.TrimSpace(entry)}
		// A URI may hold "=" too.
		if typ, uri, found := strings.Cut(id.URI, "="); found && oid.MatchString(typ) {
			id = AuditID{typ, uri}
		}
		ids = append(ids, id)
	}
	if err := checkAuditIDs(ids); err != nil {
		return nil, err
	}
	return ids, nil
}

func checkAuditIDs(ids []AuditID) error {
	if len(ids) > maxAuditIDs {
		return fmt.Errorf("smsp: %d audit identities, the envelope holds at most %d", len(ids), maxAuditIDs)
	}
	for i, id := range ids {
		if err := id.check(); err != nil {
			return fmt.Errorf("smsp: audit identity %d: %w", i+1, err)
		}
	}
	return nil
}

func (id AuditID) check() error {
	if id.URI == "" {
		return errors.New("no URI")
	}
	if id.Type != "" && !oid.MatchString(id.Type) {
		return errors.New("type is not an OID")
	}
	for _, p := range placeholder.FindAllString(id.URI, -1) {
		if !slices.Contains(placeholders, p) {
			return errors.New("placeholder is not {user}, {role}, {org} or {system}")
		}
	}
	return nil
}

// fillAuditIDs puts a name into a placeholder. The list given stays as it is.
func fillAuditIDs(ids []AuditID, placeholder, name string) []AuditID {
	filled := slices.Clone(ids)
	for i := range filled {
		filled[i].URI = strings.ReplaceAll(filled[i].URI, placeholder, name)
	}
	return filled
}
