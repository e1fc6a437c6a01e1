package smsp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// AuditID is one itk:auditIdentity/itk:id: on whose authority the question is asked
// (section 5 of the wire contract).
type AuditID struct {
	Type string // an OID; "" is the schema's default, 2.16.840.1.113883.2.1.3.2.4.18.27
	URI  string // may hold {user}, {org} and {system}
}

// maxAuditIDs is what the schema of the envelope allows.
const maxAuditIDs = 4

var (
	oid         = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`)
	placeholder = regexp.MustCompile(`\{[^}]*\}?`)
)

// ParseAuditIDs reads a comma-separated list of [TYPE=]URI, where TYPE is an OID and URI
// may hold the placeholders {user}, {org} and {system}. An empty text is an empty list.
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
		if p != "{user}" && p != "{org}" && p != "{system}" {
			return errors.New("placeholder is not {user}, {org} or {system}")
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
