package pdsfhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A shape names the members of a JSON object that are read, each with the shape of its
// value: nil is a text, a number, a truth value, or an array of them. An array of objects
// has the shape of its elements.
type shape map[string]shape

var (
	coding  = shape{"system": nil, "code": nil}
	concept = shape{"coding": coding}
	period  = shape{"start": nil, "end": nil}

	patientShape = shape{
		"resourceType": nil,
		"id":           nil,
		"meta":         {"versionId": nil, "security": coding},
		"identifier":   {"system": nil, "value": nil},
		"name":         {"use": nil, "prefix": nil, "given": nil, "family": nil, "period": period},
		"gender":       nil,
		"birthDate":    nil,

		"deceasedBoolean":  nil,
		"deceasedDateTime": nil,

		"address":             {"use": nil, "line": nil, "postalCode": nil, "period": period},
		"telecom":             {"system": nil, "value": nil, "use": nil, "period": period},
		"generalPractitioner": {"identifier": {"value": nil}},
		"extension": {
			"url":       nil,
			"extension": {"url": nil, "valueCodeableConcept": concept},
		},
	}

	bundleShape = shape{
		"resourceType": nil,
		"type":         nil,
		"total":        nil,
		"entry":        {"search": {"score": nil}, "resource": patientShape},
	}

	outcomeShape = shape{
		"resourceType": nil,
		"issue":        {"details": concept, "diagnostics": nil},
	}

	shapes = map[string]shape{
		"Patient":          patientShape,
		"Bundle":           bundleShape,
		"OperationOutcome": outcomeShape,
	}
)

var (
	errJSON     = errors.New("not a JSON object")
	errResource = errors.New("not a resource that was asked for")
	errKind     = errors.New("not the kind of JSON value that belongs there")
)

// cutOut returns the members of a body that are read, as JSON, and the type of resource.
// encoding/json refuses more than 10,000 levels; what is left has as many as the shapes.
func cutOut(body []byte) (resource string, cut []byte, err error) {
	if !utf8.Valid(body) {
		return "", nil, errJSON
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var whole map[string]json.RawMessage
	if err := dec.Decode(&whole); err != nil || whole == nil {
		return "", nil, errJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", nil, errJSON
	}
	_ = json.Unmarshal(whole["resourceType"], &resource) // anything but a text is no type
	s, ok := shapes[resource]
	if !ok {
		return "", nil, errResource
	}
	kept, err := s.object(whole)
	if err != nil {
		return "", nil, err
	}
	cut, err = json.Marshal(kept)
	return resource, cut, err
}

// object keeps the members of the shape that have a value.
func (s shape) object(members map[string]json.RawMessage) (map[string]any, error) {
	kept := make(map[string]any, len(s))
	for key, inner := range s {
		raw, ok := members[key]
		if !ok {
			continue
		}
		v, err := inner.value(raw)
		if err != nil {
			return nil, err
		}
		if v != nil {
			kept[key] = v
		}
	}
	settleDeath(kept)
	return kept, nil
}

// value returns nil for a null, a blank text and an array of nothing else.
func (s shape) value(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '[':
		return s.array(raw)
	case '{':
		var members map[string]json.RawMessage
		if s == nil || json.Unmarshal(raw, &members) != nil {
			return nil, errKind
		}
		return s.object(members)
	case '"':
		var text string
		if s != nil || json.Unmarshal(raw, &text) != nil {
			return nil, errKind
		}
		if strings.TrimSpace(text) == "" {
			return nil, nil
		}
		return text, nil
	}
	if s != nil {
		return nil, errKind
	}
	return raw, nil // a number as it was written, or a truth value
}

func (s shape) array(raw json.RawMessage) (any, error) {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil, errKind
	}
	var kept []any
	for _, e := range elements {
		if e[0] == '[' {
			return nil, errKind
		}
		v, err := s.value(e)
		if err != nil {
			return nil, err
		}
		if v != nil {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return kept, nil
}

// timeLayouts are those of FHIR, and the time without a zone that PDS has beside them.
var timeLayouts = []string{time.RFC3339, zoneless, time.DateOnly, "2006-01", "2006"}

const zoneless = "2006-01-02T15:04:05"

// settleDeath makes a time of death that cannot be read a death without a time: the record
// must not become unreadable for it, nor the patient alive.
func settleDeath(members map[string]any) {
	v, ok := members["deceasedDateTime"]
	if !ok {
		return
	}
	text, _ := v.(string)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil && plausible(t) {
			if layout == zoneless {
				members["deceasedDateTime"] = text + "Z"
			}
			delete(members, "deceasedBoolean")
			return
		}
	}
	delete(members, "deceasedDateTime")
	members["deceasedBoolean"] = true
}

// plausible tells whether FHIR can write the time: it has no year 0, and no zone further
// away than 14 hours.
func plausible(t time.Time) bool {
	_, offset := t.Zone()
	return t.Year() > 0 && max(offset, -offset) <= 14*60*60
}
